// An HTTP server on every core: the seed's http_echo, made real.
//   npm start            PORT, HOST, SHARDS or --port, --host, --shards
//   curl localhost:8080/shard; curl -d hello localhost:8080/echo
import { parseArgs } from 'node:util';
import { FeatherstarError, Runtime } from 'featherstar';

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: process.env.PORT ?? '8080' },
    host: { type: 'string', default: process.env.HOST ?? '127.0.0.1' },
    shards: { type: 'string', default: process.env.SHARDS ?? 'auto' },
  },
});

try {
  const shards = values.shards === 'auto' ? 'auto' : Number(values.shards);
  const runtime = await Runtime.start({ shards, module: new URL('./app.js', import.meta.url) });
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => runtime.close());

  // Shard 0 first: it finds out whether the port is free, or which one port 0 stands for.
  const port = await runtime.shard(0).call('listen', values.host, Number(values.port));
  const listening = runtime.sharesPorts ? runtime.shardCount : 1;
  for (let i = 1; i < listening; i++) await runtime.shard(i).call('listen', values.host, port);
  const count = `${runtime.shardCount} shard${runtime.shardCount === 1 ? '' : 's'}`;
  const alone = listening === runtime.shardCount ? '' : '; shard 0 listens for all: no reusePort here';
  const why = runtime.hostName === 'portable' ? ` (${runtime.hostReason}${alone})` : '';
  console.log(`featherstar listening on http://${values.host}:${port} · ${count} · host ${runtime.hostName}${why}`);
} catch (error) {
  if (!FeatherstarError.is(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exit(1);
}
