// The file of vectors of so many seeds: recorded once, and again when the core or what is recorded has changed.
//
// Next: record.js.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { record } from './record.js';

const FOLDER = new URL('../../dist/conformance/', import.meta.url);
const CORE = new URL('../../dist/core.wasm', import.meta.url);
const SOURCES = ['record.js', 'program.js', 'module.js'].map((name) => new URL(name, import.meta.url));

function keyOf(seeds) {
  const hash = createHash('sha256').update(`${seeds}`);
  for (const url of [CORE, ...SOURCES]) hash.update(readFileSync(url));
  return hash.digest('hex');
}

/** Returns the path of the file. A host's traffic may change with host/, too; its old traffic stays as good a test. */
export async function vectorsFile(seeds) {
  const file = new URL(seeds === 1000 ? 'vectors.bin' : `vectors-${seeds}.bin`, FOLDER);
  const keyFile = new URL(`${file.pathname.split('/').at(-1)}.key`, FOLDER);
  const key = keyOf(seeds);
  const isThere = existsSync(file) && existsSync(keyFile) && readFileSync(keyFile, 'utf8') === key;
  if (!isThere) {
    mkdirSync(FOLDER, { recursive: true });
    const part = new URL(`${file.href}.${process.pid}`); // renamed when it is whole
    writeFileSync(part, await record(readFileSync(CORE), seeds));
    renameSync(part, file);
    writeFileSync(keyFile, key);
  }
  return fileURLToPath(file);
}
