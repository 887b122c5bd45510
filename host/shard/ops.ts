// Operations by name: what the sockets of net/ and http/ ask the kernel for, in the manner of liburing's
// io_uring_prep_*(). Each function fills in a submission and stages it as the Operation that it is given.
//
// Those whose name ends in OrThrow throw FULL; the others tell it by an event (operation.ts).
//
// Next: stream-transport.ts.

import { Code, type FeatherstarError, fullError, systemError } from '../base/errors.js';
import * as kernel from '../core/kernel.js';
import { type Operation, prepare, type Submission } from './operation.js';
import type { Shard } from './shard.js';

/** The result of an operation. */
export function operationError(syscall: string, result: number, what = ''): FeatherstarError {
  return result === Code.FULL ? fullError('operations') : systemError(syscall, result, what);
}

/** A submission on a file slot. */
export function prepareFile(opcode: number, file: number): Submission {
  const what = prepare(opcode, file);
  what.flags = kernel.SQE_FIXED_FILE;
  return what;
}

/**
 * Accepts connections until cancelled: one event each, with the new file slot as its result. Not `multishot`: accepts
 * one. The kernel wakes the waiter that has waited longest, and a multishot never gives its place up. So several rings
 * take turns on one socket only if each accepts one connection at a time.
 */
export function accept(operation: Operation, listener: number, multishot: boolean): void {
  operation.stage(accepting(listener, multishot));
}

export function acceptOrThrow(operation: Operation, listener: number, multishot: boolean): void {
  operation.stageOrThrow(accepting(listener, multishot));
}

function accepting(listener: number, multishot: boolean): Submission {
  const what = prepareFile(kernel.OP_ACCEPT, listener);
  what.ioprio = multishot ? kernel.ACCEPT_MULTISHOT : 0;
  what.fileIndex = kernel.FILE_INDEX_ALLOC;
  return what;
}

/**
 * Receives into buffers that the kernel picks, from `group` (SMALL_BUFFERS or LARGE_BUFFERS). Multishot: until
 * cancelled, or -ENOBUFS, or the end.
 */
export function receive(operation: Operation, file: number, multishot: boolean, group: number): void {
  const what = prepareFile(kernel.OP_RECV, file);
  what.flags |= kernel.SQE_BUFFER_SELECT;
  what.ioprio = multishot ? kernel.RECV_MULTISHOT : 0;
  what.bufGroup = group;
  operation.stage(what);
}

/**
 * Receives what has come into the first `len` bytes of `shard.targets[file]`, at once: -EAGAIN if nothing has. The
 * array must stay there until the event. If it was detached meanwhile: -EFAULT.
 */
export function receiveInto(operation: Operation, file: number, len: number): void {
  const what = prepareFile(kernel.OP_RECVMSG, file);
  what.len = len;
  what.opFlags = kernel.MSG_DONTWAIT;
  operation.stage(what);
}

/** Waits until bytes have come, or the connection has ended. It holds no memory meanwhile. */
export function whenBytes(operation: Operation, file: number): void {
  const what = prepareFile(kernel.OP_POLL_ADD, file);
  what.opFlags = kernel.POLLIN | kernel.POLLERR | kernel.POLLHUP | kernel.POLLRDHUP;
  operation.stage(what);
}

/**
 * Sends [ptr, ptr + len); one event when all of it is out, or an error, or (rarely) less was. The kernel reads the
 * bytes until then, and a peer that does not read makes that long: what others need must not be sent so.
 */
export function send(operation: Operation, file: number, ptr: number, len: number): void {
  const what = prepareFile(kernel.OP_SEND, file);
  what.ptr = ptr;
  what.len = len;
  what.opFlags = kernel.MSG_WAITALL;
  operation.stage(what);
}

/**
 * Sends what the socket takes at once: less than `len`, or -EAGAIN, if it is full. A success is told with the next
 * turn, whenever that comes; call shard.hurry() if a caller waits for it.
 */
export function sendNow(operation: Operation, file: number, ptr: number, len: number): void {
  const what = prepareFile(kernel.OP_SEND, file);
  what.flags |= kernel.SQE_CQE_SKIP_SUCCESS;
  what.ptr = ptr;
  what.len = len;
  what.opFlags = kernel.MSG_WAITALL | kernel.MSG_DONTWAIT;
  operation.stage(what);
}

/**
 * Like sendNow(), for `headBytes` at `head`, and behind them those of `shard.lent[file]`, from `skip` in its first
 * piece on; `len` bytes in all. They must stay there until the host has taken the submission. If a piece was detached
 * meanwhile: -EFAULT.
 */
