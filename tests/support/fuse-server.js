// A disk that does not answer: a file system in user space (fuse.h's protocol, over /dev/fuse) with one file in it,
// `file`. Whatever is to be read or written there waits until this process is told 'answer'.
//
//   node fuse-server.js FOLDER      says 'mounted' or { failed }, then 'waiting' when something waits
//
// Next: slow-disk.js, which starts it.

import { spawnSync } from 'node:child_process';
import { openSync, read, rmdirSync, writeSync } from 'node:fs';

const [folder] = process.argv.slice(2);
const REQUEST_BYTES = 1 << 20;
const ROOT = 1;
const FILE = 2;
const OP = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  RELEASEDIR: 29,
  INTERRUPT: 36,
  BATCH_FORGET: 42,
};
const SILENT = [OP.FORGET, OP.BATCH_FORGET, OP.INTERRUPT];
const SLOW = [OP.READ, OP.WRITE, OP.FSYNC];
const ENOENT = -2;
const ENOSYS = -38;

const device = openSync('/dev/fuse', 'r+');
const waiting = [];
let answers = false;

function mount() {
  const options = 'fd=3,rootmode=40000,user_id=0,group_id=0';
  const args = ['-i', '-t', 'fuse', '-o', options, 'slow-disk', folder];
  const { status, stderr, error } = spawnSync('mount', args, { stdio: ['ignore', 'ignore', 'pipe', device] });
  return status === 0 ? 'mounted' : { failed: String(error ?? stderr).trim() };
}

function reply(unique, error, body = Buffer.alloc(0)) {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + body.length, 0);
  header.writeInt32LE(error, 4);
  header.writeBigUInt64LE(unique, 8);
  writeSync(device, Buffer.concat([header, body]));
}

function attributes(node) {
  const at = Buffer.alloc(88);
  at.writeBigUInt64LE(BigInt(node), 0);
  at.writeBigUInt64LE(node === FILE ? 4096n : 0n, 8);
  at.writeUInt32LE(node === ROOT ? 0o40755 : 0o100644, 60);
  at.writeUInt32LE(1, 64);
  return at;
}

const ANSWERS = {
  [OP.INIT]() {
    const body = Buffer.alloc(64);
    body.writeUInt32LE(7, 0);
    body.writeUInt32LE(31, 4);
    body.writeUInt32LE(65_536, 20); // the largest write
    return body;
  },
  [OP.LOOKUP](_node, body) {
    if (body.toString('utf8', 0, body.indexOf(0)) !== 'file') return ENOENT;
    const entry = Buffer.alloc(40);
    entry.writeBigUInt64LE(BigInt(FILE), 0);
    return Buffer.concat([entry, attributes(FILE)]);
  },
  [OP.GETATTR]: (node) => Buffer.concat([Buffer.alloc(16), attributes(node)]),
  [OP.SETATTR]: (node) => Buffer.concat([Buffer.alloc(16), attributes(node)]),
  [OP.OPEN]: () => Buffer.alloc(16),
  [OP.OPENDIR]: () => Buffer.alloc(16),
  [OP.STATFS]: () => Buffer.alloc(80),
  [OP.READ]: (_node, body) => Buffer.alloc(body.readUInt32LE(16), 'slow'),
  [OP.WRITE](_node, body) {
    const written = Buffer.alloc(8);
    written.writeUInt32LE(body.readUInt32LE(16), 0);
    return written;
  },
  [OP.FSYNC]: () => Buffer.alloc(0),
  [OP.FLUSH]: () => Buffer.alloc(0),
  [OP.RELEASE]: () => Buffer.alloc(0),
  [OP.RELEASEDIR]: () => Buffer.alloc(0),
};

function answer({ opcode, unique, node, body }) {
  const answered = ANSWERS[opcode]?.(node, body) ?? ENOSYS;
  if (typeof answered === 'number') reply(unique, answered);
  else reply(unique, 0, answered);
}

function take(bytes) {
  const opcode = bytes.readUInt32LE(4);
  if (SILENT.includes(opcode)) return;
  const node = Number(bytes.readBigUInt64LE(16));
  const request = { opcode, unique: bytes.readBigUInt64LE(8), node, body: Buffer.from(bytes.subarray(40)) };
  if (answers || !SLOW.includes(opcode)) answer(request);
  else {
    waiting.push(request);
    process.send('waiting');
  }
}

function serve() {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  read(device, bytes, 0, bytes.length, null, (error, count) => {
    if (error && error.code !== 'ENOENT' && error.code !== 'EINTR') process.exit(0); // it was unmounted
    if (!error) take(bytes.subarray(0, count));
    serve();
  });
}

process.on('message', () => {
  answers = true;
  for (const request of waiting.splice(0)) answer(request);
});
process.on('disconnect', () => {
  spawnSync('umount', ['-l', folder]); // the test was killed
  rmdirSync(folder);
  process.exit(0); // what waits fails then
});
process.send(mount());
serve();
