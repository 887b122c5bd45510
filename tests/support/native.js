// Builds of the addon that are not shipped: with the fuzzer, with sanitizers, with a hole in the gate.
//
// Next: ../native/fuzz.test.js.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('../../host/native/', import.meta.url));
const OUTPUT = fileURLToPath(new URL('../../dist/native/', import.meta.url));
const BUILD = join(SOURCES, 'build.mjs');

export function variantPath(variant) {
  return join(OUTPUT, `linux-${process.arch}.${variant}.node`);
}

/** Builds `test` or `asan`, unless no source is newer. Returns the path. */
export function buildVariant(variant) {
  const path = variantPath(variant);
  const built = statSync(path, { throwIfNoEntry: false });
  const newest = Math.max(...readdirSync(SOURCES).map((name) => statSync(join(SOURCES, name)).mtimeMs));
  if (!built || built.mtimeMs <= newest) {
    execFileSync(process.execPath, [BUILD, variant === 'asan' ? '--sanitize' : '--test'], { stdio: 'inherit' });
  }
  return path;
}

/** Builds the fuzzer around a source in which `from` is `to`. Throws if `from` is not there exactly once. */
export function buildMutant(folder, { name, file, from, to }) {
  const text = readFileSync(join(SOURCES, file), 'utf8');
  if (text.split(from).length !== 2) throw new Error(`${file} has not exactly one: ${from}`);
  mkdirSync(folder, { recursive: true });
  const source = join(folder, `${name}.c`);
  const output = join(folder, `${name}.node`);
  writeFileSync(
    source,
    text.replace(from, () => to),
  );
  execFileSync(process.execPath, [BUILD, '--test', '--replace', `${file}=${source}`, '--output', output], {
    stdio: 'inherit',
  });
  return output;
}
