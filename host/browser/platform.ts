// Where core.wasm comes from in a page: the runtime compiles it there, and its workers are given the module.

import { FeatherstarError } from '../base/errors.js';
import { usePlatform } from '../core/core-module.js';

/** From now on the core is this one. */
export function useModule(module: WebAssembly.Module): void {
  usePlatform({
    compile: () => module,
    instantiate: (each, imports) => new WebAssembly.Instance(each, imports as WebAssembly.Imports).exports,
  });
}

/** Throws where threads cannot share memory, with what to do about it. */
export function checkIsolation(): void {
  const page = globalThis as { crossOriginIsolated?: boolean; SharedArrayBuffer?: unknown };
  if (page.crossOriginIsolated === true && page.SharedArrayBuffer !== undefined) return;
  const headers = 'Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp';
  const text = `this page is not cross-origin isolated, so its workers cannot share memory: serve it with ${headers}`;
  throw new FeatherstarError('FEATHERSTAR_HOST', text);
}
