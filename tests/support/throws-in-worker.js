// A shard module that cannot be loaded in workers, though it can be in shard 0.
import { isMainThread } from 'node:worker_threads';

if (!isMainThread) throw new RangeError('not in a worker');
export const works = () => true;