export function sendLent(
  operation: Operation,
  file: number,
  head: number,
  headBytes: number,
  skip: number,
  len: number,
): void {
  const what = prepareFile(kernel.OP_SENDMSG, file);
  what.flags |= kernel.SQE_CQE_SKIP_SUCCESS;
  what.off = skip;
  what.ptr = head;
  what.len = len;
  what.fileIndex = headBytes;
  what.opFlags = kernel.MSG_WAITALL | kernel.MSG_DONTWAIT;
  operation.stage(what);
}

/**
 * Watches how a connection ends, also while nothing is received: an event for the peer's end and one for a reset, until
 * it is cancelled. Multishot, because the kernel adds POLLRDHUP to every poll: after the peer's end a single poll
 * completes at once.
 */
export function watchEnds(operation: Operation, file: number): void {
  const what = prepareFile(kernel.OP_POLL_ADD, file);
  what.len = kernel.POLL_MULTISHOT;
  what.opFlags = kernel.POLLERR | kernel.POLLHUP | kernel.POLLRDHUP;
  operation.stage(what);
}

/**
 * Watches a connection's room for bytes, until it is cancelled. An event with POLLOUT comes at once if there is room.
 * Another comes whenever there is room again after a send has found none. Multishot like watchEnds(), and for the same
 * reason. It touches no memory, so a sender that waits for a slow peer holds no buffer.
 */
export function watchRoom(operation: Operation, file: number): void {
  const what = prepareFile(kernel.OP_POLL_ADD, file);
  what.len = kernel.POLL_MULTISHOT;
  what.opFlags = kernel.POLLOUT;
  operation.stage(what);
}

/** Waits until a socket of datagrams has room for one. */
export function whenRoom(operation: Operation, file: number): void {
  const what = prepareFile(kernel.OP_POLL_ADD, file);
  what.opFlags = kernel.POLLOUT;
  operation.stage(what);
}

/**
 * Tells the peer that no more will come. The kernel does this in a thread of its own, which looks the file up only
 * then. Closing the file before the event would shut down the next connection in its slot.
 */
export function shutdownWrites(operation: Operation, file: number): void {
  const what = prepareFile(kernel.OP_SHUTDOWN, file);
  what.len = kernel.SHUT_WR;
  operation.stage(what);
}

/** Opens a stream socket of a family (AF_*): its event has the new file slot. */
export function openSocketOrThrow(operation: Operation, family: number): void {
  const what = prepare(kernel.OP_SOCKET, family);
  what.off = kernel.SOCK_STREAM;
  what.fileIndex = kernel.FILE_INDEX_ALLOC;
  operation.stageOrThrow(what);
}

/**
 * Connects to the sockaddr at [ptr, ptr + bytes), which the host copies when it takes the submission: see
 * shard.whenSubmitted(). With 0 bytes, to the path that host.setSocketPath() has put at the index `ptr`, which must
 * stay there until the event.
 */
export function connectFileOrThrow(operation: Operation, file: number, ptr: number, bytes: number): void {
  const what = prepareFile(kernel.OP_CONNECT, file);
  what.off = bytes;
  what.ptr = ptr;
  operation.stageOrThrow(what);
}

/**
 * Receives datagrams until cancelled, or -ENOBUFS, or an empty one. Each goes into a buffer that the kernel picks,
 * behind a struct io_uring_recvmsg_out and 28 bytes with the sender's sockaddr.
 */
export function receiveDatagrams(operation: Operation, file: number): void {
  const what = prepareFile(kernel.OP_RECVMSG, file);
  what.flags |= kernel.SQE_BUFFER_SELECT;
  what.ioprio = kernel.RECV_MULTISHOT;
  operation.stage(what);
}

/**
 * Sends one datagram of `len` bytes at `ptr` to the sockaddr at `address`. If that has 0 bytes, the datagram goes to
 * where the socket is connected. The result is -EAGAIN if the socket has no room for it.
 */
export function sendDatagramOrThrow(
  operation: Operation,
  file: number,
  address: number,
  addressBytes: number,
  ptr: number,
  len: number,
): void {
  const what = prepareFile(kernel.OP_SEND, file);
  what.off = addressBytes === 0 ? 0 : address;
  what.ptr = ptr;
  what.len = len;
  what.opFlags = kernel.MSG_DONTWAIT;
  what.fileIndex = addressBytes;
  operation.stageOrThrow(what);
}

/** TCP_NODELAY. Kernels before 6.7 cannot, and no event tells: then small writes may be held back for others. */
export function sendAtOnceOrThrow(shard: Shard, file: number): void {
  if (shard.submit(prepareFile(kernel.OP_URING_CMD, file), 0, 0) < 0) throw fullError('operations');
}

/** Puts a file into a slot of a peer's ring, which is the result; it stays in this one, too (host.movesFiles). */
export function handOverFile(operation: Operation, peer: number, file: number): void {
  const what = prepare(kernel.OP_MSG_RING, peer);
  what.ptr = kernel.MSG_SEND_FD;
  what.fileIndex = file + 1;
  operation.stage(what);
}
