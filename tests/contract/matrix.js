// npm run test:matrix: the contract and the simulator on every runtime that featherstar says it runs on: the Node that
// runs this, a current Node, Bun and Deno, these three from npm, in versions that are said here.
//
//   node tests/contract/matrix.js [--dir FOLDER]      where the runtimes are kept; default node_modules/.cache
//
// Each runs main.js on each of its hosts, and `npm run sim -- --seed N` for a few seeds, whose hashes have to be equal
// everywhere. What cannot be had (no network, no such system) is skipped aloud. Ends with `N passed, N failed`.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const VERSIONS = { node: '26.10.0', bun: '1.4.5', deno: '2.9.6' };
const SEEDS = { program: [1, 2, 3, 97], chaos: [1, 5, 6, 9], lives: [3, 15, 31] };
const INSTALL_MS = 300_000;
const RUN_MS = 300_000;
const DENO_ARGS = ['run', '--allow-all'];
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const { values } = parseArgs({
  options: { dir: { type: 'string', default: path('../../node_modules/.cache/featherstar-matrix') } },
});

/** Runs a program to its end, or to ours. Returns all that it printed, and its exit code. */
function run(command, args, timeoutMs, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    let text = '';
    const take = (part) => {
      text += part;
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
    const done = (code, more = '') => {
      clearTimeout(timer);
      resolve({ code, text: text + more });
    };
    child.on('error', (error) => done(-1, String(error)));
    child.on('close', (code, signal) => done(code ?? -1, signal === null ? '' : `\nended by ${signal}`));
  });
}

/** Gets what is not there yet. Returns undefined, or why it could not. */
async function install() {
  const wanted = JSON.stringify({ private: true, dependencies: VERSIONS });
  mkdirSync(values.dir, { recursive: true });
  writeFileSync(join(values.dir, 'package.json'), wanted);
  const args = ['install', '--no-audit', '--no-fund', '--no-package-lock', '--ignore-scripts=false'];
  const { code, text } = await run('npm', args, INSTALL_MS, { cwd: values.dir });
  return code === 0 ? undefined : (text.trim().split('\n').pop() ?? 'npm install failed');
}

const binary = (relative) => join(values.dir, 'node_modules', relative);
const RUNTIMES = [
  { name: `node ${process.versions.node}`, command: process.execPath, args: [] },
  { name: `node ${VERSIONS.node}`, command: binary('node/bin/node'), args: [] },
  { name: `bun ${VERSIONS.bun}`, command: binary('bun/bin/bun.exe'), args: [] },
  { name: `deno ${VERSIONS.deno}`, command: binary('deno/deno'), args: DENO_ARGS },
];

const total = { passed: 0, failed: 0, skipped: 0, lacked: 0 };
const hashes = new Map(); // what is printed for a seed -> the runtimes that print it

/** The contract, on one runtime. */
async function contract({ name, command, args }) {
  const { code, text } = await run(command, [...args, path('./main.js')], RUN_MS);
  const match = /^(\d+) passed, (\d+) failed, (\d+) lacked$/m.exec(text);
  if (match === null || (code !== 0 && match[2] === '0')) {
    total.failed++;
    console.log(`${name}: the contract did not end (exit code ${code})\n${text}`);
    return;
  }
  const [passed, failed, lacked] = match.slice(1).map(Number);
  total.passed += passed;
  total.failed += failed;
  total.lacked += lacked;
  const lines = text.split('\n').filter((line) => /^(lacks|# skipped)/.test(line));
  for (const line of lines) console.log(`${name}: ${line}`);
  if (failed > 0) console.log(text);
  console.log(`${name}: ${match[0]}`);
}

/** Ways out of the simulator: what a runtime lacks is named. */
async function escapes({ name, command, args }) {
  const { code, text } = await run(command, [...args, path('../sim/escapes.test.js')], RUN_MS);
  const count = (what) => Number(new RegExp(`${what}: +(\\d+)`).exec(text)?.[1] ?? 0);
  const lines = text.split('\n').filter((line) => line.startsWith('# skipped'));
  for (const line of lines) console.log(`${name}: ${line}`);
  total.passed += count('Passed');
  total.lacked += count('Skipped');
  total.failed += code === 0 ? 0 : Math.max(1, count('Total') - count('Passed'));
  if (code !== 0) console.log(text);
  console.log(`${name}: ${count('Passed')} escapes of the simulator passed, ${count('Skipped')} lacked`);
}

async function simulation({ name, command, args }, program, seed) {
  const simArgs = [path('../sim/main.js'), '--program', program, '--seed', String(seed)];
  const { code, text } = await run(command, [...args, ...simArgs], RUN_MS);
  const result = /^.* trace .*$/m.exec(text)?.[0]; // not what a runtime warns of
  const isWhole = code === 0 && result !== undefined;
  const printed = `${program}: ${isWhole ? result : `seed ${seed}: exit code ${code}\n${text}`}`;
  hashes.set(printed, [...(hashes.get(printed) ?? []), name]);
}

const ALL_SEEDS = Object.entries(SEEDS).flatMap(([program, seeds]) => seeds.map((seed) => [program, seed]));

const obstacle = await install();
const queue = RUNTIMES.values();
async function lane() {
  for (const runtime of queue) {
    if (!existsSync(runtime.command)) {
      total.skipped++;
      console.log(`# skipped: ${runtime.name}: ${obstacle ?? 'npm has no binary of it for this system'}`);
      continue;
    }
    await contract(runtime);
    await escapes(runtime);
    for (const [program, seed] of ALL_SEEDS) await simulation(runtime, program, seed);
  }
}
await Promise.all([lane(), lane()]); // each waits much
for (const [program, seed] of ALL_SEEDS) {
  const isMeant = (text) => text.startsWith(`${program}: `) && new RegExp(`seed ${seed}( trace|:)`).test(text);
  const printed = [...hashes].filter(([text]) => isMeant(text));
  const isSame = printed.length === 1 && printed[0][0].includes(' trace ');
  total[isSame ? 'passed' : 'failed']++;
  for (const [text, names] of printed) console.log(`${program}: ${text.split('\n').pop()}: ${names.sort().join(', ')}`);
}
const skipped = total.skipped === 0 ? '' : `, ${total.skipped} skipped`;
console.log(`${total.lacked} behaviours lacked, each with its reason above`);
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed === 0 ? 0 : 1;
