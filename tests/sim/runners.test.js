// deadline: 180 s
// Simulations in node:test, uvu and vitest, in JavaScript and TypeScript. The output of the runner has the cause and
// the command for a replay. The files are those of docs/testing.md and of docs/simulation-tutorial.md.
//
// vitest is looked for in the folder that FEATHERSTAR_RUNNERS names (`npm install vitest tsx` there).

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loaderFlags } from '../../dist/host/sim/search.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const CLI = join(ROOT, 'dist/host/cli/main.js');
const RUNNERS = process.env.FEATHERSTAR_RUNNERS ?? '';
const directory = mkdtempSync(join(tmpdir(), 'featherstar-runners-'));
test.after(() => rmSync(directory, { recursive: true }));

const isNode = !('bun' in process.versions) && !('deno' in process.versions);
const [major, minor] = process.versions.node.split('.').map(Number);
const readsTypes = isNode && (major > 22 || (major === 22 && minor >= 18));
const inFolder = (name) => RUNNERS !== '' && existsSync(join(RUNNERS, 'node_modules', name));

/** The files of the pages, by their names. */
function blocksOf(page) {
  const text = readFileSync(join(ROOT, 'docs', page), 'utf8');
  const blocks = [...text.matchAll(/^```js\n(\/\/ ([\w.]+\.js)(?:.|\n)*?)^```$/gm)];
  return new Map(blocks.map(([, code, name]) => [name, code]));
}

const blocks = new Map([...blocksOf('testing.md'), ...blocksOf('simulation-tutorial.md')]);

/** Makes TypeScript of a file of the pages. */
function typed(code) {
  return code
    .replace('let values = {};', 'let values: Record<string, unknown> = {};')
    .replace('put(key, value)', 'put(key: string, value: unknown): Promise<void>')
    .replace('get = (key)', 'get = (key: string)')
    .replace('async (seed) =>', 'async (seed: number) =>')
    .replaceAll('./store.js', './store.ts')
    .replaceAll('./store.sim.js', './store.sim.ts');
}

test.before(() => {
  mkdirSync(join(directory, 'node_modules'));
  symlinkSync(ROOT, join(directory, 'node_modules/featherstar'));
  symlinkSync(join(ROOT, 'node_modules/uvu'), join(directory, 'node_modules/uvu'));
  for (const name of ['vitest', 'tsx'].filter(inFolder)) {
    symlinkSync(join(RUNNERS, 'node_modules', name), join(directory, 'node_modules', name));
  }
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }');
  for (const [name, code] of blocks) {
    writeFileSync(join(directory, name), code);
    writeFileSync(join(directory, name.replace(/js$/, 'ts')), typed(code));
  }
});

function run(args, options = '') {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env; // node:test would report to it
  const env = { ...rest, NODE_OPTIONS: options, NO_COLOR: '1' };
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: directory, encoding: 'utf8', env });
  return { status, output: stdout + stderr };
}

/** The test fails, its output has cause and command, and the command repeats the failure. */
function explains(args, options) {
  const { status, output } = run(args, options);
  assert.is(status, 1, output);
  assert.match(output, /\d was acknowledged, but the store has \d/);
  assert.match(output, /It became inevitable between choices \d+ and \d+ of \d+/);
  assert.match(output, /store\.sim\.[jt]s:\d+:\d+/); // the line of the program
  const [, file] = /npx featherstar sim --replay (\S+\.json)/.exec(output) ?? [];
  assert.ok(file !== undefined, output);
  const replay = run([CLI, 'sim', '--replay', file], options);
  assert.is(replay.status, 1, replay.output);
  assert.match(replay.output, /failed: \d was acknowledged, but the store has \d/);
}

if (isNode) {
  const vitest = inFolder('vitest')
    ? join(dirname(createRequire(join(RUNNERS, 'x.js')).resolve('vitest/package.json')), 'vitest.mjs')
    : undefined;
  if (vitest === undefined) console.log('# skipped: vitest: FEATHERSTAR_RUNNERS names no folder that has it');
  const commands = {
    'node:test': (ext) => ['--test', `store.node.test.${ext}`],
    uvu: (ext) => [`store.uvu.${ext}`],
    ...(vitest === undefined ? {} : { vitest: (ext) => [vitest, 'run', `store.vitest.test.${ext}`] }),
  };
  // tsx is for those that cannot read TypeScript.
  const typeOptions = readsTypes ? '' : inFolder('tsx') ? '--import tsx' : undefined;
  if (typeOptions === undefined) console.log('# skipped: TypeScript: this Node cannot read it, and there is no tsx');
  for (const [runner, args] of Object.entries(commands)) {
    test(`${runner}, JavaScript`, () => explains(args('js'), ''));
    if (typeOptions !== undefined) test(`${runner}, TypeScript`, () => explains(args('ts'), typeOptions));
  }

  if (!readsTypes) {
    test('a Node that does not read TypeScript says what to do', () => {
      const searched = run([CLI, 'sim', 'store.sim.ts', '--seeds', '2']);
      assert.is(searched.status, 1);
      assert.match(searched.output, /does not read TypeScript\. Use Node 22\.18 or later, or install tsx and set/);
      writeFileSync(join(directory, 'mixed.sim.js'), blocks.get('store.sim.js').replace('store.js', 'store.ts'));
      const mixed = run([CLI, 'sim', 'mixed.sim.js', '--seed', '1']);
      assert.is(mixed.status, 1);
      assert.match(mixed.output, /the shard module \S+ cannot be loaded: .*does not read TypeScript\. Use Node 22/);
    });
  }
} else console.log('# skipped: runners: they are those of Node');

test('a search reads modules as its process does', () => {
  const given = ['--import', 'tsx', '--test', '--inspect=0', '-r', './a.cjs', '--loader=b', '-C', 'dev', '--eval', 'x'];
  assert.equal(loaderFlags(given), ['--import', 'tsx', '-r', './a.cjs', '--loader=b', '-C', 'dev']);
  if (!isNode) return;
  writeFileSync(join(directory, 'preload.js'), 'globalThis.isPreloaded = true;');
  const program = `if (!globalThis.isPreloaded) throw new Error('not preloaded');
import { simulate } from 'featherstar/testing';
export default (seed) => simulate({ seed }, () => {});`;
  writeFileSync(join(directory, 'preloaded.sim.js'), program);
  const args = [CLI, 'sim', 'preloaded.sim.js', '--seeds', '2'];
  assert.is(run(args).status, 1);
  const { status, output } = run(['--import', './preload.js', ...args]);
  assert.is(status, 0, output);
});

test.run();
