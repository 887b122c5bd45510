// The command `featherstar serve`: what it prints, how it ends, what it refuses.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite, test } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from './support/child.js';
import { hosts } from './support/hosts.js';
import { ask, Client, get } from './support/http.js';

const CLI = fileURLToPath(new URL('../dist/host/cli/main.js', import.meta.url));
const APP = fileURLToPath(new URL('./support/serve-module.js', import.meta.url));
const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
const CLEAN = { FEATHERSTAR_HOST: undefined, FEATHERSTAR_SHARDS: undefined, PORT: undefined };

const folder = mkdtempSync(join(tmpdir(), 'featherstar-cli-'));
test.after(() => rmSync(folder, { recursive: true }));

function write(name, text) {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

/** How a command ends that does not serve. */
async function run(args, env = {}) {
  const program = new Program([CLI, ...args], { ...CLEAN, ...env });
  const code = await program.ended(20_000);
  return { code, stdout: program.stdout, stderr: program.stderr };
}

test('--help and --version', async () => {
  for (const args of [['--help'], ['-h'], ['serve', '--help']]) {
    const { code, stdout } = await run(args);
    assert.is(code, 0);
    for (const flag of ['--port N', '--hostname ADDRESS', '--shards N|auto', '--memory 64M', 'FEATHERSTAR_CPUSET']) {
      assert.ok(stdout.includes(flag), flag);
    }
  }
  assert.equal(await run(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
});

test('a wrong command line ends with 2, and says what is right', async () => {
  const wrong = [
    [[], /^featherstar: the command is: featherstar serve <module>\n/],
    [['serve'], /^featherstar: the command is/],
    [['start', APP], /^featherstar: the command is/],
    [['serve', APP, 'b.js'], /^featherstar: the command is/],
    [['serve', APP, '--prot', '80'], /^featherstar: Unknown option --prot\. Known options: --port, .*--shards, /],
    [['serve', APP, '-x'], /^featherstar: Unknown option -x\. /],
    [['serve', APP, '--port'], /^featherstar: .*--port/],
    [['serve', APP, '--port', '70000'], /^featherstar: --port must be an integer from 0 to 65535, not "70000"\n/],
    [['serve', APP, '--port', 'http'], /^featherstar: --port must be/],
    [['serve', APP, '--help=yes'], /^featherstar: .*--help/],
    [['serve', APP, '--fd', 'three'], /^featherstar: --fd must be a number or systemd\[:NAME\], not "three"\n/],
    [['serve', APP, '--share-port=yes'], /^featherstar: .*--share-port/],
  ];
  for (const [args, message] of wrong) {
    const { code, stdout, stderr } = await run(args);
    assert.equal([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr, message);
  }
});

test('what keeps it from serving ends with 1', async () => {
  const taken = createServer();
  await new Promise((resolve) => taken.listen(0, '127.0.0.1', resolve));
  const { port } = taken.address();
  const here = ['--hostname', '127.0.0.1', '--shards', '2'];
  const wrong = [
    [['serve', 'none.js'], /^FEATHERSTAR_MODULE: there is no file \/.*none\.js\n$/],
    [
      ['serve', write('broken.mjs', 'export default {')],
      /^FEATHERSTAR_MODULE: .*broken\.mjs cannot be loaded: .*\n(?:.*\n)*.*SyntaxError/,
    ],
    [['serve', write('empty.mjs', ''), '--port', '0', ...here], /^FEATHERSTAR_MODULE: the module has no fetch\(\): /],
    [['serve', APP, '--port', String(port), ...here], /^FEATHERSTAR_SYSTEM: .*EADDRINUSE.+\n$/],
    [
      ['serve', APP, '--drain-ms', 'long'],
      /^FEATHERSTAR_OPTION: drainMs must be milliseconds from 0 to 600000, got NaN\n$/,
    ],
    [
      ['serve', APP, '--fd', '3', '--port', '80'],
      /^FEATHERSTAR_OPTION: port must be left out where fd is given, got 80\n$/,
    ],
    [
      ['serve', APP, '--fd', 'systemd'],
      /^FEATHERSTAR_OPTION: --fd systemd: systemd has opened no socket for this process\n$/,
    ],
    [['serve', APP, '--shards', 'many'], /^FEATHERSTAR_OPTION: shards must be .+\n$/],
    [['serve', APP, '--host', 'none'], /^FEATHERSTAR_OPTION: host must be .+\n$/],
  ];
  try {
    for (const [args, message] of wrong) {
      const { code, stdout, stderr } = await run(args);
      assert.equal([code, stdout], [1, ''], args.join(' '));
      assert.match(stderr, message);
    }
  } finally {
    taken.close();
  }
});

test('a TypeScript module is served where the runtime runs TypeScript, and refused in words elsewhere', async () => {
  const app = write(
    'app.ts',
    'export default { fetch: (request: Request): Response => new Response(request.method) };\n',
  );
  const args = ['serve', app, '--port', '0', '--hostname', '127.0.0.1', '--shards', '2'];
  if (process.features.typescript) {
    const program = new Program([CLI, ...args], CLEAN);
    const [, port] = await program.line(/:(\d+)\/ · 2 shards/);
    assert.is((await ask(Number(port), get())).text, 'GET');
    program.kill('SIGTERM');
    assert.is(await program.ended(), 0);
  } else {
    const { code, stderr } = await run(args);
    assert.is(code, 1);
    assert.match(
      stderr,
      /^FEATHERSTAR_MODULE: Node \S+ cannot run \/.*app\.ts: TypeScript needs Node >= 22\.18, Bun or Deno\n$/,
    );
  }
});

test.run();

for (const host of hosts()) {
  const test = suite(`featherstar serve (${host})`);
  const env = { ...CLEAN, FEATHERSTAR_HOST: host };

  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`serves on every core until ${signal}, answers what runs, ends with 0`, async () => {
      const program = new Program([CLI, 'serve', APP, '--shards', '2'], { ...env, PORT: '0' });
      const [line, port] = await program.line(
        /^featherstar listening on http:\/\/0\.0\.0\.0:(\d+)\/ · 2 shards · host .+\n/,
      );
      const seen = new Set();
      for (let i = 0; i < 60; i++) seen.add((await ask(Number(port), get())).text);
      const listensAlone = line.includes('shard 0 listens for all');
      assert.equal([...seen].sort(), listensAlone ? ['app on 0'] : ['app on 0', 'app on 1']);
      if (host === 'uring') assert.not(listensAlone);
      const idle = await Client.open(Number(port));
      await idle.ask(get());
      program.kill(signal);
      await idle.rest();
      idle.destroy();
      assert.is(await program.ended(), 0);
      assert.equal([program.stdout, program.stderr], [line, '']);
    });
  }

  test('--port outranks PORT, and a second signal ends it at once', async () => {
    const args = [CLI, 'serve', APP, '--port', '0', '--hostname', 'localhost', '--shards', '1'];
    const program = new Program(args, { ...env, PORT: '1' });
    const [, port] = await program.line(/^featherstar listening on http:\/\/localhost:(\d+)\/ · 1 shard · host .+\n/);
    const client = await Client.open({ port: Number(port), host: 'localhost' });
    await client.write(get('/wait')); // never answered
    await new Promise((resolve) => setTimeout(resolve, 100));
    program.kill('SIGTERM');
    await new Promise((resolve) => setTimeout(resolve, 200));
    program.kill('SIGTERM');
    assert.is(await program.ended(2000), 143);
    client.destroy();
  });

  test.run();
}
