// Where core.wasm comes from on Node, Bun and Deno: a file of the package. The only user of @assemblyscript/loader, of
// which it wants `instantiate` alone: the core has no managed objects to help with.

import { readFileSync } from 'node:fs';
import { instantiateSync } from '@assemblyscript/loader';
import { FeatherstarError } from '../base/errors.js';
import { usePlatform } from './core-module.js';

/** With FEATHERSTAR_CORE=debug the core checks itself (CONTRIBUTING.md). That file is built, but not published. */
const FILE = process.env.FEATHERSTAR_CORE === 'debug' ? '../../core.debug.wasm' : '../../core.wasm';

function read(): Uint8Array<ArrayBuffer> {
  const url = new URL(FILE, import.meta.url);
  try {
    return readFileSync(url);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    const remedy = 'Keep the package out of bundles (esbuild: --external:featherstar), since its files find each other';
    throw new FeatherstarError('FEATHERSTAR_HOST', `there is no ${url.pathname}. ${remedy}`, { cause });
  }
}

usePlatform({
  compile: () => new WebAssembly.Module(read()),
  instantiate: (module, imports) =>
    instantiateSync<Record<string, unknown>>(module, imports as WebAssembly.Imports).exports,
});

export * from './core-module.js';
