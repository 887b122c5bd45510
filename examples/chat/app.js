// A chat on every core: each path is a room. A message reaches all its guests, whichever shard has them.
//   npx featherstar serve examples/chat/app.js --hostname 127.0.0.1
//   Open http://127.0.0.1:8080/kitchen in two windows.
import { runtime } from 'featherstar';
import { Response } from 'featherstar/http';

const PAGE = `<!doctype html><meta charset="utf-8"><title>Chat</title><input autofocus><pre></pre><script>
const socket = new WebSocket(location.href.replace('http', 'ws'));
const [input, output] = [document.querySelector('input'), document.querySelector('pre')];
socket.onmessage = ({ data }) => output.append(data + '\\n');
input.onchange = () => { socket.send(input.value); input.value = ''; };
</script>`;

let guests = 0;

export default {
  fetch(request, info) {
    if (request.headers.get('upgrade') !== 'websocket')
      return new Response(PAGE, { headers: { 'content-type': 'text/html; charset=utf-8' } });
    return info.upgrade({ data: { room: new URL(request.url).pathname, name: `guest ${runtime().self}-${++guests}` } });
  },

  websocket: {
    maxPayloadBytes: 1000,
    open(ws) {
      ws.subscribe(ws.data.room);
      ws.send(`Welcome to ${ws.data.room}, ${ws.data.name}`);
    },
    message(ws, text) {
      const line = `${ws.data.name}: ${text}`;
      ws.publish(ws.data.room, line);
      ws.send(line);
    },
    close(ws) {
      ws.publish(ws.data.room, `${ws.data.name} has left`);
    },
  },
};

// It prints:
//   featherstar listening on http://127.0.0.1:8080/ · 2 shards · host ...
