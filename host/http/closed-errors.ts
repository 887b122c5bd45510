// The errors of a handler whose server closes, or whose client has left.
//
// Next: connection.ts.

import { FeatherstarError } from '../base/errors.js';

export function closingError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the server closes');
}

export function goneError(): FeatherstarError {
  return new FeatherstarError('FEATHERSTAR_CLOSED', 'the client closed the connection');
}
