// The module that every shard loads: the keys that live there, and the HTTP handler.
import { runtime } from 'featherstar';
import { Response } from 'featherstar/http';

const values = new Map(); // the keys that live on this shard; only this thread touches it, so it needs no lock

export const size = () => values.size;
export const get = (key) => values.get(key);
export const remove = (key) => values.delete(key);
export function put(key, value) {
  const isNew = !values.has(key);
  values.set(key, value);
  return isNew;
}

/** A request may arrive on any shard. That shard responds, and calls the shard that the key lives on. */
async function fetch(request) {
  const here = runtime();
  const key = request.path.slice(1); // as it was sent: %20 stays %20
  if (key === '') return Response.json(await here.onAll().size()); // keys on each shard
  const home = here.homeOf(key);
  const reply = (status, body = null) => new Response(body, { status, headers: { route: `${here.self} to ${home}` } });
  if (request.method === 'GET') {
    const value = await here.on(home).get(key);
    return value === undefined ? reply(404) : reply(200, value);
  }
  if (request.method === 'PUT') return reply((await here.on(home).put(key, await request.bytes())) ? 201 : 204);
  if (request.method === 'DELETE') return reply((await here.on(home).remove(key)) ? 204 : 404);
  return reply(405);
}

export default { fetch };
