// Ways out of a simulated program: each is simulated, allowed or refused. A program that takes one never waits for
// ever.
//
// The flow: a row of the table in docs/testing.md --> the programs below of that name --> run twice with one seed, once
// with another. The table and this file have the same rows.
//
// Next: host/sim/globals.ts.

import { AsyncLocalStorage } from 'node:async_hooks';
import * as childProcesses from 'node:child_process';
import * as cryptos from 'node:crypto';
import dgram from 'node:dgram';
import * as names from 'node:dns';
import * as promisedNames from 'node:dns/promises';
import { once } from 'node:events';
import * as files from 'node:fs';
import * as promisedFiles from 'node:fs/promises';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { createRequire } from 'node:module';
import net from 'node:net';
import * as systems from 'node:os';
import { resolve } from 'node:path';
import * as hooks from 'node:perf_hooks';
import * as promisedTimers from 'node:timers/promises';
import tls from 'node:tls';
import { promisify } from 'node:util';
import * as threads from 'node:worker_threads';
import * as zips from 'node:zlib';
import { sleep } from 'featherstar';
import { simulate } from 'featherstar/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { rejection } from '../support/hosts.js';

const isDeno = 'Deno' in globalThis;
const isNode = !isDeno && !('Bun' in globalThis);

/** The functions that a module names. On Deno, named imports stay the real ones. */
const named = (module) => (isDeno ? module.default : module);
const { exec } = named(childProcesses);
const { createHash, randomBytes, randomFillSync, randomInt, randomUUID, scrypt, webcrypto } = named(cryptos);
const { lookup, resolve4 } = named(names);
const { lookup: lookupPromised } = named(promisedNames);
const { existsSync, readFileSync, writeFileSync } = named(files);
const { readFile } = named(promisedFiles);
const { hostname } = named(systems);
const { performance: hooked, monitorEventLoopDelay } = named(hooks);
const { scheduler, setImmediate: soon, setInterval: ticks, setTimeout: wait } = named(promisedTimers);
const { MessageChannel: Ports, Worker } = named(threads);
const { gunzip, gzip } = named(zips);
const [childProcess, crypto, dns, fs, os, zlib] = [childProcesses, cryptos, names, files, systems, zips].map(
  (module) => module.default,
);

/** Rows that Bun and Deno refuse. */
const ONLY_NODE = ['fetch(), node:http, node:net', 'dns.lookup()', 'streams of node:fs'];

/** Rows that Deno lacks: the properties cannot be replaced. */
const NOT_ON_DENO = {
  'process.pid, memoryUsage()': 'process.pid is the real one',
  'streams of node:zlib, CompressionStream': 'the streams of node:zlib are not noticed',
};

const PAGE = new URL('../../docs/testing.md', import.meta.url);
const EMPTY_WASM = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const START = Date.UTC(2026, 0, 1);
const realPid = process.pid;
const require = createRequire(import.meta.url);

const later = (run) => new Promise((resolve) => run(resolve));

/** Random: the seed decides. Each program returns something that differs with the seed. */
const RANDOM = {
  'node:crypto, random values': [
    () => randomBytes(16).toString('hex'),
    () => promisify(randomBytes)(16).then((bytes) => bytes.toString('hex')),
    () => randomUUID(),
    () => randomInt(1e9),
    () => promisify(randomInt)(5, 1e9),
    () => Buffer.from(randomFillSync(new Uint32Array(4)).buffer).toString('hex'),
    () => Buffer.from(crypto.getRandomValues(new Uint8Array(8))).toString('hex'),
  ],
  'Web Crypto, random values': [
    () => globalThis.crypto.randomUUID(),
    () => Buffer.from(webcrypto.getRandomValues(new Uint8Array(8))).toString('hex'),
    async () => {
      const key = await webcrypto.subtle.generateKey({ name: 'AES-GCM', length: 256 }, true, ['encrypt']);
      return Buffer.from(await webcrypto.subtle.exportKey('raw', key)).toString('hex');
    },
    async () => {
      const key = await webcrypto.subtle.generateKey({ name: 'HMAC', hash: 'SHA-256' }, true, ['sign']);
      return (await webcrypto.subtle.exportKey('jwk', key)).k;
    },
  ],
  'Math.random()': [() => Math.random()],
};

