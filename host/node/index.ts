// featherstar/node: sockets and servers with Node's own interface, for the libraries that expect it.

export {
  createConnection,
  createConnection as connect,
  createNetServer,
  createServer,
  NodeSocket,
  nodeSocketOf,
} from './sockets.js';
