// Loads a published package that the hunt searches. Most of them are no dependencies of this project.
//
//   npm install --prefix DIR tarn@3.1.2 ...
//   FEATHERSTAR_HUNT=DIR npx featherstar sim tests/sim/hunt/tarn.js --seeds 200
//
// Without FEATHERSTAR_HUNT, the packages of this project are meant.
//
// Next: docs/bugs-found.md.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { FEATHERSTAR_HUNT } = process.env;
const { resolve } = createRequire(FEATHERSTAR_HUNT === undefined ? import.meta.url : join(FEATHERSTAR_HUNT, 'a.js'));

/** The file of a package. Throws the command that installs it. */
export function fileOf(name) {
  try {
    return resolve(name);
  } catch (cause) {
    const remedy = `npm install --prefix DIR ${name}, and set FEATHERSTAR_HUNT=DIR`;
    throw new Error(`${name} is not installed. ${remedy}`, { cause });
  }
}

/** The version of a package that is installed. */
export function versionOf(name) {
  const file = fileOf(name);
  const folder = join('node_modules', name);
  const end = file.lastIndexOf(folder) + folder.length;
  return JSON.parse(readFileSync(join(file.slice(0, end), 'package.json'), 'utf8')).version;
}

/** The module of a package. */
export async function hunted(name) {
  return import(pathToFileURL(fileOf(name)).href);
}

export const below = (count) => Math.floor(Math.random() * count);

export const pick = (choices) => choices[below(choices.length)];
