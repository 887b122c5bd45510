// npm run conformance: one hash for each engine and host that runs the core; a right one has the hash of all others.
//
//   npm run conformance                              1,000 seeds, in every engine that is found
//   npm run conformance -- --seeds N
//   npm run conformance -- --here                    in this engine only
//   npm run conformance -- --wasm FILE               another build of the core, on the vectors of dist/core.wasm
//   npm run conformance -- --dir FOLDER              where runtimes are kept (tests/contract/matrix.js installs them)
//
//   dist/core.wasm, seeds --record.js--> dist/conformance/vectors.bin --replay.js in each engine--> hash
//
// The vectors are recorded when they are not there yet, or are of another core or program. That takes a minute. Engines
// that are not here are named aloud. Exit code 1: an engine differs from the recording.
//
// Next: docs/abi.md, Conformance.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { CORE, enginesIn, HOSTS, replayIn } from './engines.js';
import { replay } from './replay.js';

const SEEDS = 1000;
const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: String(SEEDS) },
    here: { type: 'boolean' },
    vectors: { type: 'string' },
    wasm: { type: 'string', default: CORE },
    dir: { type: 'string', default: path('../../node_modules/.cache/featherstar-matrix') },
  },
});

/** `hash seeds calls differences`, and a line for each of the first differences. */
function replayHere(vectors) {
  const { hash, seeds, calls, differences } = replay(
    new WebAssembly.Module(readFileSync(values.wasm)),
    readFileSync(vectors),
  );
  console.log(`${hash} ${seeds} seeds, ${calls} calls, ${differences.length} differ`);
  for (const { seed, call, what } of differences.slice(0, 3)) console.log(`  seed ${seed}, call ${call}: ${what}`);
  return differences.length === 0;
}

async function inChromium(vectors) {
  const { Chromium, findChromium } = await import('../browser/chromium.js');
  const command = findChromium();
  if (command === undefined) return { lacks: 'not found' };
  const { replayInChromium } = await import('./page.js');
  return { printed: await replayInChromium(new Chromium(command), values.wasm, vectors) };
}

async function inFirefox(vectors) {
  const isThere = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;
  const command = ['firefox', 'firefox-esr'].find(isThere);
  if (command === undefined) return { lacks: 'not found: apt-get install firefox-esr' };
  const { replayInFirefox } = await import('./page.js');
  return { printed: await replayInFirefox(command, values.wasm, vectors) };
}

/** Prints a line for each engine. Returns whether all agree with the recording. */
async function table(vectors) {
  const lines = [];
  const add = (name, { printed, lacks }) => {
    if (printed === undefined) console.log(`# skipped: ${name}: ${lacks}`);
    else console.log(`${name.padEnd(24)} ${printed}`);
    lines.push(...(printed === undefined ? [] : [printed]));
  };
  for (const engine of [...enginesIn(values.dir), ...HOSTS]) add(engine.name, replayIn(engine, values.wasm, vectors));
  add('Chromium (V8)', await inChromium(vectors));
  add('Firefox (SpiderMonkey)', await inFirefox(vectors));
  const hashes = new Set(lines.map((printed) => printed.split(' ')[0]));
  const hasAll = lines.every((printed) => printed.endsWith(' 0 differ'));
  console.log(hashes.size === 1 && hasAll ? 'one hash' : `${hashes.size} hashes: something is wrong`);
  return hashes.size === 1 && hasAll;
}

async function vectorsFor(seeds) {
  const { vectorsFile } = await import('./vectors.js');
  const file = await vectorsFile(seeds);
  const bytes = readFileSync(file);
  const zipped = gzipSync(bytes).length;
  console.log(
    `${file}: ${seeds} seeds, ${bytes.length.toLocaleString('en')} bytes, ${zipped.toLocaleString('en')} zipped`,
  );
  return file;
}

if (values.vectors !== undefined && !existsSync(values.vectors)) {
  console.error(`there is no file ${values.vectors}`);
  process.exit(2);
}
const seeds = Number(values.seeds);
if (!Number.isInteger(seeds) || seeds < 1) {
  console.error(`--seeds must be a positive integer, got ${values.seeds}`);
  process.exit(2);
}
const vectors = values.vectors ?? (await vectorsFor(seeds));
const agrees = values.here ? replayHere(vectors) : await table(vectors);
process.exitCode = agrees ? 0 : 1;
