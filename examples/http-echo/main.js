// An HTTP server on every core: the seed's http_echo, made real.
//   npm start            PORT, HOST, SHARDS or --port, --host, --shards; --help has the others
//   curl localhost:8080/shard; curl -d hello localhost:8080/echo
import { parseArgs } from 'node:util';
import { FeatherstarError, RUNTIME_HELP, Runtime, runtimeOptions, waitForSignal } from 'featherstar';

const HELP = `node main.js [options]
  --port N                    (PORT, default 8080)
  --host ADDRESS              to listen on (HOST, default 127.0.0.1); the runtime's --host is FEATHERSTAR_HOST here
${RUNTIME_HELP}`;

try {
  const { env } = process;
  const shards = env.FEATHERSTAR_SHARDS || env.SHARDS;
  // Every program has the runtime's options; this one has a --host of its own, and SHARDS as a short name.
  const { options, rest } = runtimeOptions(undefined, { ...env, FEATHERSTAR_SHARDS: shards }, ['host']);
  const { values } = parseArgs({
    args: rest,
    options: {
      port: { type: 'string', default: env.PORT ?? '8080' },
      host: { type: 'string', default: env.HOST ?? '127.0.0.1' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit(0);
  }
  const runtime = await Runtime.start({ ...options, module: new URL('./app.js', import.meta.url) });

  // Shard 0 first: it finds out whether the port is free, or which one port 0 stands for.
  const port = await runtime.on(0).listen(values.host, Number(values.port));
  const listening = runtime.sharesPorts ? runtime.shardCount : 1;
  for (let i = 1; i < listening; i++) await runtime.on(i).listen(values.host, port);
  const alone = listening === runtime.shardCount ? '' : ' · shard 0 listens for all: no reusePort here';
  console.log(`featherstar listening on http://${values.host}:${port} · ${runtime.summary}${alone}`);

  await waitForSignal(['SIGTERM', 'SIGINT']);
  await runtime.close(); // answers what runs, then ends; a second signal ends it at once
} catch (error) {
  if (!FeatherstarError.is(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  process.exit(1);
}

// It prints:
//   featherstar listening on http://127.0.0.1:8080 · 2 shards · host ...
