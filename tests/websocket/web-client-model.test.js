// A random model of WebSockets: clients and the server send messages of every kind and length, and either side closes
// behind its last one. Each side gets a beginning of what the other has sent, in order, and all of it if only the other
// has closed. The events come in the standard's order, once each.

import { sleep } from 'featherstar';
import { serve, WebSocket } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { randomFrom, SEED } from '../http/random.js';
import { hosts, oneShardSuite } from '../support/hosts.js';
import { until, within } from '../support/http.js';
import { cert, key } from '../support/tls.js';

const RUNS = 6;
const CLIENTS_MAX = 6;
const MESSAGES_MAX = 30;
const LENGTHS = [0, 1, 125, 126, 1023, 1024, 4096, 65_535, 65_536, 300_000];
const LIMITS = { maxBacklogBytes: 100_000_000 };

/** Tells one message from another. */
const shown = (data) =>
  typeof data === 'string'
    ? `text ${data.length} ${data.slice(0, 12)}`
    : `bytes ${shown(Buffer.from(data).toString())}`;

class Conversation {
  constructor(random) {
    this.random = random;
    this.closers = [['client'], ['server'], ['client', 'server']][random(3)];
    this.closed = []; // sides that have called close()
    this.sent = { client: [], server: [] };
    this.got = { client: [], server: [] };
    this.events = [];
    this.serverEnds = [];
  }

  message(number) {
    const text = `${number}:${'abcdefghij'.repeat(30_000)}`.slice(0, LENGTHS[this.random(LENGTHS.length)]);
    return this.random(2) === 0 ? text : new Uint8Array(Buffer.from(text));
  }

  /** Both sides have readyState, send() and close(). */
  async talk(side, socket) {
    const { random } = this;
    for (let i = random(MESSAGES_MAX); i > 0 && socket.readyState === WebSocket.OPEN; i--) {
      const message = this.message(i);
      const isBlob = side === 'client' && typeof message !== 'string' && random(3) === 0;
      socket.send(isBlob ? new Blob([message]) : message);
      this.sent[side].push(shown(message));
      if (random(3) === 0) await sleep(random(2));
    }
    if (socket.readyState !== WebSocket.OPEN || !this.closers.includes(side)) return;
    this.closed.push(side);
    socket.close(side === 'client' ? 4000 : 4001, side);
  }

  async connect(url, perMessageDeflate) {
    const socket = new WebSocket(url, { ...LIMITS, tls: { ca: cert }, perMessageDeflate });
    socket.binaryType = 'arraybuffer';
    for (const type of ['open', 'error', 'close']) socket.addEventListener(type, () => this.events.push(type));
    socket.onmessage = ({ data }) => this.got.client.push(shown(data));
    const closed = new Promise((resolve) => {
      socket.onclose = resolve;
    });
    socket.onopen = () => void this.talk('client', socket);
    const { code, reason, wasClean } = await within(closed, 'the event close');
    await until(() => this.serverEnds.length === 1, 'the server is told');
    assert.equal([this.events, wasClean], [['open', 'close'], true]);
    const [closer, other] = this.closed;
    if (other === undefined && closer === 'client') assert.equal(this.serverEnds, [[4000, 'client']]);
    if (other === undefined && closer === 'server') assert.equal([code, reason], [4001, 'server']);
    this.compare('client', 'server');
    this.compare('server', 'client');
  }

  compare(from, to) {
    const { sent, got, closed } = this;
    assert.equal(got[to], sent[from].slice(0, got[to].length));
    if (!closed.includes(to)) assert.is(got[to].length, sent[from].length);
  }
}

async function runConversations(seed, isSecure) {
  const random = randomFrom(seed);
  const conversations = Array.from({ length: 1 + random(CLIENTS_MAX) }, () => new Conversation(random));
  const server = await serve({
    hostname: '127.0.0.1',
    tls: isSecure ? { key, cert } : undefined,
    fetch: ({ url }, info) => info.upgrade({ data: conversations[Number(new URL(url).pathname.slice(1))] }),
    websocket: {
      ...LIMITS,
      perMessageDeflate: random(2) === 0,
      open: (ws) => void ws.data.talk('server', ws),
      message(ws, data) {
        ws.data.got.server.push(shown(data));
        return random(4) === 0 ? sleep(random(2)) : undefined;
      },
      close: (ws, code, reason) => ws.data.serverEnds.push([code, reason]),
    },
  });
  try {
    const base = `${isSecure ? 'wss' : 'ws'}://127.0.0.1:${server.port}/`;
    await Promise.all(conversations.map((each, i) => each.connect(`${base}${i}`, random(2) === 0)));
  } catch (error) {
    console.error(`FEATHERSTAR_SEED=${seed} may repeat this`);
    throw error;
  } finally {
    await server.close();
  }
}

for (const host of hosts()) {
  const { check, run } = oneShardSuite('a model of WebSockets', host);
  for (const isSecure of [false, true])
    check(isSecure ? 'wss' : 'ws', async () => {
      const count = process.env.FEATHERSTAR_SEED === undefined ? RUNS : 1;
      for (let i = 0; i < count; i++) await runConversations(SEED + i, isSecure);
    });
  run();
}
