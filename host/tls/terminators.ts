// Chooses the engine of TLS for the new connections of a server: the addon, or node:tls.
//
//   options --whyNoRecords()--> undefined: RecordTerminator   OpenSSL, called by the addon on the bytes of a connection
//                               a reason:  TlsTerminator      node:tls over streams, which can do everything
//
// FEATHERSTAR_TLS=node:tls chooses the second one. FEATHERSTAR_TLS=addon is an error if the addon cannot do it.
//
// Next: terminator.ts, record-terminator.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import { HandshakeLimits } from './handshake-limits.js';
import type { TlsInfo } from './info.js';
import { checkTlsServer, type TlsServerOptions } from './options.js';
import { whyNoRecords } from './record-context.js';
import type { RecordEngine } from './record-engine.js';
import { RecordTerminator } from './record-terminator.js';
import { TlsTerminator } from './terminator.js';

export class Terminators {
  /** Of new connections. */
  current: TlsTerminator | RecordTerminator;
  readonly #engine: RecordEngine | undefined;
  readonly #limits: HandshakeLimits;
  readonly #lasting: TlsServerOptions;
  readonly #report: (error: unknown) => void;

  /** Throws TLS, HOST and OPTION. `engine`: undefined without the addon. `report` gets errors of the function `sni`. */
  constructor(engine: RecordEngine | undefined, options: TlsServerOptions, report: (error: unknown) => void) {
    this.#engine = engine;
    this.#limits = new HandshakeLimits(options);
    this.#lasting = lastingOptions(options);
    this.#report = report;
    this.current = this.#make(options);
  }

  #make(options: TlsServerOptions): TlsTerminator | RecordTerminator {
    const wanted = wantedEngine();
    const obstacle = this.#engine === undefined ? 'this shard has no addon' : whyNoRecords(options);
    if (wanted === 'addon' && obstacle !== undefined) {
      throw new FeatherstarError('FEATHERSTAR_HOST', `FEATHERSTAR_TLS=addon, but ${obstacle}`);
    }
    if (typeof options.sni === 'function' && 'Deno' in globalThis) {
      throw new FeatherstarError('FEATHERSTAR_HOST', 'Deno does not wait for sni as a function: use a table of names');
    }
    if (wanted === 'node:tls' || obstacle !== undefined || this.#engine === undefined) {
      return new TlsTerminator(options, this.#limits, this.#report);
    }
    return new RecordTerminator(this.#engine, options, this.#limits);
  }

  /**
   * New connections use these keys and certificates. Throws like the constructor, and then the old ones stay. Options
   * that are no part of a context stay in any case, besides `sni`.
   */
  setSecureContext(options: TlsServerOptions): void {
    this.current = this.#make(renewedOptions(options, this.#lasting));
  }
}

/** The options that are no part of a context: they stay when certificates change. */
export function lastingOptions(options: TlsServerOptions): TlsServerOptions {
  const { alpn, requestCert, rejectUnauthorized, handshakeTimeoutMs, maxHandshakes } = options;
  return { alpn, requestCert, rejectUnauthorized, handshakeTimeoutMs, maxHandshakes };
}

/** New certificates, and the lasting options from before. Throws OPTION and TLS. */
export function renewedOptions(options: unknown, lasting: TlsServerOptions): TlsServerOptions {
  return { ...checkTlsServer('tls', options), ...lasting };
}

function wantedEngine(): TlsInfo['engine'] | undefined {
  const name = process.env.FEATHERSTAR_TLS;
  if (!name || name === 'auto') return undefined;
  if (name === 'addon' || name === 'node:tls') return name;
  throw optionError('FEATHERSTAR_TLS', name, "'addon', 'node:tls' or 'auto'");
}
