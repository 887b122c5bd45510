// The shard module of calls.js: what a peer can be asked to do.

import { pin } from './threads.js';

export function echo(value) {
  return value;
}

export { pin };
