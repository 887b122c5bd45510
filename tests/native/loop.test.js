// The inverted loop, in processes of its own: Node's timers, ports and files go on beside a ring that is never quiet,
// exceptions go where Node's exceptions go, and whoever wants to end a thread can. A child that hangs is killed after
// a deadline and has failed.
//
// Next: loop-child.js, what the children do.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { obstacle } from './rig.js';

const CHILD = fileURLToPath(new URL('./loop-child.js', import.meta.url));
const DEADLINE_MS = 30_000;

const test = suite('loop');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: loop: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};

/** How a scenario ended: its exit code, and what it said. Rejects if it hung or died. */
function run(scenario, where = 'main', flags = []) {
  return new Promise((resolve, reject) => {
    const options = { timeout: DEADLINE_MS, killSignal: 'SIGKILL' };
    execFile(process.execPath, [...flags, CHILD, scenario, where], options, (error, stdout, stderr) => {
      if (error?.signal) {
        reject(new Error(`${scenario} in ${where}: ${error.signal}, it hung or died: ${stdout}${stderr}`));
        return;
      }
      const lines = stdout.split('\n').filter(Boolean);
      resolve({ code: error?.code ?? 0, said: lines.map((line) => JSON.parse(line)), stderr });
    });
  });
}

for (const where of ['main', 'worker']) {
  const exits = where === 'main' ? [] : [{ exit: 0 }];

  it(`${where}: timers, ports and files go on beside the ring, and the ring beside them`, async () => {
    const { code, said } = await run('together', where);
    assert.equal([code, said], [0, ['done', ...exits]]);
  });

  it(`${where}: what turn throws is an uncaught exception, and the loop goes on if it is handled`, async () => {
    const { code, said } = await run('throws', where);
    assert.equal([code, said], [0, [['after 10', 'after 11', 'rejected', 'tick'], ...exits]]);
  });

  it(`${where}: a turn that throws before it took its completions gets them again`, async () => {
    const { code, said } = await run('throws-with-a-full-window', where);
    assert.equal([code, said], [0, [{ turns: 3, errors: 2, taken: 1 }, ...exits]]);
  });

  it(`${where}: a core that kept its completions is told that no others were added`, async () => {
    const { code, said } = await run('keeps-its-window', where);
    assert.equal([code, said], [0, [{ submitOnly: 1, taken: 1 }, ...exits]]);
  });

  it(`${where}: nothing to do, nothing done`, async () => {
    const { said } = await run('idle', where);
    assert.ok(said[0] <= 2, `${said[0]} enters in 500 ms`);
  });

  it(`${where}: a deadline ends the sleep`, async () => {
    const { said } = await run('deadline', where);
    assert.ok(said[0].seen >= 1);
  });

  it(`${where}: unref() lets the thread end`, async () => {
    const { code, said } = await run('unref', where);
    assert.equal([code, said], [0, exits]);
  });

  it(`${where}: close() inside of turn`, async () => {
    const { code, said } = await run('close-in-turn', where);
    assert.equal([code, said], [0, ['closed', ...exits]]);
  });

  it(`${where}: rings that nobody closed end with their thread`, async () => {
    const { code, said } = await run('abandoned', where);
    assert.equal([code, said], [0, exits]);
  });

  it(`${where}: process.exit() in a turn, and beside traffic`, async () => {
    for (const scenario of ['exit', 'exit-later']) {
      const { code, said } = await run(scenario, where);
      assert.equal([code, said], where === 'main' ? [7, []] : [0, [{ exit: 7 }]], scenario);
    }
  });
}

it('a turn that never takes anything does not keep signals out', async () => {
  const { code, said } = await run('takes-nothing');
  assert.equal([code, said], [0, ['the signal was heard']]);
});

it('an exception that nobody handles ends the process, or reaches the worker and its error event', async () => {
  const { code, stderr } = await run('unhandled');
  assert.is(code, 1);
  assert.match(stderr, 'nobody catches this');
  const { said } = await run('unhandled', 'worker');
  assert.equal(said, [{ error: 'nobody catches this' }, { exit: 1 }]);
});

it('terminate() ends a worker with traffic, one that sleeps, and one that still starts', async () => {
  for (const scenario of ['forever', 'asleep']) {
    const { code, said } = await run(scenario, 'terminate');
    assert.equal([code, said], [0, ['terminated']], scenario);
  }
});

it('a closed ring is collected; its enter() alone keeps it', async () => {
  const { said } = await run('collected', 'main', ['--expose-gc']);
  assert.equal(said, [{ collected: true, code: 'ERR_RING_CLOSED' }]);
});

test.run();
