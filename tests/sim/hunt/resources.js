// The resources of pools that are searched. It takes a while to make one and to destroy one, and making one may fail.

import { setTimeout as sleep } from 'node:timers/promises';
import { below } from './hunted.js';

export class Resources {
  open = new Set();
  #count = 0;

  create = async () => {
    await sleep(below(20));
    if (Math.random() < 0.1) throw new Error('refused');
    const resource = { id: ++this.#count };
    this.open.add(resource);
    return resource;
  };

  destroy = async (resource) => {
    await sleep(below(3));
    this.open.delete(resource);
  };
}
