// Clients that leave, stall or lie, at each state of a connection. The states are before a head, in it, in a body,
// while a handler runs, while a response is streamed, and after the last response.

import { dial } from './clients.js';
import { dribble, Reader, requestText } from './http.js';
import { chance, draw, drawn, ledger, pause, sometimes } from './ledger.js';

const DIAL_MS = 1000;
const UPLOAD = 'u'.repeat(30_000);

/** How a client comes to a state. `ends`: a silent client does not stay there for ever, as a time limit ends it. */
export const CONNECTION_STATES = {
  'before the head': { come: async () => {}, ends: true },
  'in the head': { come: (client) => client.write('GET /fast HTTP/1.1\r\nHost: li'), ends: true },
  'in a head that dribbles': {
    come: (client) => dribble(client, `GET /fast HTTP/1.1\r\nHost: l\r\nX-Long: ${'h'.repeat(300)}`, 60),
    ends: true,
  },
  'in a body': { come: (client) => client.write(requestText('POST', '/echo', UPLOAD).slice(0, 9000)), ends: true },
  'in a chunked body': {
    come: (client) => dribble(client, requestText('POST', '/echo', UPLOAD, 700).slice(0, 9000), 5),
    ends: true,
  },
  'in a body of one-byte chunks': {
    come: (client) => client.write(requestText('POST', '/late', UPLOAD.slice(0, 3000), 1).slice(0, -3)),
    ends: true,
  },
  'while handling': { come: (client) => client.write(requestText('GET', '/never')), ends: false },
  'while a poll waits': { come: (client) => client.write(requestText('GET', '/poll')), ends: true },
  'while calls run': { come: (client) => client.write(requestText('GET', '/call')), ends: true },
  'while handling, others pipelined': {
    come: (client) => client.write(requestText('GET', '/never') + requestText('GET', '/fast').repeat(20)),
    ends: false,
  },
  'while a quiet stream waits': { come: (client) => client.write(requestText('GET', '/quiet')), ends: false },
  'while events are streamed': {
    come: async (client) => {
      await client.write(requestText('GET', '/sse'));
      await new Reader(client).head();
    },
    ends: false,
  },
  'without reading a flood': { come: (client) => client.write(requestText('GET', '/flood')), ends: true },
  'without reading a big answer': { come: (client) => client.write(requestText('GET', '/big')), ends: true },
  'without reading many answers': { come: (client) => client.write(requestText('GET', '/big').repeat(4)), ends: true },
  'in linger': {
    come: async (client) => {
      await client.write(requestText('GET', '/fast', '', 0, 'Connection: close\r\n'));
      await new Reader(client).response();
    },
    ends: true,
  },
  'in linger, still sending': {
    come: async (client) => {
      const text = requestText('POST', '/early', UPLOAD);
      await client.write(text.slice(0, 5000));
      await new Reader(client).head();
      await client.write(text.slice(5000));
    },
    ends: true,
  },
  'after nonsense': { come: (client) => client.write('NONSENSE\r\n\r\n'), ends: true },
};

const LEAVE = {
  FIN: (client) => client.close(),
  'half a FIN': async (client) => {
    client.end();
    await pause(50);
    client.close();
  },
  RST: (client) => client.reset(),
};

/** Comes, and leaves at some time before the world heals, or when it does. */
export async function annoy(healed) {
  const name = drawn(Object.keys(CONNECTION_STATES));
  const how = drawn(Object.keys(LEAVE));
  const mayLeave = ledger.plan.hosts === undefined; // a reset is lost at a cut: then no server can know
  await arrive(name, async (client) => {
    await (mayLeave && chance(0.6) ? Promise.race([pause(draw(30)), healed]) : healed);
    sometimes(`${how} ${name}`);
    await LEAVE[how](client);
  });
}

/** Comes, and is silent from then on: also in a world that has healed, until it is over. */
export async function stall(over) {
  const stalled = Object.keys(CONNECTION_STATES).filter((name) => name.startsWith('without'));
  const names = chance(0.6) ? stalled : Object.keys(CONNECTION_STATES).filter((name) => CONNECTION_STATES[name].ends);
  const name = drawn(names);
  await arrive(name, async (client) => {
    sometimes(`silent ${name}`);
    await over;
    client.close();
  });
}

async function arrive(name, then) {
  let client;
  try {
    await pause(draw(20));
    client = await dial(DIAL_MS);
    const coming = CONNECTION_STATES[name].come(client);
    coming.catch(() => {}); // the server may have its own idea of when it ends
    await Promise.race([coming.catch(() => {}), pause(draw(15))]);
    await then(client);
  } catch (error) {
    if (error.code !== 'FEATHERSTAR_SYSTEM') throw error;
    sometimes('a hostile client was refused');
  } finally {
    if (client !== undefined && !client.isClosed) client.close();
  }
}
