// Chooses the engine of TLS for the new connections of a server: the addon, or node:tls.
//
//   options --whyNoRecords()--> undefined: RecordTerminator   OpenSSL, called by the addon on the bytes of a connection
//                               a reason:  TlsTerminator      node:tls over streams, which can do everything
//
// Next: terminator.ts, record-terminator.ts.

import { FeatherstarError } from '../base/errors.js';
import { chooseEngine } from './engine-choice.js';
import { HandshakeLimits } from './handshake-limits.js';
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
    const engine = chooseEngine(this.#engine, () => whyNoRecords(options));
    if (typeof options.sni === 'function' && 'Deno' in globalThis) {
      throw new FeatherstarError('FEATHERSTAR_HOST', 'Deno does not wait for sni as a function: use a table of names');
    }
    return engine === undefined
      ? new TlsTerminator(options, this.#limits, this.#report)
      : new RecordTerminator(engine, options, this.#limits);
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