/** Time and the machine: each program returns what it sees, and what it has to see. */
const FIXED = {
  'Date, Intl and Temporal': [
    async () => {
      await sleep(1000);
      const seen = [new Date(), new Date(Date.now())].map((date) => date.toISOString().slice(0, 19));
      return [seen, ['2026-01-01T00:00:01', '2026-01-01T00:00:01']];
    },
    () => [new Intl.DateTimeFormat('en', { timeZone: 'UTC' }).format(), '1/1/2026'],
    () => {
      const parts = new Intl.DateTimeFormat('en', { timeZone: 'UTC' }).formatToParts();
      return [parts.find(({ type }) => type === 'year').value, '2026'];
    },
    () => {
      const { Temporal } = globalThis;
      const seen = Temporal === undefined ? START : Temporal.Now.instant().epochMilliseconds;
      return [seen < START + 1000 && seen >= START, true];
    },
    () => [globalThis.Temporal?.Now.plainDateISO('UTC').toString() ?? '2026-01-01', '2026-01-01'],
  ],
  'process.uptime(), hrtime(), cpuUsage()': [
    async () => {
      const before = [process.uptime(), process.hrtime.bigint(), process.cpuUsage()];
      await sleep(3_600_000);
      const seconds = [process.uptime() - before[0], Number(process.hrtime.bigint() - before[1]) / 1e9];
      seconds.push(process.cpuUsage(before[2]).user / 1e6);
      return [seconds.map(Math.round), [3600, 3600, 3600]];
    },
  ],
  'performance.now(), timeOrigin, mark(), measure()': [
    async () => {
      await sleep(60_000);
      hooked.mark('escape');
      const { startTime } = hooked.getEntriesByName('escape')[0];
      const { duration } = hooked.measure('escape', 'escape');
      hooked.clearMarks('escape');
      const late = [performance.now(), startTime].map((ms) => Math.round(ms / 1000));
      return [
        [late, performance.timeOrigin, duration >= 0 && duration < 1],
        [[60, 60], START, true],
      ];
    },
  ],
  'setTimeout() and its family, process.nextTick(), AbortSignal.timeout()': [
    async () => {
      const begin = Date.now();
      await promisify(setTimeout)(3_600_000);
      await promisify(setImmediate)();
      await later((resolve) => process.nextTick(resolve));
      await once(AbortSignal.timeout(3_600_000), 'abort');
      return [Math.round((Date.now() - begin) / 1000), 7200];
    },
  ],
  'node:timers/promises': [
    async () => {
      const begin = Date.now();
      const values = [await wait(1000, 'a'), await soon('c')];
      await scheduler.wait(1000);
      await scheduler.yield();
      let rounds = 0;
      for await (const value of ticks(1000, 'd'))
        if (++rounds === 3) values.push(value) && (await sleep(0));
        else if (rounds > 3) break;
      const aborted = await rejection(wait(1e6, 0, { signal: AbortSignal.abort() }));
      values.push(aborted.name, aborted.code, Math.round((Date.now() - begin) / 1000));
      return [values, ['a', 'c', 'd', 'AbortError', 'ABORT_ERR', 6]];
    },
  ],
  'AsyncLocalStorage in timers and ticks': [
    async () => {
      const storage = new AsyncLocalStorage();
      const seen = [];
      const waits = storage.run('mine', () => [
        later((resolve) => setTimeout(() => resolve(seen.push(storage.getStore())), 1)),
        later((resolve) => setImmediate(() => resolve(seen.push(storage.getStore())))),
        later((resolve) => process.nextTick(() => resolve(seen.push(storage.getStore())))),
        later((resolve) => gzip('', () => resolve(seen.push(storage.getStore())))),
      ]);
      await Promise.all(waits);
      seen.push(storage.getStore());
      return [seen, ['mine', 'mine', 'mine', 'mine', undefined]];
    },
  ],
  'node:os: name, sizes, load, addresses': [
    () => {
      const [address] = os.networkInterfaces().sim0.map((each) => each.address);
      const seen = [hostname(), os.totalmem(), os.freemem(), os.loadavg(), os.cpus().length, address];
      return [seen, ['web', 2 ** 33, 2 ** 32, [0, 0, 0], 2, '10.0.0.1']];
    },
    async () => {
      await sleep(1000);
      return [Math.round(os.uptime()), 1];
    },
  ],
  'process.pid, memoryUsage()': [
    () => {
      const { rss, heapUsed } = process.memoryUsage();
      return [
        [process.pid, rss, heapUsed, process.memoryUsage.rss()],
        [4242, 2 ** 26, 2 ** 25, 2 ** 26],
      ];
    },
  ],
  'fetch(), node:http, node:net': [
    async () => {
      const server = http.createServer((request, response) => response.end(request.url)).listen(80, '127.0.0.1');
      await once(server, 'listening');
      const text = await (await fetch('http://127.0.0.1/a')).text();
      const [response] = await once(http.get('http://web/b'), 'response').catch((error) => [error.code]);
      server.close();
      return [
        [text, response],
        ['/a', 'ECONNREFUSED'],
      ];
    },
    async () => {
      const server = net.createServer((socket) => socket.end('hi')).listen(81);
      await once(server, 'listening');
      const texts = [net.connect(81), net.createConnection({ port: 81, host: 'web' })].map(async (socket) =>
        (await socket.setEncoding('utf8').toArray()).join(''),
      );
      server.close();
      return [await Promise.all(texts), ['hi', 'hi']];
    },
  ],
  'dns.lookup()': [
    async () => {
      const found = await Promise.all([
        promisify(lookup)('web'),
        lookupPromised('localhost'),
        lookupPromised('1.2.3.4'),
      ]);
      const all = await lookupPromised('web', { all: true, family: 4 });
      const missing = await rejection(lookupPromised('elsewhere'));
      const seen = [found.map((each) => each.address ?? each), all[0].address, missing.code, missing.syscall];
      return [seen, [['10.0.0.1', '127.0.0.1', '1.2.3.4'], '10.0.0.1', 'ENOTFOUND', 'getaddrinfo']];
    },
  ],
  'node:fs, node:fs/promises': [
    async () => {
      const before = existsSync('/file');
      writeFileSync('/file', 'text');
      const seen = [before, existsSync('/file'), await readFile('/file', 'utf8'), readFileSync('/file').length];
      const [real] = await Promise.all([readFile(PAGE), fs.promises.access('/')]).catch((error) => [error.code]);
      return [
        [...seen, real],
        [false, true, 'text', 4, 'ENOENT'],
      ];
    },
  ],
  'streams of node:fs': [
    async () => {
      const write = fs.createWriteStream('/file');
      await new Promise((resolve) => write.end('streamed', resolve));
      const size = await promisify(fs.stat)('/file').then((stats) => stats.size);
      return [
        [size, await fs.createReadStream('/file', 'utf8').toArray()],
        [8, ['streamed']],
      ];
    },
  ],
  "process.on('SIGTERM'), process.kill() of the own process": [
    async () => {
      const before = process.listenerCount('SIGTERM');
      const heard = once(process, 'SIGTERM');
      const after = process.listenerCount('SIGTERM');
      return [
        [before, after, process.kill(process.pid, 0), process.kill(process.pid, 'SIGTERM'), await heard],
        [0, 1, true, true, ['SIGTERM', os.constants.signals.SIGTERM]],
      ];
    },
  ],
  'process.cwd()': [
    () => [
      [process.cwd(), resolve('a')],
      ['/', '/a'],
    ],
  ],
  'node:zlib, by callback or at once': [
    async () => {
      const packed = await promisify(gzip)('a'.repeat(1000));
      const text = (await promisify(gunzip)(packed)).toString();
      return [
        [text.length, zlib.gunzipSync(zlib.gzipSync('b')).toString()],
        [1000, 'b'],
      ];
    },
    async () => [(await rejection(promisify(gunzip)('no gzip'))).code, 'Z_DATA_ERROR'],
  ],
  'node:crypto, hashes and derived keys': [
    async () => {
      const key = await promisify(scrypt)('password', 'salt', 16);
      const other = await promisify(crypto.pbkdf2)('password', 'salt', 10, 16, 'sha256');
      const same = [crypto.scryptSync('password', 'salt', 16), crypto.pbkdf2Sync('password', 'salt', 10, 16, 'sha256')];
      const sizes = [key, other].map((each, i) => each.equals(same[i]));
      return [
        [sizes, createHash('sha256').update('a').digest('hex').slice(0, 8)],
        [[true, true], 'ca978112'],
      ];
    },
  ],
  'crypto.subtle': [
    async () => {
      const digest = Buffer.from(await webcrypto.subtle.digest('SHA-256', Buffer.from('a'))).toString('hex');
      const hmac = { name: 'HMAC', hash: 'SHA-256' };
      const key = await webcrypto.subtle.importKey('raw', Buffer.alloc(32), hmac, false, ['sign', 'verify']);
      const signature = await webcrypto.subtle.sign('HMAC', key, Buffer.from('a'));
      const isRight = await webcrypto.subtle.verify('HMAC', key, signature, Buffer.from('a'));
      return [
        [digest.slice(0, 8), isRight],
        ['ca978112', true],
      ];
    },
    async () => [(await rejection(webcrypto.subtle.digest('none', Buffer.alloc(1)))).name, 'NotSupportedError'],
  ],
  'WebAssembly.compile(), instantiate()': [
    async () => {
      const module = await WebAssembly.compile(EMPTY_WASM);
      const { instance } = await WebAssembly.instantiate(EMPTY_WASM);
      return [
        [module instanceof WebAssembly.Module, Object.keys(instance.exports)],
        [true, []],
      ];
    },
  ],
  'require() of a module': [
    () => {
      const path = require.resolve('../../package.json');
      delete require.cache[path];
      return [require(path).name, 'featherstar'];
    },
  ],
  'output: console, stdout, stderr': [
    async () => {
      process.stdout.write('');
      fs.writeSync(1, '');
      await promisify(fs.write)(2, '');
      return [0, 0];
    },
  ],
};

