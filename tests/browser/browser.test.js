// The host of pages in a headless Chromium: the example's page, what its shards do, what the page sees of their memory,
// and what is said where threads cannot share memory.

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Chromium, findChromium } from './chromium.js';
import { open, urlOf } from './server.js';

const test = suite('browser');
const command = findChromium();
if (command === undefined) {
  console.log('# skipped: browser: no Chromium is to be had (CHROMIUM names one)');
  test.skip('no Chromium', () => {});
}
const it = command === undefined ? () => {} : test;

let server;
let stranger; // the same without the headers
let chromium;
let page;

async function settles(expression, what) {
  const end = Date.now() + 20_000;
  while (Date.now() < end) {
    if (await page(expression)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what}: ${await page('document.getElementById("said")?.textContent')}\n${chromium.log.join('\n')}`);
}

/** `body` of an async function in the page, with `runtime` and `watch` of the example. */
const run = (body) => page(`(async () => { ${body} })()`);

/** The same with `own`, a runtime of the test's module. */
const runOwn = (body) =>
  run(`
    const { BrowserRuntime } = await import('/featherstar/host/browser/index.js');
    const own = await BrowserRuntime.start({ module: new URL('/test/module.js', location.href) });
    try { ${body} } finally { await own.close(); }`);

if (command !== undefined) {
  test.before(async () => {
    server = await open();
    stranger = await open({ isolated: false });
    chromium = new Chromium(command);
    page = await chromium.open(urlOf(server));
    await settles('globalThis.runtime !== undefined', 'the runtime starts');
  });
  test.after(async () => {
    await chromium.close();
    for (const each of [server, stranger]) {
      each.closeAllConnections();
      each.close();
    }
  });
}

it('shards answer the page, and each other', async () => {
  assert.is(await run('return runtime.shardCount'), 2);
  assert.is(await run('return runtime.on(0).add(2, 3)'), 5);
  const before = await run('return watch.counters(0)');
  assert.ok((await run('return runtime.on(0).flood(200)')) > 100);
  const after = await run('return watch.counters(0)');
  assert.ok(after.requestsSent - before.requestsSent > 100, 'they went through the ring');
  assert.ok(after.turns > before.turns);
  assert.is(await run('return runtime.on(1).tasks(10, 20)'), 200);
  assert.equal(await runOwn('return await own.on(1).where()'), [1, 2]);
});

it('values of all kinds go from shard to shard and back', async () => {
  const text = await runOwn(`
    const values = [1, -1.5, 'text', 'Grüße 🪶', 'é'.repeat(3000), [1, 2], { a: null }, new Uint8Array(9000).fill(7)];
    const back = await own.on(0).relay(values);
    return JSON.stringify([...back.slice(0, 4), back[4].length, back[5], back[6], back[7].length, back[7][8999]]);`);
  assert.is(text, '[1,-1.5,"text","Grüße 🪶",3000,[1,2],{"a":null},9000,7]');
});

it('timers fire, none early, in order; the wheel is seen turning', async () => {
  const watched = await run(`
    const sleeping = runtime.on(0).sleepers(200);
    let most = 0;
    for (let i = 0; i < 20; i++) {
      most = Math.max(most, watch.wheel(0).pending);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const first = watch.wheel(0).elapsed;
    await new Promise((resolve) => setTimeout(resolve, 50));
    const turned = watch.wheel(0).elapsed > first;
    sleeping.catch(() => {});
    return { most, turned };`);
  assert.ok(watched.most > 50, `${watched.most} timers were seen`);
  assert.ok(watched.turned);
  assert.equal(await runOwn('return await own.on(1).early()'), [[], [5, 10, 20, 40]]);
});

it('a stalled shard: its ring fills up to the credit, and drains', async () => {
  const most = await run(`
    const stalling = runtime.on(1).stall(400);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const flooding = runtime.on(0).flood(500);
    let most = 0;
    for (let i = 0; i < 25; i++) {
      const { head, tail } = watch.ring(0, 1);
      most = Math.max(most, tail - head);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await stalling;
    await flooding;
    const { head, tail } = watch.ring(0, 1);
    return { most, left: tail - head };`);
  assert.ok(most.most >= 40, `${most.most} messages waited`);
  assert.is(most.left, 0);
});

it('idle shards sleep', async () => {
  await settles('watch.sleeping(1) === 1', 'shard 1 sleeps');
});

it('errors cross; a call can be given up; what is not there is said', async () => {
  const outcomes = await runOwn(`
    const outcome = (promise) => promise.then(() => 'done', (error) => [error.name, error.code ?? error.message]);
    return [
      await outcome(own.on(0).failsThere()),
      await outcome(own.on(1).with({ timeoutMs: 20 }).never()),
      await outcome(own.on(1).with({ signal: AbortSignal.abort(new RangeError('before')) }).never()),
      [await own.onAll().with({ timeoutMs: 5000 }).add(1, 2), own.homeOf('key'), own.on(1).none === undefined],
      await outcome(own.on(0).givesUp().then((code) => Promise.reject({ name: 'it', code }))),
      await outcome(Promise.resolve().then(() => own.on(7).add())),
    ];`);
  assert.equal(outcomes, [
    ['RangeError', 'not that one'],
    ['FeatherstarError', 'FEATHERSTAR_TIMEOUT'],
    ['RangeError', 'before'],
    [[3, 3], 1, true],
    ['it', 'FEATHERSTAR_TIMEOUT'],
    ['FeatherstarError', 'FEATHERSTAR_OPTION'],
  ]);
});

it('the page draws, and its buttons work', async () => {
  await run("document.getElementById('tasks').click()");
  await settles("/returned 48,000/.test(document.getElementById('said').textContent)", 'the tasks end');
  const painted = await run(`
    const canvas = document.getElementById('wheel0');
    return new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size;`);
  assert.ok(painted > 3);
  assert.equal(chromium.log, []);
});

it("a call's journey is followed by a worker that only looks", async () => {
  const read = `[...document.querySelectorAll('#journey li')].map((item) => item.textContent)`;
  await run("document.getElementById('follow').click()");
  await settles(`${read}.length > 0`, 'the journey is listed');
  const told = await page(read);
  const steps = [/publishes it/, /has read the call/, /its timer lies on/, /timer fires/, /has read the reply/];
  const found = steps.map((step) => told.findIndex((line) => step.test(line)));
  assert.ok(!found.includes(-1), told.join('\n'));
  const inOrder = [...found].sort((a, b) => a - b);
  assert.equal(found, inOrder, told.join('\n'));
});

it('close() ends the workers, and calls that are open', async () => {
  const code = await run(`
    const open = runtime.on(0).sleepers(1000).catch((error) => error.code);
    await runtime.close();
    const late = await runtime.on(0).add(1, 1).catch((error) => error.code);
    return [await open, late];`);
  assert.equal(code, ['FEATHERSTAR_CLOSED', 'FEATHERSTAR_CLOSED']);
});

it('bad options, and a page that is not isolated, are typed errors', async () => {
  const start = (options) => `
    import('/featherstar/host/browser/index.js')
      .then(({ BrowserRuntime }) => BrowserRuntime.start(${options}))
      .then(() => 'started', (error) => error.code)`;
  assert.is(await page(start('{ shards: 0 }')), 'FEATHERSTAR_OPTION');
  assert.is(await page(start('{ sharedBytes: 5 }')), 'FEATHERSTAR_OPTION');
  assert.is(await page(start('{ taskQuotaUs: -1 }')), 'FEATHERSTAR_OPTION');
  assert.is(await page(start('{ limits: { ringSlots: 63 } }')), 'FEATHERSTAR_OPTION');
  assert.is(await page(start('{ limits: { none: 1 } }')), 'FEATHERSTAR_OPTION');
  assert.is(await page(start("{ module: '/none.js' }")), 'FEATHERSTAR_MODULE');
  const other = await chromium.open(urlOf(stranger));
  assert.is(await other('crossOriginIsolated'), false);
  assert.is(await other(start('{}')), 'FEATHERSTAR_HOST');
});

test.run();
