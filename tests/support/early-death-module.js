// Shard 1 ends when it has loaded this module, and shard 2 takes longer to load it.

import { runtime } from 'featherstar';

const LOAD_MS = 1000;
const { self } = runtime();
if (self === 1) setTimeout(() => process.exit(3), LOAD_MS / 4);
if (self === 2) await new Promise((resolve) => setTimeout(resolve, LOAD_MS));
