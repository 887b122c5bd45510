// A connection that another shard keeps (homes.ts), and what shards ask of each other about connections. A proxy's read
// and write are a request each (ask.ts: they may take long); a write longer than PIECE_BYTES is several, in order.

import { abortable, type WaitOptions, withDeadline } from '../base/abortable.js';
import { optionError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
import type { Calls } from '../calls/call.js';
import type { NetAddress } from '../hosts/host.js';
import { ask } from '../services/ask.js';
import { currentShard, type Shard } from '../shard/shard.js';
import { type CarriedState, Connection } from './connection.js';
import { forget, keepFor, kept } from './homes.js';
import { readAndFill } from './read-into.js';
import {
  addressesOf,
  type ConnectionAddresses,
  readIsOpen,
  type SocketTransport,
  serveSocket,
  socketClosed,
} from './socket.js';

const PIECE_BYTES = 262_144;

class RemoteConnection implements SocketTransport {
  readonly isProxy = true;
  readonly remote: NetAddress | undefined;
  readonly local: NetAddress | undefined;
  readonly #shard: Shard;
  readonly #home: number;
  readonly #id: number;
  #reading: Promise<Uint8Array | null> | undefined; // goes on when its reader has gone; the next one gets it
  #unread: Uint8Array | undefined; // comes before that
  #isReading = false;
  #written: Promise<void> = Promise.resolve();
  #finishing = false;
  #closed = false;
  #closing: AbortController | undefined;
  #onClosed: (error: unknown) => void = () => {};
  readonly #whenClosed = new Promise<never>((_, reject) => {
    this.#onClosed = reject;
  });

  constructor(shard: Shard, home: number, id: number, { remote, local }: ConnectionAddresses) {
    this.#shard = shard;
    this.remote = remote;
    this.local = local;
    this.#home = home;
    this.#id = id;
    this.#whenClosed.catch(() => {}); // each waiting caller learns it from its own promise
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  get isReading(): boolean {
    return this.#isReading;
  }

  get closing(): AbortSignal {
    this.#closing ??= new AbortController();
    return this.#closing.signal;
  }

  #ask(name: string, ...args: unknown[]): Promise<unknown> {
    return ask(this.#shard, this.#home, 'net', name, this.#id, ...args);
  }

  async read(options: WaitOptions = {}): Promise<Uint8Array | null> {
    checkWait(options);
    if (this.#closed) throw socketClosed();
    if (this.#isReading) throw readIsOpen();
    if (this.#unread !== undefined) {
      const bytes = this.#unread;
      this.#unread = undefined;
      return bytes;
    }
    this.#isReading = true;
    this.#reading ??= this.#ask('read') as Promise<Uint8Array | null>;
    const reading = this.#reading;
    try {
      return await withDeadline(options, async (signal) => {
        try {
          const bytes = await abortable(Promise.race([reading, this.#whenClosed]), { signal });
          this.#reading = undefined;
          return bytes;
        } catch (error) {
          if (signal?.aborted)
            reading.catch(() => {}); // the next read gets it, or its error
          else this.#reading = undefined;
          throw error;
        }
      });
    } finally {
      this.#isReading = false;
    }
  }

  readInto(into: Uint8Array, options?: WaitOptions): Promise<number | null> {
    return readAndFill(this, into, options);
  }

  unread(bytes: Uint8Array): void {
    this.#unread = bytes;
  }

  async write(bytes: Uint8Array | string, options: WaitOptions = {}): Promise<void> {
    checkWait(options);
    if (this.#closed || this.#finishing) throw socketClosed();
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes;
    if (!(data instanceof Uint8Array)) throw optionError('bytes', bytes, 'a string or a Uint8Array');
    if (data.length === 0) return;
    const copy = typeof bytes === 'string' ? data : new Uint8Array(data); // callers may use theirs again
    const sent = this.#written.then(async () => {
      for (let at = 0; at < copy.length; at += PIECE_BYTES)
        await this.#ask('write', copy.subarray(at, at + PIECE_BYTES));
    });
    this.#written = sent.catch(() => {}); // who writes next is told by its own call
    await abortable(Promise.race([sent, this.#whenClosed]), options);
  }

  async end(): Promise<void> {
    if (this.#closed || this.#finishing) return;
    this.#finishing = true;
    await this.#written;
    await this.#ask('end');
  }

  close(): void {
    if (this.#closed) return;
    this.#end();
    if (!this.#shard.closed) this.#ask('close').catch(() => {}); // its home is gone, and the connection with it
  }

  async handOver(peer: number, name: string, args: unknown[]): Promise<void> {
    if (this.#finishing) throw socketClosed();
    await this.#written;
    await this.#ask('forward', peer, name, args, this.#unread);
    this.#end(); // at home it goes on for another caller
  }

  /** It is closed on this shard. */
  #end(): void {
    this.#closed = true;
    this.#onClosed(socketClosed());
    this.#closing?.abort(socketClosed());
  }
}

/** A refusal is an answer, so that the caller knows: whatever it gets as an error has not arrived here. */
function serveOrClose(via: SocketTransport, name: string, args: unknown[]): unknown {
  try {
    serveSocket(via, name, args);
    return undefined;
  } catch (error) {
    via.close();
    return error;
  }
}

/** A file that a peer has put into a slot of this shard's ring. */
function adopt(slot: number, carried: CarriedState, name: string, args: unknown[]): unknown {
  return serveOrClose(new Connection(currentShard(), slot, carried), name, args);
}

const isThere = () => true;

function drop(slot: number): void {
  currentShard().closeFile(slot);
}

function adoptProxy(home: number, id: number, addresses: ConnectionAddresses, name: string, args: unknown[]): unknown {
  return serveOrClose(new RemoteConnection(currentShard(), home, id, addresses), name, args);
}

const read = (id: number) => kept(currentShard(), id).read();
const write = (id: number, bytes: Uint8Array) => kept(currentShard(), id).write(bytes);
const end = (id: number) => kept(currentShard(), id).end();
const close = (id: number) => forget(currentShard(), id)?.close();

/** A proxy's shard hands on: to a third one, or home. */
async function forward(
  id: number,
  peer: number,
  name: string,
  args: unknown[],
  unread: Uint8Array | undefined,
): Promise<void> {
  const shard = currentShard();
  const via = kept(shard, id);
  if (via.isReading) throw readIsOpen();
  if (unread !== undefined) via.unread(unread);
  forget(shard, id);
  if (peer === shard.index) {
    const refusal = serveOrClose(via, name, args);
    if (refusal !== undefined) throw refusal;
    return;
  }
  const calls = shard.calls as Calls;
  await keepFor(shard, via, peer, (next) =>
    calls.callInternal(peer, 'net', 'adoptProxy', shard.index, next, addressesOf(via), name, args),
  );
}

export const internal = { adopt, drop, isThere, adoptProxy, read, write, end, close, forward };
