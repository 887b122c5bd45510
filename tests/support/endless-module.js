// A shard module that never finishes loading in workers.
import { isMainThread } from 'node:worker_threads';

if (!isMainThread) await new Promise(() => setInterval(() => {}, 1e6));
