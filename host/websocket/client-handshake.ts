// The client's side of the handshake (RFC 6455 4.1): the request, and what a server has to reply.
//
//   attach(transport) --request--> ... --the head of the response--> onAgreed(agreement, the bytes behind it)
//                                                       \--anything else, the end--> attach() rejects
//
// Until then an Opening is the user of the transport. It takes no more than HEAD_BYTES_MAX of a head, and nothing but
// a response that agrees: no redirect, no request for a password.
//
// Next: dial.ts.

import { FeatherstarError } from '../base/errors.js';
import type { Shard } from '../shard/shard.js';
import type { Transport, TransportUser } from '../shard/transport.js';
import type { ClientSettings } from './client-options.js';
import { acceptedDeflate, type Deflate, deflateOffers } from './deflate.js';
import { acceptOf, elementsOf, ownLines } from './handshake.js';

const HEAD_BYTES_MAX = 16_384;
const KEY_BYTES = 16;
const HEAD_END = '\r\n\r\n';
const STATUS_LINE = /^HTTP\/1\.1 (\d{3})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)$/;
const LAST_SPACE = /(?<![\t ])[\t ]+$/;
const OF_REQUEST = /^(host|connection|upgrade|content-length|transfer-encoding|trailer|sec-websocket-.*)$/;

/** The agreement of a server. */
export interface ClientAgreement {
  readonly protocol: string;
  /** The value of sec-websocket-extensions. */
  readonly extensions: string;
  readonly deflate: Deflate | undefined;
}

/** One request. Its key is random. */
export class ClientRequest {
  readonly head: string;
  readonly #accept: string;
  readonly #settings: ClientSettings;

  /** Throws OPTION for headers that the client writes itself, and TypeError for what no header can be. */
  constructor(url: URL, settings: ClientSettings) {
    const key = Buffer.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES))).toString('base64');
    const { headers, protocols, deflate } = settings;
    const lines = [
      `GET ${url.pathname}${url.search} HTTP/1.1`,
      `Host: ${url.host}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${key}`,
      'Sec-WebSocket-Version: 13',
      ...(protocols.length === 0 ? [] : [`Sec-WebSocket-Protocol: ${protocols.join(', ')}`]),
      ...(deflate === undefined ? [] : [`Sec-WebSocket-Extensions: ${deflateOffers(deflate.contextWindowBits)}`]),
      ...(url.username === '' && url.password === '' ? [] : [`Authorization: Basic ${credentialsOf(url)}`]),
    ];
    const own = ownLines(headers, OF_REQUEST, 'the client writes it itself; the option `protocols` names subprotocols');
    this.head = `${lines.join('\r\n')}\r\n${own}\r\n`;
    this.#accept = acceptOf(key);
    this.#settings = settings;
  }

  /** `head`: of the response. Returns an error, WEBSOCKET, if it does not agree. */
  agreementOf(head: string): ClientAgreement | FeatherstarError {
    try {
      return this.#agreementOf(head);
    } catch (error) {
      if (FeatherstarError.is(error)) return error;
      throw error;
    }
  }

  #agreementOf(head: string): ClientAgreement {
    const [start = '', ...lines] = head.split('\r\n');
    const status = STATUS_LINE.exec(start)?.[1];
    if (status === undefined) throw handshakeRefused('the server does not speak HTTP/1.1');
    if (status !== '101') throw handshakeRefused(`the server replied with status ${status} instead of 101`);
    const fields = responseFields(lines);
    if (fields.get('upgrade')?.toLowerCase() !== 'websocket')
      throw handshakeRefused('the response has no `Upgrade: websocket`');
    const roles = elementsOf(fields.get('connection')).map((each) => each.toLowerCase());
    if (!roles.includes('upgrade')) throw handshakeRefused('the response has no `Connection: Upgrade`');
    if (fields.get('sec-websocket-accept') !== this.#accept)
      throw handshakeRefused('sec-websocket-accept is not that of the key');
    if ((fields.get('content-length') ?? '0') !== '0' || fields.has('transfer-encoding'))
      throw handshakeRefused('the response must have no body');
    const extensions = fields.get('sec-websocket-extensions') ?? '';
    return { protocol: this.#protocolOf(fields.get('sec-websocket-protocol')), ...this.#extensionsOf(extensions) };
  }

  #protocolOf(protocol: string | undefined): string {
    const { protocols } = this.#settings;
    if (protocol === undefined && protocols.length === 0) return '';
    if (protocol === undefined)
      throw handshakeRefused(`the server has agreed to no protocol of ${protocols.join(', ')}`);
    if (!protocols.includes(protocol))
      throw handshakeRefused(`the server chose the protocol ${JSON.stringify(protocol)}`);
    return protocol;
  }

  #extensionsOf(extensions: string): { extensions: string; deflate: Deflate | undefined } {
    if (extensions === '') return { extensions, deflate: undefined };
    const settings = this.#settings.deflate;
    const deflate = settings && acceptedDeflate(extensions, settings.contextWindowBits);
    if (deflate === undefined) throw handshakeRefused(`the server chose the extensions ${JSON.stringify(extensions)}`);
    return { extensions, deflate };
  }
}

