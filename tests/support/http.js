// An HTTP client that does what it is told, byte by byte, and checks how responses are framed. It is a plain socket: no
// agent, no retries, so what a test sends is what the server gets.
//
// Every wait has a deadline, so that a server that does not answer fails the test that waits, not the whole file.

import { connect } from 'node:net';

const DEADLINE_MS = 15_000;

/** `promise`, or a rejection that says what was waited for. */
export async function within(promise, what, ms = DEADLINE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Waits until `condition()` holds. */
export async function until(condition, what, ms = DEADLINE_MS) {
  const deadline = performance.now() + ms;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export class Client {
  /** How the connection ended: undefined while it has not, 'end', or an error's code. */
  ending;
  /** Bytes that came. */
  received = 0;
  #socket;
  #chunks = []; // came, and are joined when they are read
  #bytes = Buffer.alloc(0);
  #taken = 0;
  #wake;

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.received += chunk.length;
      this.#chunks.push(chunk);
      this.#wake?.();
    });
    socket.on('end', () => this.#finish('end'));
    socket.on('error', (error) => this.#finish(error.code));
    socket.on('close', () => this.#finish('close'));
  }

  /** `where`: a port, or what node:net connects to. `paused`: does not read before resume(). */
  static async open(where, { paused = false } = {}) {
    const options = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : where;
    const socket = connect({ allowHalfOpen: true, noDelay: true, ...options });
    await within(
      new Promise((resolve, reject) => {
        socket.once('connect', resolve);
        socket.once('error', reject);
      }),
      'connect',
    );
    const client = new Client(socket);
    if (paused) socket.pause();
    return client;
  }

  #finish(how) {
    this.ending ??= how;
    this.#wake?.();
  }

  /** Resolves when the kernel has all of it. */
  write(bytes) {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
  }

  end() {
    this.#socket.end();
  }

  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  reset() {
    this.#socket.resetAndDestroy();
  }

  destroy() {
    this.#socket.destroy();
  }

  /** Bytes that came and were not taken. */
  get pending() {
    if (this.#chunks.length !== 0) this.#bytes = Buffer.concat([this.#bytes, ...this.#chunks.splice(0)]);
    return this.#bytes;
  }

  async #more(what) {
    if (this.ending !== undefined) throw new Error(`${what}: the connection ended (${this.ending}) too early`);
    const news = new Promise((resolve) => {
      this.#wake = resolve;
    });
    await within(news, what);
  }

  /** The next `count` bytes. */
  async take(count, what = `${count} bytes`) {
    while (this.received - this.#taken < count) await this.#more(what);
    const taken = this.pending.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    this.#taken += count;
    return taken;
  }

  async #line(what) {
    let stop = this.pending.indexOf('\r\n');
    while (stop < 0) {
      await this.#more(what);
      stop = this.pending.indexOf('\r\n');
    }
    return (await this.take(stop + 2)).latin1Slice(0, stop);
  }

  /** Waits for the connection's end. Returns what came before it. */
  async rest() {
    while (this.ending === undefined) await this.#more('the end of the connection').catch(rethrowLate);
    return this.take(this.received - this.#taken);
  }

  /** One answer. `isHead`: to a HEAD request. */
  async response({ isHead = false } = {}) {
    const [, version, status, statusText] = /^HTTP\/(1\.[01]) (\d{3}) (.*)$/.exec(await this.#line('a status line'));
    const headers = {};
    for (let line = await this.#line('a header'); line !== ''; line = await this.#line('a header')) {
      const [, name, value] = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+): (.*)$/.exec(line);
      const key = name.toLowerCase();
      if (key === 'set-cookie') headers[key] = [...(headers[key] ?? []), value];
      else headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
    }
    const response = { version, status: Number(status), statusText, headers, chunks: undefined, body: Buffer.alloc(0) };
    if (isHead || response.status < 200 || response.status === 204 || response.status === 304) return response;
    if (headers['transfer-encoding'] === 'chunked') {
      response.chunks = await this.#chunkedBody();
      response.body = Buffer.concat(response.chunks);
    } else if ('content-length' in headers)
      response.body = await this.take(Number(headers['content-length']), 'a body');
    else response.body = await this.rest();
    response.text = response.body.toString();
    return response;
  }

  async #chunkedBody() {
    const chunks = [];
    for (;;) {
      const size = Number.parseInt(await this.#line('a chunk size'), 16);
      if (size !== 0) chunks.push(await this.take(size, 'a chunk'));
      if ((await this.#line('the end of a chunk')) !== '') throw new Error('a chunk is longer than it says');
      if (size === 0) return chunks;
    }
  }

  /** Writes a request and takes its answer. */
  async ask(bytes, options) {
    void this.write(bytes);
    return this.response(options);
  }
}

function rethrowLate(error) {
  if (/within/.test(error.message)) throw error;
}

/** One request on a connection of its own. Returns the answer. */
export async function ask(where, bytes, options) {
  const client = await Client.open(where);
  try {
    return await client.ask(bytes, options);
  } finally {
    client.destroy();
  }
}

export const get = (path = '/', headers = '') => `GET ${path} HTTP/1.1\r\nHost: test\r\n${headers}\r\n`;

export function post(path, body, headers = '') {
  const length = Buffer.byteLength(body);
  return Buffer.concat([
    Buffer.from(`POST ${path} HTTP/1.1\r\nHost: test\r\n${headers}Content-Length: ${length}\r\n\r\n`, 'latin1'),
    Buffer.from(body),
  ]);
}
