// Operations by name: what the sockets of net/ and http/ ask the core to stage. Numbers are the kernel's
// (include/uapi/linux/io_uring.h); the gate and the portable host take no others.

import { Code, type FeatherstarError, fullError, systemError } from '../base/errors.js';
import type { Shard } from './shard.js';

const FIXED_FILE = 1;
const BUFFER_SELECT = 32;
const CQE_SKIP_SUCCESS = 64;
const OP_POLL_ADD = 6;
const OP_RECVMSG = 10;
const OP_ACCEPT = 13;
const OP_SEND = 26;
const OP_RECV = 27;
const OP_CONNECT = 16;
const OP_SHUTDOWN = 34;
const OP_MSG_RING = 40;
const OP_SOCKET = 45;
const OP_URING_CMD = 46;
const SOCK_STREAM = 1;
const MSG_SEND_FD = 1;
const ACCEPT_MULTISHOT = 1;
const RECV_MULTISHOT = 2;
const MSG_WAITALL = 0x100;
const MSG_DONTWAIT = 0x40;
const POLL_MULTISHOT = 1;
const FILE_INDEX_ALLOC = -1;
const SHUT_WR = 1;

/** Bits of a poll's result: room to send; the connection is reset; both sides have ended; the peer has (FIN). */
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLRDHUP = 0x2000;

/** CQE flags of a ready entry. */
export const MORE = 2;
export const BUFFER_SHIFT = 16;

/**
 * The slot of the op. One that found none is answered all the same, by the next turn and with Code.FULL, as if the
 * kernel had refused it: who stages in the middle of an event has nobody to throw at.
 */
function staged(shard: Shard, index: number, owner: number, tag: number): number {
  if (index >= 0) return index;
  shard.answerLater(owner, tag, Code.FULL);
  return shard.header.opSlots + 1; // nobody's: to cancel it does nothing
}

/** The same for those who can throw: nothing was staged. */
function checked(index: number): number {
  if (index < 0) throw fullError('operations');
  return index;
}

/** What an operation ended with. */
export function operationError(syscall: string, result: number, what = ''): FeatherstarError {
  return result === Code.FULL ? fullError('operations') : systemError(syscall, result, what);
}

/** Accepts connections until cancelled: one event each, with the new file slot as its result. */
export function accept(shard: Shard, listener: number, owner: number, tag: number): number {
  const flags = ACCEPT_MULTISHOT;
  const index = shard.submit(OP_ACCEPT, FIXED_FILE, flags, listener, 0, 0, 0, FILE_INDEX_ALLOC, owner, tag);
  return staged(shard, index, owner, tag);
}

