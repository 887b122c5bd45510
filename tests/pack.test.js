// deadline: 300 s
// What a user gets: the packed tarball, installed into an empty folder without install scripts, serving one request.
//
// The flow: `npm pack` -> `npm install` of the tarball -> the files that it put there -> a program of ten
// lines, run in a process of its own, as a user's would be.
//
// Invariants: nothing runs at install time (npm 12 refuses to, and a binding.gyp at the root would become such a
// step); no test build and no test is shipped. It packs what `npm run build` left in dist/: build before.
// The two dependencies come from npm's cache or its registry.
//
// Next: tests/tidy.test.js.

import { spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const STEP_MS = 120_000;
const UNPACKED_BYTES_MAX = 7.75 * 1024 * 1024; // 2.0 MB packed; with docs, and sources for source maps
const TEXTS = ['README.md', 'ARCHITECTURE.md', 'RATIONALE.md', 'CHANGELOG.md', 'LICENSE-MIT', 'LICENSE-APACHE'];
const TOP = ['dist', 'assembly', 'host', 'docs', 'package.json', ...TEXTS];
const NOT_SHIPPED = /(^|\/)(tests?|bench|node_modules|binding\.gyp)(\/|$)|\.test\.|\.(test|asan)\.node$|\.tsbuildinfo$/;

/** Entry points that need a package which a user installs. */
const PEERS = { './client': 'undici', './nats': '@nats-io/transport-node' };

const SERVE = `import { serve } from 'featherstar/http';

const server = await serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('hi') });
try {
  const response = await fetch(\`http://127.0.0.1:\${server.port}/\`);
  console.log(response.status, await response.text());
} finally {
  await server.close();
}
`;

/** The five lines of a user. */
const APP = `import { runtime } from 'featherstar';

export default {
  fetch: () => new Response(\`shard \${runtime().self}\`),
};
`;

const SERVE_MODULE = `import { serve } from 'featherstar/http';

const server = await serve({ module: new URL('./app.js', import.meta.url), hostname: '127.0.0.1', shards: 2 });
console.log(\`listening on \${server.url} · \${server.runtime.summary}\`);
process.on('SIGTERM', () => server.close());
`;

let folder; // an empty package of a user
let installed; // where npm put ours

function command(program, args, cwd) {
  const result = spawnSync(program, args, { cwd, encoding: 'utf8', timeout: STEP_MS, killSignal: 'SIGKILL' });
  if (result.error) throw result.error;
  assert.is(result.status, 0, `${program} ${args.join(' ')}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

function runProgram(name, text) {
  writeFileSync(join(folder, name), text);
  return command(process.execPath, [name], folder);
}

function listFiles(root) {
  return readdirSync(root, { recursive: true })
    .filter((path) => statSync(join(root, path)).isFile())
    .sort();
}

function nativeBuilds(root) {
  const native = join(root, 'dist/native');
  return existsSync(native) ? readdirSync(native).filter((name) => /^[^.]+\.node$/.test(name)) : [];
}

function manifest() {
  return JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8'));
}

test.after(() => folder && rmSync(folder, { recursive: true }));

test('packs, and installs with scripts off', () => {
  folder = mkdtempSync(join(tmpdir(), 'featherstar-pack-'));
  const tarballs = join(folder, 'tarballs');
  mkdirSync(tarballs);
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }\n');
  command('npm', ['pack', '--ignore-scripts', '--pack-destination', tarballs], ROOT);
  const [tarball, ...others] = readdirSync(tarballs);
  assert.equal(others, []);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline'];
  command('npm', ['install', ...flags, join(tarballs, tarball)], folder);
  installed = join(folder, 'node_modules/featherstar');
  assert.ok(existsSync(installed));
});

test('ships the built host, the core, the licences, and nothing that is ours alone', () => {
  const files = listFiles(installed);
  const built = [
    'dist/core.wasm',
    'dist/c/featherstar_core.c',
    'dist/c/ring.c',
    'dist/c/shard.c',
    'dist/host/index.js',
    'dist/host/index.d.ts',
  ];
  for (const path of [...built, 'package.json', ...TEXTS]) {
    assert.ok(files.includes(path), `${path} is missing`);
  }
  assert.equal(readdirSync(installed).sort(), [...TOP].sort());
  assert.equal(
    files.filter((path) => NOT_SHIPPED.test(path)),
    [],
  );
  const bytes = files.reduce((sum, path) => sum + statSync(join(installed, path)).size, 0);
  assert.ok(bytes <= UNPACKED_BYTES_MAX, `${bytes} bytes unpacked`);
});

test('source maps and declaration maps lead to sources that are shipped', () => {
  const maps = listFiles(installed).filter((path) => path.endsWith('.map'));
  assert.ok(maps.some((path) => path.endsWith('.d.ts.map')) && maps.some((path) => path.endsWith('.js.map')));
  for (const path of maps) {
    const { sources } = JSON.parse(readFileSync(join(installed, path), 'utf8'));
    for (const source of sources) assert.ok(existsSync(join(installed, path, '..', source)), `${path}: ${source}`);
  }
});

test('ships the addon, if it was built', () => {
  const here = nativeBuilds(ROOT);
  if (here.length === 0)
    console.log('# skipped: the addon in the tarball: dist/native has none (npm run build:native)');
  assert.equal(nativeBuilds(installed), here);
});

test('runs nothing at install time', () => {
  const { scripts = {} } = manifest();
  for (const name of ['preinstall', 'install', 'postinstall']) assert.is(scripts[name], undefined, name);
  assert.not(existsSync(join(installed, 'binding.gyp')));
});

test('every path of "exports" is there, types first', () => {
  for (const [name, target] of Object.entries(manifest().exports)) {
    const paths = typeof target === 'string' ? [target] : Object.values(target);
    for (const path of paths)
      assert.ok(existsSync(join(installed, path.replace(/\*$/, ''))), `${name}: ${path} is missing`);
    if (typeof target !== 'string') assert.is(Object.keys(target)[0], 'types', name);
  }
});

test('importing has no side effects: a program that only imports ends by itself, in silence', () => {
  const { exports } = manifest();
  const isModule = ([name, target]) => typeof target !== 'string' && !Object.hasOwn(PEERS, name);
  const names = Object.entries(exports).filter(isModule);
  assert.ok(names.length > 0);
  const imports = names.map(([name]) => `import 'featherstar${name.slice(1)}';\n`);
  assert.is(runProgram('import.js', imports.join('')), '');
});

test('an entry point without its peer dependency says which one it is, and how to install it', () => {
  for (const [name, peer] of Object.entries(PEERS)) {
    assert.ok(manifest().peerDependenciesMeta[peer].optional, peer);
    const entry = `featherstar${name.slice(1)}`;
    const text = `await import('${entry}').catch(({ code, message }) => console.log(code, message));\n`;
    const told = `${entry} needs the package ${peer}, which is not installed: npm install ${peer}\n`;
    assert.is(runProgram('peer.js', text), `FEATHERSTAR_MODULE ${told}`);
  }
});

test('serves a request', () => {
  assert.is(runProgram('serve.js', SERVE), '200 hi\n');
});

/** Starts a server of two shards in the user's folder, and asks it until every shard that listens has answered. */
async function assertServes(file, args) {
  const env = { ...process.env, FEATHERSTAR_HOST: undefined };
  const child = spawn(file, args, { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const timer = setTimeout(() => child.kill('SIGKILL'), STEP_MS);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (piece) => (text += piece));
  const ended = new Promise((resolve) => child.once('close', (code) => resolve(code)));
  const [, url, rest] = await new Promise((resolve, reject) => {
    void ended.then(() => reject(new Error(`it ended: ${text}`)));
    child.stdout.setEncoding('utf8').on('data', (piece) => {
      text += piece;
      const match = /listening on (http:\S+) · 2 shards · (host .*)\n/.exec(text);
      if (match !== null) resolve(match);
    });
  });
  const seen = new Set();
  for (let i = 0; i < 100; i++) {
    const response = await fetch(url, { headers: { connection: 'close' } });
    seen.add(await response.text());
  }
  assert.equal([...seen].sort(), rest.startsWith('host uring') ? ['shard 0', 'shard 1'] : [...seen].sort());
  assert.ok(seen.has('shard 0'), rest);
  child.kill('SIGTERM');
  assert.is(await ended, 0, text);
  clearTimeout(timer);
}

test('five lines of app.js: npx featherstar serve answers on every core', async () => {
  writeFileSync(join(folder, 'app.js'), APP);
  assert.ok(APP.trimEnd().split('\n').length <= 5);
  // What npx runs; npx itself does not pass signals on in every version.
  const bin = join(folder, 'node_modules/.bin/featherstar');
  assert.match(command('npx', ['--no-install', 'featherstar', '--version'], folder), /^\d+\.\d+\.\d+\n$/);
  await assertServes(bin, ['serve', 'app.js', '--port', '0', '--hostname', '127.0.0.1', '--shards', '2']);
});

test('serve({ module }) does the same', async () => {
  writeFileSync(join(folder, 'main.js'), SERVE_MODULE);
  await assertServes(process.execPath, ['main.js']);
});

test.run();
