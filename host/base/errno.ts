// The meaning of each errno of the kernel, and its remedy. The remedy belongs to the system call that failed: EACCES of
// a bind is a port below 1024, of an open it is the mode of a file. So each errno has a text that is true of every
// call, and some have others for some calls.
//
// Names are Linux's; see errno(3). docs/errors.md has the same list for readers.

const ERRNO: Record<number, readonly [name: string, text: string]> = {
  1: ['EPERM', 'not permitted'],
  2: ['ENOENT', 'no such file or directory'],
  4: ['EINTR', 'interrupted by a signal; the next turn goes on'],
  5: ['EIO', 'input/output error of the device'],
  6: ['ENXIO', 'no such device, or nobody reads from the pipe'],
  9: ['EBADF', 'the file slot is not granted or is closed'],
  11: ['EAGAIN', 'not now; try again'],
  12: ['ENOMEM', 'not enough memory'],
  13: ['EACCES', 'permission denied'],
  14: ['EFAULT', 'the buffer lies outside of linear memory and of the memory of blocks'],
  16: ['EBUSY', 'busy'],
  17: ['EEXIST', 'exists already'],
  18: ['EXDEV', 'the path leads out of its directory, or into another mount (openDirectory has crossMounts for that)'],
  20: ['ENOTDIR', 'not a directory'],
  21: ['EISDIR', 'a directory'],
  22: ['EINVAL', 'invalid argument'],
  23: ['ENFILE', 'the system has too many open files'],
  24: ['EMFILE', 'this process has too many open files (ulimit -n)'],
  26: ['ETXTBSY', 'a program that runs cannot be written to'],
  27: ['EFBIG', 'the file is too large'],
  28: ['ENOSPC', 'no space left on the device'],
  29: ['ESPIPE', 'a pipe or socket, which has no positions'],
  30: ['EROFS', 'the file system cannot be written to'],
  32: ['EPIPE', 'the peer has closed its reading side'],
  36: ['ENAMETOOLONG', 'the name is too long'],
  38: ['ENOSYS', 'the kernel does not have it, or a seccomp filter hides it'],
  39: ['ENOTEMPTY', 'the directory is not empty'],
  40: ['ELOOP', 'a link, or too many of them'],
  88: ['ENOTSOCK', 'not a socket'],
  90: ['EMSGSIZE', 'the datagram is too long'],
  95: ['EOPNOTSUPP', 'not supported by this kernel'],
  97: ['EAFNOSUPPORT', 'address family not supported (is IPv6 off?)'],
  98: ['EADDRINUSE', 'the address is in use by another server'],
  99: ['EADDRNOTAVAIL', 'the address is not one of this machine'],
  101: ['ENETUNREACH', 'no route to that network'],
  103: ['ECONNABORTED', 'the connection was aborted'],
  104: ['ECONNRESET', 'the peer reset the connection'],
  105: ['ENOBUFS', 'no buffer is free'],
  110: ['ETIMEDOUT', 'timed out'],
  111: ['ECONNREFUSED', 'nobody listens there'],
  113: ['EHOSTUNREACH', 'no route to the host'],
  122: ['EDQUOT', 'no space is left of the quota'],
  125: ['ECANCELED', 'cancelled'],
};

const RING = ['io_uring_setup', 'io_uring_register', 'io_uring_enter', 'mmap'];
const BIND = ['bind', 'listen', 'socket', 'setsockopt'];
const GIVEN = ['getsockopt']; // of a descriptor that was given to this process
const SEND = ['connect', 'sendto'];
const CHANGE = ['mkdir', 'rmdir', 'unlink', 'rename'];
const FILES = ['open', 'stat', 'getdents', ...CHANGE];

