// The other end of tests/api/abort.test.js, in a thread of its own, so that it acts while the shard's thread is busy.
// Then its action has happened in the kernel, and the shard does not know of it.

import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const done = new Int32Array(workerData.done);
const sockets = new Map();
const noError = () => {}; // a connection that is reset is what some of these tests are about

function finish() {
  Atomics.add(done, 0, 1);
  Atomics.notify(done, 0);
}

function keep(id, socket) {
  socket.on('error', noError);
  sockets.set(id, socket);
  return socket;
}

const datagrams = createSocket('udp4');
const server = createServer((socket) => keep('accepted', socket).resume());

const actions = {
  listen: () =>
    server.listen(0, '127.0.0.1', () => {
      done[1] = server.address().port;
      datagrams.bind(0, '127.0.0.1', finish); // its descriptor is there before any is counted
    }),
  connect: ({ id, port, path }) =>
    keep(id, connect(path === undefined ? { port, host: '127.0.0.1' } : { path })).once('connect', finish),
  datagram: ({ port }) => datagrams.send('late', port, '127.0.0.1', finish),
  write: ({ id }) => sockets.get(id).write('late', finish),
  /** Reads until nothing has come for a while: what the shard has sent is then out of its way. */
  drain: ({ id }) => {
    const socket = sockets.get(id);
    let quiet = setTimeout(finish, 30);
    socket.on('data', () => {
      clearTimeout(quiet);
      quiet = setTimeout(finish, 30);
    });
  },
  close: ({ id }) => {
    sockets.get(id)?.destroy();
    sockets.delete(id);
    finish();
  },
  stop: () => {
    for (const socket of sockets.values()) socket.destroy();
    server.close();
    datagrams.close();
    parentPort.close();
    finish();
  },
};

parentPort.on('message', (message) => actions[message.what](message));
