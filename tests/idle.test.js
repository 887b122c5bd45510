// An idle server costs nothing: no timer tick, no polling, whatever is connected to it.

import { setTimeout as later } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from './support/child.js';
import { hosts } from './support/hosts.js';
import { Client, get } from './support/http.js';

const SERVER = fileURLToPath(new URL('support/idle-server.js', import.meta.url));
const CONNECTIONS = 1000;
const IDLE_MS = 3000;
const SETTLING_MAX = 20; // times half a second
const CPU_SHARE_MAX = 0.01;
const TURNS_MAX = 20; // of both shards together: the call that counts connections takes a few

for (const host of hosts()) {
  const test = suite(`idle (${host})`);

  test('2 shards and 1000 idle connections: no turns, and less than 1 % of one CPU', async () => {
    // Seconds after the last request, V8's memory reducer collects two or three times, and then no more.
    const program = new Program(['--no-memory-reducer', SERVER], { FEATHERSTAR_HOST: host });
    const [, port] = await program.line(/^port (\d+)\n/);
    const clients = [];
    for (let i = 0; i < CONNECTIONS; i += 50) {
      const some = await Promise.all(Array.from({ length: 50 }, () => Client.open(Number(port))));
      await Promise.all(some.map((client) => client.ask(get())));
      clients.push(...some);
    }
    const sample = async (label) => {
      program.say(label);
      return JSON.parse((await program.line(new RegExp(`^${label} (.*)\\n`, 'm')))[1]);
    };
    const shareOf = (from, to) => (to.cpuUs - from.cpuUs) / 1000 / (to.ms - from.ms);
    // The compiler and the garbage collector have their threads, too: they finish first, and then all must stay quiet.
    let first = await sample('settling0');
    for (let i = 1, share = 1; share >= CPU_SHARE_MAX && i <= SETTLING_MAX; i++) {
      await later(500);
      const next = await sample(`settling${i}`);
      share = shareOf(first, next);
      first = next;
    }
    await later(IDLE_MS);
    const second = await sample('second');
    assert.equal([first.open, second.open], [CONNECTIONS, CONNECTIONS]);

    const cpuShare = shareOf(first, second);
    assert.ok(cpuShare < CPU_SHARE_MAX, `${(cpuShare * 100).toFixed(2)} % of one CPU`);
    const turns = second.turns[0] + second.turns[1] - first.turns[0] - first.turns[1];
    assert.ok(turns <= TURNS_MAX, `${turns} turns`);

    for (const client of clients) client.destroy();
    program.say('end');
    assert.is(await program.ended(10_000), 0);
  });

  test.run();
}
