// The benchmark of files: featherstar/fs on both of its hosts against C on io_uring and against node:fs. All data that
// is read is in the page cache, so reads measure the way to it and not the disk. Synced data goes to the disk.
//
// Next: files/work.js.

import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { choose, count, measureAll, ns, ratio, times } from './rounds.js';
import { BenchError, compile, hasCommand, machineLine, table, versionOf } from './tools.js';

export const BIG_BYTES = 64 << 20;
export const SMALL_FILES = 100;

const CORES = '0,1';
const SMALL_BYTES = 1000;
const OPTIONS = {
  rounds: { type: 'string', default: '5' },
  only: { type: 'string' },
  folder: { type: 'string', default: tmpdir() },
  node: { type: 'string' },
};

/** The operation, how many at a time, how often; and the programs besides featherstar that do it. */
const UNITS = [
  { name: 'read-4k.1', count: 50_000, rivals: ['c', 'node', 'sync'] },
  { name: 'read-4k.16', count: 100_000, rivals: ['c', 'node', 'sync'] },
  { name: 'read-1m.4', count: 2000, rivals: ['c', 'node', 'sync'] },
  { name: 'write-4k.16', count: 100_000, rivals: ['c', 'node', 'sync'] },
  { name: 'small-file.16', count: 20_000, rivals: ['c', 'node', 'sync'] },
  { name: 'append-sync.4', count: 3000, rivals: ['c', 'node', 'sync'] },
  { name: 'replace.4', count: 1000, rivals: ['node'] },
];

function checkMachine() {
  if (process.platform !== 'linux')
    throw new BenchError(`Linux is needed (io_uring, taskset), not ${process.platform}`);
  if (availableParallelism() < 2) throw new BenchError('two cores are needed, one for each thread of a pair');
  if (!hasCommand('taskset')) throw new BenchError('no taskset in PATH: apt-get install util-linux');
}

/** The programs of a unit. `nodes` maps a suffix, '' or '@v26', to a binary. */
function programsOf({ name, count, rivals }, binary, nodes, folder) {
  const [what, depth] = name.split('.');
  const args = [what, depth, String(count), folder];
  const programs = rivals.includes('c') ? [{ who: 'c', command: binary, args }] : [];
  const script = fileURLToPath(new URL('files/work.js', import.meta.url));
  for (const [suffix, command] of Object.entries(nodes)) {
    const add = (who, how, env) => programs.push({ who: who + suffix, command, args: [script, how, ...args], env });
    add('uring', 'ours', { FEATHERSTAR_HOST: 'uring' });
    add('portable', 'ours', { FEATHERSTAR_HOST: 'portable' });
    for (const how of ['node', 'sync']) if (rivals.includes(how)) add(how, how);
  }
  return programs;
}

function report({ figures }, suffix, version) {
  console.log(
    `\nNode ${version}: median of the rounds (min..max); x: median of the rounds' ratios to featherstar's uring`,
  );
  for (const [title, ends] of [
    ['CPU ns per operation', false],
    ['ns from start to end, per operation', true],
  ]) {
    const rows = [...figures].filter(([name]) => name.endsWith('.wall') === ends);
    const lines = rows.map(([name, who]) => {
      const [c, uring] = [who.c, who[`uring${suffix}`]];
      const others = ['portable', 'node', 'sync'].map((each) => who[each + suffix]);
      const cells = others.flatMap((each) => [ns(each), times(ratio(each, uring))]);
      return [name.replace('.wall', ''), ns(c), ns(uring), times(ratio(uring, c)), ...cells];
    });
    const head = [title, 'C', 'uring', 'x C', 'portable', 'x', 'fs/promises', 'x', 'fs, sync', 'x'];
    console.log(`\n${table([head, ...lines])}`);
  }
}

export async function main(args) {
  const { values } = parseArgs({ args, options: OPTIONS });
  const rounds = count('rounds', values.rounds, 1000);
  checkMachine();
  const units = choose(UNITS, values.only);
  const [versions, nodes] = [{ '': process.version }, { '': process.execPath }];
  if (values.node !== undefined) {
    const other = versionOf(values.node);
    if (other === undefined) throw new BenchError(`--node ${values.node} cannot be run`);
    versions[`@${other}`] = other;
    nodes[`@${other}`] = values.node;
  }
  const binary = await compile('files');
  const folder = mkdtempSync(join(values.folder, 'featherstar-bench-'));
  try {
    writeFileSync(join(folder, 'big'), new Uint8Array(BIG_BYTES).fill(7));
    for (let i = 0; i < SMALL_FILES; i++) writeFileSync(join(folder, `small.${i}`), new Uint8Array(SMALL_BYTES));
    const measured = await measureAll(units, rounds, CORES, (unit) => programsOf(unit, binary, nodes, folder));
    for (const [suffix, version] of Object.entries(versions)) report(measured, suffix, version);
    for (const failure of measured.failures) console.log(`FAILED ${failure}`);
    const given = Object.entries(values).map(([name, value]) => `--${name} ${value}`);
    console.log(`\ncommand: npm run bench -- files ${given.join(' ')}`);
    const machine = machineLine({ node: Object.values(versions).join(' and ') });
    console.log(`machine: ${machine}; file system 0x${statfsSync(folder).type.toString(16)}; all on cores ${CORES}`);
    return measured.failures.length > 0 ? 1 : 0;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
