// The module of a shard that serves calls over NATS. Next: nats.mjs.

import { connect } from '@nats-io/transport-node';
import { publishService } from 'featherstar/nats';
import { get } from './nats-values.mjs';

export class Store {
  #port;

  constructor(port) {
    this.#port = port;
  }

  async start() {
    const connection = await connect({ servers: `127.0.0.1:${this.#port}` });
    await publishService(this, { connection, version: '1.0.0' });
  }

  get = get;
}