/** Refused: each of these programs fails with an error that says what to use instead. */
const REFUSED = {
  'WebSocket, EventSource': [
    () => (globalThis.WebSocket === undefined ? http2.connect('http://a') : new WebSocket('ws://127.0.0.1:1')),
  ],
  'node:dgram, node:http2': [
    () => dgram.createSocket('udp4').bind(0),
    () => http2.connect('http://127.0.0.1:1/'),
    () => http2.createServer(),
  ],
  'node:tls, node:https': [
    () => tls.connect(1),
    () => https.get('https://127.0.0.1:1/'),
    () => https.createServer(),
    () => fetch('https://127.0.0.1/').catch((error) => Promise.reject(error.cause)),
  ],
  'subclasses of the sockets of node:net': [
    () => new (class extends net.Socket {})().connect(1),
    () => new (class extends net.Server {})().listen(1),
  ],
  'node:dns, but lookup()': [() => resolve4('localhost', () => {}), () => dns.promises.resolve('localhost')],
  'watches, links, cp(), glob(), statfs()': [
    () => fs.watch('/'),
    () => fs.watchFile('/', () => {}),
    () => fs.symlinkSync('/a', '/b'),
    () => fs.link('/a', '/b', () => {}),
    () => fs.promises.symlink('/a', '/b'),
    () => fs.cpSync('/a', '/b'),
    () => fs.statfsSync('/'),
  ],
  'node:child_process, node:cluster': [
    () => childProcess.spawn('true'),
    () => exec('true'),
    () => promisify(exec)('true'),
    () => require('node:cluster').fork(),
  ],
  'node:worker_threads': [() => new Worker('', { eval: true })],
  'MessageChannel, BroadcastChannel': [() => new MessageChannel(), () => new Ports(), () => new BroadcastChannel('a')],
  'streams of node:zlib, CompressionStream': [
    () => zlib.createGzip(),
    () => new zlib.Gunzip(),
    () => new CompressionStream('gzip'),
  ],
  'new key pairs and primes, signatures that are random': [
    () => crypto.generateKeyPairSync('ed25519'),
    () => crypto.generatePrimeSync(32),
    () => webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']),
    () => webcrypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, {}, new Uint8Array(1)),
  ],
  'process.exit(), abort(), chdir(), kill() of another process': [
    () => process.exit(0),
    () => process.kill(1, 0),
    () => process.kill(process.pid, 'SIGSTOP'),
    () => process.chdir('/'),
  ],
  'Atomics.wait(), waitAsync()': [
    () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1),
    () => Atomics.waitAsync?.(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1) ?? Atomics.wait(),
  ],
  'monitorEventLoopDelay()': [() => monitorEventLoopDelay()],
};

