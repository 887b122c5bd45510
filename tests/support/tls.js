// The ways in which a server can do TLS, which run the same tests; and a key and a certificate for them.

import { currentShard } from '../../dist/host/shard/shard.js';
import { recordEngine } from '../../dist/host/tls/record-engine.js';
import { hosts } from './hosts.js';

export { cert, key } from './certificate.js';

/**
 * Each host with each engine that can do TLS on it: { host, engine }. Use chooseEngine() before the server begins. The
 * addon takes options that it cannot do to node:tls, so it is called 'auto' then.
 */
export function tlsWays() {
  return hosts().flatMap((host) => [
    ...(host === 'uring' ? [{ host, engine: 'addon' }] : []),
    { host, engine: 'node:tls' },
  ]);
}

/** Servers that begin from now on use this engine, for options that it can do. */
export function chooseEngine(engine) {
  process.env.FEATHERSTAR_TLS = engine === 'addon' ? 'auto' : engine;
}

/** Whether the addon has found an OpenSSL in this process. Says so if not. */
export function hasRecordEngine() {
  const has = recordEngine(currentShard()) !== undefined;
  if (!has) console.log('# skipped: TLS by the addon: there is no OpenSSL that it can use');
  return has;
}
