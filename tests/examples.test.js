// The examples do what they say.

import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from './support/child.js';
import { hosts } from './support/hosts.js';
import { ask, Client, get, post } from './support/http.js';

const ECHO = fileURLToPath(new URL('../examples/http-echo/main.js', import.meta.url));

for (const host of hosts()) {
  const test = suite(`examples (${host})`);
  const env = { FEATHERSTAR_HOST: host, PORT: '0' };

  test('http-echo answers /, /echo, /shard and nothing else', async () => {
    const program = new Program([ECHO], { ...env, SHARDS: '2' });
    const [, port] = await program.line(/^featherstar listening on http:\/\/127\.0\.0\.1:(\d+) · 2 shards · host .+\n/);
    const where = Number(port);
    assert.is((await ask(where, get())).text, 'Hello, World!');
    const echo = await ask(where, post('/echo', 'ünï', 'Content-Type: text/x-own\r\n'));
    assert.equal([echo.text, echo.headers['content-type']], ['ünï', 'text/x-own']);
    assert.is((await ask(where, post('/echo', 'x'))).headers['content-type'], 'application/octet-stream');
    assert.is((await ask(where, get('/other'))).status, 404);
    assert.is((await ask(where, get('/echo'))).status, 404);
    const shards = new Set();
    const clients = [];
    for (let i = 0; i < 60; i++) {
      const client = await Client.open(where);
      shards.add((await client.ask(get('/shard'))).text);
      clients.push(client);
    }
    for (const client of clients) client.destroy();
    for (const shard of shards) assert.match(shard, /^[01]$/);
    if (host === 'uring') assert.equal([...shards].sort(), ['0', '1']); // the kernel spreads 60 connections over both
    program.kill('SIGTERM');
    assert.is(await program.ended(), 0);
  });

  test('http-echo with one shard, by option', async () => {
    const program = new Program([ECHO, '--shards', '1', '--port', '0', '--host', 'localhost'], env);
    const [, port] = await program.line(/^featherstar listening on http:\/\/localhost:(\d+) · 1 shard · host .+\n/);
    assert.is((await ask({ port: Number(port), host: 'localhost' }, get('/shard'))).text, '0');
    program.kill('SIGINT');
    assert.is(await program.ended(), 0);
  });

  test("http-echo --help has its own options and the runtime's", async () => {
    const program = new Program([ECHO, '--help'], env);
    assert.is(await program.ended(), 0);
    for (const flag of ['--port N', '--host ADDRESS', '--shards N|auto', '--memory 64M', 'FEATHERSTAR_CPUSET']) {
      assert.ok(program.stdout.includes(flag), flag);
    }
  });

  test('http-echo says what is wrong, in one line, and ends with 1', async () => {
    const first = new Program([ECHO], { ...env, SHARDS: '1' });
    const [, port] = await first.line(/:(\d+) ·/);
    const wrong = [
      [{ SHARDS: '0' }, /^FEATHERSTAR_OPTION: shards must be .+\n$/],
      [{ SHARDS: 'many' }, /^FEATHERSTAR_OPTION: shards must be .+\n$/],
      [{ PORT: '70000' }, /^FEATHERSTAR_OPTION: port must be .+\n$/],
      [{ PORT: port, SHARDS: '2' }, /^FEATHERSTAR_SYSTEM: .*EADDRINUSE.+\n$/],
      [{ PORT: port, SHARDS: '1' }, /^FEATHERSTAR_SYSTEM: .*EADDRINUSE.+\n$/],
      [{ FEATHERSTAR_HOST: 'none' }, /^FEATHERSTAR_OPTION: host must be .+\n$/],
    ];
    for (const [variables, message] of wrong) {
      const program = new Program([ECHO], { ...env, SHARDS: '1', ...variables });
      assert.is(await program.ended(10_000), 1);
      assert.match(program.stderr, message);
      assert.is(program.stdout, '');
    }
    first.kill('SIGTERM');
    assert.is(await first.ended(), 0);
  });

  test.run();
}
