// Every error that featherstar makes. Match on `code`; texts may change. docs/errors.md lists them.

import { Code } from '../core/offsets.js';
import { errnoKind, errnoName, errnoText } from './errno.js';

export { errnoName } from './errno.js';
export { Code };

const brand = Symbol.for('featherstar.error');

/** Whose fault an error is, and so what can be done about it. */
export type ErrorKind =
  | 'usage' // the program's: change the code that made the call
  | 'system' // the machine's: its kernel, its memory, its resolver
  | 'peer' // the other side's: a client, a server, another shard
  | 'limit' // something is full: do less at once, or raise the limit
  | 'ended' // nobody's: it was closed or aborted, or its time was over
  | 'defect'; // featherstar's: please report it

/** Every code, with its kind. */
export const ERROR_KINDS = {
  FEATHERSTAR_OPTION: 'usage', // an option is missing, of the wrong type or outside its limits
  FEATHERSTAR_STATE: 'usage', // a method was called at a moment at which it may not be
  FEATHERSTAR_HOST: 'system', // the requested host is not available here
  FEATHERSTAR_MEMORY: 'system', // the process may not have the shared memory that the shards need
  FEATHERSTAR_MODULE: 'usage', // the shard module, or a package beside this one, cannot be loaded, or lacks a function
  FEATHERSTAR_NO_SHARD: 'usage', // called in a thread that is no shard
  FEATHERSTAR_FULL: 'limit', // a table or pool is full
  FEATHERSTAR_CLOSED: 'ended', // the runtime, server or socket is closed
  FEATHERSTAR_BUSY: 'usage', // a file operation still uses these shared bytes
  FEATHERSTAR_OVERWRITTEN: 'usage', // checkMemory: bytes were written that have no owner
  FEATHERSTAR_PEER_DOWN: 'peer', // the called shard does not run any more
  FEATHERSTAR_REMOTE: 'peer', // the called function threw something that is no Error
  FEATHERSTAR_SERVICE: 'peer', // a sharded service could not start or stop on every shard
  FEATHERSTAR_ABORTED: 'ended', // it was aborted, without a reason of its own
  FEATHERSTAR_TIMEOUT: 'ended', // it took longer than it was given
  FEATHERSTAR_DEADLOCK: 'defect', // calls wait for each other; should never be
  FEATHERSTAR_CODEC: 'usage', // a value cannot be sent to another shard
  FEATHERSTAR_NETWORK: 'usage', // the program has not allowed this address
  FEATHERSTAR_SYSTEM: 'system', // the kernel returned an error; errno and syscall are set
  FEATHERSTAR_DNS: 'system', // a hostname has no address, or the resolver does not say
  FEATHERSTAR_TLS: 'peer', // a handshake failed, or a key or certificate cannot be used
  FEATHERSTAR_WEBSOCKET: 'peer', // the server of a WebSocket has refused the handshake, or broken the protocol
  FEATHERSTAR_BODY: 'peer', // a request's body broke off or is too large
  FEATHERSTAR_SIMULATION: 'usage', // a simulated program failed, or left the simulation
  FEATHERSTAR_INTERNAL: 'defect', // a defect of featherstar: please report it
} as const satisfies Record<string, ErrorKind>;

/** The code of a FeatherstarError. docs/errors.md says what each one means, and what to do. */
export type ErrorCode = keyof typeof ERROR_KINDS;

/** The other parts of a FeatherstarError, beside its code and message. */
export interface ErrorDetails {
  /** The error that caused this one. */
  cause?: unknown;
  /** The error number of the system, of either sign. */
  errno?: number;
  /** The system call that has failed. */
  syscall?: string;
  /** Name of the errno, as Node has it: EADDRINUSE. */
  errnoName?: string;
}

/**
 * Every error of this library. `FeatherstarError.is(error)` recognises it, also from another copy of the library.
 *
 * @example
 * if (FeatherstarError.is(error) && error.code === 'FEATHERSTAR_TIMEOUT') retry();
 */
export class FeatherstarError extends Error {
  /** The kind of error, for programs. */
  readonly code: ErrorCode;
  /** The error number of the system, negative as in Node. Only if a system call has failed. */
  declare readonly errno?: number;
  /** The system call that has failed. */
  declare readonly syscall?: string;
  /** The name of the errno, such as 'EADDRINUSE'. */
  declare readonly errnoName?: string;

  /** The library makes these errors. A program may make one in its tests. */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'FeatherstarError';
    this.code = code;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.errnoName !== undefined) this.errnoName = details.errnoName;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Whose fault it is. It follows from the code; of FEATHERSTAR_SYSTEM from the errno, too: ECONNRESET is a peer's. */
  get kind(): ErrorKind {
    const ofErrno = this.errno === undefined ? undefined : errnoKind(this.errno);
    return ofErrno ?? ERROR_KINDS[this.code];
  }

  /** True for errors of any copy of this library. Never throws. */
  static is(value: unknown): value is FeatherstarError {
    if (typeof value !== 'object' || value === null) return false;
    try {
      return (value as Record<symbol, unknown>)[brand] === true;
    } catch {
      return false; // a proxy whose properties throw
    }
  }
}

/** The kernel's no. `errno` may have either sign; it is kept negative, as Node does. */
export function systemError(syscall: string, errno: number, what = ''): FeatherstarError {
  const negative = -Math.abs(errno);
  const subject = what === '' ? syscall : `${syscall} ${what}`;
  return new FeatherstarError('FEATHERSTAR_SYSTEM', `${subject}: ${errnoText(negative, syscall, what)}`, {
    errno: negative,
    syscall,
    errnoName: errnoName(negative),
  });
}

/** `cause`: what the system's resolver said; its code says whether there is no such name or it did not answer. */
export function resolveError(hostname: string, cause?: unknown): FeatherstarError {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code ?? 'ENOTFOUND';
  const why = code === 'EAI_AGAIN' ? 'the resolver does not answer; try again' : 'there is no such name';
  const text = `hostname ${hostname} cannot be resolved: ${code}: ${why}`;
  return new FeatherstarError('FEATHERSTAR_DNS', text, { cause, syscall: 'getaddrinfo', errnoName: code });
}

export function optionError(name: string, value: unknown, wanted: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_OPTION', `${name} must be ${wanted}, got ${describe(value)}`);
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number' || typeof value === 'bigint' || value == null) return String(value);
  return typeof value;
}

/** Something that was thrown and is no Error, as text. Some objects have none, and throw when they are asked. */
export function textOf(thrown: unknown): string {
  for (const toText of [() => String(thrown), () => Object.prototype.toString.call(thrown)]) {
    try {
      return toText();
    } catch {
      // a property of it throws
    }
  }
  return 'a value without a text'; // a proxy, each of whose properties throws
}

/** A defect of this library. It is thrown where continuing would give one thing to two owners. */
export function internalError(text: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_INTERNAL', text);
}

export function fullError(what: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_FULL', `all ${what} are in use`);
}
