// Every error that featherstar makes. Match on `code`; texts may change. docs/errors.md lists them.

const brand = Symbol.for('featherstar.error');

export type ErrorCode =
  | 'FEATHERSTAR_OPTION' // an option is missing, of the wrong type or outside its limits
  | 'FEATHERSTAR_HOST' // the host that was asked for cannot be had here
  | 'FEATHERSTAR_MODULE' // the shard module cannot be loaded, or has no such function
  | 'FEATHERSTAR_NO_SHARD' // called in a thread that is no shard
  | 'FEATHERSTAR_FULL' // a table or pool is full
  | 'FEATHERSTAR_CLOSED' // the runtime, server or socket is closed
  | 'FEATHERSTAR_PEER_DOWN' // the shard that was called does not run any more
  | 'FEATHERSTAR_REMOTE' // the called function threw something that is no Error
  | 'FEATHERSTAR_SERVICE' // a sharded service could not start or stop on every shard
  | 'FEATHERSTAR_ABORTED' // it was aborted, without a reason of its own
  | 'FEATHERSTAR_TIMEOUT' // it took longer than it was given
  | 'FEATHERSTAR_CODEC' // a value cannot be sent to another shard
  | 'FEATHERSTAR_SYSTEM' // the kernel said no; errno and syscall are set
  | 'FEATHERSTAR_BODY' // a request's body broke off or is too large
  | 'FEATHERSTAR_SIMULATION' // a simulated program failed, or left the simulation
  | 'FEATHERSTAR_INTERNAL'; // a defect of featherstar: please report it

export interface ErrorDetails {
  cause?: unknown;
  errno?: number;
  syscall?: string;
  /** Name of the errno, as Node has it: EADDRINUSE. */
  errnoName?: string;
}

export class FeatherstarError extends Error {
  readonly code: ErrorCode;
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly errnoName?: string;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'FeatherstarError';
    this.code = code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.errnoName !== undefined) this.errnoName = details.errnoName;
    Object.defineProperty(this, brand, { value: true });
  }

  /** True for errors of any copy of this library. */
  static is(value: unknown): value is FeatherstarError {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === true;
  }
}

/** Cause and remedy of each errno that users meet. Names are Linux's; see errno(3). */
const ERRNO: Record<number, readonly [name: string, text: string]> = {
  1: [
    'EPERM',
    'not permitted: a seccomp filter (Docker and Kubernetes have one) or kernel.io_uring_disabled forbids it',
  ],
  2: ['ENOENT', 'no such file or directory'],
  4: ['EINTR', 'interrupted by a signal; the next turn goes on'],
  5: ['EIO', 'input/output error of the device'],
  6: ['ENXIO', 'no such device, or nobody reads from the pipe'],
  9: ['EBADF', 'the file slot is not granted or is closed'],
  11: ['EAGAIN', 'not now; try again'],
  12: ['ENOMEM', 'not enough memory, or RLIMIT_MEMLOCK (ulimit -l) is too low for the ring'],
  13: ['EACCES', 'permission denied: ports below 1024 need CAP_NET_BIND_SERVICE'],
  14: ['EFAULT', 'the buffer lies outside linear memory'],
  16: ['EBUSY', 'busy'],
  17: ['EEXIST', 'exists already, or the ring belongs to another thread'],
  18: ['EXDEV', 'the path leads out of its directory, or to another file system'],
  20: ['ENOTDIR', 'not a directory'],
  21: ['EISDIR', 'a directory'],
  22: ['EINVAL', 'invalid argument, or the kernel is too old (io_uring needs 6.1)'],
  23: ['ENFILE', 'the system has too many open files'],
  24: ['EMFILE', 'this process has too many open files (ulimit -n), or the shard too many directories'],
  26: ['ETXTBSY', 'a program that runs cannot be written to'],
  27: ['EFBIG', 'the file is too large'],
  28: ['ENOSPC', 'no space left on the device'],
  29: ['ESPIPE', 'a pipe or socket, which has no positions'],
  30: ['EROFS', 'the file system cannot be written to'],
  32: ['EPIPE', 'the peer has closed its reading side'],
  36: ['ENAMETOOLONG', 'the name is too long'],
  38: ['ENOSYS', 'the kernel has no io_uring, or a seccomp filter hides it'],
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
  105: ['ENOBUFS', 'no receive buffer is free'],
  110: ['ETIMEDOUT', 'timed out'],
  111: ['ECONNREFUSED', 'nobody listens there'],
  113: ['EHOSTUNREACH', 'no route to the host'],
  122: ['EDQUOT', 'no space is left of the quota'],
  125: ['ECANCELED', 'cancelled'],
};

export function errnoName(errno: number): string {
  return ERRNO[Math.abs(errno)]?.[0] ?? `errno ${Math.abs(errno)}`;
}

export function errnoText(errno: number): string {
  const entry = ERRNO[Math.abs(errno)];
  return entry === undefined ? `errno ${Math.abs(errno)}` : `${entry[0]}: ${entry[1]}`;
}

/** The kernel's no. `errno` may have either sign; it is kept negative, as Node does. */
export function systemError(syscall: string, errno: number, what = ''): FeatherstarError {
  const negative = -Math.abs(errno);
  const subject = what === '' ? syscall : `${syscall} ${what}`;
  return new FeatherstarError('FEATHERSTAR_SYSTEM', `${subject}: ${errnoText(negative)}`, {
    errno: negative,
    syscall,
    errnoName: errnoName(negative),
  });
}

export function optionError(name: string, value: unknown, wanted: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_OPTION', `${name} must be ${wanted}, not ${describe(value)}`);
}

/** Refuses what is not among `names`: an option that is misspelt would be left out without a word. */
export function checkNames(options: object, names: Readonly<Record<string, unknown>>): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(names, name)) continue;
    const all = Object.keys(names).join(', ');
    throw new FeatherstarError('FEATHERSTAR_OPTION', `there is no option ${JSON.stringify(name)}, but ${all}`);
  }
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'bigint' || value == null) return String(value);
  return typeof value;
}

/** Something that was thrown and is no Error, as text. Some objects have none, and throw when they are asked. */
export function textOf(thrown: unknown): string {
  try {
    return String(thrown);
  } catch {
    return Object.prototype.toString.call(thrown);
  }
}

/** Result codes of the core (assembly/check.ts). */
export const Code = { FULL: -5001, STALE: -5002, RANGE: -5003, NO_CREDIT: -5004, PEER_DOWN: -5005 } as const;

export function fullError(what: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_FULL', `all ${what} are in use`);
}
