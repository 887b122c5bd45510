// The shard module of contract.test.js: the contract's own, and what runs one of its behaviours.

import { BEHAVIOURS } from '/contract/behaviours.js';

export * from '/contract/module.js';

async function reason(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('it did not reject');
}

const t = {
  errno: async (promise) => (await reason(promise)).errnoName,
  code: async (promise) => (await reason(promise)).code,
  kill: () => {
    throw new Error('the host browser has no restart()');
  },
  folder: '/',
  path: (name) => `/${name}`,
};

export const runBehaviour = (name) => BEHAVIOURS.find((behaviour) => behaviour.name === name).run(t);
