// Listeners of the gate that come from elsewhere, and how one ends: a filter lets no new client in, and all that the
// kernel has completed can still be accepted.

import { fstatSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { closeAll, ERRNO, FIXED_FILE, OP, obstacle, openFiles, Rig } from './rig.js';

const { EBADF, EINVAL } = ERRNO;
const GIVEN = 16;
const LOOK = 32;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const test = suite('listeners');
const reason = obstacle();
if (reason !== undefined) console.log(`# skipped: listeners: ${reason}`);
const it = (name, run) => reason === undefined && test(name, run);
test.after.each(closeAll);

/** A client, and how its attempt has ended: undefined, 'connect', or the code of an error. */
function clientOf(where) {
  const socket = connect(where);
  const client = { socket, outcome: undefined, ended: undefined };
  client.ended = new Promise((resolve) => {
    const end = (outcome) => {
      client.outcome ??= outcome;
      resolve(client.outcome);
    };
    socket.once('connect', () => end('connect'));
    socket.on('error', ({ code }) => end(code));
  });
  return client;
}

const accept = (rig, slot) => rig.run(OP.ACCEPT, { fd: slot, flags: FIXED_FILE, fileIndex: 0xffffffff });

it('endHandshakes: what is connected can be accepted; others get no answer until the listener has closed', async () => {
  const rig = new Rig();
  const { slot, port } = rig.listen();
  const where = { port, host: '127.0.0.1' };
  const early = [clientOf(where), clientOf(where)];
  for (const { ended } of early) assert.is(await ended, 'connect');
  assert.is(rig.ring.endHandshakes(slot), 0);
  const late = clientOf(where);
  for (const _ of early) assert.ok(accept(rig, slot) >= 0);
  await later(200);
  assert.is(late.outcome, undefined);
  rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  assert.is(await late.ended, 'ECONNREFUSED'); // it has knocked again
  for (const { socket } of early) socket.destroy();
});

it('endHandshakes: of a path, others are refused at once', async () => {
  const path = join(tmpdir(), `featherstar-listen-${process.pid}.sock`);
  const rig = new Rig();
  const { slot, address } = rig.listen(`unix:${path}`);
  assert.is(address, `unix:${path}`);
  const early = clientOf({ path });
  assert.is(await early.ended, 'connect');
  assert.is(rig.ring.endHandshakes(slot), 0);
  assert.is(await clientOf({ path }).ended, 'ECONNREFUSED');
  assert.ok(accept(rig, slot) >= 0);
  assert.is(accept(rig, slot), EINVAL); // there is no other, and none comes
  early.socket.destroy();
  rmSync(path);
});

it('endHandshakes: of listeners only, and of those that were opened here', () => {
  const rig = new Rig();
  const server = createServer().listen(0);
  const { slot } = rig.listen();
  const given = rig.listen('', server._handle.fd, 0, GIVEN);
  const datagrams = rig.listen('127.0.0.1', 0, 0, 8);
  for (const wrong of [given.slot, datagrams.slot, 3, 63, 64, -1, 2 ** 30]) {
    assert.is(rig.ring.endHandshakes(wrong), EBADF, `slot ${wrong}`);
  }
  rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  assert.is(rig.ring.endHandshakes(slot), EBADF);
  server.close();
});

it('a given socket: looked at, granted, and left open', () => {
  const rig = new Rig();
  const server = createServer().listen(0);
  const { fd } = server._handle;
  const { port } = server.address();
  const before = openFiles();
  assert.equal(rig.listen('', fd, 0, GIVEN | LOOK), { slot: 0, port, address: '::' });
  assert.is(rig.listen('', fd, 0, GIVEN).slot, 0, 'a look grants nothing');
  assert.is(rig.listen('', fd, 0, GIVEN).slot, 1);
  rig.run(OP.CLOSE, { fileIndex: 1 });
  rig.run(OP.CLOSE, { fileIndex: 2 });
  fstatSync(fd);
  for (const wrong of [-1, 9999]) {
    assert.equal(rig.listen('', wrong, 0, GIVEN), { errno: EBADF, syscall: 'getsockopt' });
  }
  assert.is(openFiles(), before);
  server.close();
});

it('the descriptor that is kept of a listener goes with its slot, and with the ring', () => {
  const before = openFiles();
  const rig = new Rig();
  const opened = openFiles();
  const { slot } = rig.listen();
  assert.is(openFiles(), opened + 1);
  rig.run(OP.CLOSE, { fileIndex: slot + 1 });
  assert.is(openFiles(), opened);
  rig.listen();
  rig.ring.close();
  assert.is(openFiles(), before);
});

test.run();
