// The web's WebSocket, over connections of this shard.
//
//   CONNECTING --the server agrees--> OPEN --close(), the server closes, a failure--> CLOSING --> CLOSED
//
// The constructor checks its arguments and begins to connect. Everything else is told by events. A failure is told by
// 'error' and then 'close', when the connection is over.
//
// Next: dial.ts.

import { FeatherstarError } from '../base/errors.js';
import { checkHeader, PIECE_SCRATCH } from '../http/server.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { ClientConnection } from './client-connection.js';
import {
  CloseEvent,
  ErrorEvent,
  type WebSocketEvents,
  type WebSocketHandler,
  type WebSocketListener,
} from './client-events.js';
import { ClientRequest } from './client-handshake.js';
import {
  type ClientSettings,
  clientSettings,
  syntaxError,
  type WebSocketClientOptions,
  webSocketUrl,
} from './client-options.js';
import { NO_CODE } from './close-frame.js';
import { type Opened, openWebSocket } from './dial.js';
import { CLOSING, NO_CLOSE_FRAME, OPEN, REASON_BYTES_MAX } from './message-connection.js';
import { messageOf, type WebSocketBytes } from './server-socket.js';

const CONNECTING = 0;
const ENDED = 3;
const NORMAL = 1000;

/**
 * A connection to a server, with the constructor, the members and the events of the web's WebSocket. It needs a shard,
 * and closes with the runtime. The constructor throws a DOMException (SyntaxError) for a URL or a protocol that cannot
 * be, FEATHERSTAR_OPTION, and FEATHERSTAR_NO_SHARD in a thread that is no shard.
 *
 * @example
 * const socket = new WebSocket('ws://127.0.0.1:8080/', ['chat']);
 * socket.onmessage = ({ data }) => socket.send(data);
 */
export class WebSocket extends EventTarget {
  /** Of `readyState`: it connects. */
  static readonly CONNECTING = CONNECTING;
  /** Of `readyState`: messages go both ways. */
  static readonly OPEN = OPEN;
  /** Of `readyState`: it begins to close. */
  static readonly CLOSING = CLOSING;
  /** Of `readyState`: it is over. */
  static readonly CLOSED = ENDED;
  declare readonly CONNECTING: 0;
  declare readonly OPEN: 1;
  declare readonly CLOSING: 2;
  declare readonly CLOSED: 3;

  readonly #url: URL;
  readonly #aborter = new AbortController(); // of the handshake
  readonly #handlers = new Map<string, { fn: unknown; listener: (event: Event) => void }>();
  #connection: ClientConnection | undefined;
  #extensions = '';
  #binaryType: 'blob' | 'arraybuffer' = 'blob';
  #isClosing = false;
  #isClosed = false;
  #error: unknown; // of a failure
  #unsentBytes = 0; // of messages that the connection does not have: it was closed, or a Blob in front is read
  #reading: Promise<void> | undefined; // of Blobs

  /** `protocols`: the subprotocols that are offered, or options. */
  constructor(url: string | URL, protocols: string | Iterable<string> | WebSocketClientOptions = []) {
    super();
    this.#url = webSocketUrl(url);
    const settings = clientSettings(protocols);
    const shard = currentShard();
    checkHeader(shard.header);
    const request = new ClientRequest(this.#url, settings);
    const onOpen = (opened: Opened) => this.#onOpen(shard, settings, request.head.length, opened);
    openWebSocket(shard, this.#url, settings, request, onOpen, this.#aborter.signal).catch((error) => {
      this.#error = error;
      this.#onClosed(NO_CLOSE_FRAME, '');
    });
  }

