// The certificates of a server by the names that clients ask for.
//
// Next: terminator.ts, record-terminator.ts.

import type { SniCallback, TlsContextOptions, TlsServerOptions } from './options.js';

/** `C`: what the maker makes of the options of a name. */
export class Sni<C> {
  readonly #contexts = new Map<string, C>();
  readonly #own: TlsContextOptions;
  readonly #make: (options: TlsContextOptions) => C;
  readonly #ask: SniCallback | undefined;
  readonly #report: (error: unknown) => void;

  /** Throws what `make` throws. `report` gets errors of the function `sni`. */
  constructor(
    { sni, ...own }: TlsServerOptions,
    make: (options: TlsContextOptions) => C,
    report: (error: unknown) => void,
  ) {
    this.#own = own;
    this.#make = make;
    this.#report = report;
    if (typeof sni === 'function') this.#ask = sni;
    else
      for (const [name, options] of Object.entries(sni ?? {}))
        this.#contexts.set(name.toLowerCase(), this.#context(options));
  }

  /** Options that an entry leaves out are the server's, besides keys. */
  #context(options: TlsContextOptions): C {
    const { key: _key, cert: _cert, pfx: _pfx, passphrase: _passphrase, ...rest } = this.#own;
    return this.#make({ ...rest, ...options });
  }

  /** The certificate of the table for a name. Undefined: it has none. */
  listed(servername: string): C | undefined {
    const name = servername.toLowerCase();
    return this.#contexts.get(name) ?? this.#contexts.get(name.replace(/^[^.]+/, '*'));
  }

  /** Node's callback: without `found` it is the server's own. The function is asked, if there is one. */
  find(servername: string, done: (error: Error | null, found?: C) => void): void {
    const ask = this.#ask;
    if (ask === undefined) {
      done(null, this.listed(servername));
      return;
    }
    (async () => {
      const options = await ask(servername.toLowerCase());
      return options === undefined ? undefined : this.#context(options);
    })().then(
      (found) => done(null, found),
      (error) => {
        this.#report(error);
        done(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }
}
