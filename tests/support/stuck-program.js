// A program that closes its runtime while something is stuck; it prints the report of close(), and responds as long as
// it can.
//
//   node stuck-program.js HOST FOLDER WHERE SHARDS      WHERE: 'write', 'read', 'open' (node:fs opens a pipe),
//   'spin': a write, and then a loop without end
//   says 'started', 'begun'; on 'close' the report; on 'ping' 'pong'; on 'exit' it calls process.exit()
//
// Next: ../api/stuck.test.js.

import { Runtime } from 'featherstar';

const [host, folder, what, on] = process.argv.slice(2);
const shard = Number(on);
const runtime = await Runtime.start({ shards: 2, host, module: new URL('./stuck-module.js', import.meta.url) });
let calling;

process.on('warning', ({ message }) => process.send({ warning: message }));
process.on('message', async (message) => {
  if (message === 'begin') {
    calling = runtime.on(shard).begin(folder, what);
    calling.catch(() => {}); // close() rejects it
    process.send('begun');
  } else if (message === 'close') {
    const report = await runtime.close({ timeoutMs: 100 });
    process.send({ report });
  } else if (message === 'ping') process.send('pong');
  else if (message === 'again') {
    const again = await Runtime.start({ shards: 2, host, module: new URL('./stuck-module.js', import.meta.url) });
    const sum = await again.on(1).add(1, 2);
    await again.close();
    process.send({ sum });
  } else if (message === 'leave') process.disconnect();
  else process.exit(7);
});
process.send('started');
