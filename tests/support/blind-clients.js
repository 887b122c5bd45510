// A worker whose clients connect and send while the main thread is blocked. It tells by a word of shared memory when
// the kernel has all of it, and then by a message what each of them got.

import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';

const { where, count, isSent } = workerData;

function client() {
  const socket = connect(where);
  const sent = new Promise((resolve, reject) => {
    socket.once('connect', () => socket.write('GET /late HTTP/1.1\r\nHost: test\r\n\r\n', resolve));
    socket.once('error', reject);
  });
  const got = new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.once('end', () => resolve(text));
    socket.once('error', (error) => resolve(error.code));
  });
  return { sent, got };
}

parentPort.once('message', async () => {
  const clients = Array.from({ length: count }, client);
  await Promise.all(clients.map(({ sent }) => sent));
  Atomics.store(isSent, 0, 1);
  Atomics.notify(isSent, 0);
  parentPort.postMessage(await Promise.all(clients.map(({ got }) => got)));
});
