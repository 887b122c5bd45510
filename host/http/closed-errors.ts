// The errors of a handler whose server closes, or whose client has left.
//
// Next: connection.ts.

import { FeatherstarError } from '../base/errors.js';

export function closingError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the server closes');
}

const GONE = 'the client closed the connection';

export function goneError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', GONE);
}

export function isGoneError(error: unknown): boolean {
  return FeatherstarError.is(error) && error.message === GONE;
}
