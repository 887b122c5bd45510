// In the place of systemd: a program that listens and never accepts. It starts servers that get its socket.
//
// Each line of stdin is a JSON object: { args, env, names }. A process `node ...args` begins with descriptor 3 as the
// socket, and with LISTEN_FDS and LISTEN_PID as systemd sets them. Its id is printed, and what it prints is passed on.
// The event loop never runs: it would accept.

import { spawn } from 'node:child_process';
import { readSync, writeSync } from 'node:fs';
import { Server } from 'node:net';

const path = process.argv[2];
const server = new Server();
server.listen(path === undefined ? 0 : path); // at once, without a host
const { fd } = server._handle;
writeSync(1, `socket ${path ?? server.address().port}\n`);

const bytes = Buffer.alloc(4096);
for (let text = ''; ; ) {
  const count = readSync(0, bytes);
  if (count === 0) process.exit();
  const lines = (text + bytes.toString('utf8', 0, count)).split('\n');
  text = lines.pop();
  for (const line of lines) start(JSON.parse(line));
}

function start({ args, env, names }) {
  const script = 'LISTEN_PID=$$ exec "$@"'; // the id is known to the new process only
  const child = spawn('/bin/sh', ['-c', script, 'sh', process.execPath, ...args], {
    env: { ...process.env, LISTEN_FDS: '1', LISTEN_FDNAMES: names, ...env },
    stdio: ['ignore', 'inherit', 'inherit', fd],
  });
  writeSync(1, `started ${child.pid}\n`);
}
