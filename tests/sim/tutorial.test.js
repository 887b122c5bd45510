// deadline: 120 s
// docs/simulation-tutorial.md: its files and commands do what it says, on Node (its texts are V8's).

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CLI = join(ROOT, 'dist/host/cli/main.js');
const text = readFileSync(join(ROOT, 'docs/simulation-tutorial.md'), 'utf8');
const directory = mkdtempSync(join(tmpdir(), 'featherstar-tutorial-'));
test.after(() => rmSync(directory, { recursive: true }));

const blocks = (language) =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, code]) => code);
const commands = blocks('sh').flatMap((code) => code.trim().split('\n'));
const [inevitable, cut, shrunk, passed] = blocks('text');

/** Runs a command of the page, with this Node and this featherstar. */
function run(command) {
  const [first, ...words] = command.split(' ');
  const args = first === 'npx' ? [CLI, ...words.slice(1)] : words;
  const { NODE_TEST_CONTEXT: _, ...env } = process.env; // node:test would report to it
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: directory, encoding: 'utf8', env });
  return { status, stdout, stderr };
}

/** Each line of a block is a part of the output. */
function includesLines(output, block) {
  for (const line of block.trimEnd().split('\n')) assert.ok(output.includes(line), `${line}\nis not in\n${output}`);
}

test('its commands are the ones below', () => {
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(ROOT, join(directory, 'node_modules/featherstar'));
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  for (const code of blocks('js')) writeFileSync(join(directory, /^\/\/ (\S+)$/m.exec(code)[1]), code);
  assert.equal(
    commands.map((command) => command.split(' ').slice(0, 4).join(' ')),
    [
      'npm init -y',
      'npm pkg set type=module',
      'npm install featherstar',
      'npx featherstar sim store.sim.js',
      'npx featherstar sim --replay',
      'npx featherstar sim store.sim.js',
      'node --test store.test.js',
    ],
  );
});

test('the search finds the bug, and the replay repeats it', () => {
  const search = run(commands[3]);
  assert.is(search.status, 1);
  includesLines(search.stdout, inevitable);
  includesLines(search.stdout, cut);
  assert.match(search.stdout, /\d+ passed, 2 distinct failures/);
  const replay = run(commands[4]);
  assert.is(replay.status, 1);
  includesLines(replay.stdout, shrunk);
  assert.match(readFileSync(join(directory, 'run.html'), 'utf8'), /5 is acknowledged/);
});

test('its test fails with the command for the replay, and the mended store passes all', () => {
  const failed = run(commands[6]);
  assert.is(failed.status, 1);
  assert.match(failed.stdout, /npx featherstar sim --replay \S+\.json/);
  const store = join(directory, 'store.js');
  writeFileSync(store, readFileSync(store, 'utf8').replace('directory.writeFile', 'directory.replaceFile'));
  const replay = run(commands[4]);
  assert.is(replay.status, 0);
  assert.match(replay.stdout, /^passed$/m);
  const search = run(commands[5]);
  assert.is(search.status, 0);
  includesLines(search.stdout, passed);
  assert.is(run(commands[6]).status, 0);
});

test.run();
