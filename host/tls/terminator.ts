// The server's side of TLS: handshakes by node:tls over transports of this shard, with their limits.
//
//   accept(): transport --first bytes, in turn--> handshake --secureConnection--> onSecure(socket, stream)
//                                   \--failed, too slow, one too many--> closed, onFailed()
//
// A handshake costs a shard up to a millisecond. A thousand clients that come at once would hold up the others for a
// second. So not more than TURN_HANDSHAKES begin in one round of the event loop. A client that stops in the middle
// keeps its place until its time is over. If there are too many, the oldest one is ended.
//
// A `tls.Server` that never listens has the context, and makes the sockets. It emits its events on the object that
// 'connection' was emitted on. So each handshake emits on an object of its own, which knows its connection.
//
// Next: tls-transport.ts.

import { hkdfSync } from 'node:crypto';
import { createServer, type SecureContext, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import { FeatherstarError } from '../base/errors.js';
import { processSecret } from '../base/secrets.js';
import {
  checkTlsServer,
  contextOf,
  contextOptions,
  HANDSHAKE_MAX_MS,
  type SniCallback,
  TICKET_KEY_BYTES,
  type TlsContextOptions,
  type TlsServerOptions,
  tlsError,
} from './options.js';
import type { RawStream, RawStreamUser } from './transport-stream.js';

const HANDSHAKE_MS = 10_000;
const HANDSHAKES = 1024;
const TURN_HANDSHAKES = 8;
const SESSION_MS = 300_000;

/** Makes the encrypted side of a connection. */
export type OpenRawStream<S extends RawStream> = (user: RawStreamUser) => S;

/** The receiver of a connection after its handshake, or of its failure. */
export interface HandshakeUser<S extends RawStream> {
  onSecure(socket: TLSSocket, stream: S): void;
  /** It is closed. */
  onFailed(error: FeatherstarError): void;
}

export class TlsTerminator {
  readonly #server: Server;
  readonly #alpn: readonly string[] | undefined;
  readonly #timeoutNs: number;
  readonly #most: number;
  readonly #open = new Set<Pick<Handshake<RawStream>, 'fail'>>(); // the oldest one first
  readonly #waiting: (() => void)[] = []; // those that have not begun
  #begun = 0; // in this round of the event loop
  #isCounting = false;
  readonly #report: (error: unknown) => void;
  #sni: Sni;

  /** Throws TLS. `report` gets errors of the function `sni`. `alpn`: where the options give none. */
  constructor(options: TlsServerOptions, report: (error: unknown) => void, alpn?: readonly string[]) {
    this.#report = report;
    this.#alpn = options.alpn ?? alpn;
    this.#timeoutNs = (options.handshakeTimeoutMs ?? HANDSHAKE_MS) * 1e6;
    this.#most = options.maxHandshakes ?? HANDSHAKES;
    this.#sni = new Sni(options, report);
    this.#server = createServer(this.#serverOptions(options));
    this.#server.setTicketKeys(Buffer.from(ticketKeys(options)));
  }

  #serverOptions(options: TlsServerOptions): TlsOptions {
    const { requestCert = false, rejectUnauthorized = true } = options;
    // Node ends a handshake after 120 s by itself, whatever the time that this one has.
    const named: TlsOptions = { requestCert, rejectUnauthorized, handshakeTimeout: HANDSHAKE_MAX_MS };
    if (this.#alpn !== undefined) named.ALPNProtocols = [...this.#alpn];
    const SNICallback: TlsOptions['SNICallback'] = (name, done) => this.#sni.find(name, done);
    return { ...serverContext(options), ...named, SNICallback };
  }

  /**
   * New connections use these keys and certificates. Throws OPTION and TLS, and then the old ones stay. Options that
   * are no part of a context stay in any case, besides `sni`.
   */
  setSecureContext(options: TlsServerOptions): void {
    checkTlsServer('tls', options);
    const sni = new Sni(options, this.#report);
    this.#server.setSecureContext(serverContext(options));
    this.#server.setTicketKeys(Buffer.from(ticketKeys(options)));
    this.#sni = sni;
  }

  /** Begins a handshake. destroy() of what it returns ends it. */
  accept<S extends RawStream>(open: OpenRawStream<S>, user: HandshakeUser<S>): Handshake<S> {
    if (this.#open.size >= this.#most) {
      const [oldest] = this.#open;
      oldest?.fail(handshakeError('another client needs the place: more handshakes than maxHandshakes are under way'));
    }
    const handshake = new Handshake(this, open, user);
    this.#open.add(handshake);
    handshake.stream.setDeadline(this.#timeoutNs);
    handshake.begin(this.#server);
    return handshake;
  }

  /** Calls `go` now, or in a later round if enough have begun in this one. */
  inTurn(go: () => void): void {
    if (this.#begun >= TURN_HANDSHAKES || this.#waiting.length !== 0) {
      this.#waiting.push(go);
      return;
    }
    this.#begun++;
    this.#count();
    go();
  }

  #count(): void {
    if (this.#isCounting) return;
    this.#isCounting = true;
    setImmediate(() => {
      this.#isCounting = false;
      this.#begun = 0;
      for (const go of this.#waiting.splice(0, TURN_HANDSHAKES)) {
        this.#begun++;
        go();
      }
      if (this.#begun !== 0) this.#count();
    });
  }

  over(handshake: Pick<Handshake<RawStream>, 'fail'>): void {
    this.#open.delete(handshake);
  }
}

/** One connection until it is secure. */
export class Handshake<S extends RawStream> implements RawStreamUser {
  readonly stream: S;
  readonly #terminator: TlsTerminator;
  readonly #user: HandshakeUser<S>;
  #isOver = false;

  constructor(terminator: TlsTerminator, open: OpenRawStream<S>, user: HandshakeUser<S>) {
    this.#terminator = terminator;
    this.#user = user;
    this.stream = open(this);
  }

  toString(): string {
    return 'handshake';
  }

  begin(server: Server): void {
    const own = Object.create(server) as Server;
    own.emit = (event: string, ...args: unknown[]): boolean => {
      if (event === 'secureConnection') this.#succeed(args[0] as TLSSocket);
      else if (event === 'tlsClientError') this.fail(tlsError('a handshake failed', args[0]));
      else return server.emit(event, ...args);
      return true;
    };
    const [makeSocket] = server.listeners('connection');
    makeSocket?.call(own, this.stream);
  }

  #succeed(socket: TLSSocket): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#terminator.over(this);
    this.#user.onSecure(socket, this.stream);
  }

  /** Closes it. */
  fail(error: FeatherstarError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#terminator.over(this);
    // An alert that says why may wait to be sent.
    this.stream.end(() => this.stream.destroy());
    this.#user.onFailed(error);
  }

  destroy(): void {
    this.fail(handshakeError('the server closes'));
    this.stream.destroy();
  }

  onFirstBytes(go: () => void): void {
    this.#terminator.inTurn(go);
  }

  /** It cannot go on. */
  onRawEnd(): void {
    this.fail(handshakeError('the client has left'));
  }

  onDeadline(): void {
    if (this.#isOver) this.stream.destroy();
    else this.fail(new FeatherstarError('FEATHERSTAR_TIMEOUT', 'a client did not end its handshake in time'));
  }

  onClosed(): void {
    this.fail(handshakeError('the client has left'));
  }
}

/** The certificates of other names. */
class Sni {
  readonly #contexts = new Map<string, SecureContext>();
  readonly #own: TlsContextOptions;
  readonly #ask: SniCallback | undefined;
  readonly #report: (error: unknown) => void;

  constructor({ sni, ...own }: TlsServerOptions, report: (error: unknown) => void) {
    this.#own = own;
    this.#report = report;
    if (typeof sni === 'function') this.#ask = sni;
    else
      for (const [name, options] of Object.entries(sni ?? {}))
        this.#contexts.set(name.toLowerCase(), context(own, options));
  }

  /** Node's callback: null is the server's own context. */
  find(servername: string, done: (error: Error | null, found?: SecureContext) => void): void {
    const name = servername.toLowerCase();
    const ask = this.#ask;
    if (ask === undefined) {
      done(null, this.#contexts.get(name) ?? this.#contexts.get(name.replace(/^[^.]+/, '*')));
      return;
    }
    (async () => {
      const options = await ask(name);
      return options === undefined ? undefined : context(this.#own, options);
    })().then(
      (found) => done(null, found),
      (error) => {
        this.#report(error);
        done(error instanceof Error ? error : new Error(String(error)));
      },
    );
  }
}

/** Options that an entry leaves out are the server's, besides keys. */
function context(own: TlsContextOptions, options: TlsContextOptions): SecureContext {
  const { key: _key, cert: _cert, pfx: _pfx, passphrase: _passphrase, ...rest } = own;
  return contextOf({ ...rest, ...options });
}

/** A session of one shard is resumed on another one: sessions have the same context everywhere. */
function serverContext(options: TlsServerOptions): TlsOptions {
  const sessionTimeout = Math.floor((options.sessionTimeoutMs ?? SESSION_MS) / 1000);
  return { ...contextOptions(options), sessionTimeout, sessionIdContext: 'featherstar', honorCipherOrder: true };
}

function handshakeError(text: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_TLS', `a handshake failed: ${text}`);
}

/** All shards of a process have the same keys. */
function ticketKeys(options: TlsServerOptions): Uint8Array {
  if (options.ticketKeys !== undefined) return options.ticketKeys;
  return new Uint8Array(hkdfSync('sha256', processSecret(), '', 'featherstar session tickets', TICKET_KEY_BYTES));
}
