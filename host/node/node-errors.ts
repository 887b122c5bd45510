// Errors as programs of Node's know them: `code` is the name of the errno, and this library's error is the `cause`.

import { FeatherstarError } from '../base/errors.js';

/** Where something failed, for the text and the properties of an error. */
export interface ErrorPlace {
  address?: string | undefined;
  port?: number | undefined;
  hostname?: string | undefined;
}

function placeText({ address, port }: ErrorPlace): string {
  if (address === undefined) return '';
  return port === undefined ? ` ${address}` : ` ${address}:${port}`;
}

/** An error of a system call, or of the resolver, in Node's form. All others stay as they are. */
export function nodeError(error: unknown, syscall: string, place: ErrorPlace = {}): Error {
  if (!FeatherstarError.is(error) || error.errnoName === undefined) return error as Error;
  const code = error.errnoName;
  const call = error.syscall === 'getaddrinfo' ? error.syscall : syscall;
  const where = call === 'getaddrinfo' ? ` ${place.hostname}` : placeText(place);
  const text = code === 'EADDRINUSE' ? `${code}: address already in use` : code;
  const made = new Error(`${call} ${text}${where}`, { cause: error });
  return Object.assign(made, { errno: error.errno ?? code, code, syscall: call }, place);
}

/** An error that Node makes itself, with one of its codes. */
export function codedError(code: string, text: string, Kind: new (text: string) => Error = Error): Error {
  return Object.assign(new Kind(text), { code });
}

/** The error of a wait or an operation that its signal has ended. */
export function abortError(signal: AbortSignal): Error {
  const error = new Error('The operation was aborted', { cause: signal.reason });
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' });
}
