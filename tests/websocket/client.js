// A WebSocket client that does what it is told, frame by frame. It checks the frames of the server: they are not
// masked, and their lengths are minimal.

import { randomBytes } from 'node:crypto';
import { Client } from '../support/http.js';
import { frame } from './frame.js';

export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** A handshake. `fields` replaces header fields; undefined takes one out. */
export function handshake(fields = {}, start = 'GET / HTTP/1.1') {
  const all = {
    Host: 'x',
    Upgrade: 'websocket',
    Connection: 'Upgrade',
    'Sec-WebSocket-Key': KEY,
    'Sec-WebSocket-Version': '13',
    ...fields,
  };
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : `${name}: ${value}\r\n`));
  return `${start}\r\n${lines.join('')}\r\n`;
}

export class WebSocketClient {
  /** The response to the handshake. */
  response;
  #client;

  constructor(client, response) {
    this.#client = client;
    this.response = response;
  }

  /** `behind`: bytes that are sent together with the handshake. */
  static async open(port, { fields, path = '/', behind = [], paused = false } = {}) {
    const client = await Client.open(Number(port));
    await client.write(Buffer.concat([Buffer.from(handshake(fields, `GET ${path} HTTP/1.1`)), ...behind]));
    const response = await client.response();
    if (response.status !== 101) throw new Error(`the handshake was refused with ${response.status}`);
    if (paused) client.pause();
    return new WebSocketClient(client, response);
  }

  /** The connection below. */
  get raw() {
    return this.#client;
  }

  send(options) {
    return this.#client.write(frame({ mask: [...randomBytes(4)], ...options }));
  }

  text(text) {
    return this.send({ opcode: 1, payload: text });
  }

  close(code, reason = '') {
    const head = code === undefined ? [] : [code >> 8, code & 255];
    return this.send({ opcode: 8, payload: Buffer.concat([Buffer.from(head), Buffer.from(reason)]) });
  }

  /** The next frame: { opcode, payload, fin, rsv }. */
  async next() {
    const [first, second] = await this.#client.take(2, 'a frame');
    if (second > 127) throw new Error('a server masks no frame');
    let length = second;
    if (second === 126) length = (await this.#client.take(2)).readUInt16BE();
    if (second === 127) length = Number((await this.#client.take(8)).readBigUInt64BE());
    if ((second === 126 && length < 126) || (second === 127 && length < 65_536))
      throw new Error('a length is too long');
    const payload = Buffer.from(await this.#client.take(length));
    return { opcode: first & 15, payload, fin: first >> 7, rsv: (first >> 4) & 7 };
  }

  /** The next frame as [opcode, text]. */
  async nextText() {
    const { opcode, payload } = await this.next();
    return [opcode, payload.toString()];
  }

  /** The next frame, which is a close: [code, reason]. Then the server ends the connection. */
  async nextClose() {
    const { opcode, payload } = await this.next();
    if (opcode !== 8) throw new Error(`opcode ${opcode}, not a close`);
    return payload.length === 0 ? [1005, ''] : [payload.readUInt16BE(), payload.subarray(2).toString()];
  }

  /** Waits until the server has ended the connection. Returns what came before. */
  ended() {
    return this.#client.rest();
  }

  destroy() {
    this.#client.destroy();
  }
}
