// deadline: 240 s
// simulate.search() and `featherstar sim`: a bug is found, shrunk, located, explained and replays; a sound program
// passes. State that outlives a world, and a loop without an end, are told.

import { execFile, spawn } from 'node:child_process';
import fs, { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { makeSearch } from '../../dist/host/sim/search.js';
import { readSeedFile, writeSeedFile } from '../../dist/host/sim/seed-file.js';
import { rejection } from '../support/hosts.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const PROGRAMS = fileURLToPath(new URL('./search-programs.js', import.meta.url));
const directory = mkdtempSync(join(tmpdir(), 'featherstar-search-'));
test.after(() => rmSync(directory, { recursive: true }));

const isNode = !('bun' in process.versions) && !('deno' in process.versions);

const OPTIONS = { seeds: 60, jobs: 1, shrinkSeconds: 10, directory };

function programOf(kind) {
  const url = new URL('./search-programs.js', import.meta.url);
  url.searchParams.set('kind', kind);
  return url;
}

/** Options that would do nothing, or that no search can have. */
const IDLE = [
  [PROGRAMS, '--timeline', 'a.html'],
  [PROGRAMS, '--seed', '1', '--minutes', '1'],
  ['--replay', 'a.json', '--swarm'],
  [PROGRAMS, '--seeds', '0'],
  [PROGRAMS, '--seed', '1.5'],
];

/** Runs the command. Resolves with its exit code and all that it printed. */
function cli(...args) {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, 'sim', ...args], { cwd: directory }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

let found;

test('a bug is found, shrunk, located, explained', async () => {
  const { failures, done } = await simulate.search(programOf('unsound'), { ...OPTIONS, failures: 1 });
  assert.is(failures.length, 1);
  [found] = failures;
  assert.ok(found.seed <= done && found.count >= 1);
  assert.match(found.message, /an update is lost: the count is 1/);
  assert.ok(found.mattering <= 2, `${found.mattering} of ${found.choices} choices matter`);
  const [from, to] = found.inevitable;
  assert.ok(to > 0 && to - from <= Math.max(1, 0.01 * found.choices), `between ${from} and ${to}`);
  assert.match(found.explanation, /It became inevitable between choices \d+ and \d+ of \d+, at \d+\.\d+ ms/);
  assert.match(found.explanation, /shard 0 {2}notes: the count is 1/);
  assert.match(found.explanation, /choices matter/);
  assert.match(found.explanation, /at counter|search-programs\.js/);
});

test('without time to shrink or locate, the failure says so', async () => {
  const { seed } = found;
  const once = { ...OPTIONS, seeds: 1, from: seed, directory: join(directory, 'late') };
  const { failures } = await simulate.search(programOf('unsound'), { ...once, shrinkSeconds: 0 });
  assert.is(failures[0].isOutOfTime, true);
  assert.ok(failures[0].file !== undefined);
  assert.match(failures[0].explanation, /The time for shrinking was over, so fewer choices may matter/);
  assert.is(found.isOutOfTime, false);
});

test('a failure that needs no choice says so', async () => {
  const { failures } = await simulate.search(programOf('always wrong'), { ...OPTIONS, seeds: 1 });
  assert.is(failures[0].mattering, 0);
  assert.equal(failures[0].inevitable, [0, 0]);
  assert.match(failures[0].explanation, /inevitable from the beginning: nearly every run of this seed fails so/);
  assert.match(failures[0].explanation, /No choice matters \(0 of \d+\): it also fails if each has its simplest value/);
});

test('a process that ends only once is no failure of the program', async () => {
  const program = programOf('ends once');
  program.searchParams.set('mark', join(directory, 'mark'));
  const { failures } = await simulate.search(program, { ...OPTIONS, seeds: 1 });
  assert.is(failures[0].file, undefined);
  assert.match(failures[0].explanation, /SIGKILL\n\nIt does not end a process of its own\. The machine was perhaps/);
});

test('its seed file replays, by the command, with a timeline', async () => {
  const page = join(directory, 'timeline.html');
  const { code, stdout } = await cli('--replay', found.file, '--timeline', page);
  assert.is(code, 1);
  assert.match(stdout, /failed: an update is lost: the count is 1/);
  const html = readFileSync(page, 'utf8');
  assert.match(html, /"notes: the count is 1"/);
  assert.not.match(html, /src=|href=/); // it needs no other file
  assert.ok(html.length < 200_000, `${html.length} bytes`);
});

test('a seed file whose bug is mended passes', async () => {
  const file = JSON.parse(readFileSync(found.file, 'utf8'));
  assert.match(file.program, /kind=unsound/);
  const mended = join(directory, 'mended.json');
  writeFileSync(mended, JSON.stringify({ ...file, program: file.program.replace('unsound', 'sound') }));
  const { code, stdout } = await cli('--replay', mended);
  assert.is(code, 0);
  assert.match(stdout, /^passed$/m);
});

test('a sound program passes; what never held is told', async () => {
  const report = await simulate.search(programOf('sound'), { ...OPTIONS, expected: ['the moon'] });
  assert.equal(report.failures, []);
  assert.is(report.done, OPTIONS.seeds);
  assert.ok(report.sometimes['the coin shows heads'] > 5);
  assert.equal(report.never, ['the impossible', 'the moon']);
});

test('a property is one failure, whatever its details; the explanation has the lines of the program', async () => {
  const { failures } = await simulate.search(programOf('details'), OPTIONS);
  assert.is(failures.length, 1);
  const [{ count, message, explanation }] = failures;
  assert.ok(count > 10, `${count}`);
  assert.match(message, /^always\("the letter is small"\) does not hold: [c-f]$/);
  assert.match(explanation, /Math\.random\(\) of shard 0, at search-programs\.js\S*:\d+: 0\.\d+/);
  assert.match(explanation, /at .*search-programs\.js/);
  assert.not.match(explanation, /host\/sim\/|the low bits of/);
});

test('a failure that needs the state of other worlds is told as that', async () => {
  const { failures } = await simulate.search(programOf('kept state'), OPTIONS);
  assert.is(failures.length, 1);
  assert.is(failures[0].seed, 5);
  assert.is(failures[0].file, undefined);
  assert.match(failures[0].explanation, /It does not fail in a process of its own/);
  const alone = await simulate.search(programOf('kept state'), { ...OPTIONS, seeds: 7, seedsPerProcess: 1 });
  assert.equal(alone.failures, []);
});

if (isNode) {
  test('a seed that never ends is a failure, and the others are run all the same', async () => {
    const { failures, done } = await simulate.search(programOf('endless'), { ...OPTIONS, seeds: 6 });
    assert.is(done, 6);
    assert.equal(
      failures.map(({ seed }) => seed),
      [3],
    );
    assert.match(failures[0].explanation, /seed 3: a turn of shard 0 has not ended within 500 ms/);
    assert.match(failures[0].explanation, /at runaway \(/);
  });
}

test('a program that loses its simulation or its errors fails', async () => {
  const messages = {
    'no simulation': /the program has run no simulation: .* must call simulate\(\) and return or await/,
    'not awaited': /the program ends before its simulation does/,
    'rejects outside': /^lost outside$/,
    microtask: /^lost in a microtask$/,
  };
  for (const [kind, message] of Object.entries(messages)) {
    const { failures, done } = await simulate.search(programOf(kind), { ...OPTIONS, seeds: 3, shrinkSeconds: 1 });
    assert.is(done, 3);
    assert.is(failures.length, 1, kind);
    assert.is(failures[0].count, 3, kind);
    assert.match(failures[0].message, message);
    assert.ok(failures[0].file !== undefined, kind);
  }
});

test('values of any kind may be thrown, inside of a simulation and behind it', async () => {
  const seeds = 18; // nine values, both ways
  const options = { ...OPTIONS, seeds, failures: 100, shrinkSeconds: 0.1 };
  const { failures, done } = await simulate.search(programOf('odd values'), options);
  assert.is(done, seeds);
  assert.is(
    failures.reduce((sum, { count }) => sum + count, 0),
    seeds,
  );
  for (const { message, explanation, file } of failures) {
    assert.ok(file !== undefined, message);
    assert.ok(explanation.length < 100_000, `${explanation.length} characters`);
  }
});

test('a run that ends its process, or never ends, is no success', async () => {
  // Only Node ends a process when nothing is left to happen; the others have a limit of minutes.
  for (const kind of isNode ? ['exits', 'never ends'] : ['exits']) {
    const { code, stderr } = await cli(`${PROGRAMS}?kind=${kind}`, '--seed', '1');
    assert.is(code, 1, kind);
    assert.match(stderr, /failed: the process ends before the run does/);
  }
});

test('a seed file that cannot be written loses no failure', async () => {
  const file = join(directory, 'no-directory');
  writeFileSync(file, '');
  const { code, stdout } = await cli(
    `${PROGRAMS}?kind=no simulation`,
    '--seeds',
    '2',
    '--jobs',
    '2',
    '--directory',
    file,
  );
  assert.is(code, 1);
  assert.match(stdout, /The seed file cannot be written: EEXIST/);
  assert.match(stdout, /repeat it: npx featherstar sim .*search-programs\.js\?kind=no%20simulation --seed \d/);
});

test('a program that imports another copy of featherstar is told so', async () => {
  const copy = join(directory, 'copy');
  cpSync(fileURLToPath(new URL('../../dist', import.meta.url)), join(copy, 'dist'), { recursive: true });
  writeFileSync(join(copy, 'package.json'), '{ "type": "module" }');
  symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(copy, 'node_modules'));
  const path = join(directory, 'other-copy.mjs');
  for (const result of ['1', 'Promise.reject(new Error("its own"))']) {
    const text = `export default (seed) => simulate({ seed }, () => ${result});`;
    writeFileSync(path, `import { simulate } from './copy/dist/host/sim/index.js';\n${text}`);
    const { code, stdout } = await cli(path, '--seed', '1');
    assert.is(code, 1);
    assert.match(stdout, /the program imports another copy of featherstar, .*copy.*, and this one is .*: run the/);
  }
});

test('a program whose top level never ends is told soon', async () => {
  for (const text of ['await new Promise(() => {})', 'for (;;)']) {
    const path = join(directory, `endless-${text.length}.mjs`);
    writeFileSync(path, `${text};\nexport default () => {};`);
    const error = await rejection(makeSearch(pathToFileURL(path), { ...OPTIONS, seeds: 2 }, 700).run());
    assert.is(error.code, 'FEATHERSTAR_MODULE');
    assert.match(error.message, /\.mjs is not loaded after 0\.7 s: its top level waits/);
  }
});

if (isNode) {
  test('with --seed, too', async () => {
    const command = new URL('../../dist/host/cli/sim.js', import.meta.url).href;
    for (const [text, why] of [
      ['setInterval(() => {}, 100); await new Promise(() => {})', /stuck-.*\.mjs is not loaded after 0\.7 s: its top/],
      ['for (let i = 0; ; i++) Math.sqrt(i)', /the top level of file:.*stuck-.*\.mjs has not ended within 700 ms/],
    ]) {
      const path = join(directory, `stuck-${text.length}.mjs`);
      writeFileSync(path, `${text};\nexport default () => {};`);
      const code = `import { runSim } from "${command}"; await runSim([${JSON.stringify(path)}, "--seed", "1"], 700);`;
      const error = await rejection(promisify(execFile)(process.execPath, ['--input-type=module', '-e', code]));
      assert.match(error.stderr, why);
    }
  });
}

test('a disk that is full leaves no part of a seed file, and keeps an older one', () => {
  const dir = mkdtempSync(join(directory, 'full-'));
  const program = pathToFileURL(join(dir, 'program.js'));
  const found = { seed: 1, signature: 'bug', explanation: 'old' };
  const path = writeSeedFile(dir, program, found);
  const { writeFileSync: real } = fs;
  fs.writeFileSync = (to, text) => {
    real(to, text.slice(0, 10));
    throw new Error('no space');
  };
  syncBuiltinESMExports();
  assert.throws(() => writeSeedFile(dir, program, { ...found, explanation: 'new' }), /no space/);
  fs.writeFileSync = real;
  syncBuiltinESMExports();
  assert.is(readSeedFile(path).file.explanation, 'old');
  writeSeedFile(dir, program, { ...found, branches: [[5, 77]] });
  assert.equal(readdirSync(dir).sort(), ['seed-1-77-bug.json', 'seed-1-bug.json']);
});

test('SIGINT ends a search and its processes, and what was found is told', async () => {
  const args = [CLI, 'sim', `${PROGRAMS}?kind=long`, '--jobs', '2'];
  const child = spawn(process.execPath, args, { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  child.stdout.on('data', (part) => (stdout += part));
  await new Promise((resolve) => {
    child.stderr.on('data', (part) => {
      if (/ of 1000 seeds/.test(part)) resolve();
    });
  });
  child.kill('SIGINT');
  const code = await new Promise((resolve) => child.once('close', resolve)); // stderr is its processes', too
  if (!('deno' in process.versions)) assert.is(code, 130); // Deno reports the signal that it sent, not the exit code
  assert.match(stdout, /^\d+ seeds in [\d.]+ s: \d+ passed, 0 distinct failures$/m);
});

test('seed files: of another version, of another failure, none', async () => {
  const file = JSON.parse(readFileSync(found.file, 'utf8'));
  const write = (name, changes) => {
    const path = join(directory, name);
    writeFileSync(path, JSON.stringify({ ...file, ...changes }));
    return path;
  };
  const newer = await cli('--replay', write('newer.json', { version: 2 }));
  assert.is(newer.code, 1);
  assert.match(newer.stderr, /is a seed file of version 2, .* reads version 1\. Run its seed again/);
  const other = await cli('--replay', write('other.json', { signature: 'the moon is full' }));
  assert.is(other.code, 1);
  assert.match(other.stdout, /this is another failure than that of the seed file: the moon is full/);
  const missing = await cli('--replay', join(directory, 'missing.json'));
  assert.is(missing.code, 1);
  assert.match(missing.stderr, /^FEATHERSTAR_OPTION: the seed file cannot be read: ENOENT/);
});

test('progress is told, and a program that cannot be loaded is refused', async () => {
  const told = [];
  await simulate.search(programOf('sound'), { ...OPTIONS, seeds: 5, onProgress: (progress) => told.push(progress) });
  assert.is(told.at(-1).done, 5);
  assert.is(told.at(-1).leftMs, 0);
  const missing = await rejection(simulate.search(programOf('no such kind'), OPTIONS));
  assert.is(missing.code, 'FEATHERSTAR_MODULE');
  const wrong = await rejection(simulate.search(programOf('sound'), { seedz: 1 }));
  assert.match(wrong.message, /Unknown option/i);
});

test('the command: exit codes, one seed, a trace, wrong usage', async () => {
  const sound = await cli(`${PROGRAMS}?kind=sound`, '--seeds', '20', '--jobs', '1');
  assert.is(sound.code, 0);
  assert.match(sound.stdout, /never: the impossible/);
  assert.match(sound.stdout, /^ {2}\d+ times: the coin shows heads$/m);
  assert.match(sound.stdout, /20 seeds in [\d.]+ s: 20 passed, 0 distinct failures/);
  assert.match(sound.stderr, /20 of 20 seeds, [\d.]+ a second, 0 distinct failures, about 0 s left/);
  const unsound = await cli(`${PROGRAMS}?kind=unsound`, '--jobs', '1', '--shrink-seconds', '1', '--seeds', '30');
  assert.is(unsound.code, 1);
  assert.match(unsound.stdout, /repeat it: npx featherstar sim --replay .*\.json/);
  const one = await cli(`${PROGRAMS}?kind=sound`, '--seed', '7', '--trace', '5');
  assert.is(one.code, 0);
  assert.match(one.stdout, /^seed 7 trace [0-9a-f]{16} \(\d+ events\)$/m);
  assert.match(one.stdout, /notes: the count is 2/);
  for (const args of [[], ['a.js', 'b.js'], ['a.js', '--seeds', 'many'], ['a.js', '--no-such'], ...IDLE]) {
    assert.is((await cli(...args)).code, 2, args.join(' '));
  }
  const none = await cli('no-such.js');
  assert.is(none.code, 1);
  assert.match(none.stderr, /^FEATHERSTAR_MODULE: there is no file \/.*no-such\.js$/m);
  const broken = await cli(`${PROGRAMS}?kind=no such kind`, '--seed', '1');
  assert.is(broken.code, 1);
  assert.not.match(broken.stderr, /the process ends before the run does/);
  const quiet = await cli(`${PROGRAMS}?kind=sound`, '--seed', '7', '--trace', '0');
  assert.not.match(quiet.stdout, /notes: the count is 2/);
  assert.is((await cli('--replay', join(directory, 'timeline.html'))).code, 1);
});

test.run();
