// This takes the place of srvx's adapter for Node in the tests of srvx: serve(), on featherstar. Middlewares, plugins
// and the handling of errors are srvx's own, from its generic adapter, which brings no server. Next: ../vitest.js.

import { serve as serveGeneric } from 'suite/src/adapters/generic.ts';
import { Response, serve as serveHere } from '../../../dist/host/http/index.js';

export const FastResponse = Response;

export function serve(options) {
  const generic = serveGeneric(options);
  if (options.tls !== undefined) throw new Error('featherstar serves HTTP/1.1 without TLS only');
  const opening = serveHere({ port: Number(options.port), hostname: '127.0.0.1', fetch: generic.fetch });
  const server = {
    url: undefined,
    async ready() {
      server.url = (await opening).url;
      return server;
    },
    async close() {
      await (await opening).close();
    },
  };
  return server;
}
