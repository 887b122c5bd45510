// Where the library's own parts are (internal.ts), on a host that has them all. A page has none: what it loads must not
// lead to a module of Node, not even by a way that is never gone.

import { useParts } from './internal.js';

/** From now on other shards may ask this thread for them. */
export function offerParts(): void {
  useParts({
    ask: () => import('../services/ask.js').then((part) => part.internal),
    channel: () => import('../services/shard-channel.js').then((part) => part.internal),
    http: () => import('../http/serve-module.js').then((part) => part.internal),
    net: () => import('../net/remote.js').then((part) => part.internal),
    node: () => import('../node/port-claims.js').then((part) => part.internal),
    sharded: () => import('../services/sharded.js').then((part) => part.internal),
    websocket: () => import('../websocket/topics.js').then((part) => part.internal),
  });
}
