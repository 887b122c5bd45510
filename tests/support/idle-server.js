// A server of two shards that reports what it used, for tests/idle.test.js: for each line of stdin that line and JSON.

import { isMainThread } from 'node:worker_threads';
import { Runtime } from 'featherstar';
import { Response, serve } from 'featherstar/http';

let server;

export async function listen(port) {
  const limits = { idleTimeoutMs: 600_000, headerTimeoutMs: 600_000 };
  server = await serve({ port, hostname: '127.0.0.1', limits, fetch: () => new Response('idle') });
  return server.port;
}

export const connections = () => server?.stats.connections ?? 0;

async function main() {
  const runtime = await Runtime.start({ shards: 2, module: import.meta.url });
  const port = await runtime.on(0).listen(0);
  if (runtime.sharesPorts) await runtime.on(1).listen(port);
  console.log(`port ${port}`);
  process.stdin.on('data', async (text) => {
    const label = text.toString().trim();
    if (label === 'end') {
      process.stdin.destroy();
      await runtime.close();
      return;
    }
    const { user, system } = process.cpuUsage();
    const turns = [runtime.stats(0).turns, runtime.stats(1).turns];
    const open = (await runtime.onAll().connections()).reduce((sum, count) => sum + count, 0);
    console.log(`${label} ${JSON.stringify({ cpuUs: user + system, ms: performance.now(), turns, open })}`);
  });
}

if (isMainThread) void main();