/** Their bytes, as the standard decodes them: they may be no UTF-8, and a `%` without two digits stands for itself. */
function credentialsOf({ username, password }: URL): string {
  const byteOf = (_escape: string, digits: string) => String.fromCharCode(Number.parseInt(digits, 16));
  const bytes = `${username}:${password}`.replace(/%([0-9a-f]{2})/gi, byteOf);
  return Buffer.from(bytes, 'latin1').toString('base64');
}

function responseFields(lines: readonly string[]): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of lines) {
    const [, name, text] = FIELD_LINE.exec(line) ?? [];
    if (name === undefined || text === undefined) throw handshakeRefused('a header line of the response is malformed');
    const key = name.toLowerCase();
    const value = text.replace(LAST_SPACE, '');
    const before = fields.get(key);
    fields.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return fields;
}

function handshakeRefused(text: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_WEBSOCKET', `the handshake failed: ${text}`);
}

/** The server has agreed. `rest`: the bytes behind the head. */
export type OnAgreed = (agreement: ClientAgreement, rest: Uint8Array) => void;

/** The user of a transport until the server has agreed. */
export class Opening implements TransportUser {
  readonly #shard: Shard;
  readonly #request: ClientRequest;
  readonly #onAgreed: OnAgreed;
  #settle: ((outcome: true | FeatherstarError) => void) | undefined;
  #outcome: true | FeatherstarError | undefined; // true: it is open
  #transport: Transport | undefined;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(shard: Shard, request: ClientRequest, onAgreed: OnAgreed) {
    this.#shard = shard;
    this.#request = request;
    this.#onAgreed = onAgreed;
  }

  /** For reports of what a shard has open. */
  toString(): string {
    return 'WebSocket, connecting';
  }

  /** Sends the request. Resolves behind `onAgreed`; rejects with WEBSOCKET. */
  attach(transport: Transport): Promise<void> {
    this.#transport = transport;
    transport.out.enqueue(Buffer.from(this.#request.head, 'latin1'));
    transport.receive();
    return new Promise((resolve, reject) => {
      this.#settle = (outcome) => (outcome === true ? resolve() : reject(outcome));
      if (this.#outcome !== undefined) this.#settle(this.#outcome);
    });
  }

  get mayReceive(): boolean {
    return true;
  }

  onBuffer(at: number, end: number, buffer: number): void {
    const bytes = this.#shard.copyOut(at, end);
    this.#transport?.release(buffer);
    this.#take(bytes);
  }

  onBytes(bytes: Uint8Array): void {
    this.#take(bytes);
  }

  #take(bytes: Uint8Array): void {
    if (this.#outcome !== undefined) return;
    const from = Math.max(0, this.#bytes.length - HEAD_END.length);
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    const end = this.#bytes.subarray(0, HEAD_BYTES_MAX).indexOf(HEAD_END, from);
    if (end >= 0) this.#onHead(this.#bytes.toString('latin1', 0, end), this.#bytes.subarray(end + HEAD_END.length));
    else if (this.#bytes.length >= HEAD_BYTES_MAX)
      this.#end(handshakeRefused(`the head has more than ${HEAD_BYTES_MAX} bytes`));
  }

  #onHead(head: string, rest: Uint8Array): void {
    const agreement = this.#request.agreementOf(head);
    if (agreement instanceof FeatherstarError) {
      this.#end(agreement);
      return;
    }
    this.#onAgreed(agreement, rest);
    this.#end(true);
  }

  #end(outcome: true | FeatherstarError): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#settle?.(outcome);
  }

  onPeerLeft(): void {} // bytes from before may be still to come

  onPeerEnd(): void {
    this.#end(handshakeRefused('the server has ended the connection'));
  }

  onSent(): void {}

  onDeadline(): void {} // the time to connect has a timer of its own

  onClosed(): void {
    this.#end(handshakeRefused('the connection broke'));
  }
}
