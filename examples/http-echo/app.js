// An HTTP server on every core: the seed's http_echo, made real. The command line loads this module on each shard.
//   npm start                            is: featherstar serve examples/http-echo/app.js --hostname 127.0.0.1
//   npm start -- --port 8081 --shards 4  --help has the other options
//   curl localhost:8080; curl -d hello localhost:8080
import { Response } from 'featherstar/http';

export default {
  fetch: async (request) => new Response(request.body ? await request.bytes() : 'Hello, World!'),
};

// It prints:
//   featherstar listening on http://127.0.0.1:8080/ · 2 shards · host ...
