// The examples do what they say. Each ends with a comment of what it prints:
//
//   // It prints:                 for a program that is run without arguments
//   //   Hello from featherstar!
//   //   ...                      any number of lines; within a line, anything
//
// Those that end by themselves are compared with it by one test for all; servers, and what signals do, have tests of
// their own.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite, test } from 'uvu';
import * as assert from 'uvu/assert';
import { hasOpenssl } from './support/certificates.js';
import { Program } from './support/child.js';
import { hosts } from './support/hosts.js';
import { ask, Client, get, post, until } from './support/http.js';
import { NatsServer, natsObstacle } from './support/nats-server.js';
import { WebSocketClient } from './websocket/client.js';

const EXAMPLES = new URL('../examples/', import.meta.url);
const SERVERS = ['browser/main.js', 'chat/app.js', 'http-echo/app.js', 'key-value/main.js'];
const NATS = 'nats/main.js'; // needs a server itself
const ABSENT = hasOpenssl() ? [] : ['https.js']; // it makes certificates
const LINES_MAX = 60;
const END_MS = 20_000;

const CLI = fileURLToPath(new URL('../dist/host/cli/main.js', import.meta.url));
const KEY_VALUE = pathOf('key-value/main.js');
const SHUTDOWN = pathOf('graceful-shutdown.js');

function pathOf(name) {
  return fileURLToPath(new URL(name, EXAMPLES));
}

/** Every program: files of the folder, and main.js of each folder in it, or the app.js that the command line serves. */
function listPrograms() {
  return readdirSync(EXAMPLES).flatMap((name) => {
    if (name.endsWith('.js')) return [name];
    const found = ['main.js', 'app.js'].find((file) => existsSync(new URL(`${name}/${file}`, EXAMPLES)));
    return found === undefined ? [] : [`${name}/${found}`];
  });
}

/** How a program is started. */
function commandOf(name) {
  return name.endsWith('/app.js') ? [CLI, 'serve', pathOf(name), '--hostname', '127.0.0.1'] : [pathOf(name)];
}

/** What a source says below `// <label>prints:`; undefined if it says nothing. */
function statedIn(source, label = 'It ') {
  const lines = source.split('\n');
  const start = lines.indexOf(`// ${label}prints:`);
  if (start < 0) return undefined;
  const length = lines.slice(start + 1).findIndex((line) => !line.startsWith('//   '));
  const block = lines.slice(start + 1, length < 0 ? undefined : start + 1 + length);
  return block.map((line) => `${line.slice('//   '.length)}\n`).join('');
}

/** Whether a program printed what it states, with `...` as the first comment says. */
function isAsStated(printed, stated) {
  const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const lines = stated.split('\n').slice(0, -1);
  const parts = lines.map((line) => (line === '...' ? '(?:.*\n)*?' : `${line.split('...').map(literal).join('.*')}\n`));
  return new RegExp(`^${parts.join('')}$`).test(printed);
}

function assertPrinted(program, stated) {
  if (!isAsStated(program.stdout, stated)) assert.is(program.stdout, stated, program.stderr); // shows where they differ
}

const programs = listPrograms();
const sourceOf = (name) => readFileSync(new URL(name, EXAMPLES), 'utf8');

test('every program says what it prints, is short, and is in the list', () => {
  assert.ok(programs.length > 10);
  for (const name of SERVERS) assert.ok(programs.includes(name), name);
  for (const name of programs) {
    assert.ok(statedIn(sourceOf(name)), `${name}: ends with no comment "// It prints:"`);
    assert.ok(sourceOf(name).split('\n').length <= LINES_MAX + 1, `${name}: more than ${LINES_MAX} lines`);
  }
  const listed = [...sourceOf('README.md').matchAll(/^\| \[`(.+?)`\]/gm)].map(([, name]) => name);
  assert.equal([...listed].sort(), programs.map((name) => name.replace(/\/(main|app)\.js$/, '/')).sort());
});

test('what is printed and what is stated are really compared', () => {
  const stated = statedIn('code();\n\n// It prints:\n//   one\n//   ...\n//   t...o [2]\n//\n// More.\n');
  assert.is(stated, 'one\n...\nt...o [2]\n');
  for (const actual of ['one\ntwo [2]\n', 'one\nother\nlines\nto [2]\n']) assert.ok(isAsStated(actual, stated), actual);
  for (const actual of [
    '',
    'one\n',
    'one\ntwo [2]',
    'two [2]\n',
    'one\ntwo 2\n',
    'one\ntwo [2]\nmore\n',
    'one\nt\no [2]\n',
  ]) {
    assert.not.ok(isAsStated(actual, stated), actual);
  }
  assert.is(statedIn('// It printed:\n//   one\n'), undefined);
});

