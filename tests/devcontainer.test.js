// .devcontainer/cleanup.sh with a program in the place of podman that only writes down what it is asked.
//
// Next: release.test.js.

import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const SCRIPT = fileURLToPath(new URL('../.devcontainer/cleanup.sh', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'featherstar-cleanup-'));
const tool = join(folder, 'tool');
const log = join(folder, 'log');
writeFileSync(tool, `#!/bin/sh\necho "$@" >>'${log}'\n`);
chmodSync(tool, 0o755);
test.after(() => rmSync(folder, { recursive: true }));

/** What the script asked of the program, and how it ended. */
function cleanUp(args, input = '') {
  rmSync(log, { force: true });
  const env = { ...process.env, CONTAINER_TOOL: tool };
  const { status, stderr } = spawnSync('sh', [SCRIPT, ...args], { env, input, encoding: 'utf8' });
  return { status, stderr, asked: existsSync(log) ? readFileSync(log, 'utf8').trimEnd().split('\n') : [] };
}

const prunes = (asked) => asked.filter((line) => line.includes('prune')).map((line) => line.split(' ')[0]);

test('removes containers, images and networks of ours, and shows the disk before and after', () => {
  const { status, asked } = cleanUp([]);
  assert.is(status, 0);
  assert.equal(prunes(asked), ['container', 'image', 'network']);
  for (const line of asked.slice(1, -1)) assert.match(line, /prune --force --filter label=featherstar\.dev=1$/);
  assert.equal([asked.at(0), asked.at(-1)], ['system df', 'system df']);
});

test('volumes go only when they are asked for, and after a question', () => {
  assert.equal(prunes(cleanUp(['--volumes'], 'n\n').asked), ['container', 'image', 'network']);
  assert.equal(prunes(cleanUp(['--volumes'], '').asked), ['container', 'image', 'network']);
  assert.equal(prunes(cleanUp(['--volumes'], 'y\n').asked), ['container', 'image', 'volume', 'network']);
  assert.equal(prunes(cleanUp(['--volumes', '--yes']).asked), ['container', 'image', 'volume', 'network']);
});

test('an argument that it does not know is refused before anything is removed', () => {
  const { status, stderr, asked } = cleanUp(['--all']);
  assert.is(status, 2);
  assert.match(stderr, /usage/);
  assert.equal(asked, []);
});

test.run();
