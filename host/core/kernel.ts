// The kernel's numbers that featherstar submits, returns or compares. They are those of Linux on x86-64 and arm64:
// include/uapi/linux/io_uring.h, and asm-generic's errno.h, poll.h, socket.h, fcntl.h. The hosts that emulate io_uring
// take and return the same numbers on every system.
//
// The C addon includes the kernel's own headers, and the core has the few that it needs (assembly/op.ts).
//
// Next: host/shard/ops.ts.

// --- io_uring: operations -------------------------------------------------------------------------------------------

export const OP_NOP = 0;
export const OP_FSYNC = 3;
export const OP_POLL_ADD = 6;
export const OP_SENDMSG = 9;
export const OP_RECVMSG = 10;
export const OP_ACCEPT = 13;
export const OP_ASYNC_CANCEL = 14;
export const OP_CONNECT = 16;
export const OP_CLOSE = 19;
export const OP_STATX = 21;
export const OP_READ = 22;
export const OP_WRITE = 23;
export const OP_SEND = 26;
export const OP_RECV = 27;
export const OP_OPENAT2 = 28;
export const OP_SHUTDOWN = 34;
export const OP_RENAMEAT = 35;
export const OP_UNLINKAT = 36;
export const OP_MKDIRAT = 37;
export const OP_MSG_RING = 40;
export const OP_SOCKET = 45;
export const OP_URING_CMD = 46;
export const OP_FTRUNCATE = 55;

// --- io_uring: submissions and completions --------------------------------------------------------------------------

/** Words of 32 bits in a submission queue entry (SQE). */
export const SQE_WORDS = 16;
/** `flags`: the file is a slot of the ring's table; the kernel picks a buffer; only a failure has a completion. */
export const SQE_FIXED_FILE = 1;
export const SQE_BUFFER_SELECT = 32;
/** Groups of receive buffers that the kernel picks from (host/native/ring.h). */
export const SMALL_BUFFERS = 0;
export const LARGE_BUFFERS = 1;
export const SQE_CQE_SKIP_SUCCESS = 64;
/** `fileIndex`: the kernel picks a free slot for the new file. */
export const FILE_INDEX_ALLOC = -1;
/** `ioprio` of ACCEPT, RECV, RECVMSG; `len` of POLL_ADD. */
export const ACCEPT_MULTISHOT = 1;
export const RECV_POLL_FIRST = 1;
export const RECV_MULTISHOT = 2;
export const POLL_MULTISHOT = 1;
/** `addr` of MSG_RING: put a file into the other ring. */
export const MSG_SEND_FD = 1;
/** `opFlags` of FSYNC. */
export const FSYNC_DATASYNC = 1;

/** Words of 32 bits in a completion queue entry (CQE). */
export const CQE_WORDS = 4;
/** `flags`: the result lies in a buffer, whose number begins at the shift; more completions follow. */
export const CQE_BUFFER = 1;
export const CQE_MORE = 2;
/** Of a receive: the socket has more bytes. */
export const CQE_SOCK_NONEMPTY = 4;
export const CQE_BUFFER_SHIFT = 16;

// --- sockets --------------------------------------------------------------------------------------------------------

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

export const MSG_PEEK = 2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_WAITALL = 0x100;
export const MSG_MORE = 0x8000;

/** Bits of a poll's result: bytes have come; room to send; a reset; both sides have ended; the peer has (FIN). */
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 16;
export const POLLRDHUP = 0x2000;
/** How a connection ends. */
export const END_EVENTS = POLLERR | POLLHUP | POLLRDHUP;

// --- files ----------------------------------------------------------------------------------------------------------

export const AT_REMOVEDIR = 0x200;
export const RENAME_NOREPLACE = 1;
export const STATX_BASIC_STATS = 0x7ff;
/** Bytes of a struct statx, and of a struct open_how. */
export const STATX_BYTES = 256;
export const HOW_BYTES = 24;

// --- errors ---------------------------------------------------------------------------------------------------------

/** Results of operations that failed: Linux's numbers, negative, on every system. */
export const Errno = {
  EPERM: -1,
  ENOENT: -2,
  EIO: -5,
  EBADF: -9,
  EAGAIN: -11,
  ENOMEM: -12,
  EACCES: -13,
  EFAULT: -14,
  EEXIST: -17,
  EXDEV: -18,
  ENODEV: -19,
  ENOTDIR: -20,
  EISDIR: -21,
  EINVAL: -22,
  ENFILE: -23,
  EMFILE: -24,
  EFBIG: -27,
  ENOSPC: -28,
  EPIPE: -32,
  ENAMETOOLONG: -36,
  ENOTEMPTY: -39,
  EDESTADDRREQ: -89,
  EMSGSIZE: -90,
  ENOTSOCK: -88,
  EOPNOTSUPP: -95,
  EADDRINUSE: -98,
  EADDRNOTAVAIL: -99,
  ECONNABORTED: -103,
  ECONNRESET: -104,
  ENOBUFS: -105,
  EISCONN: -106,
  ENOTCONN: -107,
  ETIMEDOUT: -110,
  ECONNREFUSED: -111,
  EHOSTUNREACH: -113,
  ECANCELED: -125,
} as const;
