// Uses each part of a runtime once: what does it do when its tables are as small, or as large, as they can be?

import { fileURLToPath } from 'node:url';
import { FeatherstarError, sleep, spawn } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { Response, serve } from 'featherstar/http';
import { connect, listen, UdpSocket } from 'featherstar/net';
import { Client, get, post, within } from './http.js';

const HERE = '127.0.0.1';
const PART_MS = 10_000;
const SHORT = 'short';
const LONG = 'long '.repeat(20_000);
const FOLDER = fileURLToPath(new URL('.', import.meta.url));

function equal(what, got, wanted) {
  if (got !== wanted) throw new Error(`${what}: ${String(got).slice(0, 40)}, and not ${wanted.slice(0, 40)}`);
}

/** They run on a shard of a runtime of two, whose module exports echo(). */
const PARTS = {
  async task() {
    equal('a task', await spawn(() => SHORT), SHORT);
  },
  async timer() {
    await sleep(1);
  },
  async call(runtime) {
    equal('a call', await runtime.on(1 - runtime.self).echo(SHORT), SHORT);
  },
  async longCall(runtime) {
    equal('a long call', await runtime.on(1 - runtime.self).echo(LONG), LONG);
  },
  async http() {
    const fetch = async (request) => new Response(request.method === 'POST' ? await request.text() : SHORT);
    const server = await serve({ hostname: HERE, fetch });
    try {
      const client = await Client.open(server.port); // one connection: there may be a place for one only
      equal('GET', (await client.ask(get())).text, SHORT);
      equal('POST', (await client.ask(post('/', LONG))).text, LONG);
      client.destroy();
    } finally {
      await server.close({ timeoutMs: 1000 });
    }
  },
  async tcp() {
    const listener = await listen({ hostname: HERE });
    const accepting = listener.accept().then(async (socket) => {
      try {
        for await (const bytes of socket) await socket.write(bytes);
        await socket.end();
      } catch (error) {
        socket.close();
        throw error;
      }
    });
    accepting.catch(() => {}); // it is looked at behind the client
    try {
      const socket = await connect({ hostname: HERE, port: listener.port });
      const writing = socket.write(LONG).then(() => socket.end());
      writing.catch(() => {});
      let text = '';
      for await (const bytes of socket) text += Buffer.from(bytes).toString('latin1');
      equal('TCP', text, LONG);
      await writing;
      await accepting;
    } finally {
      listener.close();
    }
  },
  async udp() {
    const a = await UdpSocket.bind({ hostname: HERE });
    const b = await UdpSocket.bind({ hostname: HERE });
    try {
      const text = SHORT.slice(0, a.maxBytes);
      await a.send(text, { hostname: HERE, port: b.port });
      equal('UDP', Buffer.from((await b.receive()).bytes).toString(), text);
    } finally {
      a.close();
      b.close();
    }
  },
  async file() {
    const folder = await openDirectory(FOLDER);
    try {
      equal(
        'a file',
        Buffer.from(await folder.readFile('words.js'))
          .toString()
          .slice(0, 2),
        '//',
      );
    } finally {
      await folder.close();
    }
  },
};

/** Resolves to the outcome of each part: 'works', a code of FeatherstarError, or a text that begins with 'BAD'. */
export async function useParts(runtime) {
  const outcomes = {};
  for (const [name, use] of Object.entries(PARTS)) {
    try {
      await within(use(runtime), name, PART_MS);
      outcomes[name] = 'works';
    } catch (error) {
      outcomes[name] = FeatherstarError.is(error) ? error.code : `BAD ${error?.cause?.message ?? error?.stack}`;
    }
  }
  return outcomes;
}
