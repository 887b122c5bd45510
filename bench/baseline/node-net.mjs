// The floor under the portable host: node:net and a fixed answer for each request, with nothing parsed, counted, timed
// or scheduled. The extra cost of featherstar-portable is its own. Next: featherstar.mjs.

import { createServer } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({ options: { port: { type: 'string', default: '8080' } } });

const END_OF_HEAD = '\r\n\r\n';
const answer = () =>
  Buffer.from(
    'HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: 13\r\n' +
      `Date: ${new Date().toUTCString()}\r\n\r\nHello, World!`,
  );
let one = answer();
setInterval(() => {
  one = answer();
}, 1000).unref();

const server = createServer({ noDelay: true }, (socket) => {
  socket.on('data', (bytes) => {
    let count = 0;
    for (let at = bytes.indexOf(END_OF_HEAD); at >= 0; at = bytes.indexOf(END_OF_HEAD, at + 4)) count++;
    socket.write(count === 1 ? one : Buffer.concat(new Array(count).fill(one)));
  });
  socket.on('error', () => socket.destroy());
});
server.listen(Number(values.port), '127.0.0.1', () => console.log('ready'));
