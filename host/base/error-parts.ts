// Errors on their way to another thread, in one way: what an Error is made of, and an Error made of that.
//
//   between shards    encoder.ts  partsOf(error) --> bytes --> errorOf(parts)  decoder.ts
//   through a port    packError(thrown) --> structured clone --> unpackError(packed)
//
// A structured clone of an Error has no code, no errno and no name of its own, so it is not used for errors. These are
// kept: name, message, stack, code, errno, syscall, errnoName, cause, and the errors of an AggregateError. Other
// properties stay behind. A part that cannot be sent (such as a function as a cause) arrives as its text.

import { type ErrorCode, type ErrorDetails, FeatherstarError, textOf } from './errors.js';

const STACK_CHARS = 4096; // each thread that an error passes adds its frames: a thousand of them would be a megabyte
const DEPTH_MAX = 64;

/** Errors that arrive as what they were. Others arrive as Error, with their name. */
const TYPES: Readonly<Record<string, new (message: string) => Error>> = {
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
};

/** The parts of an Error. `cause` and `errors` are not converted: the sender of the parts must do that. */
export interface ErrorParts {
  name: string;
  message: string;
  stack: string | undefined;
  code: string | number | undefined;
  errno: number | undefined;
  syscall: string | undefined;
  errnoName: string | undefined;
  isDomException: boolean;
  /** A cause may be there and be undefined. */
  hasCause: boolean;
  cause: unknown;
  /** Of an AggregateError. */
  errors: unknown[] | undefined;
}

const stringOf = (value: unknown) => (typeof value === 'string' ? value : undefined);

/** Throws what a getter of the error throws. */
export function partsOf(error: Error): ErrorParts {
  const isDomException = typeof DOMException === 'function' && error instanceof DOMException;
  const { code, errno, syscall, errnoName } = error as { [K in keyof ErrorParts]?: unknown };
  const hasCode = !isDomException && (typeof code === 'string' || typeof code === 'number');
  return {
    name: String(error.name),
    message: String(error.message),
    stack: stringOf(error.stack)?.slice(0, STACK_CHARS),
    code: hasCode ? code : undefined,
    errno: typeof errno === 'number' ? errno : undefined,
    syscall: stringOf(syscall),
    errnoName: stringOf(errnoName),
    isDomException,
    hasCause: 'cause' in error,
    cause: error.cause,
    errors: error instanceof AggregateError ? error.errors : undefined,
  };
}

export function errorOf(parts: ErrorParts): Error {
  const error = make(parts);
  const { stack, cause } = parts;
  if (stack !== undefined) hide(error, 'stack', stack); // else it would be that of the arrival
  if (parts.hasCause && error.cause === undefined) hide(error, 'cause', cause);
  return error;
}

function make({ name, message, code, cause, errors, isDomException, ...rest }: ErrorParts): Error {
  if (isDomException) return new DOMException(message, name);
  const { errno, syscall, errnoName } = rest;
  const system: ErrorDetails = {
    ...(errno !== undefined && { errno }),
    ...(syscall !== undefined && { syscall }),
    ...(errnoName !== undefined && { errnoName }),
  };
  if (name === 'FeatherstarError') return new FeatherstarError(code as ErrorCode, message, { ...system, cause });
  const Type = (Object.hasOwn(TYPES, name) ? TYPES[name] : Error) as ErrorConstructor;
  const error = errors === undefined ? new Type(message) : new AggregateError(errors, message);
  if (error.name !== name) hide(error, 'name', name);
  return Object.assign(error, code !== undefined && { code }, system);
}

/** Sets properties as the language itself does: not enumerable. */
function hide(error: Error, key: 'cause' | 'name' | 'stack', value: unknown): void {
  Object.defineProperty(error, key, { value, writable: true, configurable: true });
}

// --- through a port --------------------------------------------------------------------------------------------------

/** Something that was thrown, as data that can be cloned. */
export type PackedError = { parts: ErrorParts } | { value: unknown };

export function packError(thrown: unknown, depth = 0): PackedError {
  try {
    if (!(thrown instanceof Error)) return { value: structuredClone(thrown) };
    if (depth === DEPTH_MAX) return { value: textOf(thrown) };
    const parts = partsOf(thrown);
    if (parts.hasCause) parts.cause = packError(parts.cause, depth + 1);
    parts.errors = parts.errors?.map((error) => packError(error, depth + 1));
    return { parts };
  } catch {
    return { value: textOf(thrown) }; // it cannot be cloned, or a getter of it throws
  }
}

export function unpackError(packed: PackedError): unknown {
  if (!('parts' in packed)) return packed.value;
  const { cause, errors, hasCause } = packed.parts;
  return errorOf({
    ...packed.parts,
    cause: hasCause ? unpackError(cause as PackedError) : undefined,
    errors: errors?.map((error) => unpackError(error as PackedError)),
  });
}
