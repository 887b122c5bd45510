// A failure as a file that replays: the program, the seed, and the choices that matter.
//
// Next: search.ts.

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FeatherstarError } from '../base/errors.js';
import type { Decide } from './choices.js';
import type { SimSwarm } from './draw.js';
import { type Branch, branchBy } from './guide.js';
import { keepOnly } from './shrink.js';

const VERSION = 1;

/** A seed and its choices. */
export interface SeedPlan {
  readonly seed: number;
  readonly swarm?: SimSwarm | undefined;
  /** Where the run branches off from the seed's own choices. */
  readonly branches?: readonly Branch[] | undefined;
  /** The choices that are not 0: key and word. Undefined: all are the seed's own. */
  readonly kept?: readonly (readonly [string, number])[] | undefined;
}

export interface SeedFile extends SeedPlan {
  readonly version: number;
  /** The program, relative to this file, with its query. */
  readonly program: string;
  readonly signature: string;
  readonly explanation: string;
}

export function decideBy({ kept, branches = [] }: SeedPlan): Decide {
  return kept === undefined ? branchBy(branches) : keepOnly(new Map(kept));
}

/** Writes a seed file. Returns its path. */
export function writeSeedFile(directory: string, program: URL, found: Omit<SeedFile, 'version' | 'program'>): string {
  mkdirSync(directory, { recursive: true });
  const words = found.signature.replaceAll(/[^A-Za-z]+/g, '-').toLowerCase();
  const stream = found.branches?.at(-1)?.[1]; // runs of one seed with other branches have other files
  const run = stream === undefined ? found.seed : `${found.seed}-${stream}`;
  const path = join(resolve(directory), `seed-${run}-${words.slice(0, 32)}.json`);
  const place = relative(dirname(path), fileURLToPath(program)) + program.search;
  const file: SeedFile = { version: VERSION, program: place, ...found };
  const unfinished = `${path}.${process.pid}`;
  try {
    writeFileSync(unfinished, `${JSON.stringify(file, undefined, 1)}\n`);
    renameSync(unfinished, path); // so no file is there in part, and an older one stays if the disk is full
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  }
  return path;
}

/** Reads a seed file. Throws FEATHERSTAR_OPTION if there is none. */
export function readSeedFile(path: string): { program: URL; file: SeedFile } {
  const file = parseSeedFile(path);
  const { program, seed } = file ?? {};
  if (file === undefined || typeof program !== 'string' || seed === undefined || !Number.isSafeInteger(seed)) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `${path} is not a seed file`);
  }
  const url = new URL(program, pathToFileURL(resolve(path)));
  if (file.version !== VERSION) {
    const what = `${path} is a seed file of version ${file.version}, and this featherstar reads version ${VERSION}`;
    const command = `featherstar sim ${fileURLToPath(url)}${url.search} --from ${seed} --seeds 1`;
    const remedy = `Run its seed again, which finds the choices anew: ${command}`;
    throw new FeatherstarError('FEATHERSTAR_OPTION', `${what}. ${remedy}`);
  }
  const { kept = [], branches = [] } = file;
  const isKept = ([key, word]: readonly unknown[]) => typeof key === 'string' && typeof word === 'number';
  const isBranch = (branch: readonly unknown[]) => branch.every(Number.isSafeInteger) && branch.length === 2;
  if (!Array.isArray(branches) || !branches.every(isBranch)) {
    throw new FeatherstarError(
      'FEATHERSTAR_OPTION',
      `${path} is not a seed file: "branches" must have pairs of numbers`,
    );
  }
  if (Array.isArray(kept) && kept.every(isKept)) return { program: url, file };
  throw new FeatherstarError(
    'FEATHERSTAR_OPTION',
    `${path} is not a seed file: "kept" must have pairs of key and word`,
  );
}

function parseSeedFile(path: string): SeedFile | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `the seed file cannot be read: ${(error as Error).message}`);
  }
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined; // no JSON is no seed file
  }
}
