// The HTTP of the live mode's clients: they write a request in any cutting, and read a response to its end.

import { draw, pause } from './ledger.js';

export class Refused extends Error {}

/** The text of a request. `body`: sent with its length, or in chunks of `chunkBytes`. */
export function requestText(method, path, body = '', chunkBytes = 0, fields = '') {
  const head = `${method} ${path} HTTP/1.1\r\nHost: live.test\r\n${fields}`;
  if (method === 'GET') return `${head}\r\n`;
  if (chunkBytes === 0) return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  let text = `${head}Transfer-Encoding: chunked\r\n\r\n`;
  for (let at = 0; at < body.length; at += chunkBytes) {
    const chunk = body.slice(at, at + chunkBytes);
    text += `${chunk.length.toString(16)}\r\n${chunk}\r\n`;
  }
  return `${text}0\r\n\r\n`;
}

/** Writes a text in pieces, now and then with a pause between two. */
export async function dribble(client, text, pieces) {
  const bytes = Math.max(1, Math.ceil(text.length / pieces));
  for (let at = 0; at < text.length; at += bytes) {
    await client.write(text.slice(at, at + bytes));
    if (draw(3) === 0) await pause(draw(4));
  }
}

/** Reads responses off one connection, each to its end. */
export class Reader {
  #client;
  #text = '';
  #ended = false;

  constructor(client) {
    this.#client = client;
  }

  async #more() {
    const bytes = this.#ended ? null : await this.#client.read();
    if (bytes === null) this.#ended = true;
    else this.#text += Buffer.from(bytes).toString('latin1');
    return !this.#ended;
  }

  async #until(mark) {
    for (;;) {
      const at = this.#text.indexOf(mark);
      if (at >= 0) return this.#take(at + mark.length);
      if (!(await this.#more())) throw new Refused(`the connection ended after ${JSON.stringify(this.#text)}`);
    }
  }

  async #bytes(count) {
    while (this.#text.length < count) {
      if (!(await this.#more())) throw new Refused(`the connection ended in a body`);
    }
    return this.#take(count);
  }

  #take(count) {
    const taken = this.#text.slice(0, count);
    this.#text = this.#text.slice(count);
    return taken;
  }

  async head() {
    const head = await this.#until('\r\n\r\n');
    const status = Number(/^HTTP\/1\.1 (\d\d\d) /.exec(head)?.[1]);
    if (!(status >= 100)) throw new Error(`no response: ${JSON.stringify(head)}`);
    return { status, head };
  }

  async response() {
    const { status, head } = await this.head();
    const length = /^content-length: (\d+)\r$/im.exec(head)?.[1];
    if (length !== undefined) return { status, body: await this.#bytes(Number(length)) };
    if (!/^transfer-encoding: chunked\r$/im.test(head)) throw new Error(`a response without a length: ${head}`);
    let body = '';
    for (;;) {
      const bytes = Number.parseInt(await this.#until('\r\n'), 16);
      body += await this.#bytes(bytes);
      await this.#until('\r\n');
      if (bytes === 0) return { status, body };
    }
  }
}
