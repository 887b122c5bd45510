// A WebSocket server that does what it is told: a test writes its responses and frames, byte by byte.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { frame } from './frame.js';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** A 101 for a request. `fields` replaces header fields; undefined takes one out. */
export function agreement(request, fields = {}, start = 'HTTP/1.1 101 Switching Protocols') {
  const [, key] = /^sec-websocket-key: (.*)\r$/im.exec(request);
  const all = {
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Accept': createHash('sha1').update(`${key}${GUID}`).digest('base64'),
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : `${name}: ${value}\r\n`));
  return `${start}\r\n${lines.join('')}\r\n`;
}

/** A frame of a server. */
export const serverFrame = (options) => frame({ mask: null, ...options });

/** The payload of a close frame. */
export const closePayload = (code, reason = '') =>
  Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);

/** One connection. Frames of the client are checked: they are masked, and the masks differ. */
export class RoguePeer {
  request;
  socket;
  hasEnded = false; // the client has ended its side
  #bytes = Buffer.alloc(0);
  #masks = new Set();
  #wake = () => {};

  constructor(socket) {
    this.socket = socket;
    socket.on('error', () => {}); // a client may reset what a rogue sends
    socket.on('data', (bytes) => {
      this.#bytes = Buffer.concat([this.#bytes, bytes]);
      this.#wake();
    });
    const end = () => {
      this.hasEnded = true;
      this.#wake();
    };
    socket.on('end', end).on('close', end);
  }

  async take(count) {
    while (this.#bytes.length < count) {
      if (this.hasEnded) throw new Error('the client has ended');
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  /** Waits for the end of the client. */
  async ended() {
    while (!this.hasEnded) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async readRequest() {
    let text = '';
    while (!text.endsWith('\r\n\r\n')) text += (await this.take(1)).toString('latin1');
    this.request = text;
    return text;
  }

  /** Agrees. */
  async open(fields) {
    this.socket.write(agreement(await this.readRequest(), fields));
  }

  send(options) {
    this.socket.write(serverFrame(options));
  }

  /** The next frame of the client: { opcode, payload, fin, rsv }. */
  async next() {
    const [first, second] = await this.take(2);
    if (second < 128) throw new Error('a client masks each frame');
    let length = second & 127;
    if (length === 126) length = (await this.take(2)).readUInt16BE();
    else if (length === 127) length = Number((await this.take(8)).readBigUInt64BE());
    const mask = Buffer.from(await this.take(4));
    if (this.#masks.has(mask.readUInt32BE())) throw new Error('a mask came twice');
    this.#masks.add(mask.readUInt32BE());
    const payload = Buffer.from(await this.take(length));
    for (let i = 0; i < length; i++) payload[i] ^= mask[i & 3];
    return { opcode: first & 15, payload, fin: first >> 7, rsv: (first >> 4) & 7 };
  }
}

/** A server whose connections are `serve(peer)`. Returns { url, close }. */
export async function rogueServer(serve) {
  const sockets = new Set();
  const failures = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    serve(new RoguePeer(socket)).catch((error) => failures.push(error));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `ws://127.0.0.1:${server.address().port}/`,
    failures,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
