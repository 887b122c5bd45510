// The WebSockets of one server on one shard.
//
//   info.upgrade() --> prepare(): a 101, or a response that refuses --the handler returns it--> open()
//
// Next: handshake.ts.

import { FeatherstarError } from '../base/errors.js';
import { checkString } from '../base/options.js';
import type { NetAddress } from '../hosts/host.js';
import type { ConnectionServer, ServedConnection } from '../http/connection-server.js';
import { fieldOf, type Head } from '../http/head.js';
import { FeatherResponse, switchingResponse } from '../http/response.js';
import type { Shard } from '../shard/shard.js';
import type { Transport } from '../shard/transport.js';
import { WebSocketConnection, type WebSocketHome } from './connection.js';
import { agreedDeflate, type Deflate } from './deflate.js';
import { agreementHead, refusalOf, type UpgradeOptions } from './handshake.js';
import { type WebSocketOptions, type WebSocketSettings, webSocketSettings } from './options.js';
import { messageOf, type WebSocketBytes } from './server-socket.js';
import { Topics } from './topics.js';

/** The access log of the server, which is told of each response. */
export interface UpgradeLog {
  answer(status: number): void;
  queued(): void;
  sent(): void;
  closed(): void;
}

/** The part of an HTTP connection that its upgrade uses. */
export interface UpgradedConnection extends ServedConnection {
  readonly server: Pick<ConnectionServer, 'proxies' | 'replace'>;
  readonly transport: Transport;
  clientOf(head: Head): NetAddress | undefined;
}

/** A handshake that the handler has accepted. It counts when the handler returns `response`. */
export class Upgrade {
  readonly response = switchingResponse();
  readonly #request: Head;
  readonly #home: WebSocketHome;
  readonly #head: string;
  readonly #options: UpgradeOptions;
  readonly #deflate: Deflate | undefined;

  /** `head`: what goes out. */
  constructor(home: WebSocketHome, request: Head, head: string, options: UpgradeOptions, deflate: Deflate | undefined) {
    this.#home = home;
    this.#request = request;
    this.#head = head;
    this.#options = options;
    this.#deflate = deflate;
  }

  /** The WebSocket that takes the place of a connection. `frames`: the memory of its parser's state. */
  open(connection: UpgradedConnection, frames: number, log: UpgradeLog | undefined): WebSocketConnection {
    const { server, transport } = connection;
    const { data, protocol = '' } = this.#options;
    const remote = server.proxies && connection.clientOf(this.#request);
    log?.answer(101);
    transport.out.enqueue(Buffer.from(this.#head, 'latin1'));
    log?.queued();
    const socket = new WebSocketConnection(this.#home, transport, frames, {
      data,
      protocol,
      remote,
      log,
      deflate: this.#deflate,
    });
    server.replace(connection, socket);
    socket.begin();
    return socket;
  }
}

/** The part of the server that its WebSockets use. */
export interface WebSocketServer {
  readonly shard: Shard;
  readonly pieceScratch: number;
  readonly draining: boolean;
  report(error: unknown): void;
  /** The connection is over. */
  forget(connection: WebSocketConnection): void;
}

export class WebSockets implements WebSocketHome {
  readonly shard: Shard;
  readonly settings: WebSocketSettings;
  readonly pieceScratch: number;
  readonly topics: Topics;
  readonly #server: WebSocketServer;

  /** `url`: that of the server. */
  constructor(server: WebSocketServer, options: WebSocketOptions, url: string) {
    this.shard = server.shard;
    this.pieceScratch = server.pieceScratch;
    this.settings = webSocketSettings(options);
    this.#server = server;
    this.topics = new Topics(this, url);
  }

  report(error: unknown): void {
    this.#server.report(error);
  }

  forget(connection: WebSocketConnection): void {
    this.#server.forget(connection);
  }

  /** `isPlain`: HTTP/1.1, and without a body. Throws OPTION. */
  prepare(head: Head, isPlain: boolean, options: UpgradeOptions): Upgrade | FeatherResponse {
    const refusal = refusalOf(head, isPlain);
    if (refusal !== undefined) return refusal;
    const settings = this.settings.deflate;
    const offers = fieldOf(head, 'sec-websocket-extensions');
    const deflate = settings && agreedDeflate(offers, settings.contextWindowBits);
    const text = agreementHead(head, options, deflate?.text);
    if (this.#server.draining) return new FeatherResponse('the server is closing\n', { status: 503 });
    return new Upgrade(this, head, text, options, deflate);
  }
}

/** Publishes for a program. Throws OPTION. */
export function publishOn(websockets: WebSockets | undefined, topic: string, data: string | WebSocketBytes): number {
  if (websockets === undefined) throw noWebSockets();
  return websockets.topics.publish(checkString('topic', topic), messageOf(data));
}

/** For a server without the option `websocket`. */
export function noWebSockets(): FeatherstarError {
  const text = 'this needs the option `websocket` of serve(): the handlers of its WebSockets';
  return new FeatherstarError('FEATHERSTAR_OPTION', text);
}
