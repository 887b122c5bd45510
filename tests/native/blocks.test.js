// The gate's second region, the memory of blocks: its bounds, that it is a region of its own, and that the kernel reads
// and writes it where it lies.
//
// Next: fuzz.test.js.

import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { addon, admitted, BLOCK_SPACE, closeAll, ERRNO, OP, obstacle, Rig, refused } from './rig.js';

const { EBADF, EFAULT } = ERRNO;
const WITH_MEMORY = ['READ', 'WRITE', 'RECV', 'SEND'];
const SPACE = BigInt(BLOCK_SPACE);
const TOP = 1n << 63n;

const test = suite('blocks');
const reason = obstacle();
if (reason !== undefined) {
  console.log(`# skipped: blocks: ${reason}`);
  test.skip(reason, () => {});
}
const it = reason === undefined ? test : () => {};
test.after.each(closeAll);

it('the last byte is inside, the next one is not, and neither region continues the other', () => {
  const rig = new Rig({ blockPages: 3 }); // linear memory has 8
  const end = BigInt(rig.blocks.length);
  const outside = [
    [SPACE + end, 1],
    [SPACE + end - 1n, 2],
    [SPACE + end + 1n, 0],
    [SPACE, Number(end) + 1],
    [SPACE, 0xffffffff],
    [SPACE + BigInt(rig.bytes.length) - 1n, 1], // inside, if it were linear memory
    [SPACE - 1n, 1],
    [SPACE - 1n, 2],
    [2n * SPACE - 1n, 1],
    [2n * SPACE - 1n, 2],
    [2n * SPACE, 1],
    [2n * SPACE, 0],
    [3n * SPACE, 1],
    [TOP + SPACE, 1],
    [(1n << 64n) - 1n, 2],
  ];
  const inside = [
    [SPACE, Number(end)],
    [SPACE, 0],
    [SPACE + end, 0],
    [SPACE + end - 1n, 1],
  ];
  for (const name of WITH_MEMORY) {
    for (const [addr, len] of outside) refused(rig, OP[name], { addr, len }, EFAULT, name);
    for (const [addr, len] of inside) admitted(rig, OP[name], { addr, len }, EBADF);
  }
  refused(rig, OP.CONNECT, { addr: SPACE + end - 15n, off: 16 }, EFAULT);
  rig.blocks.set([2, 0, 0, 80, 127, 0, 0, 1], rig.blocks.length - 16);
  admitted(rig, OP.CONNECT, { addr: SPACE + end - 16n, off: 16 }, EBADF);
});

it('without blocks there is no such region', () => {
  const rig = new Rig();
  for (const name of WITH_MEMORY) {
    for (const len of [0, 1]) refused(rig, OP[name], { addr: SPACE, len }, EFAULT, name);
  }
});

it('a path, a way to open and a stat in blocks; not past their end', () => {
  const rig = new Rig({ blockPages: 1 });
  const folder = join(tmpdir(), `featherstar-blocks-${process.pid}`);
  writeFileSync(folder, 'twelve bytes');
  try {
    const directory = rig.ring.openDirectory(tmpdir(), -1, 0);
    const name = Buffer.from(`featherstar-blocks-${process.pid}\0`);
    const end = rig.blocks.length;
    rig.blocks.set(name, end - name.length);
    const addr = BLOCK_SPACE + end - name.length;
    admitted(rig, OP.STATX, { fd: directory, addr, off: BLOCK_SPACE + 256, len: 0x7ff }, 0);
    assert.is(new DataView(rig.blocks.buffer).getUint32(256 + 40, true), 12);
    refused(rig, OP.STATX, { fd: directory, addr, off: BLOCK_SPACE + end - 255, len: 0x7ff }, EFAULT);
    rig.blocks[end - 1] = 1; // no end
    refused(rig, OP.STATX, { fd: directory, addr, off: BLOCK_SPACE + 256, len: 0x7ff }, EFAULT);
    rig.blocks[end - 1] = 0;
    const open = { fd: directory, addr, len: 24, fileIndex: 0xffffffff };
    const slot = rig.run(OP.OPENAT2, { ...open, off: BLOCK_SPACE });
    assert.ok(slot >= 0, `${slot}`);
    refused(rig, OP.OPENAT2, { ...open, off: BLOCK_SPACE + end - 23 }, EFAULT);
    assert.is(rig.run(OP.READ, { fd: slot, addr: BLOCK_SPACE + 4096, len: 100 }), 12);
    assert.is(Buffer.from(rig.blocks.slice(4096, 4108)).toString(), 'twelve bytes');
  } finally {
    rmSync(folder);
  }
});

it('bytes go out of blocks and come into them', () => {
  const rig = new Rig({ blockPages: 2 });
  const [a, b] = rig.pair();
  const text = Buffer.from('straight from a block');
  rig.blocks.set(text, 65_530);
  const sent = rig.run(OP.SEND, { fd: a, addr: BLOCK_SPACE + 65_530, len: text.length });
  assert.is(sent, text.length);
  assert.is(rig.run(OP.RECV, { fd: b, addr: BLOCK_SPACE + 100, len: 50 }), text.length);
  assert.is(Buffer.from(rig.blocks.slice(100, 100 + text.length)).toString(), String(text));
  assert.is(rig.bytes[100], 0, 'linear memory has nothing of it');
});

it('what is no region is refused when the ring is opened', () => {
  const rig = new Rig();
  for (const blocks of [undefined, 5, new Uint16Array(4), new Uint8Array(new ArrayBuffer(4096), 8)]) {
    assert.throws(() => addon().open(rig.bytes, blocks, rig.options), /open\(memory, blocks: Uint8Array/);
  }
});

test.run();
