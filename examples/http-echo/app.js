// The shard module: every shard loads it, and main.js calls its functions on each of them.
import { runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';

async function fetch(request) {
  const method = request.method === 'HEAD' ? 'GET' : request.method; // the server sends no body with it
  switch (`${method} ${request.path}`) {
    case 'GET /':
      return new Response('Hello, World!');
    case 'POST /echo': {
      const type = request.header('content-type') ?? 'application/octet-stream';
      return new Response(await request.bytes(), { headers: { 'content-type': type } });
    }
    case 'GET /shard':
      return new Response(String(runtime().self));
    default:
      return new Response('Not Found\n', { status: 404 });
  }
}

/** Listens on this shard. Answers the port: with port 0 the first shard picks it for all. */
export async function listen(hostname, port) {
  const server = await serve({ hostname, port, fetch });
  return server.port;
}
