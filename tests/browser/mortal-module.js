// The shard module of death.test.js: ways to end, and calls that wait for whoever does.

import { on } from '../featherstar/host/browser/shard.js';

export const add = (a, b) => a + b;
export const never = () => new Promise(() => {});

/** How a call to another shard ends. */
export const outcome = (peer, name, ...args) =>
  on(peer)
    [name](...args)
    .then(
      (value) => value,
      (error) => error.code,
    );

/** More calls than there is credit for. */
export const outcomes = async (count, peer, name) => {
  const codes = await Promise.all(Array.from({ length: count }, () => outcome(peer, name)));
  return [codes.length, ...new Set(codes)];
};

export function fails() {
  setTimeout(() => {
    throw new Error('on purpose');
  });
}

export const leaves = () => globalThis.close();

export function loops() {
  setTimeout(() => {
    for (;;);
  });
}

const THROWN = {
  bare: () => Object.create(null),
  mute: () => ({ toString: 5 }), // has no text
  odd: () => Object.assign(new Error('odd'), { message: () => 'odd' }), // cannot be cloned
};

export function throws(what) {
  throw THROWN[what]();
}