/** Receives into buffers that the kernel picks. Multishot: until cancelled, or -ENOBUFS, or the end. */
export function receive(shard: Shard, file: number, multishot: boolean, owner: number, tag: number): number {
  const ioprio = multishot ? RECV_MULTISHOT : 0;
  const index = shard.submit(OP_RECV, FIXED_FILE | BUFFER_SELECT, ioprio, file, 0, 0, 0, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/**
 * Sends [ptr, ptr + len); one event when all of it is out, or an error, or (rarely) less was. The kernel reads the
 * bytes until then, and a peer that does not read makes that long: what others need must not be sent so.
 */
export function send(shard: Shard, file: number, ptr: number, len: number, owner: number, tag: number): number {
  const index = shard.submit(OP_SEND, FIXED_FILE, 0, file, ptr, len, MSG_WAITALL, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/**
 * Sends what the socket takes at once: less than `len`, or -EAGAIN, if it is full. A success is told with the next
 * turn, whenever that comes; core.hurry() if somebody waits for it.
 */
export function sendNow(shard: Shard, file: number, ptr: number, len: number, owner: number, tag: number): number {
  const msgFlags = MSG_WAITALL | MSG_DONTWAIT;
  const flags = FIXED_FILE | CQE_SKIP_SUCCESS;
  const index = shard.submit(OP_SEND, flags, 0, file, ptr, len, msgFlags, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/**
 * Watches how a connection ends, also while nothing is received: an event for the peer's end and one for a reset, until
 * it is cancelled. Multishot, as the kernel adds POLLRDHUP to what any poll waits for: after the peer's end a single
 * poll completes at once, whatever it asked for.
 */
export function watchEnds(shard: Shard, file: number, owner: number, tag: number): number {
  const events = POLLERR | POLLHUP | POLLRDHUP;
  const index = shard.submit(OP_POLL_ADD, FIXED_FILE, 0, file, 0, POLL_MULTISHOT, events, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/**
 * Watches a connection's room for bytes, until it is cancelled: an event with POLLOUT at once if there is some, and
 * whenever there is some again after a send has found none. Multishot like watchEnds(), and for the same reason. It
 * touches no memory, so a sender that waits for a slow peer holds no buffer.
 */
export function watchRoom(shard: Shard, file: number, owner: number, tag: number): number {
  const index = shard.submit(OP_POLL_ADD, FIXED_FILE, 0, file, 0, POLL_MULTISHOT, POLLOUT, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/** Waits until a socket of datagrams has room for one. */
export function whenRoom(shard: Shard, file: number, owner: number, tag: number): number {
  const index = shard.submit(OP_POLL_ADD, FIXED_FILE, 0, file, 0, 0, POLLOUT, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/**
 * Tells the peer that no more will come. The kernel does this in a thread of its own, which looks the file up only
 * then: whoever closed the file before the event would shut down the next connection in its slot.
 */
export function shutdownWrites(shard: Shard, file: number, owner: number, tag: number): void {
  const index = shard.submit(OP_SHUTDOWN, FIXED_FILE, 0, file, 0, SHUT_WR, 0, 0, owner, tag);
  staged(shard, index, owner, tag);
}

/** Opens a socket: its event has the new file slot. */
export function openSocket(shard: Shard, family: number, owner: number, tag: number): number {
  shard.host.poke();
  return checked(shard.core.submit(OP_SOCKET, 0, 0, family, SOCK_STREAM, 0, 0, 0, FILE_INDEX_ALLOC, owner, tag));
}

/**
 * Connects to the sockaddr at [ptr, ptr + bytes), which the host copies when it takes the submission: see
 * shard.whenSubmitted(). With 0 bytes, to the path that host.setSocketPath() has put at the index `ptr`, which must
 * stay there until the event.
 */
export function connectFile(
  shard: Shard,
  file: number,
  ptr: number,
  bytes: number,
  owner: number,
  tag: number,
): number {
  shard.host.poke();
  return checked(shard.core.submit(OP_CONNECT, FIXED_FILE, 0, file, bytes, ptr, 0, 0, 0, owner, tag));
}

/**
 * Receives datagrams until cancelled, or -ENOBUFS, or an empty one: each into a buffer that the kernel picks, behind a
 * struct io_uring_recvmsg_out and 28 bytes with the sender's sockaddr.
 */
export function receiveDatagrams(shard: Shard, file: number, owner: number, tag: number): number {
  const flags = FIXED_FILE | BUFFER_SELECT;
  const index = shard.submit(OP_RECVMSG, flags, RECV_MULTISHOT, file, 0, 0, 0, 0, owner, tag);
  return staged(shard, index, owner, tag);
}

/**
 * Sends one datagram to the sockaddr at `address`; of 0 bytes: to where the socket is connected. -EAGAIN: the socket
 * has no room for it.
 */
export function sendDatagram(
  shard: Shard,
  file: number,
  address: number,
  addressBytes: number,
  ptr: number,
  len: number,
  owner: number,
  tag: number,
): number {
  const at = addressBytes === 0 ? 0 : address;
  shard.host.poke();
  return checked(shard.core.submit(OP_SEND, FIXED_FILE, 0, file, at, ptr, len, MSG_DONTWAIT, addressBytes, owner, tag));
}

/** TCP_NODELAY. Kernels before 6.7 cannot, and nobody waits for it: then small writes may be held back for others. */
export function sendAtOnce(shard: Shard, file: number): void {
  checked(shard.submit(OP_URING_CMD, FIXED_FILE, 0, file, 0, 0, 0, 0, 0, 0));
}

/** Puts a file into a slot of a peer's ring, which is the result; it stays in this one, too (host.movesFiles). */
export function handOverFile(shard: Shard, peer: number, file: number, owner: number, tag: number): void {
  const index = shard.submit(OP_MSG_RING, 0, 0, peer, MSG_SEND_FD, 0, 0, file + 1, owner, tag);
  staged(shard, index, owner, tag);
}
