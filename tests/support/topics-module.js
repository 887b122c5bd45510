// A server on every shard, whose WebSockets subscribe to topics and publish.

import { runtime } from 'featherstar';

export default {
  fetch: (request, info) => {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/publish')
      return new Response(`${info.server.publish(searchParams.get('topic'), 'from outside')}`);
    return info.upgrade();
  },
  websocket: {
    open(ws) {
      ws.send(`shard ${runtime().self}`);
    },
    message(ws, data) {
      if (typeof data !== 'string') ws.publish('bytes', data);
      else {
        const [what, topic, ...text] = data.split(' ');
        if (what === 'publish') ws.send(`to ${ws.publish(topic, text.join(' '))} here`);
        else {
          ws[what](topic);
          ws.send(`${ws.isSubscribed(topic)}`);
        }
      }
    },
  },
};
