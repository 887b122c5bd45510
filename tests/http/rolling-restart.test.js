// deadline: 600 s
// A restart of whole processes under load loses no request. Clients of five kinds ask all the time; each has to leave a
// connection when it is told, and none asks twice. FEATHERSTAR_FULL=1 asks for 100,000 requests for each way.
//
//   sharePort      the new process listens beside the old one, then the old one gets SIGTERM
//   given, beside  likewise, on one socket that a third program holds
//   given, after   the old one ends before the new one starts: requests wait in the socket's queue (systemctl restart)

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { end, Holder } from '../support/holder.js';
import { hosts } from '../support/hosts.js';
import { Load } from '../support/steady-clients.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const APP = fileURLToPath(new URL('../support/process-module.js', import.meta.url));
const REQUESTS = process.env.FEATHERSTAR_FULL ? 100_000 : 2000;
const RESTARTS = 3; // at least
const CLIENTS = { raw: 6, agent: 6, fetch: 4, fresh: 2, slow: 6 };
const DRAIN = ['--drain-ms', '1500']; // longer than any client is silent, also on a machine that is busy

// Newer kernels let only root filter what a listener gets (CAP_NET_ADMIN): other users close theirs in another way.
const NOBODY = 65534;
const USERS = [undefined];
if (process.getuid() === 0) {
  const mayRead = spawnSync(process.execPath, [CLI, '--version'], { uid: NOBODY, gid: NOBODY, cwd: '/' }).status === 0;
  if (mayRead) USERS.push(NOBODY);
  else console.log('# skipped: a user without rights cannot read Node or these files');
}
process.env.FEATHERSTAR_STALL_MS = '0'; // a busy machine would warn, and a warning here means lost connections
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Restarts by `restart` under load, until there were enough requests. `port`: where the first server listens. */
async function roll(port, restart) {
  const load = new Load(port, CLIENTS);
  let restarts = 0;
  for (; restarts < RESTARTS || load.sent < REQUESTS; restarts++) {
    await later(200);
    await restart();
  }
  await later(200);
  await load.stop();
  assert.equal(load.failures, [], `${load.sent} requests, ${restarts} restarts`);
  assert.is(Object.keys(load.counts).length, restarts + 1, 'every process has served');
}

for (const host of hosts()) {
  for (const shards of [1, 2]) {
    const test = suite(`a rolling restart (${host}, ${shards} shards)`);

    for (const user of host === 'uring' ? USERS : []) {
      test(`sharePort: 0 failed requests${user === undefined ? '' : ', as a user without rights'}`, async () => {
        const start = async (port) => {
          const options = [
            '--hostname',
            '127.0.0.1',
            '--port',
            String(port),
            '--shards',
            String(shards),
            '--share-port',
          ];
          const env = { FEATHERSTAR_HOST: host, ...(user && { AS_USER: user }) };
          const program = new Program([CLI, 'serve', APP, ...options, ...DRAIN], env);
          const [, own] = await program.line(/listening on \S+:(\d+)\//);
          return { program, port: Number(own) };
        };
        let { program, port } = await start(0);
        const stop = async (old) => {
          old.kill('SIGTERM');
          assert.is(await old.ended(), 0, old.stderr);
          assert.is(old.stderr, '');
        };
        await roll(port, async () => {
          const old = program;
          program = (await start(port)).program;
          await stop(old);
        });
        await stop(program);
      });
    }

    // Each way once on each host, for the time that it takes; all of them, and more requests, by FEATHERSTAR_FULL=1.
    for (const isBeside of process.env.FEATHERSTAR_FULL ? [true, false] : [shards === 1]) {
      test(`a given socket, the new process ${isBeside ? 'beside' : 'after'} the old one: none failed`, async () => {
        const holder = new Holder();
        const port = await holder.place();
        let starts = 0;
        const start = async () => {
          const pid = await holder.start(host, shards, ['--fd', 'systemd', ...DRAIN]);
          await holder.listening(++starts);
          return pid;
        };
        let pid = await start();
        await roll(port, async () => {
          const old = pid;
          if (isBeside) pid = await start();
          await end(old);
          if (!isBeside) pid = await start();
        });
        await end(pid);
        await holder.close();
        assert.is(holder.stderr, '');
      });
    }

    test.run();
  }
}
