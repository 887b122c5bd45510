// `npm run bench -- NAME [options]`: dispatches to the benchmark of that name, a module with `main(args)`. Bad options
// and missing tools end in one line with a remedy and exit code 2.
// Next: http.js, README.md.

import { BenchError } from './tools.js';

const BENCHMARKS = {
  http: './http.js',
  hono: './hono.js',
  connect: './connect.js',
  client: './client.js',
  hosts: './hosts.js',
  bulk: './bulk.js',
  connections: './connections.js',
  slow: './slow.js',
  live: './live.js',
  core: './core.js',
  files: './files.js',
  sim: './sim.js',
  websocket: './websocket.js',
  tls: './tls.js',
  nats: './nats.js',
};

const [name, ...args] = process.argv.slice(2);
if (!Object.hasOwn(BENCHMARKS, name ?? '')) {
  console.error(`bench: which one? npm run bench -- ${Object.keys(BENCHMARKS).join('|')} [options] (bench/README.md)`);
  process.exit(2);
}
try {
  const { main } = await import(BENCHMARKS[name]);
  process.exitCode = await main(args);
} catch (error) {
  const usage = error instanceof BenchError || error?.code?.startsWith('ERR_PARSE_ARGS');
  console.error(usage ? `bench: ${error.message}` : error);
  process.exitCode = usage ? 2 : 1;
}
