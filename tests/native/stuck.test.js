// A ring that is closed while the disk does not answer: what the kernel is in the middle of has addresses of the
// memory, so the memory stays for as long, and nobody is held up.
//
// Next: ../api/stuck.test.js, the same through close().

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { until } from '../support/http.js';
import { slowDisk } from '../support/slow-disk.js';
import { closeAll, OP, obstacle, openFiles, Rig, ringMappings } from './rig.js';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc');

const test = suite('stuck ring');
const disk = obstacle() === undefined ? await slowDisk() : { failed: obstacle() };
test.after(() => disk.close?.());
if (disk.failed !== undefined) {
  console.log(`# skipped: stuck ring: ${disk.failed}`);
  test.skip(disk.failed, () => {});
}
const it = disk.failed === undefined ? test : () => {};

const O_WRONLY = 1;
const HOW_BYTES = 24;
const ALLOC = 0xffffffff;

/** Writes to the disk, and closes the ring. */
async function writeAndClose() {
  const rig = new Rig();
  assert.is(
    rig.ring.start(() => rig.take()),
    0,
  );
  const directory = rig.ring.openDirectory(disk.path, -1, 0);
  rig.put('file\0');
  const how = rig.freeAt + 64;
  rig.view.setBigUint64(how, BigInt(O_WRONLY), true);
  const path = { fd: directory, addr: rig.freeAt, off: how, len: HOW_BYTES, fileIndex: ALLOC };
  const file = rig.run(OP.OPENAT2, path);
  assert.ok(file >= 0, `${file}`);
  rig.stage(OP.WRITE, { fd: file, addr: rig.freeAt, len: 4 });
  rig.enter();
  await disk.waits(1);
  assert.is(rig.ring.close(), true, 'the write runs on');
  assert.is(rig.ring.close(), true);
  assert.throws(() => rig.ring.wait(0), /closed/);
  return new WeakRef(rig.bytes);
}

it('its memory and the ring stay until the disk has answered, and go then', async () => {
  const before = { files: openFiles(), mappings: ringMappings() };
  const memory = await writeAndClose();
  closeAll(); // once more; and the rig lets go of it
  for (let i = 0; i < 10; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20)); // the ring is looked at meanwhile
    collect();
  }
  assert.ok(memory.deref() !== undefined, 'the memory is there');
  assert.ok(ringMappings() > before.mappings, 'and so is the ring');
  disk.answer();
  await until(() => ringMappings() === before.mappings && openFiles() === before.files, 'the ring is gone');
  await until(() => {
    collect();
    return memory.deref() === undefined;
  }, 'the memory is gone');
});

test.run();
