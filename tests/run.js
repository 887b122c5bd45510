// The test runner. Every file of tests/ runs in a process of its own, with a deadline: uvu has no timeouts, so one
// test that waits for ever would otherwise stop them all, and say nothing.
//
// The flow: paths of test files -> one child process each (the leader of a process group) -> a verdict
// { passed, failed, skipped, reason } -> the closing line `N passed, N failed`, which CI reads.
//
// Invariants: a file that ran no test, died, hung, left a process behind or printed no summary of uvu's has failed,
// whatever its exit code. No process outlives its file: the whole group is killed when the file is done. A verdict is
// never better than both uvu's summary and the exit code: uvu alone swallows an error thrown in a `before` hook.
//
// A file may say which core it runs on: `// core: debug` among its first lines for the one with asserts, and
// `// core: both` for the shipped one and then that. FEATHERSTAR_CORE, if it is set, decides for all files.
//
// Limits: 120 s for a file (`// deadline: 300 s` among its first 20 lines changes that) and 4 MiB of its output.
//
// Next: tests/run.test.js.

import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, stripVTControlCharacters } from 'node:util';

const DEADLINE_S = 120;
const HEAD_LINES = 20;
const JOBS = Math.min(2, availableParallelism()); // more would only wait for each other: many files use every core
const OUTPUT_BYTES_MAX = 4 * 1024 * 1024;
const ORPHAN_GRACE_MS = 2000; // from the child's exit to the end of its output; longer means somebody still holds it
const HERE = dirname(fileURLToPath(import.meta.url));

const USAGE = `usage: node tests/run.js [--full] [--jobs N] [--node PATH] [--root DIR] [PART-OF-A-PATH ...]
  --full       long seeds (sets FEATHERSTAR_FULL=1) and the files *.full.js too
  --jobs N     files at a time, 1 or more; the default is ${JOBS}: one for each core, at most 2
  --node PATH  what runs the tests; the default is the node that runs this
  --root DIR   where the tests are; the default is tests/`;

const SUMMARY = /^[ ]*Total:[ ]+(\d+)\n[ ]*Passed:[ ]+(\d+)\n[ ]*Skipped:[ ]+(\d+)$/gm;

// Groups of the children that run now. A child leads its own group, so Ctrl-C reaches only us, and we pass it on.
const groups = new Set();

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error; // ESRCH: nobody is left, which is what we want
  }
}

function findFiles(root, full, parts) {
  const isTest = (path) => path.endsWith('.test.js') || (full && path.endsWith('.full.js'));
  return readdirSync(root, { recursive: true })
    .filter((path) => isTest(path) && !path.includes('node_modules'))
    .filter((path) => parts.length === 0 || parts.some((part) => join(basename(root), path).includes(part)))
    .sort()
    .map((path) => join(root, path));
}

/** What a comment among the first lines of a file says. */
function saidIn(file, pattern) {
  return pattern.exec(readFileSync(file, 'utf8').split('\n', HEAD_LINES).join('\n'))?.[1];
}

function deadlineMs(file) {
  return 1000 * Number(saidIn(file, /^\/\/ deadline: (\d+) s$/m) ?? DEADLINE_S);
}

/** The cores that a file runs on: '' is the one that is shipped. */
function coresOf(file) {
  if (process.env.FEATHERSTAR_CORE) return [process.env.FEATHERSTAR_CORE];
  return { debug: ['debug'], both: ['', 'debug'] }[saidIn(file, /^\/\/ core: (debug|both)$/m)] ?? [''];
}

