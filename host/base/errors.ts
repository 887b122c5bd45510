// Every error that featherstar makes. Match on `code`; texts may change. docs/errors.md lists them.

import { errnoName, errnoText } from './errno.js';

export { errnoName } from './errno.js';

const brand = Symbol.for('featherstar.error');

export type ErrorCode =
  | 'FEATHERSTAR_OPTION' // an option is missing, of the wrong type or outside its limits
  | 'FEATHERSTAR_HOST' // the host that was asked for cannot be had here
  | 'FEATHERSTAR_MEMORY' // the process may not have the shared memory that the shards need
  | 'FEATHERSTAR_MODULE' // the shard module cannot be loaded, or has no such function
  | 'FEATHERSTAR_NO_SHARD' // called in a thread that is no shard
  | 'FEATHERSTAR_FULL' // a table or pool is full
  | 'FEATHERSTAR_CLOSED' // the runtime, server or socket is closed
  | 'FEATHERSTAR_BUSY' // a file operation still uses these shared bytes
  | 'FEATHERSTAR_OVERWRITTEN' // checkMemory: bytes were written that have no owner
  | 'FEATHERSTAR_PEER_DOWN' // the shard that was called does not run any more
  | 'FEATHERSTAR_REMOTE' // the called function threw something that is no Error
  | 'FEATHERSTAR_SERVICE' // a sharded service could not start or stop on every shard
  | 'FEATHERSTAR_ABORTED' // it was aborted, without a reason of its own
  | 'FEATHERSTAR_TIMEOUT' // it took longer than it was given
  | 'FEATHERSTAR_DEADLOCK' // calls wait for each other; should never be
  | 'FEATHERSTAR_CODEC' // a value cannot be sent to another shard
  | 'FEATHERSTAR_NETWORK' // the program has not allowed this address
  | 'FEATHERSTAR_SYSTEM' // the kernel said no; errno and syscall are set
  | 'FEATHERSTAR_DNS' // a hostname has no address, or the resolver does not say
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
  try {
    return String(thrown);
  } catch {
    return Object.prototype.toString.call(thrown);
  }
}

/** Result codes of the core (assembly/check.ts). */
export const Code = { OK: 0, FULL: -5001, STALE: -5002, RANGE: -5003, NO_CREDIT: -5004, PEER_DOWN: -5005 } as const;

/** A defect of this library. It is thrown where continuing would give one thing to two owners. */
export function internalError(text: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_INTERNAL', text);
}

export function fullError(what: string): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_FULL', `all ${what} are in use`);
}
