// Chooses the engine of TLS: the addon, or node:tls.
//
// FEATHERSTAR_TLS=node:tls chooses node:tls. FEATHERSTAR_TLS=addon is an error if the addon cannot do it.
//
// Next: terminators.ts for servers, client-context.ts for clients.

import { FeatherstarError, optionError } from '../base/errors.js';
import type { TlsInfo } from './info.js';
import type { RecordEngine } from './record-engine.js';

/**
 * Returns the addon's engine if it is to be used; undefined means node:tls. `engine`: undefined without the addon.
 * `whyNot` returns an obstacle, or undefined if the addon can do it. Throws HOST and OPTION.
 */
export function chooseEngine(
  engine: RecordEngine | undefined,
  whyNot: () => string | undefined,
): RecordEngine | undefined {
  const wanted = wantedEngine();
  if (wanted === 'node:tls') return undefined;
  const obstacle = engine === undefined ? 'this shard has no addon' : whyNot();
  if (obstacle === undefined) return engine;
  if (wanted !== 'addon') return undefined;
  const text = `FEATHERSTAR_TLS=addon, but ${obstacle}; unset FEATHERSTAR_TLS to use node:tls`;
  throw new FeatherstarError('FEATHERSTAR_HOST', text);
}

function wantedEngine(): TlsInfo['engine'] | undefined {
  const name = process.env.FEATHERSTAR_TLS;
  if (!name || name === 'auto') return undefined;
  if (name === 'addon' || name === 'node:tls') return name;
  throw optionError('FEATHERSTAR_TLS', name, "'addon', 'node:tls' or 'auto'");
}
