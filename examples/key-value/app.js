// The shard module: two services, and each of them has an instance on every shard.
import { runtime, Sharded } from 'featherstar';
import { Response, serve } from 'featherstar/http';

/** The keys that live on this shard. Only this thread touches the map, so there is no lock around it. */
export class Store {
  #values = new Map();

  size = () => this.#values.size;
  get = (key) => this.#values.get(key);
  delete = (key) => this.#values.delete(key);
  put = (key, value) => {
    const isNew = !this.#values.has(key);
    this.#values.set(key, value);
    return isNew;
  };
}

/** The shard that a key lives on: the same answer on every shard, so nobody has to be asked. FNV-1a. */
function homeOf(key) {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(key)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % runtime().shardCount;
}

/** HTTP. A request may arrive on any shard: it is answered there, and its key is asked for where that lives. */
export class Frontend {
  #store = Sharded.named('Store');
  #server;

  async listen(port) {
    const limits = { bodyBytes: 1_000_000 }; // what crosses shards must fit in their memory: docs/limits.md, arenaBytes
    this.#server = await serve({ port, hostname: '127.0.0.1', limits, fetch: (request) => this.#answer(request) });
    return this.#server.port;
  }

  /** Answers what runs, for 4 s at most. */
  close = () => this.#server?.close();

  async #answer(request) {
    const key = request.path.slice(1); // as it was sent: %20 stays %20
    if (key === '') return Response.json(await this.#store.onAll().size()); // keys on each shard
    const home = homeOf(key);
    const reply = (status, body = null) =>
      new Response(body, { status, headers: { route: `${runtime().self} to ${home}` } });
    if (request.method === 'GET') {
      const value = await this.#store.on(home).get(key);
      return value === undefined ? reply(404) : reply(200, value);
    }
    if (request.method === 'PUT') {
      const isNew = await this.#store.on(home).put(key, await request.bytes());
      return reply(isNew ? 201 : 204);
    }
    if (request.method === 'DELETE') return reply((await this.#store.on(home).delete(key)) ? 204 : 404);
    return reply(405);
  }
}