  /** The URL of the server. */
  get url(): string {
    return this.#url.href;
  }

  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  get readyState(): 0 | 1 | 2 | 3 {
    if (this.#isClosed) return ENDED;
    if (this.#isClosing) return CLOSING;
    if (this.#connection === undefined) return CONNECTING;
    return this.#connection.readyState === OPEN ? OPEN : CLOSING;
  }

  /** Bytes of messages that wait to be sent, without their frames. It does not become less after the end. */
  get bufferedAmount(): number {
    return this.#unsentBytes + (this.#connection?.bufferedBytes ?? 0);
  }

  /** The subprotocol that the server has chosen, or ''. */
  get protocol(): string {
    return this.#connection?.protocol ?? '';
  }

  /** The extensions that the server has agreed to, or ''. */
  get extensions(): string {
    return this.#extensions;
  }

  /** Whether binary messages come as a 'blob', the default, or as an 'arraybuffer'. */
  get binaryType(): 'blob' | 'arraybuffer' {
    return this.#binaryType;
  }

  set binaryType(type: 'blob' | 'arraybuffer') {
    if (type === 'blob' || type === 'arraybuffer') this.#binaryType = type;
  }

  // --- events --------------------------------------------------------------------------------------------------------

  /** Called when it is open. */
  get onopen(): WebSocketHandler<'open'> {
    return this.#handler('open');
  }

  set onopen(fn: WebSocketHandler<'open'>) {
    this.#setHandler('open', fn);
  }

  /** Called for each message. */
  get onmessage(): WebSocketHandler<'message'> {
    return this.#handler('message');
  }

  set onmessage(fn: WebSocketHandler<'message'>) {
    this.#setHandler('message', fn);
  }

  /** Called if it has failed. */
  get onerror(): WebSocketHandler<'error'> {
    return this.#handler('error');
  }

  set onerror(fn: WebSocketHandler<'error'>) {
    this.#setHandler('error', fn);
  }

  /** Called when it is over. */
  get onclose(): WebSocketHandler<'close'> {
    return this.#handler('close');
  }

  set onclose(fn: WebSocketHandler<'close'>) {
    this.#setHandler('close', fn);
  }

  /** Calls `listener` for each event of that name. An error of `listener` is an uncaught exception of the process. */
  override addEventListener<Name extends keyof WebSocketEvents>(
    type: Name,
    listener: WebSocketListener<Name>,
    options?: boolean | { capture?: boolean; once?: boolean; passive?: boolean; signal?: AbortSignal },
  ): void {
    super.addEventListener(type, listener as never, options);
  }

  /** Takes a listener back. */
  override removeEventListener<Name extends keyof WebSocketEvents>(
    type: Name,
    listener: WebSocketListener<Name>,
    options?: boolean | { capture?: boolean },
  ): void {
    super.removeEventListener(type, listener as never, options);
  }

  #handler<Name extends keyof WebSocketEvents>(type: Name): WebSocketHandler<Name> {
    return (this.#handlers.get(type)?.fn ?? null) as WebSocketHandler<Name>;
  }

  /** A handler keeps its place among the listeners while it is replaced by another one. */
  #setHandler(type: string, fn: unknown): void {
    const entry = this.#handlers.get(type);
    if (typeof fn !== 'function') {
      this.#handlers.delete(type);
      if (entry !== undefined) super.removeEventListener(type, entry.listener);
    } else if (entry !== undefined) entry.fn = fn;
    else {
      const made = { fn: fn as unknown, listener: (event: Event) => run(this, made.fn, event) };
      this.#handlers.set(type, made);
      super.addEventListener(type, made.listener);
    }
  }

  #onOpen(shard: Shard, settings: ClientSettings, headBytes: number, opened: Opened): void {
    const { transport, frames, agreement, rest } = opened;
    const pieceScratch = shard.base + shard.header.scratchOffset + PIECE_SCRATCH;
    const place = { shard, transport, frames, pieceScratch };
    const connection = new ClientConnection(place, settings, agreement, headBytes, {
      onMessage: (payload) => this.#onMessage(payload),
      onFailure: (error) => {
        this.#error = error;
      },
      onClosed: (code, reason) => this.#onClosed(code, reason),
    });
    this.#connection = connection;
    this.#extensions = agreement.extensions;
    connection.begin(rest);
    this.dispatchEvent(new Event('open'));
  }

  #onMessage(payload: string | Uint8Array): void {
    const { protocol, host } = this.#url;
    const data = typeof payload === 'string' ? payload : this.#binary(payload);
    this.dispatchEvent(new MessageEvent('message', { data, origin: `${protocol}//${host}` }));
  }

  #binary(payload: Uint8Array): Blob | ArrayBuffer {
    if (this.#binaryType === 'blob') return new Blob([payload as Uint8Array<ArrayBuffer>]);
    const isOwn = payload.length === payload.buffer.byteLength;
    return (isOwn ? payload : new Uint8Array(payload)).buffer as ArrayBuffer;
  }

