// The shard module of lives.js: functions of module.js, and a service that takes a while to stop.

import { sleep } from 'featherstar';

export { around, echo, slowAdd } from './module.js';

export class Keeper {
  add(a, b) {
    return a + b;
  }

  async stop() {
    await sleep(Math.random() * 100);
  }
}
