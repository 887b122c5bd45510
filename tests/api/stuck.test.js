// deadline: 240 s
//
// close() while a disk does not answer, or a call of the program's own never returns: it resolves while that is so, and
// says what is left. The disk is a file system in user space, which takes root and /dev/fuse; the call opens a pipe
// that nobody writes to. Everything runs in a program of its own, because a process cannot end before its threads.

import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { within } from '../support/http.js';
import { slowDisk } from '../support/slow-disk.js';

const PROGRAM = fileURLToPath(new URL('../support/stuck-program.js', import.meta.url));

class Program {
  #said = [];
  #wake = () => {};

  constructor(...args) {
    this.child = fork(PROGRAM, args, { execArgv: [] });
    this.child.on('message', (message) => {
      this.#said.push(message);
      this.#wake();
    });
    this.ended = once(this.child, 'exit');
    this.warnings = [];
  }

  /** What it says next. */
  async next(what) {
    for (;;) {
      const message = this.#said.shift();
      if (message?.warning !== undefined) this.warnings.push(message.warning);
      else if (message !== undefined) return message;
      else
        await within(
          new Promise((resolve) => {
            this.#wake = resolve;
          }),
          what,
        );
    }
  }

  async tell(message) {
    this.child.send(message);
    return this.next(`an answer to ${message}`);
  }
}

for (const host of hosts()) {
  const test = suite(`stuck (${host})`);
  const disks = [];
  test.after(async () => {
    for (const disk of disks) await disk.close();
  });

  async function newDisk() {
    const disk = await slowDisk();
    if (disk.failed === undefined) disks.push(disk);
    else console.log(`# skipped: a disk that does not answer: ${disk.failed}`);
    return disk;
  }

  for (const [what, shard] of [
    ['write', 1],
    ['read', 1],
    ['write', 0],
  ]) {
    test(`a ${what} of shard ${shard} that the disk does not answer`, async () => {
      const disk = await newDisk();
      if (disk.failed !== undefined) return;
      const program = new Program(host, disk.path, what, String(shard));
      assert.is(await program.next('the start'), 'started');
      assert.is(await program.tell('begin'), 'begun');
      await within(disk.waits(1), 'the disk is asked');
      const { report } = await program.tell('close');
      assert.is(await program.tell('ping'), 'pong');
      assert.equal(
        report.shards.map(({ how }) => how),
        shard === 1 ? ['stopped', 'stuck'] : ['stuck', 'stopped'],
      );
      // On uring a read of this disk holds its whole thread up, in the kernel: the shard cannot say which file it is.
      const name = what === 'read' && host === 'uring' ? what : `${what} ${disk.path}/file`;
      assert.equal(report.shards[shard].waitsFor, [name]);
      assert.is(report.shards[shard].left?.openOperations, name === what ? undefined : 1);
      assert.equal(await program.tell('again'), { sum: 3 });
      assert.is(program.warnings.length, 1);
      assert.ok(
        program.warnings[0].startsWith(`shard ${shard} has not ended: it waits for ${name}, `),
        program.warnings[0],
      );
      program.child.send('leave');
      disk.answer();
      assert.equal(await within(program.ended, 'the end of the process'), [0, null]);
    });
  }

  test('a write that the disk does not answer, of a shard that does not listen any more', async () => {
    const disk = await newDisk();
    if (disk.failed !== undefined) return;
    const program = new Program(host, disk.path, 'spin', '1');
    assert.is(await program.next('the start'), 'started');
    assert.is(await program.tell('begin'), 'begun');
    await within(disk.waits(1), 'the disk is asked');
    await new Promise((resolve) => setTimeout(resolve, 100)); // then it loops
    const { report } = await program.tell('close');
    assert.is(await program.tell('ping'), 'pong');
    assert.equal(report.shards[1], { how: 'stuck', waitsFor: ['write'] });
    program.child.send('leave');
    disk.answer();
    assert.equal(await within(program.ended, 'the end of the process'), [0, null]);
  });

  test('the process ends when the disk has answered, also by process.exit()', async () => {
    const disk = await newDisk();
    if (disk.failed !== undefined) return;
    const program = new Program(host, disk.path, 'write', '1');
    assert.is(await program.next('the start'), 'started');
    assert.is(await program.tell('begin'), 'begun');
    await within(disk.waits(1), 'the disk is asked');
    await program.tell('close');
    program.child.send('exit');
    disk.answer();
    assert.equal(await within(program.ended, 'the end of the process'), [7, null]);
  });

  if (process.platform !== 'win32') {
    test("a call of the program's own that does not return: a pipe that nobody writes to", async () => {
      const folder = mkdtempSync(join(tmpdir(), 'featherstar-stuck-'));
      assert.is(spawnSync('mkfifo', [join(folder, 'pipe')]).status, 0);
      const program = new Program(host, folder, 'open', '1');
      assert.is(await program.next('the start'), 'started');
      assert.is(await program.tell('begin'), 'begun');
      const { report } = await program.tell('close');
      assert.is(await program.tell('ping'), 'pong');
      assert.equal(
        report.shards.map(({ how, waitsFor }) => [how, waitsFor]),
        [
          ['stopped', undefined],
          ['stuck', []],
        ],
      );
      assert.match(program.warnings.join(), /it waits for something that is no operation on a file/);
      program.child.send('leave');
      openSync(join(folder, 'pipe'), 'r+'); // somebody at the other end
      assert.equal(await within(program.ended, 'the end of the process'), [0, null]);
      rmSync(folder, { recursive: true });
    });
  }

  test.run();
}
