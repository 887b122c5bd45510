// How undici reaches a server by a connection of this shard: its option `connect`.
//
//   http     createConnection() of featherstar/node
//   https    the same, then undici's own connector makes it a TLS socket: ALPN, sessions, names of servers
//
// A tunnel through a proxy comes as a socket that is there already. It only needs TLS.

import type { ConnectionOptions } from 'node:tls';
import type { buildConnector as buildConnectorType } from 'undici';
import { FeatherstarError } from '../base/errors.js';
import { type Checks, checkBoolean, checkedLater, checkObject, checkOptions, milliseconds } from '../base/options.js';
import { createConnection } from '../node/sockets.js';
import { undici } from './undici.js';

const { buildConnector, errors } = undici;

const CONNECT_TIMEOUT_MS = 10_000;
const HIGH_WATER_BYTES = 65_536;
const PORTS: Readonly<Record<string, number>> = { 'http:': 80, 'https:': 443 };

/** Options of `connector()`. */
export interface ConnectorOptions {
  /** How long it may take to connect, and the handshake of TLS again; default 10,000. */
  timeoutMs?: number | undefined;
  /** Options of TLS, as `tls.connect()` has them: `ca`, `cert`, `key`, `servername`, and so on. */
  tls?: ConnectionOptions | undefined;
  /** Offers HTTP/2 to servers with TLS; default false. undici then needs its own option `allowH2`, too. */
  offerHttp2?: boolean | undefined;
  /** The path of a Unix socket that takes the place of every host. */
  path?: string | undefined;
}

const CHECKS: Checks<ConnectorOptions> = {
  timeoutMs: milliseconds,
  tls: checkObject,
  offerHttp2: checkBoolean,
  path: checkedLater,
};

/** Bun has a module of its own in the place of undici: it takes neither a connector nor a pool, and says nothing. */
function checkUndici(): void {
  if (!('Bun' in globalThis)) return;
  const text = "featherstar/client needs undici, which Bun replaces: use Bun's fetch()";
  throw new FeatherstarError('FEATHERSTAR_HOST', text);
}

/**
 * A connector for undici's option `connect`, so that its clients use connections of this shard. Requests reject with
 * the errors of undici, and of `createConnection()` of `featherstar/node`. Throws FEATHERSTAR_OPTION, and
 * FEATHERSTAR_HOST on Bun.
 *
 * @example
 * const agent = new Agent({ connect: connector() });
 */
export function connector(options: ConnectorOptions = {}): buildConnectorType.connector {
  checkUndici();
  const { timeoutMs = CONNECT_TIMEOUT_MS, tls = {}, offerHttp2 = false, path } = checkOptions(options, CHECKS);
  const secure = buildConnector({ ...tls, timeout: timeoutMs, keepAlive: false, allowH2: offerHttp2 });
  return (target, done) => {
    const { hostname, port, protocol, httpSocket } = target;
    if (httpSocket) {
      secure(target, done);
      return;
    }
    const place = path === undefined ? { host: hostname, port: Number(port || PORTS[protocol]) } : { path };
    const socket = createConnection({ ...place, highWaterMark: HIGH_WATER_BYTES } as never);
    const timer = setTimeout(() => {
      socket.destroy(new errors.ConnectTimeoutError(`${hostname}: no connection within ${timeoutMs} ms`));
    }, timeoutMs);
    const onError = (error: Error) => {
      clearTimeout(timer);
      done(error, null);
    };
    socket.once('error', onError).once('connect', () => {
      clearTimeout(timer);
      socket.off('error', onError);
      if (protocol === 'https:') secure({ ...target, httpSocket: socket }, done);
      else done(null, socket);
    });
  };
}
