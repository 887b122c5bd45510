// featherstar/node: sockets and servers with Node's own interface, for the libraries that expect it.

export type { HttpServerOptions } from './http-server.js';
export {
  createConnection,
  createConnection as connect,
  createNetServer,
  createServer,
  NodeSocket,
  nodeSocketOf,
} from './sockets.js';