const run = (seed, program) => simulate({ seed, shards: 2, hosts: { web: [0, 1] } }, async () => program());

for (const [name, programs] of Object.entries(RANDOM)) {
  test(`simulated: ${name}`, async () => {
    for (const program of programs) {
      const { value, traceHash } = await run(1, program);
      const again = await run(1, program);
      assert.equal([again.value, again.traceHash], [value, traceHash], String(program));
      assert.is.not((await run(2, program)).value, value, String(program));
    }
  });
}

const tested = (name) => {
  if (!isDeno || NOT_ON_DENO[name] === undefined) return test;
  console.log(`# skipped: ${name}: on Deno ${NOT_ON_DENO[name]}`);
  return test.skip;
};

const elsewhere = Object.fromEntries(ONLY_NODE.map((name) => [name, FIXED[name]]));
if (!isNode) for (const name of ONLY_NODE) delete FIXED[name];

for (const [name, programs] of Object.entries(FIXED)) {
  tested(name)(`simulated or allowed: ${name}`, async () => {
    for (const program of programs) {
      await run(1, program); // on Node 20 the first fetch() of a process sets a timer more than later ones
      const { value, traceHash } = await run(1, program);
      assert.equal(value[0], value[1], String(program));
      assert.is((await run(1, program)).traceHash, traceHash, String(program));
    }
  });
}

