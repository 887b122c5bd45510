// The host in C under three sanitizers: addresses and undefined behaviour in one build, threads in another. The checks
// are those of host.test.js. With the smallest limits that the core allows, nearly all that can be refused is refused.
//
// Next: replay.test.js.

import { rmSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { buildHost, folder, hostObstacle, VARIANTS } from './host-build.js';
import { run } from './replayer.js';
import { checkServer } from './server-checks.js';

const STEP_MS = 60_000;
const LEAST = {
  ...{ ring_slots: 1, credit_count: 1, sqe_slots: 1, cqe_slots: 1, ready_slots: 2, op_slots: 2, task_slots: 1 },
  ...{ connection_slots: 9, recv_buffer_count: 1, recv_buffer_bytes: 1, send_buffer_count: 1, send_buffer_bytes: 1 },
  ...{ large_recv_buffer_count: 1, large_recv_buffer_bytes: 1, arena_bytes: 32, scratch_bytes: 1, call_slots: 0 },
};

const obstacle = await hostObstacle();
if (obstacle === undefined) defineTests();
else test('the host in C', () => console.log(`# skipped: the host in C: ${obstacle}`));

function defineTests() {
  for (const variant of Object.keys(VARIANTS).filter((name) => name !== 'plain')) {
    test(`HTTP: ${variant}`, async () => checkServer(await buildHost('http', variant), ['0', '2']));

    test(`calls and timers: ${variant}`, async () => {
      const text = run(await buildHost('calls', variant), ['20000'], { timeout: STEP_MS });
      assert.match(text, /^20000 calls there and back, \d+ ns each; 1000 timers fired\n$/);
    });

    test(`calls with the smallest limits: ${variant}`, async () => {
      const program = await buildHost('calls', variant, 'io_uring', LEAST);
      assert.match(run(program, ['2000'], { timeout: STEP_MS }), /^2000 calls there and back/);
    });
  }
}

test.after(() => rmSync(folder, { recursive: true }));
test.run();
