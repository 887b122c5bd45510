// The shard module of the machines in own-runtimes.test.js.

import { runtime } from 'featherstar';

const values = new Map();

export const get = (key) => values.get(key);
export const set = (key, value) => void values.set(key, value);
export const whereAmI = () => [runtime().self, runtime().shardCount];
