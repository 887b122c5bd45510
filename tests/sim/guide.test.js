// deadline: 120 s
// Guided searches continue earlier runs that reached new states. They repeat, and find rare states sooner.

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { branchBy, Guide } from '../../dist/host/sim/guide.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const PROGRAM = new URL('./search-programs.js?kind=stairs', import.meta.url);
const directory = mkdtempSync(join(tmpdir(), 'featherstar-guide-'));
test.after(() => rmSync(directory, { recursive: true }));

const LAG = 32;
const QUIET = 32;
const OPTIONS = { seeds: 600, shrinkSeconds: 1, directory };

/** Runs the command. Resolves with its exit code and all that it printed. */
function cli(...args) {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, 'sim', ...args], { cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, output: stdout + stderr });
    });
  });
}

/** The plans of a search. Run 5 reaches a rare state, and all a common one. `pick`: which open run ends next. */
function plansOf(count, pick, hasStates = true) {
  const guide = new Guide(1);
  const plans = [];
  const open = [];
  while (plans.length < count) {
    if (guide.isReady) {
      open.push(plans.length);
      plans.push(guide.next());
      continue;
    }
    const [index] = open.splice(pick(open.length), 1);
    const states = [['common', 1], ...(index === 5 ? [['rare', 1]] : [])];
    guide.add(index, { sometimes: hasStates ? states : [], choices: 100 });
  }
  return plans;
}

test('without a state all runs are fresh seeds', () => {
  const seeds = plansOf(200, () => 0, false).map(({ seed }) => seed);
  assert.equal(
    seeds,
    Array.from({ length: 200 }, (_, i) => i + 1),
  );
});

test('branches begin when fresh seeds reach nothing new, and continue the run with the rarest state', () => {
  const plans = plansOf(400, () => 0);
  const first = plans.findIndex(({ branches }) => branches.length > 0);
  assert.ok(first >= 5 + QUIET + LAG && first < 5 + QUIET + LAG + 10, `run ${first}`);
  const branched = plans.filter(({ branches }) => branches.length > 0);
  assert.ok(branched.length > 120 && branched.length < 210, `${branched.length} of 400`);
  const ofRare = branched.filter(({ seed }) => seed === 6).length; // run 5
  assert.ok(ofRare > 0.9 * branched.length, `${ofRare} of ${branched.length}`);
  for (const { branches } of branched) assert.ok(branches.every(([at]) => at >= 0 && at < 100));
  assert.ok(new Set(branched.map(({ branches }) => branches[0][0])).size > 50);
});

test('the plans are the same in whatever order the runs end', () => {
  const plans = plansOf(400, () => 0);
  assert.equal(
    plansOf(400, (count) => count - 1),
    plans,
  );
  assert.equal(
    plansOf(400, (count) => count >> 1),
    plans,
  );
});

test('a branch has the choices of its run up to a point, and others from there on', () => {
  const once = branchBy([
    [3, 7],
    [6, 8],
  ]);
  const again = branchBy([[3, 7]]);
  const first = Array.from({ length: 9 }, (_, i) => once(i, i));
  const second = Array.from({ length: 9 }, (_, i) => again(i, i));
  assert.equal(first.slice(0, 3), [0, 1, 2]);
  assert.equal(first.slice(0, 6), second.slice(0, 6));
  assert.ok(first.slice(3).every((word, i) => word !== i + 3));
  assert.ok(first.slice(6).every((word, i) => word !== second[i + 6]));
});

let found;

test('rare states are reached sooner, and two searches are the same', async () => {
  const fresh = await simulate.search(PROGRAM, { ...OPTIONS, jobs: 2 });
  const guided = await simulate.search(PROGRAM, { ...OPTIONS, jobs: 2, guided: true });
  const again = await simulate.search(PROGRAM, { ...OPTIONS, jobs: 1, guided: true });
  assert.ok(guided.sometimes['level 5'] > 5 * (fresh.sometimes['level 5'] ?? 0), 'level 5');
  assert.is(guided.failures.length, 1);
  assert.equal(again.sometimes, guided.sometimes);
  assert.is(again.failures[0].count, guided.failures[0].count);
  [found] = again.failures;
  assert.is(found.message, 'the top is reached');
  assert.ok(found.branches.length > 0);
});

test('what a guided search finds is explained and replays: by its file, by its branches', async () => {
  assert.match(found.explanation, /It became inevitable between choices/);
  const [, to] = found.inevitable; // of the branched run: its last 20 sleeps change nothing
  assert.ok(to > 0 && to < found.choices - 20, `${to} of ${found.choices}`);
  const replay = await cli('--replay', found.file);
  assert.is(replay.code, 1);
  assert.match(replay.output, /failed: the top is reached/);
  const unshrunk = { ...JSON.parse(readFileSync(found.file, 'utf8')), kept: undefined };
  const path = join(directory, 'unshrunk.json');
  writeFileSync(path, JSON.stringify(unshrunk));
  assert.match((await cli('--replay', path)).output, /failed: the top is reached/);
  const branches = found.branches.map((branch) => branch.join(':')).join();
  const program = fileURLToPath(PROGRAM) + PROGRAM.search;
  const once = await cli(program, '--seed', `${found.seed}`, '--branches', branches);
  assert.match(once.output, /failed: the top is reached/);
  assert.is((await cli(program, '--seed', `${found.seed}`)).code, 0); // without them it passes
  assert.is((await cli(program, '--seed', '1', '--branches', 'all')).code, 2);
  writeFileSync(path, JSON.stringify({ ...unshrunk, branches: [['1', 2]] }));
  assert.match((await cli('--replay', path)).output, /"branches" must have pairs/);
});

test.run();