  /** Told behind the call of the program that has caused it. */
  #onClosed(code: number, reason: string): void {
    this.#isClosing = true;
    queueMicrotask(() => {
      this.#isClosed = true;
      const error = this.#error;
      if (error !== undefined) {
        const message = error instanceof Error ? error.message : String(error);
        this.dispatchEvent(new ErrorEvent('error', { error, message }));
      }
      this.dispatchEvent(new CloseEvent('close', { code, reason, wasClean: code !== NO_CLOSE_FRAME }));
    });
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  /**
   * Sends a message: text for a string, else binary. Bytes are copied. After the end it only raises `bufferedAmount`.
   * Throws a DOMException (InvalidStateError) while it connects. A connection of which more than `maxBacklogBytes` wait
   * fails with FEATHERSTAR_FULL.
   */
  send(data: string | WebSocketBytes | Blob): void {
    // biome-ignore lint/complexity/noArguments: send(undefined) sends the text 'undefined', and the length of send is 1
    if (arguments.length === 0) throw new TypeError('send() needs an argument: a string, bytes or a Blob');
    if (this.readyState === CONNECTING) {
      throw new DOMException('the WebSocket is not open yet: wait for the event open', 'InvalidStateError');
    }
    if (data instanceof Blob) this.#sendLater(data.arrayBuffer(), data.size);
    else {
      const message = isBytes(data) ? messageOf(data) : String(data);
      const bytes = typeof message === 'string' ? Buffer.byteLength(message) : message.length;
      if (this.#reading === undefined) this.#transmit(message, bytes);
      else this.#sendLater(typeof message === 'string' ? message : new Uint8Array(message), bytes);
    }
  }

  #transmit(message: string | Uint8Array, bytes: number): void {
    const connection = this.#connection;
    if (this.readyState === OPEN && connection !== undefined) connection.send(message, bytes);
    else this.#unsentBytes += bytes;
  }

  /** Behind the Blobs that are being read. */
  #sendLater(message: string | Uint8Array | Promise<ArrayBuffer>, bytes: number): void {
    this.#unsentBytes += bytes;
    if (this.readyState !== OPEN) return;
    this.#inOrder(async () => {
      const read = await message;
      if (this.#connection?.readyState !== OPEN) return; // the bytes stay unsent
      this.#unsentBytes -= bytes;
      this.#connection.send(read instanceof ArrayBuffer ? new Uint8Array(read) : read, bytes);
    });
  }

  #inOrder(step: () => void | Promise<void>): void {
    const reading = (this.#reading ?? Promise.resolve()).then(step).catch((error) => this.#fail(error));
    this.#reading = reading;
    void reading.then(() => {
      if (this.#reading === reading) this.#reading = undefined;
    });
  }

  /** A Blob could not be read. */
  #fail(error: unknown): void {
    this.#error = error;
    this.#connection?.destroy();
  }

  // --- the end -------------------------------------------------------------------------------------------------------

  /**
   * Begins to close: sends a close frame behind all messages, and waits `closeTimeoutMs` for that of the server. While
   * it connects, the attempt ends. `code`: 1000, or 3000 to 4999; by default the frame has none. `reason`: at most 123
   * bytes. Throws a DOMException: InvalidAccessError for another code, SyntaxError for a longer reason.
   */
  close(code?: number, reason?: string): void {
    const given = code === undefined ? undefined : clamped(code);
    if (given !== undefined && given !== NORMAL && (given < 3000 || given > 4999)) {
      throw new DOMException(`code must be 1000, or 3000 to 4999, got ${code}`, 'InvalidAccessError');
    }
    const text = Buffer.from(reason === undefined ? '' : String(reason));
    if (text.length > REASON_BYTES_MAX) throw syntaxError(`reason must be of at most ${REASON_BYTES_MAX} bytes`);
    const state = this.readyState;
    if (state !== CONNECTING && state !== OPEN) return;
    if (state === CONNECTING) {
      this.#isClosing = true;
      this.#aborter.abort(new FeatherstarError('FEATHERSTAR_CLOSED', 'close() was called before it was open'));
      return;
    }
    const sent = given ?? (text.length === 0 ? NO_CODE : NORMAL);
    if (this.#reading === undefined) this.#connection?.close(sent, text);
    else {
      this.#isClosing = true;
      this.#inOrder(() => this.#connection?.close(sent, text));
    }
  }
}

for (const [name, value] of Object.entries({ CONNECTING, OPEN, CLOSING, CLOSED: ENDED })) {
  Object.defineProperty(WebSocket.prototype, name, { value, enumerable: true });
}

function run(socket: WebSocket, handler: unknown, event: Event): void {
  (handler as (this: WebSocket, event: Event) => unknown).call(socket, event);
}

function isBytes(data: unknown): data is WebSocketBytes {
  return ArrayBuffer.isView(data) || data instanceof ArrayBuffer || data instanceof SharedArrayBuffer;
}

/** A number as the standard's `[Clamp] unsigned short`. */
function clamped(code: unknown): number {
  const number = Number(code);
  return Number.isNaN(number) ? 0 : Math.round(Math.min(Math.max(number, 0), 65_535));
}