/** Runs one file to its end, or to ours. Returns how it ended: `ending` is null if it ended by itself. */
function runFile({ file, core }, options) {
  // A machine that is busy holds up any shard for longer than 25 ms; tests of the stall watch say what they want.
  const quiet = { FEATHERSTAR_STALL_MS: '0' };
  const env = { ...quiet, ...process.env, FEATHERSTAR_CORE: core, ...(options.full ? { FEATHERSTAR_FULL: '1' } : {}) };
  const started = performance.now();
  const child = spawn(options.node, [file], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const end = { code: null, signal: null, ending: null, stdout: '', output: '', seconds: 0 };

  return new Promise((settle) => {
    if (child.pid === undefined) {
      child.on('error', (error) => settle({ ...end, ending: `could not be started: ${error.message}` }));
      return;
    }
    groups.add(child.pid);
    let bytes = 0;
    let graceTimer;
    const stop = (ending) => {
      end.ending ??= ending;
      killGroup(child.pid);
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const take = (chunk, isStdout) => {
      end.output += chunk;
      if (isStdout) end.stdout += chunk;
      bytes += Buffer.byteLength(chunk);
      if (bytes > OUTPUT_BYTES_MAX) stop(`printed more than ${OUTPUT_BYTES_MAX} bytes`);
    };
    const limitMs = deadlineMs(file);
    const deadlineTimer = setTimeout(() => stop(`did not end within its deadline of ${limitMs / 1000} s`), limitMs);

    child.stdout.setEncoding('utf8').on('data', (chunk) => take(chunk, true));
    child.stderr.setEncoding('utf8').on('data', (chunk) => take(chunk, false));
    child.on('exit', () => {
      graceTimer = setTimeout(() => stop('left a process behind'), ORPHAN_GRACE_MS);
    });
    child.on('close', (code, signal) => {
      clearTimeout(deadlineTimer);
      clearTimeout(graceTimer);
      killGroup(child.pid);
      groups.delete(child.pid);
      settle({ ...end, code, signal, seconds: (performance.now() - started) / 1000 });
    });
  });
}

/** A file prints one summary, or several if its suites are queued in different ticks; they add up. */
function summaryOf(stdout) {
  const sum = { count: 0, total: 0, passed: 0, skipped: 0 };
  for (const [, total, passed, skipped] of stripVTControlCharacters(stdout).matchAll(SUMMARY)) {
    sum.count++;
    sum.total += Number(total);
    sum.passed += Number(passed);
    sum.skipped += Number(skipped);
  }
  return sum;
}

/** `reason` is null if and only if the file passed. */
function judge(end) {
  const sum = summaryOf(end.stdout);
  const skipLines = stripVTControlCharacters(end.output)
    .split('\n')
    .filter((line) => line.startsWith('# skipped:'));
  const failedTests = sum.total - sum.passed;
  let reason = end.ending;
  if (reason === null && end.signal !== null) reason = `was killed by ${end.signal}`;
  if (reason === null && sum.count === 0) reason = `ended with code ${end.code} and without a summary`;
  if (reason === null && failedTests > 0) reason = `${failedTests} of ${sum.total} tests failed`;
  if (reason === null && sum.total + sum.skipped === 0) reason = 'ran no test';
  if (reason === null && end.code !== 0) reason = `ended with code ${end.code} after all of its tests passed`;
  return {
    passed: sum.passed,
    failed: reason === null ? 0 : Math.max(1, failedTests),
    skipped: Math.max(sum.skipped, skipLines.length), // a skip may be counted by uvu, said aloud, or both
    skipLines,
    reason,
  };
}

function report(name, verdict, end) {
  const seconds = `(${end.seconds.toFixed(2)} s)`;
  if (verdict.reason === null) {
    const skipped = verdict.skipped > 0 ? `, ${verdict.skipped} skipped` : '';
    console.log([`ok    ${name}: ${verdict.passed} passed${skipped} ${seconds}`, ...verdict.skipLines].join('\n'));
  } else {
    console.log(`FAIL  ${name}: ${verdict.reason} ${seconds}\n${end.output.trimEnd()}\n`);
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      full: { type: 'boolean', default: false },
      jobs: { type: 'string', default: String(JOBS) },
      node: { type: 'string', default: process.execPath },
      root: { type: 'string', default: HERE },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(USAGE);
  const jobs = Number(values.jobs);
  if (!Number.isInteger(jobs) || jobs < 1) throw new TypeError(`--jobs ${values.jobs}: not a count`);

  const root = resolve(values.root);
  const found = findFiles(root, values.full, positionals);
  const files = found.flatMap((file) => coresOf(file).map((core) => ({ file, core })));
  const totals = { passed: 0, failed: 0, skipped: 0 };
  const failures = [];
  const queue = files.values(); // the lanes share one iterator, so each file is taken once
  const lane = async () => {
    for (const file of queue) {
      const name = relative(dirname(root), file.file) + (file.core === 'debug' ? ' (debug core)' : '');
      const end = await runFile(file, values);
      const verdict = judge(end);
      for (const key of Object.keys(totals)) totals[key] += verdict[key];
      if (verdict.reason !== null) failures.push(`failed: ${name}: ${verdict.reason}`);
      report(name, verdict, end);
    }
  };
  await Promise.all(Array.from({ length: jobs }, lane));

  if (files.length === 0) console.log('no test file matches');
  for (const line of failures.sort()) console.log(line);
  const skipped = totals.skipped > 0 ? `, ${totals.skipped} skipped` : '';
  console.log(`${totals.passed} passed, ${totals.failed} failed${skipped}`);
  process.exitCode = failures.length > 0 || totals.passed === 0 ? 1 : 0;
}

process.on('exit', () => groups.forEach(killGroup));
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

try {
  await main();
} catch (error) {
  console.error(`${error.message}\n${USAGE}`);
  console.log('0 passed, 1 failed');
  process.exitCode = 1;
}
