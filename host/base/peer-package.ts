// Packages that a program installs beside featherstar if it uses the part that needs them: undici, and NATS's client.
// An `import` of such a package would fail before any code of this library runs. So they are loaded here, and an absent
// one has a typed error.

import { createRequire } from 'node:module';
import { FeatherstarError } from './errors.js';

const require = createRequire(import.meta.url);

/** Loads a package for an entry point, such as 'featherstar/client'. Throws FEATHERSTAR_MODULE if it is absent. */
export function peerPackage<Exports>(name: string, neededBy: string): Exports {
  try {
    require.resolve(name);
  } catch (cause) {
    const text = `${neededBy} needs the package ${name}, which is not installed: npm install ${name}`;
    throw new FeatherstarError('FEATHERSTAR_MODULE', text, { cause });
  }
  return require(name) as Exports;
}
