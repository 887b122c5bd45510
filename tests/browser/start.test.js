// start() in a page that fails: with what, and that no worker is left. What it takes is in browser.test.js.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chromium, findChromium } from './chromium.js';
import { open, urlOf } from './server.js';

const test = suite('start() in a page');
const command = findChromium();
if (command === undefined) {
  console.log('# skipped: start() in a page: no Chromium is to be had (CHROMIUM names one)');
  test.skip('no Chromium', () => {});
}
const it = command === undefined ? () => {} : test;

const servers = {};
let chromium;
let page;

/** How start() ends in a page of `its`: [code, text, locks that are held, or asked for, half a second later]. */
const starts = (options, its = page, library = '/') =>
  its(`(async () => {
    const { BrowserRuntime } = await import('${library}featherstar/host/browser/index.js');
    const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms, { code: 'it waits' }));
    const start = BrowserRuntime.start(${options}).then((runtime) => runtime.close().then(() => ({ code: 'it runs' })));
    const { code, message } = await Promise.race([start.catch((error) => error), later(5000)]);
    await later(500);
    const { held, pending } = await navigator.locks.query();
    return [code, message, held.length + pending.length];
  })()`);

const moduleOf = (text) => `{ module: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(text)}`)} }`;

if (command !== undefined) {
  test.before(async () => {
    for (const isolated of [true, 'page']) servers[isolated] = await open({ isolated });
    servers.other = await open();
    chromium = new Chromium(command);
    page = await chromium.open(`${urlOf(servers.true)}test/blank.html`);
  });
  test.after(async () => {
    await chromium.close();
    for (const server of Object.values(servers)) {
      server.closeAllConnections();
      server.close();
    }
  });
}

it('a shard module is named relative to the page', async () => {
  assert.equal(await starts("{ module: 'module.js' }"), ['it runs', null, 0]);
  assert.is((await starts("{ module: 'http://' }"))[0], 'FEATHERSTAR_OPTION');
});

it('a shard module that throws, or ends its worker, while it loads', async () => {
  const load = async (text) => {
    const [code, message, locks] = await starts(moduleOf(text));
    assert.equal([code, locks], ['FEATHERSTAR_MODULE', 0], text);
    return message;
  };
  assert.match(await load("throw new Error('not today')"), /the shard module data:.* cannot be loaded: not today$/);
  assert.match(await load('throw { toString: null }'), /cannot be loaded: \[object Object\]$/);
  const rest = 'await new Promise(() => {});';
  assert.match(await load(`setTimeout(() => { throw new Error('later'); }); ${rest}`), /Uncaught Error: later/);
  assert.match(await load(`globalThis.close(); ${rest}`), /does not run any more/);
});

it('a call to a shard that has not begun yet is kept for it', async () => {
  const answer = await page(`(async () => {
    const { BrowserRuntime } = await import('/featherstar/host/browser/index.js');
    const post = Worker.prototype.postMessage;
    let begun = 0;
    Worker.prototype.postMessage = function (message, transfer) {
      const isLate = message.type === 'peers' && ++begun === 2;
      setTimeout(() => post.call(this, message, transfer), isLate ? 200 : 0);
    };
    const late = new Promise((resolve) => setTimeout(resolve, 5000, 'it waits'));
    const own = await BrowserRuntime.start({ module: 'early-module.js' });
    try {
      return await Promise.race([own.on(0).answered(), late]);
    } finally {
      Worker.prototype.postMessage = post;
      await own.close();
    }
  })()`);
  assert.is(answer, 3);
});

it("the library's own files cannot be had", async () => {
  const [code, message] = await starts("{ core: '/none.wasm' }");
  assert.is(code, 'FEATHERSTAR_HOST');
  assert.match(message, /^\/none\.wasm cannot be loaded as core\.wasm: /);
});

it("a worker's script without the header, or of another origin", async () => {
  const half = await chromium.open(`${urlOf(servers.page)}test/blank.html`);
  assert.is(await half('crossOriginIsolated'), true);
  const [code, message] = await starts('{}', half);
  assert.is(code, 'FEATHERSTAR_HOST');
  assert.match(message, /worker\.js cannot be loaded: is it served, and with Cross-Origin-Embedder-Policy/);
  const [other, text] = await starts('{}', page, urlOf(servers.other));
  assert.is(other, 'FEATHERSTAR_HOST');
  assert.match(text, /the library has to be of the page's own origin/);
});

test.run();