for (const [name, programs] of Object.entries({ ...REFUSED, ...(isNode ? {} : elsewhere) })) {
  tested(name)(`refused: ${name}`, async () => {
    for (const program of programs) {
      const error = await rejection(run(1, program));
      assert.is(error.cause?.code, 'FEATHERSTAR_SIMULATION', `${program}: ${error.cause}`);
      assert.match(error.message, /leaves the simulation: .+\. [A-Z].+/, String(program)); // and then the remedy
    }
  });
}

/** Functions of Bun and Deno, with the remedy that the error names. */
const SHARD = /Use a shard/;
const END = /Return from the program/;
const FILES = /Use featherstar\/fs/;
const HOSTS = /option "hosts"/;
const OF_BUN = [
  [() => Bun.serve({ port: 0 }), /featherstar\/net/],
  [() => Bun.spawn(['true']), SHARD],
  [() => Bun.spawnSync(['true']), SHARD],
  [() => Bun.$`true`, SHARD],
  [() => Bun.file('/a'), FILES],
  [() => Bun.dns.lookup('localhost'), HOSTS],
  [() => Bun.dns.resolve('localhost'), HOSTS],
  [() => Bun.password.hash('a'), /scrypt\(\)/],
  [() => Bun.password.hashSync('a'), /scrypt\(\)/],
  [() => Bun.password.verify('a', 'b'), /scrypt\(\)/],
  [() => Bun.password.verifySync('a', 'b'), /scrypt\(\)/],
];
const DENO_FILES =
  'readFile makeTempDir makeTempFile symlink link readLink realPath chmod chown utime open stat mkdir remove';
const OF_DENO = [
  [() => Deno.serve({ port: 0 }, () => {}), /featherstar\/net/],
  [() => Deno.resolveDns('localhost', 'A'), HOSTS],
  [() => new Deno.Command('true'), SHARD],
  [() => Deno.exit(0), END],
  [() => Deno.kill(1, 'SIGCONT'), END],
  [() => Deno.chdir('/'), END],
  [() => Deno.addSignalListener('SIGHUP', () => {}), /process\.on\(\)/],
  [() => Deno.removeSignalListener('SIGHUP', () => {}), /process\.on\(\)/],
  ...DENO_FILES.split(' ').flatMap((name) => [
    [() => Deno[name]('/featherstar-none', '/featherstar-none'), FILES, name],
    [() => Deno[`${name}Sync`]('/featherstar-none', '/featherstar-none'), FILES, `${name}Sync`],
  ]),
];

