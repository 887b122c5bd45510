// Shards of a page that end before their time: who waits for one is told, the others go on, and close() ends them all.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chromium, findChromium } from './chromium.js';
import { open, urlOf } from './server.js';

const test = suite('shards of a page that die');
const command = findChromium();
if (command === undefined) {
  console.log('# skipped: shards of a page that die: no Chromium is to be had (CHROMIUM names one)');
  test.skip('no Chromium', () => {});
}
const it = command === undefined ? () => {} : test;

let server;
let chromium;
let page;

/** `body` of an async function in the page, with `own`, a runtime of three shards, and `workers`, theirs. */
const run = (body) =>
  page(`(async () => {
    const { BrowserRuntime } = await import('/featherstar/host/browser/index.js');
    const workers = [];
    const Real = Worker;
    globalThis.Worker = class extends Real {
      constructor(...args) {
        super(...args);
        workers.push(this);
      }
    };
    const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms, 'it waits'));
    const within = (ms, promise) => Promise.race([promise, later(ms)]);
    const codeOf = (promise) => within(5000, promise.then((value) => value, (error) => error.code));
    const module = new URL('/test/mortal-module.js', location.href);
    const own = await BrowserRuntime.start({ shards: 3, module, limits: { creditCount: 8 } });
    globalThis.Worker = Real;
    try { ${body} } finally { await within(5000, own.close()); }
  })()`);

if (command !== undefined) {
  test.before(async () => {
    server = await open();
    chromium = new Chromium(command);
    page = await chromium.open(urlOf(server));
  });
  test.after(async () => {
    await chromium.close();
    server.closeAllConnections();
    server.close();
  });
}

const ENDS = {
  'an exception that nobody catches': 'own.on(1).fails()',
  'its own close()': 'own.on(1).leaves()',
  'terminate()': 'Promise.resolve(workers[1].terminate())',
};

for (const [name, end] of Object.entries(ENDS)) {
  it(`peers of a shard that ended by ${name} are told`, async () => {
    const told = await run(`
      const open = [
        codeOf(own.on(1).never()),
        codeOf(own.on(0).outcome(1, 'never')),
        codeOf(own.on(2).outcomes(20, 1, 'never')),
      ];
      await codeOf(own.on(2).add(1, 2)); // it has sent what it may
      await codeOf(own.on(0).outcome(1, 'add', 1, 2));
      ${end}.catch(() => {});
      const ended = await Promise.all(open);
      const late = [codeOf(own.on(1).add(1, 2)), codeOf(own.on(0).outcome(1, 'add', 1, 2))];
      return [...ended, ...(await Promise.all(late)), await codeOf(own.on(0).outcome(2, 'add', 1, 2))];`);
    const down = 'FEATHERSTAR_PEER_DOWN';
    assert.equal(told, [down, down, [20, down], down, down, 3]);
  });
}

it('close() does not wait for a step that does not end', async () => {
  const ms = await run(`
    await own.on(1).loops();
    await later(50);
    const open = codeOf(own.on(1).never());
    const start = performance.now();
    await within(5000, own.close());
    const ms = performance.now() - start;
    return (await open) === 'FEATHERSTAR_CLOSED' ? ms : await open;`);
  assert.ok(ms < 2000, `${ms}`);
});

it('nothing that a function throws ends a shard', async () => {
  const codes = await run(`
    const codes = [];
    for (const what of ['bare', 'mute', 'odd']) {
      codes.push(await codeOf(own.on(1).throws(what)), await codeOf(own.on(0).outcome(1, 'throws', what)));
    }
    codes.push(await codeOf(own.on(0).add(1, 2)), await codeOf(own.on(1).add(1, 2)));
    return JSON.stringify(codes);`);
  const remote = 'FEATHERSTAR_REMOTE';
  assert.equal(JSON.parse(codes), [remote, remote, remote, remote, null, null, 3, 3]);
});

test.run();
