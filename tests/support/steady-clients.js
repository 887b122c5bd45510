// Clients that never stop asking while servers come and go. Each keeps its connection, and leaves it when a response
// says `Connection: close`. A request without a whole response is a failure: none of them asks twice.
//
//   Load.start(port, kinds) --> load.sent, load.failures --> load.stop()

import { Agent, get } from 'node:http';
import { connect } from 'node:net';

const HEAD_END = '\r\n\r\n';

/** A function that sends one request after the other on a raw socket, and resolves to each response's body. */
function rawClient(port, headers = '') {
  let socket;
  let onChunk;
  let text = '';
  const open = () =>
    new Promise((resolve, reject) => {
      const fresh = connect({ port, host: '127.0.0.1', noDelay: true }, () => resolve(fresh));
      fresh.once('error', reject);
      fresh.setEncoding('latin1');
      fresh.on('data', (chunk) => {
        text += chunk;
        onChunk?.();
      });
      fresh.on('close', () => {
        if (socket === fresh) socket = undefined; // the server has told while nothing was asked: no failure
        onChunk?.();
      });
    });
  return async () => {
    if (socket === undefined || socket.readableEnded) socket = await open();
    const own = socket;
    text = '';
    own.write(`GET / HTTP/1.1\r\nHost: test\r\n${headers}\r\n`);
    for (;;) {
      const end = text.indexOf(HEAD_END);
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
      if (end >= 0 && text.length >= end + HEAD_END.length + length) break;
      if (own.destroyed) throw new Error(`the connection closed after ${text.length} bytes of a response`);
      await new Promise((resolve) => {
        onChunk = resolve;
      });
    }
    if (/\r\nconnection: close\r\n/i.test(text)) {
      socket = undefined;
      own.destroy();
    }
    if (!text.startsWith('HTTP/1.1 200')) throw new Error(text.split('\r\n', 1)[0]);
    return text.slice(text.indexOf(HEAD_END) + HEAD_END.length);
  };
}

function agentClient(port) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return () =>
    new Promise((resolve, reject) => {
      get({ port, host: '127.0.0.1', agent }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk) => {
          text += chunk;
        });
        response.on('end', () =>
          response.statusCode === 200 ? resolve(text) : reject(new Error(response.statusCode)),
        );
        response.on('error', reject);
      }).on('error', reject);
    });
}

/** undici, which Node has built in. Its connections are one pool for all of these. */
function fetchClient(port) {
  return async () => {
    const response = await fetch(`http://127.0.0.1:${port}/`);
    if (response.status !== 200) throw new Error(response.status);
    return response.text();
  };
}

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const KINDS = {
  raw: (port) => rawClient(port),
  agent: agentClient,
  fetch: fetchClient,
  /** A connection for each request. */
  fresh: (port) => rawClient(port, 'Connection: close\r\n'),
  /** Thinks for a while between two requests. */
  slow: (port) => {
    const ask = rawClient(port);
    return async () => {
      await later(Math.random() * 60);
      return ask();
    };
  },
};

export class Load {
  sent = 0;
  /** What went wrong, with the kind of the client. */
  failures = [];
  /** The responses by their text. */
  counts = {};
  /** The longest time that a request took. */
  longestMs = 0;
  #isOver = false;
  #clients;

  /** `kinds`: how many clients of each kind. */
  constructor(port, kinds) {
    this.#clients = Object.entries(kinds).flatMap(([kind, count]) =>
      Array.from({ length: count }, () => this.#run(kind, KINDS[kind](port))),
    );
  }

  async #run(kind, ask) {
    while (!this.#isOver) {
      const beganMs = performance.now();
      this.sent++;
      try {
        const text = await ask();
        this.counts[text] = (this.counts[text] ?? 0) + 1;
      } catch (error) {
        this.failures.push(`${kind}: ${error.cause ?? error}`);
      }
      this.longestMs = Math.max(this.longestMs, performance.now() - beganMs);
    }
  }

  async stop() {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }
}