if (!isNode) {
  test('refused: the own functions of this runtime, each with its remedy', async () => {
    for (const [program, remedy, name] of isDeno ? OF_DENO : OF_BUN) {
      const text = name ?? String(program);
      const error = await rejection(run(1, program));
      assert.is(error.cause?.code, 'FEATHERSTAR_SIMULATION', `${text}: ${error.cause}`);
      assert.match(error.message, /leaves the simulation: .+\. [A-Z].+/, text);
      assert.match(error.message, remedy, text);
    }
  });
}

test('a function that a module has kept from one world works in the next one, and outside', async () => {
  const kept = (await run(1, () => ({ wait: require('node:timers/promises').setTimeout }))).value.wait;
  const begin = Date.now();
  assert.is((await run(1, () => kept(3_600_000, 'done'))).value, 'done');
  assert.ok(Date.now() - begin < 60_000);
  assert.is(await kept(1, 'outside'), 'outside');
});

test('a global that a module keeps is the simulated one in a world, and the real one outside', async () => {
  const kept = require('./library-with-globals.cjs');
  const program = async () => {
    const beginMs = kept.now();
    for (let i = 0; i < 5; i++) {
      await new Promise((resolve) => kept.nextTick(resolve, 'value'));
      await sleep(1); // only in a turn of the shard
      await new Promise((resolve) => kept.setImmediate(resolve));
      await sleep(1);
    }
    await new Promise((resolve) => kept.setTimeout(resolve, 3_600_000));
    await new Promise((resolve) => {
      const timer = kept.setInterval(() => {
        kept.clearInterval(timer);
        resolve();
      }, 3_600_000);
    });
    return [kept.now() - beginMs, kept.now(), kept.perform(), kept.random()];
  };
  const { value, traceHash } = await run(1, program);
  const [tookMs, dateMs, elapsedMs] = value;
  assert.ok(tookMs >= 7_200_000 && tookMs < 7_300_000, `${tookMs} ms`);
  assert.ok(dateMs < Date.UTC(2026, 0, 2) && elapsedMs > 7_200_000);
  const again = await run(1, program);
  assert.equal(again.value, value);
  assert.is(again.traceHash, traceHash);
  const beginMs = kept.now();
  assert.ok(Math.abs(beginMs - Date.now()) < 60_000);
  await new Promise((resolve) => kept.setTimeout(resolve, 1));
  await new Promise((resolve) => kept.nextTick(resolve));
  await new Promise((resolve) => kept.setImmediate(resolve));
  assert.is.not(kept.random(), kept.random());
});

test('replaced globals look as the real ones', async () => {
  const timers = require('node:timers');
  for (const name of ['setTimeout', 'setInterval', 'setImmediate', 'clearTimeout', 'clearInterval', 'clearImmediate']) {
    assert.is(globalThis[name].name, name);
    assert.is(timers[name], globalThis[name]);
  }
  const promised = require('node:timers/promises');
  assert.is(promisify(setTimeout), promised.setTimeout);
  assert.is(promisify(setImmediate), promised.setImmediate);
  assert.is(await promisify(setTimeout)(1, 'value'), 'value');
  assert.is((await run(1, () => promisify(setTimeout)(3_600_000, 'value'))).value, 'value');
  if (!('bun' in process.versions)) assert.throws(() => performance.now.call({}), TypeError);
});

test('what a world replaces is put back', () => {
  assert.is(process.pid, realPid);
  assert.ok(readFileSync(PAGE, 'utf8').length > 0);
  assert.ok(Date.now() > START);
  assert.not.equal(randomBytes(16), randomBytes(16));
  assert.is.not(hostname(), 'web');
});

test('docs/testing.md lists the same escapes', () => {
  const [, table] = /\n\| escape \|[^\n]*\n\| --- [^\n]*\n((?:\|[^\n]*\n)+)/.exec(readFileSync(PAGE, 'utf8'));
  const rows = table
    .split('\n')
    .flatMap((line) => (line === '' ? [] : [line.split('|')[1].trim().replaceAll('`', '')]));
  const tested = [RANDOM, { ...FIXED, ...elsewhere }, REFUSED].flatMap((kind) => Object.keys(kind));
  assert.equal(rows.sort(), tested.sort());
  assert.ok(rows.length >= 20);
});

test.run();
