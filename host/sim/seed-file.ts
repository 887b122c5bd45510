// A failure as a file that replays: the program, the seed, and the choices that matter.
//
// Next: search.ts.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { FeatherstarError } from '../base/errors.js';
import type { Decide } from './choices.js';
import type { SimSwarm } from './draw.js';
import { keepOnly } from './shrink.js';

const VERSION = 1;

/** A seed and its choices. */
export interface SeedPlan {
  readonly seed: number;
  readonly swarm?: SimSwarm | undefined;
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

export function decideBy({ kept }: SeedPlan): Decide | undefined {
  return kept === undefined ? undefined : keepOnly(new Map(kept));
}

/** Writes a seed file. Returns its path. */
export function writeSeedFile(directory: string, program: URL, found: Omit<SeedFile, 'version' | 'program'>): string {
  mkdirSync(directory, { recursive: true });
  const words = found.signature.replaceAll(/[^A-Za-z]+/g, '-').toLowerCase();
  const path = join(resolve(directory), `seed-${found.seed}-${words.slice(0, 32)}.json`);
  const place = relative(dirname(path), fileURLToPath(program)) + program.search;
  const file: SeedFile = { version: VERSION, program: place, ...found };
  writeFileSync(path, `${JSON.stringify(file, undefined, 1)}\n`);
  return path;
}

/** Reads a seed file. Throws FEATHERSTAR_OPTION if it is none. */
export function readSeedFile(path: string): { program: URL; file: SeedFile } {
  const file = parseSeedFile(readFileSync(path, 'utf8'));
  if (file?.version !== VERSION || typeof file.program !== 'string' || !Number.isSafeInteger(file.seed)) {
    throw new FeatherstarError('FEATHERSTAR_OPTION', `${path} is not a seed file of version ${VERSION}`);
  }
  return { program: new URL(file.program, pathToFileURL(resolve(path))), file };
}

function parseSeedFile(text: string): SeedFile | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // no JSON is no seed file
  }
}