test('every program takes the flags of the runtime', async () => {
  for (const name of programs) {
    const program = new Program([...commandOf(name), '--memory', 'little']);
    assert.is(await program.ended(END_MS), 1, name);
    assert.match(program.stderr, /memoryPerShard must be/, name);
  }
});

test.run();

for (const host of hosts()) {
  const test = suite(`examples (${host})`);
  const env = { FEATHERSTAR_HOST: host, FEATHERSTAR_SHARDS: undefined, PORT: '0' };

  for (const name of programs.filter((each) => ![...SERVERS, ...ABSENT, NATS].includes(each))) {
    test(`${name} prints what it says`, async () => {
      const program = new Program([pathOf(name)], env);
      assert.is(await program.ended(END_MS), 0, program.stderr);
      assertPrinted(program, statedIn(sourceOf(name)));
    });
  }

  const noNats = natsObstacle();
  if (noNats !== undefined) console.log(`# skipped: examples/${NATS}: ${noNats}`);
  else {
    test(`${NATS} prints what it says`, async () => {
      const server = await NatsServer.start();
      const program = new Program([pathOf(NATS)], { ...env, NATS_URL: server.servers });
      assert.is(await program.ended(END_MS), 0, program.stderr);
      assertPrinted(program, statedIn(sourceOf(NATS)));
      await server.close();
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`graceful-shutdown cleans up after ${signal}`, async () => {
      const program = new Program([SHUTDOWN, '--iterations', '100000'], env);
      await program.line(/iteration 1\n/);
      program.kill(signal);
      assert.is(await program.ended(END_MS), 0, program.stderr);
      const stated = statedIn(sourceOf('graceful-shutdown.js'), 'With many iterations, and SIGTERM, it ');
      assertPrinted(program, stated.replace('SIGTERM', signal));
    });
  }

  async function keyValue(shards) {
    const program = new Program([KEY_VALUE, '--port', '0', `--shards=${shards}`], env);
    const [, port] = await program.line(/^key-value listening on http:\/\/127\.0\.0\.1:(\d+)\/ · .+\n/);
    const ended = async () => {
      assert.is(await program.ended(END_MS), 0, program.stderr);
      const stated = statedIn(sourceOf('key-value/main.js')).replace('8080', port);
      assertPrinted(program, stated.replace('2 shards', shards === 1 ? '1 shard' : `${shards} shards`));
    };
    return { where: Number(port), program, ended };
  }

  const put = (path, body, headers) =>
    Buffer.from(post(path, body, headers).toString('latin1').replace('POST', 'PUT'), 'latin1');
  const del = (path) => get(path).replace('GET', 'DELETE');

  for (const shards of [1, 2, 4]) {
    test(`key-value keeps each key on one shard, whichever is asked (${shards})`, async () => {
      const { where, program, ended } = await keyValue(shards);
      const homes = new Map();
      const arrivals = new Set();
      for (let i = 0; i < 60; i++) {
        const key = `/key-${i % 20}`; // the second time it is there, the third it is gone
        const client = await Client.open(where); // arrives wherever the kernel likes
        const told = [];
        const tell = async (bytes) => {
          const { status, headers, text } = await client.ask(bytes);
          told.push(text ? `${status} ${text}` : status);
          const [arrival, home] = headers.route.split(' to ');
          arrivals.add(Number(arrival));
          if (!homes.has(key)) homes.set(key, home);
          assert.is(homes.get(key), home);
        };
        if (i < 40) await tell(put(key, `välue ${i}`));
        await tell(get(key));
        if (i >= 20) await tell(del(key));
        if (i < 20) assert.equal(told, [201, `200 välue ${i}`]);
        else if (i < 40) assert.equal(told, [204, `200 välue ${i}`, 204]);
        else assert.equal(told, [404, 404]);
        if (i === 19) {
          const sizes = JSON.parse((await client.ask(get('/'))).text);
          const expected = Array.from(
            { length: shards },
            (_, shard) => [...homes.values()].filter((home) => home === `${shard}`).length,
          );
          assert.equal(sizes, expected);
        }
        client.destroy();
      }
      assert.is(new Set(homes.values()).size, shards);
      assert.ok([...arrivals].every((shard) => shard < shards));
      if (host === 'uring') assert.is(arrivals.size, shards); // the kernel spreads 60 connections over all
      assert.is((await ask(where, post('/key', 'x'))).status, 405);
      program.kill('SIGTERM');
      await ended();
    });
  }

  test('key-value answers what is open when it is told to stop, and gives up what hangs', async () => {
    const { where, program, ended } = await keyValue(2);
    const clients = [];
    for (let i = 0; i < 40; i++) {
      const client = await Client.open(where);
      await client.ask(get(`/key-${i}`)); // by now a shard has it
      clients.push({ client, bytes: put(`/key-${i}`, '.', 'Expect: 100-continue\r\n') });
    }
    const idle = clients.splice(15); // so many that each shard has some
    for (const { client, bytes } of clients) {
      assert.is((await client.ask(bytes.subarray(0, -1))).status, 100); // the handler waits for the body
    }
    program.kill('SIGTERM');
    const isStopping = () => idle.some(({ client }) => client.ending !== undefined);
    await until(isStopping, 'idle connections are closed');
    const hanging = clients.splice(5); // on every shard, most likely
    for (const { client, bytes } of clients) assert.is((await client.ask(bytes.subarray(-1))).status, 201);
    await ended();
    for (const { client } of hanging) await client.rest(); // its end
  });

  test('http-echo greets, and answers a body with that body', async () => {
    const program = new Program(commandOf('http-echo/app.js'), { ...env, FEATHERSTAR_SHARDS: '2' });
    const [, port] = await program.line(
      /^featherstar listening on http:\/\/127\.0\.0\.1:(\d+)\/ · 2 shards · host .+\n/,
    );
    assertPrinted(program, statedIn(sourceOf('http-echo/app.js')).replace('8080', port));
    const where = Number(port);
    assert.is((await ask(where, get())).text, 'Hello, World!');
    assert.is((await ask(where, post('/echo', 'ünï'))).text, 'ünï');
    const head = await ask(where, 'HEAD / HTTP/1.1\r\nHost: test\r\n\r\n', { isHead: true });
    assert.equal([head.status, head.headers['content-length']], [200, '13']);
    program.kill('SIGTERM');
    assert.is(await program.ended(), 0);
  });

  test('chat: a message reaches the guests of its room, and no others', async () => {
    const program = new Program(commandOf('chat/app.js'), { ...env, FEATHERSTAR_SHARDS: '2' });
    const [, port] = await program.line(
      /^featherstar listening on http:\/\/127\.0\.0\.1:(\d+)\/ · 2 shards · host .+\n/,
    );
    assertPrinted(program, statedIn(sourceOf('chat/app.js')).replace('8080', port));
    assert.match((await ask(Number(port), get('/kitchen'))).text, /new WebSocket/);
    const guests = [];
    for (const path of ['/kitchen', '/kitchen', '/garden']) guests.push(await WebSocketClient.open(port, { path }));
    const names = [];
    for (const guest of guests) names.push(/guest [\d-]+$/.exec((await guest.nextText())[1])[0]);
    await guests[0].text('hello');
    for (const guest of guests.slice(0, 2)) assert.equal(await guest.nextText(), [1, `${names[0]}: hello`]);
    await guests[2].text('flowers');
    assert.equal(await guests[2].nextText(), [1, `${names[2]}: flowers`]);
    guests[0].destroy();
    assert.equal(await guests[1].nextText(), [1, `${names[0]} has left`]);
    for (const guest of guests) guest.destroy();
    program.kill('SIGTERM');
    assert.is(await program.ended(), 0);
  });

  test('browser: the page comes with what lets workers share memory, and no path leads out', async () => {
    const program = new Program([pathOf('browser/main.js')], env);
    const [, port] = await program.line(/^open http:\/\/127\.0\.0\.1:(\d+)$/m);
    const answer = (path) => ask(Number(port), get(path));
    const { status, headers } = await answer('/');
    assert.is(status, 200);
    assert.is(headers['cross-origin-opener-policy'], 'same-origin');
    assert.is(headers['cross-origin-embedder-policy'], 'require-corp');
    assert.is((await answer('/featherstar/host/browser/index.js')).status, 200);
    for (const path of ['/featherstar/../../../package.js', '/none.js', '/main']) {
      assert.is((await answer(path)).status, 404, path);
    }
    program.kill('SIGTERM');
    assert.is(await program.ended(), 0);
  });

  test.run();
}
