// The handlers of a server of WebSockets on each shard: an echo, and at /topic a subscriber of all messages there.
// Next: websocket-bun.mjs.

export const fetch = (request, info) => info.upgrade({ data: new URL(request.url).pathname === '/topic' });

export const websocket = {
  open(ws) {
    if (ws.data) ws.subscribe('topic');
  },
  message(ws, data) {
    if (ws.data) ws.publish('topic', data);
    else ws.send(data);
  },
};