/** Texts for some calls only. The first one that fits counts; `onPath`: only for a Unix socket, or only for others. */
const OF_CALL: readonly { errno: number; calls: readonly string[]; onPath?: boolean; text: string }[] = [
  {
    errno: 1,
    calls: RING,
    text: 'not permitted: a seccomp filter (Docker and Kubernetes have one) or kernel.io_uring_disabled forbids it',
  },
  { errno: 1, calls: SEND, text: 'not permitted: a firewall of this machine forbids it' },
  {
    errno: 1,
    calls: CHANGE,
    text: 'not permitted: the file or its directory is immutable, or belongs to another user',
  },
  { errno: 2, calls: BIND, onPath: true, text: 'the directory of the socket does not exist' },
  { errno: 9, calls: GIVEN, text: 'the descriptor is not open' },
  { errno: 12, calls: RING, text: 'not enough memory, or RLIMIT_MEMLOCK (ulimit -l) is too low for the ring' },
  {
    errno: 13,
    calls: BIND,
    onPath: true,
    text: 'permission denied: the directory of the socket may not be written to',
  },
  { errno: 13, calls: BIND, text: 'permission denied: ports below 1024 need CAP_NET_BIND_SERVICE' },
  { errno: 13, calls: SEND, onPath: true, text: 'permission denied: the file of the socket may not be written to' },
  { errno: 13, calls: SEND, text: 'permission denied: a broadcast address, or a firewall forbids it' },
  {
    errno: 13,
    calls: FILES,
    text: 'permission denied: the mode of the file, or of a directory on its path, keeps this user out',
  },
  { errno: 17, calls: RING, text: 'the ring belongs to another thread' },
  { errno: 22, calls: RING, text: 'invalid argument: the kernel is too old (io_uring needs 6.1)' },
  { errno: 22, calls: GIVEN, text: 'the descriptor is no stream socket that listens' },
  {
    errno: 23,
    calls: BIND,
    text: 'the shard has 16 listeners and UDP sockets already, or the system has too many open files',
  },
  {
    errno: 23,
    calls: ['accept', 'socket', 'open'],
    text: 'no file slot is free (connectionSlots), or the system has too many open files',
  },
  {
    errno: 24,
    calls: BIND,
    text: 'this process has too many open files (ulimit -n), or the shard has 16 listeners and UDP sockets already',
  },
  {
    errno: 24,
    calls: RING,
    text: 'the shard has 16 listeners and UDP sockets already, or this process may open too few files (ulimit -n)',
  },
  {
    errno: 24,
    calls: ['open'],
    text: 'this process has too many open files (ulimit -n), or the shard has 64 directories open already',
  },
  { errno: 14, calls: ['recv'], text: 'the buffer of the array was transferred or shrunk before bytes had come' },
  { errno: 38, calls: RING, text: 'the kernel has no io_uring, or a seccomp filter hides it' },
  { errno: 99, calls: SEND, text: 'no local port is free, or the address cannot be reached from here' },
  { errno: 105, calls: ['recv', 'recvmsg'], text: 'no receive buffer is free' },
];

const OF_PEER = ['EPIPE', 'ECONNABORTED', 'ECONNRESET', 'ETIMEDOUT', 'ECONNREFUSED'];
const OF_LIMIT = ['ENFILE', 'EMFILE', 'ENOBUFS', 'ENOSPC', 'EDQUOT'];

/** Whose fault an errno is, if it is not the system's. */
export function errnoKind(errno: number): 'peer' | 'limit' | undefined {
  const name = errnoName(errno);
  if (OF_PEER.includes(name)) return 'peer';
  return OF_LIMIT.includes(name) ? 'limit' : undefined;
}

export function errnoName(errno: number): string {
  return ERRNO[Math.abs(errno)]?.[0] ?? `errno ${Math.abs(errno)}`;
}

/** Name, cause and remedy. `syscall`: the call that failed; `what`: what it was called for. */
export function errnoText(errno: number, syscall: string, what = ''): string {
  const entry = ERRNO[Math.abs(errno)];
  if (entry === undefined) return `errno ${Math.abs(errno)}`;
  const isPath = what.startsWith('unix:');
  const special = OF_CALL.find(
    (each) => each.errno === Math.abs(errno) && each.calls.includes(syscall) && (each.onPath ?? isPath) === isPath,
  );
  return `${entry[0]}: ${special?.text ?? entry[1]}`;
}
