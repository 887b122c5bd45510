// The shard module of tests/api/limits-cases.js: uses each part of the runtime from the shard that is called.

import { runtime } from 'featherstar';
import { useParts } from './parts.js';

export const echo = (value) => value;
export const use = () => useParts(runtime());
