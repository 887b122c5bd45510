// serve(): on this shard by a function, or on every core by a module.
//
//   serve({ fetch, port })     server.ts: one listener, on this shard
//   serve({ module, port })    serve-module.ts: a runtime whose shards all listen on the port

import type { UntypedModule } from '../calls/remote.js';
import { type ModuleServer, type ServeModuleOptions, serveModule } from './serve-module.js';
import { type ServeOptions, type Server, serveHere } from './server.js';

/**
 * Serves HTTP on this shard, by a function: `serve({ fetch: (request) => new Response('hi'), port: 8080 })`. On a
 * runtime of several shards, each that is to listen calls it. In a thread that is no shard yet it starts a runtime of
 * one shard, which ends with the server. Rejects with FEATHERSTAR_OPTION, and with FEATHERSTAR_SYSTEM if it cannot
 * listen.
 */
export function serve(options: ServeOptions): Promise<Server>;
/**
 * Serves HTTP on every core, by a module: `serve({ module: new URL('./app.js', import.meta.url), port: 8080 })`, where
 * app.js has `export default { fetch(request) { ... } }`. It starts a runtime, which loads the module on each shard and
 * ends with the server. A shard that dies is started again. Rejects with FEATHERSTAR_OPTION, with FEATHERSTAR_MODULE if
 * the module cannot be loaded or has no fetch(), and with FEATHERSTAR_SYSTEM if it cannot listen. Then everything has
 * ended.
 */
export function serve<M extends object = UntypedModule>(options: ServeModuleOptions): Promise<ModuleServer<M>>;
export async function serve(options: ServeOptions | ServeModuleOptions): Promise<Server | ModuleServer<object>> {
  const hasModule = typeof options === 'object' && options !== null && 'module' in options;
  return hasModule ? serveModule(options) : serveHere(options);
}
