// The shard module: a service on every shard, each with a connection of its own to NATS.
import { connect } from '@nats-io/transport-node';
import { runtime, Sharded } from 'featherstar';
import { publishService } from 'featherstar/nats';

export class Words {
  #counts = new Map();
  #siblings = Sharded.of(this);
  #servers;

  constructor(servers) {
    this.#servers = servers;
  }

  async start() {
    this.connection = await connect({ servers: this.#servers, maxReconnectAttempts: -1 });
    this.published = await publishService(this, {
      connection: this.connection,
      methods: ['count', 'countHere', 'fail'],
    });
  }

  async stop() {
    await this.published?.close(); // undefined if start() has failed
    await this.connection?.close();
  }

  /** For callers that do not know where a word lives: one more hop. */
  count(word) {
    return this.#siblings.on(runtime().homeOf(word)).countHere(word);
  }

  countHere(word) {
    const count = (this.#counts.get(word) ?? 0) + 1;
    this.#counts.set(word, count);
    return count;
  }

  fail() {
    throw new RangeError('no luck');
  }
}
