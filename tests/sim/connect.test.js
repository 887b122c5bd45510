// core: debug
// connect() whose time is over at about the moment at which the connection is made. If it rejects, the connection is
// closed.

import { sleep, spawn } from 'featherstar';
import { connect, listen } from 'featherstar/net';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const PORT = 7000;
const ATTEMPTS = 300;
const NOTICED_MS = 1000;

test('a connection that is made as the time of connect() is over is closed', async () => {
  const counts = { made: 0, late: 0 };
  for (let seed = 1; seed <= 10; seed++) {
    await simulate({ seed }, async () => {
      let open = 0;
      const listener = await listen({ port: PORT });
      const serving = spawn(async () => {
        for await (const socket of listener) {
          open++;
          spawn(async () => {
            await socket.read().catch(() => null);
            socket.close();
            open--;
          });
        }
      });
      const started = performance.now();
      (await connect({ port: PORT })).close();
      const takesMs = performance.now() - started;
      for (let i = 0; i < ATTEMPTS; i++) {
        const timeoutMs = (2 * takesMs * i) / ATTEMPTS;
        const socket = await connect({ port: PORT, timeoutMs }).catch((error) => {
          assert.is(error.code, 'FEATHERSTAR_TIMEOUT');
        });
        if (socket === undefined) counts.late++;
        else counts.made++;
        socket?.close();
      }
      await sleep(NOTICED_MS);
      assert.is(open, 0, `seed ${seed}: all have been told of their end`);
      listener.close();
      await serving;
    });
  }
  assert.ok(counts.made > 0 && counts.late > 0, JSON.stringify(counts));
});

test.run();
