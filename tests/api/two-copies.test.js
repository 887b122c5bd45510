// Two copies of the package in one thread, as npm installs them for two versions. Each has a runtime. Only one of them
// can sleep in the event loop, so the other does without io_uring, and says why.

import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Runtime } from 'featherstar';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts, rejection } from '../support/hosts.js';
import { within } from '../support/http.js';

const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));
const MODULE = new URL('data:text/javascript,export const echo = (value) => value;');
const PARTS = ['host', 'native', 'core.wasm', 'layout.json'];

const test = suite('two copies in one thread');
let folder;
let Other; // the Runtime of the other copy

test.before(async () => {
  mkdirSync(join(DIST, 'tests'), { recursive: true });
  folder = mkdtempSync(join(DIST, 'tests/copy-')); // here its dependencies are found
  for (const part of PARTS) cpSync(join(DIST, part), join(folder, part), { recursive: true });
  ({ Runtime: Other } = await import(pathToFileURL(join(folder, 'host/index.js'))));
});
test.after(() => rmSync(folder, { recursive: true }));

async function echo(runtime) {
  for (let i = 0; i < 20; i++) assert.is(await within(runtime.on(1).echo(i), 'a call', 2000), i);
}

async function closed(runtime) {
  const { drained } = await within(runtime.close(), 'close()');
  assert.ok(drained);
}

test('the second one runs beside the first, whichever closes first', async () => {
  const [host] = hosts();
  for (const closesFirst of [0, 1]) {
    const first = await Runtime.start({ shards: 2, module: MODULE, host });
    const second = await Other.start({ shards: 2, module: MODULE });
    assert.is(first.hostName, host);
    if (host === 'uring') {
      assert.is(second.hostName, 'portable');
      assert.match(second.hostReason, /another copy of featherstar/);
    }
    await echo(first);
    await echo(second);
    await Promise.all([echo(first), echo(second)]);
    const both = [first, second];
    const [left] = both.splice(closesFirst, 1);
    await closed(left);
    await echo(both[0]);
    await closed(both[0]);
  }
});

test('io_uring is refused to the second one, and is free again when the first has closed', async () => {
  if (!hosts().includes('uring')) return;
  const options = { shards: 1, host: 'uring' };
  const first = await Runtime.start(options);
  const error = await rejection(Other.start(options));
  assert.is(error.code, 'FEATHERSTAR_HOST', String(error.stack));
  assert.match(error.message, /another copy of featherstar/);
  await closed(first);
  const second = await Other.start(options);
  assert.is((await rejection(Runtime.start(options))).code, 'FEATHERSTAR_HOST');
  await closed(second);
  await closed(await Runtime.start(options));
});

test.run();
