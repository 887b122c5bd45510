// Connections for behaviours of sockets, and what is sent over them.
//
// Next: pipes.js.

import { sleep } from 'featherstar';
import { connect, listen } from 'featherstar/net';

/** Bytes of which none can be mistaken for those of another place. Another seed gives others. */
export function pattern(length, seed = 0) {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >>> 8) * 7 + (i >>> 16) * 13 + seed) & 0xff;
  return bytes;
}

/** Both ends of a connection. */
export async function pair() {
  const listener = await listen({ hostname: '127.0.0.1' });
  const accepting = listener.accept();
  const near = await connect({ port: listener.port });
  const far = await accepting;
  listener.close();
  const close = () => {
    near.close();
    far.close();
  };
  return { near, far, close };
}

/** All bytes of a socket until its end. A slow reader rests before each of the first `rests` reads. */
export async function readAll(socket, rests = 0) {
  const parts = [];
  for (let i = 0; ; i++) {
    if (i < rests) await sleep(2);
    const part = await socket.read();
    if (part === null) return Buffer.concat(parts);
    parts.push(part);
  }
}

/** Sends pieces, and the end. */
export async function say(socket, ...pieces) {
  for (const piece of pieces) await socket.write(piece);
  await socket.end();
}
