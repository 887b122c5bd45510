// What a descriptor is that this process was given: Node has no call that says whether a socket listens. Linux has a
// table of all sockets of a network namespace, and the descriptor's link names its row:
//
//   /proc/self/fd/3 --> socket:[12345] --> the row of /proc/net/tcp, tcp6 or unix that has inode 12345
//
// A socket of another network namespace is in no table here, so it is taken for one that does not listen.
//
// Next: portable.ts.

import { fstatSync, readFileSync, readlinkSync } from 'node:fs';
import { FeatherstarError, systemError } from '../base/errors.js';
import { AF_INET, AF_INET6, Errno } from '../core/kernel.js';
import { SenderNames } from '../net/udp-address.js';
import { descriptorName, type ListeningAt } from './host.js';
import { errnoOf } from './portable-window.js';

const LISTENS = '0A'; // TCP_LISTEN, in hexadecimal
const ACCEPTS = 0x10000; // __SO_ACCEPTCON
const STREAM = '0001';

/** Rows of a table of the kernel, without its heading. */
function* rowsOf(table: string): Generator<string[]> {
  for (const line of readFileSync(`/proc/self/net/${table}`, 'latin1').split('\n').slice(1)) {
    yield line.trim().split(/\s+/);
  }
}

/** Address and port as /proc/net/tcp writes them: each word of the address in the order of this machine's bytes. */
function parseAddress(text: string): ListeningAt {
  const [words, port] = text.split(':') as [string, string];
  const isV4 = words.length === 8;
  const sockaddr = Buffer.alloc(28);
  sockaddr.writeUInt16LE(isV4 ? AF_INET : AF_INET6, 0);
  for (let at = 0; at < words.length; at += 8) {
    sockaddr.writeUInt32LE(Number.parseInt(words.slice(at, at + 8), 16), (isV4 ? 4 : 8) + at / 2);
  }
  return { address: new SenderNames(sockaddr).addressAt(0), port: Number.parseInt(port, 16) };
}

function find(inode: string): ListeningAt | undefined {
  for (const table of ['tcp', 'tcp6']) {
    for (const [, local, , state, , , , , , own] of rowsOf(table)) {
      if (own === inode) return state === LISTENS ? parseAddress(local as string) : undefined;
    }
  }
  for (const [, , , flags, type, , own, path = ''] of rowsOf('unix')) {
    if (own !== inode) continue;
    const listens = (Number.parseInt(flags as string, 16) & ACCEPTS) !== 0 && type === STREAM;
    return listens ? { address: `unix:${path}`, port: 0 } : undefined;
  }
  return undefined;
}

/** Where a descriptor listens. Throws SYSTEM if it does not, and HOST where that cannot be found out. */
export function listeningAt(fd: number): ListeningAt {
  const what = descriptorName(fd);
  if (process.platform !== 'linux') {
    const text = `${what}: the portable host takes a descriptor on Linux only`;
    throw new FeatherstarError('FEATHERSTAR_HOST', text);
  }
  let inode: string | undefined;
  try {
    if (!fstatSync(fd).isSocket()) throw systemError('getsockopt', Errno.ENOTSOCK, what);
    inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1];
  } catch (error) {
    throw FeatherstarError.is(error) ? error : systemError('getsockopt', errnoOf(error), what);
  }
  const found = inode === undefined ? undefined : find(inode);
  if (found === undefined) throw systemError('getsockopt', Errno.EINVAL, what);
  return found;
}
