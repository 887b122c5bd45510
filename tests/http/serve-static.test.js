// Files by serveStatic(): which file a path means, what is said of it, parts of it, its versions, its codings, and that
// no path leads out. A file that changes, is cut or goes away while it is served is answered truthfully.

import {
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { openDirectory } from 'featherstar/fs';
import { Response, serveStatic } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { Client, until } from '../support/http.js';
import { later, MEBIBYTE, pattern, ServerRig } from './server-rig.js';

const folder = mkdtempSync(join(tmpdir(), 'static-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const PUBLIC = join(folder, 'public');
const OLD = new Date('2024-02-03T04:05:06Z');
const OLD_TEXT = 'Sat, 03 Feb 2024 04:05:06 GMT';
const DATA = pattern(300_000);

/** Writes a file that was not changed for long, so that its version is a strong one. */
function put(path, data, date = OLD) {
  writeFileSync(join(PUBLIC, path), data);
  utimesSync(join(PUBLIC, path), date, date);
}

mkdirSync(join(PUBLIC, 'sub/deep'), { recursive: true });
mkdirSync(join(PUBLIC, '.hidden'));
mkdirSync(join(PUBLIC, 'empty'));
mkdirSync(join(PUBLIC, 'colon:name'));
put('index.html', '<h1>home</h1>');
put('data.bin', DATA);
put('zero', '');
put('a b%.txt', 'blank');
put('é.txt', 'accent');
put('.secret', 'secret');
put('.hidden/file', 'secret');
put('sub/index.html', 'sub');
put('sub/deep/page.html', 'deep');
put('colon:name/index.html', 'colon');
put('app.js', 'plain();');
put('app.js.br', 'BR');
put('app.js.gz', 'GZIP');
writeFileSync(join(folder, 'outside'), 'outside');
symlinkSync('../outside', join(PUBLIC, 'to-outside'));
symlinkSync('..', join(PUBLIC, 'up'));
symlinkSync('sub', join(PUBLIC, 'to-sub'));
symlinkSync('index.html', join(PUBLIC, 'to-file'));
symlinkSync('to-file', join(PUBLIC, 'to-link'));
symlinkSync('../index.html', join(PUBLIC, 'sub/to-upper'));
symlinkSync('.secret', join(PUBLIC, 'to-secret'));
symlinkSync('to-sub/deep/page.html', join(PUBLIC, 'by-link'));
symlinkSync('to-sub/../data.bin', join(PUBLIC, 'by-parent'));
symlinkSync(join(PUBLIC, 'index.html'), join(PUBLIC, 'absolute'));
symlinkSync('none', join(PUBLIC, 'dangling'));
symlinkSync('loop-b', join(PUBLIC, 'loop-a'));
symlinkSync('loop-a', join(PUBLIC, 'loop-b'));
symlinkSync('sub/../../outside', join(PUBLIC, 'out-by-parent'));
symlinkSync('to-outside', join(PUBLIC, 'to-to-outside'));
symlinkSync('to-sub/to-upper/../../outside', join(PUBLIC, 'through-file'));

for (const host of hosts()) {
  const rig = new ServerRig('static', host);

  /** Serves `directory`, and asks with a client that normalises nothing. */
  async function withStatic(options, run, directory = PUBLIC) {
    const files = await serveStatic(directory, options);
    rig.handler = files;
    const client = await Client.open(rig.server.port);
    try {
      const ask = async (path, headers = {}, method = 'GET') => {
        const lines = Object.entries({ host: 'test', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
        return client.ask(`${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, { isHead: method === 'HEAD' });
      };
      await run(ask, client);
    } finally {
      client.destroy();
      await files.close();
    }
  }

  rig.check('which file a path means', () =>
    withStatic({}, async (ask) => {
      const content = {
        '/': '<h1>home</h1>',
        '/index.html': '<h1>home</h1>',
        '/?query': '<h1>home</h1>',
        '/sub/': 'sub',
        '/sub/deep/page.html': 'deep',
        '/to-sub/deep/page.html': 'deep',
        '/a%20b%25.txt': 'blank',
        '/%C3%A9.txt': 'accent',
        '/sub/../index.html': '<h1>home</h1>',
        '/colon:name/': 'colon',
        '/zero': '',
        '/to-file': '<h1>home</h1>',
        '/to-link': '<h1>home</h1>',
        '/sub/to-upper': '<h1>home</h1>',
        '/to-sub/to-upper': '<h1>home</h1>',
        '/to-secret': 'secret',
        '/by-link': 'deep',
      };
      for (const [path, text] of Object.entries(content)) {
        const answer = await ask(path);
        assert.equal([answer.status, answer.text], [200, text], path);
      }
    }),
  );

  rig.check('what is not there, not for the client, or outside: 404', () =>
    withStatic({}, async (ask) => {
      const paths = `/none /sub/none /none/none /index.html/ /index.html/x /empty/ /zero/ /.secret /.hidden/file
        /.hidden/ /sub//deep/page.html //index.html /sub%2Findex.html /%2e%2e/outside
        /sub/%2e%2e%2f..%2foutside /..%5coutside /to-outside /up/outside /up/ /%00 /index.html%00 /%FF
        /absolute /dangling /loop-a /out-by-parent /to-to-outside /through-file /to-file/ /to-file/x
        /%zz /${'x'.repeat(300)} /${'y/'.repeat(700)}`;
      for (const path of paths.split(/\s+/)) {
        const answer = await ask(path);
        assert.is(answer.status, 404, path);
      }
    }),
  );

  rig.check('a directory without its slash: a redirect that stays on this server', () =>
    withStatic({}, async (ask) => {
      for (const [path, location] of [
        ['/sub', './sub/'],
        ['/sub?a=b', './sub/?a=b'],
        ['/colon:name', './colon%3Aname/'],
        ['/sub/deep', './deep/'],
        ['/to-sub', './to-sub/'],
      ]) {
        const answer = await ask(path);
        assert.equal([answer.status, answer.headers.location], [308, location]);
      }
    }),
  );

  rig.check('dotfiles, index, cacheControl, fallback', async () => {
    await withStatic({ dotfiles: true }, async (ask) => {
      assert.is((await ask('/.secret')).text, 'secret');
      assert.is((await ask('/.hidden/file')).text, 'secret');
    });
    await withStatic({ index: '' }, async (ask) => {
      assert.is((await ask('/')).status, 404);
      assert.is((await ask('/sub')).status, 404);
    });
    await withStatic({ index: 'app.js', cacheControl: 'max-age=60' }, async (ask) => {
      const { text, headers } = await ask('/');
      assert.equal([text, headers['cache-control']], ['plain();', 'max-age=60']);
    });
    await withStatic({ fallback: (request) => new Response(`none ${request.path}`, { status: 410 }) }, async (ask) => {
      const { status, text } = await ask('/x');
      assert.equal([status, text], [410, 'none /x']);
    });
  });

  rig.check('methods: GET and HEAD', () =>
    withStatic({}, async (ask) => {
      const head = await ask('/data.bin', {}, 'HEAD');
      assert.equal([head.status, head.headers['content-length']], [200, '300000']);
      for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
        const answer = await ask('/index.html', {}, method);
        assert.equal([answer.status, answer.headers.allow], [405, 'GET, HEAD'], method);
      }
    }),
  );

  rig.check('types, lengths, versions', () =>
    withStatic({}, async (ask) => {
      const { headers, body } = await ask('/data.bin');
      assert.ok(body.equals(DATA));
      assert.equal(
        [headers['content-length'], headers['content-type'], headers['last-modified'], headers['accept-ranges']],
        ['300000', 'application/octet-stream', OLD_TEXT, 'bytes'],
      );
      assert.is(headers.etag, `"${OLD.getTime().toString(16)}-493e0"`);
      assert.is((await ask('/index.html')).headers['content-type'], 'text/html;charset=utf-8');
      assert.is((await ask('/app.js')).headers['content-type'], 'text/javascript;charset=utf-8');
      assert.is((await ask('/zero')).headers['content-length'], '0');
    }),
  );

  rig.check('ranges', () =>
    withStatic({}, async (ask) => {
      const parts = {
        'bytes=0-0': [0, 1],
        'bytes=5-9': [5, 10],
        'bytes=299999-': [299_999, 300_000],
        'bytes=100000-999999999999': [100_000, 300_000],
        'bytes=-5': [299_995, 300_000],
        'bytes=-400000': [0, 300_000],
        'BYTES=65535-131073': [65_535, 131_074],
      };
      for (const [range, [start, end]] of Object.entries(parts)) {
        const { status, headers, body } = await ask('/data.bin', { range });
        assert.equal(
          [status, headers['content-range'], headers['content-length']],
          [206, `bytes ${start}-${end - 1}/300000`, String(end - start)],
          range,
        );
        assert.ok(body.equals(DATA.subarray(start, end)), range);
      }
      for (const range of ['bytes=300000-', 'bytes=999999999999-', 'bytes=-0']) {
        const { status, headers } = await ask('/data.bin', { range });
        assert.equal([status, headers['content-range']], [416, 'bytes */300000'], range);
      }
      for (const range of ['bytes=5-4', 'bytes=a-b', 'bytes=0-1,5-6', 'lines=0-1', 'bytes=-', 'bytes', 'bytes=1']) {
        const { status, body } = await ask('/data.bin', { range });
        assert.equal([status, body.length], [200, 300_000], range);
      }
      assert.is((await ask('/zero', { range: 'bytes=0-' })).status, 416);
      assert.is((await ask('/data.bin', { range: 'bytes=0-0' }, 'HEAD')).status, 200);
    }),
  );

  rig.check('conditions', () =>
    withStatic({}, async (ask) => {
      const { etag } = (await ask('/data.bin')).headers;
      const before = 'Sat, 03 Feb 2024 04:05:05 GMT';
      const cases = [
        [{ 'if-none-match': etag }, 304],
        [{ 'if-none-match': `"x", W/${etag}` }, 304],
        [{ 'if-none-match': '*' }, 304],
        [{ 'if-none-match': '"x"' }, 200],
        [{ 'if-none-match': '"x"', 'if-modified-since': OLD_TEXT }, 200], // the date does not count then
        [{ 'if-modified-since': OLD_TEXT }, 304],
        [{ 'if-modified-since': before }, 200],
        [{ 'if-modified-since': 'yesterday' }, 200],
        [{ 'if-modified-since': '2030-01-01' }, 200],
        [{ 'if-match': etag }, 200],
        [{ 'if-match': '*' }, 200],
        [{ 'if-match': '"x"' }, 412],
        [{ 'if-match': `W/${etag}` }, 412], // weak ones never match here
        [{ 'if-unmodified-since': OLD_TEXT }, 200],
        [{ 'if-unmodified-since': before }, 412],
        [{ 'if-match': etag, 'if-unmodified-since': before }, 200],
        [{ range: 'bytes=0-1', 'if-range': etag }, 206],
        [{ range: 'bytes=0-1', 'if-range': OLD_TEXT }, 206],
        [{ range: 'bytes=0-1', 'if-range': '"x"' }, 200],
        [{ range: 'bytes=0-1', 'if-range': `W/${etag}` }, 200],
        [{ range: 'bytes=0-1', 'if-range': before }, 200],
        [{ range: 'bytes=0-1', 'if-none-match': etag }, 304],
      ];
      for (const [headers, status] of cases) {
        const answer = await ask('/data.bin', headers);
        assert.is(answer.status, status, JSON.stringify(headers));
        if (status === 304) assert.equal([answer.headers.etag, answer.headers['content-type']], [etag, undefined]);
      }
    }),
  );

  rig.check('precompressed files, by what the client takes', async () => {
    await withStatic({ precompressed: true }, async (ask) => {
      const cases = {
        br: ['br', 'BR'],
        'gzip, deflate, br, zstd': ['br', 'BR'],
        gzip: ['gzip', 'GZIP'],
        'br;q=0.5, gzip;q=0.9': ['gzip', 'GZIP'],
        'br;q=0, *': ['gzip', 'GZIP'],
        zstd: [undefined, 'plain();'], // there is none
        'br;q=0.5, identity': [undefined, 'plain();'],
        deflate: [undefined, 'plain();'],
        '': [undefined, 'plain();'],
      };
      const etags = new Map();
      for (const [accepted, [coding, text]] of Object.entries(cases)) {
        const answer = await ask('/app.js', { 'accept-encoding': accepted });
        assert.equal([answer.headers['content-encoding'], answer.text], [coding, text], accepted);
        assert.equal(
          [answer.headers.vary, answer.headers['content-type']],
          ['accept-encoding', 'text/javascript;charset=utf-8'],
        );
        etags.set(coding, answer.headers.etag);
      }
      assert.is(new Set(etags.values()).size, 3);
      assert.is((await ask('/index.html', { 'accept-encoding': 'br' })).text, '<h1>home</h1>');
    });
    await withStatic({}, async (ask) => {
      const { headers, text } = await ask('/app.js', { 'accept-encoding': 'br' });
      assert.equal([headers.vary, text], [undefined, 'plain();']);
    });
  });

  rig.check('a file that changes: the new one after revalidateMs, and never a mixture', async () => {
    await withStatic({ revalidateMs: 0 }, async (ask) => {
      put('changes', 'one');
      const first = await ask('/changes');
      put('changes', 'three', new Date('2024-02-04'));
      const second = await ask('/changes', { 'if-none-match': first.headers.etag });
      assert.equal([first.text, second.text, second.status], ['one', 'three', 200]);
      put('changes.new', 'four!');
      renameSync(join(PUBLIC, 'changes.new'), join(PUBLIC, 'changes'));
      assert.is((await ask('/changes')).text, 'four!');
      rmSync(join(PUBLIC, 'changes'));
      assert.is((await ask('/changes')).status, 404);
      writeFileSync(join(PUBLIC, 'changes'), 'now');
      assert.match((await ask('/changes')).headers.etag, /^W\//); // it may change again in this very moment
    });
    await withStatic({ revalidateMs: 3_600_000 }, async (ask) => {
      put('keeps', 'one');
      assert.is((await ask('/keeps')).text, 'one');
      rmSync(join(PUBLIC, 'keeps'));
      assert.is((await ask('/keeps')).text, 'one');
    });
  });

  rig.check('a link that changes: the file that it leads to now', async () => {
    await withStatic({ revalidateMs: 0 }, async (ask) => {
      mkdirSync(join(PUBLIC, '..one'));
      mkdirSync(join(PUBLIC, '..two'));
      put('..one/config', 'one');
      put('..two/config', 'two'); // as long, and as old
      symlinkSync('..one', join(PUBLIC, '..data'));
      symlinkSync('..data/config', join(PUBLIC, 'config')); // as Kubernetes does it
      assert.is((await ask('/config')).text, 'one');
      symlinkSync('..two', join(PUBLIC, '..new'));
      renameSync(join(PUBLIC, '..new'), join(PUBLIC, '..data'));
      assert.is((await ask('/config')).text, 'two');
      symlinkSync('..one/config', join(PUBLIC, 'new'));
      renameSync(join(PUBLIC, 'new'), join(PUBLIC, 'config'));
      assert.is((await ask('/config')).text, 'one');
      symlinkSync('../outside', join(PUBLIC, 'new'));
      renameSync(join(PUBLIC, 'new'), join(PUBLIC, 'config'));
      assert.is((await ask('/config')).status, 404);
      put('large', pattern(MEBIBYTE));
      symlinkSync('large', join(PUBLIC, 'to-large'));
      const { headers, body } = await ask('/to-large');
      assert.equal([headers['content-length'], body.equals(pattern(MEBIBYTE))], [`${MEBIBYTE}`, true]);
      for (const name of ['..one', '..two', '..data', 'config', 'to-large'])
        rmSync(join(PUBLIC, name), { recursive: true });
    });
  });

  rig.check('a file that is cut while it is sent breaks the response off', () =>
    withStatic({}, async (_, client) => {
      put('cut', pattern(32 * MEBIBYTE));
      await client.write('GET /cut HTTP/1.1\r\nHost: test\r\n\r\n');
      await until(() => client.received > 0, 'the first bytes');
      client.pause(); // sockets hold less than the file
      truncateSync(join(PUBLIC, 'cut'), 0);
      client.resume();
      await until(() => client.ending !== undefined, 'the connection ends');
      assert.ok(client.received < 32 * MEBIBYTE);
      assert.is(rig.errors.splice(0)[0].errnoName, 'EIO');
    }),
  );

  rig.check('more slow clients than blocks: each gets every byte', async () => {
    const data = pattern(3 * MEBIBYTE + 5);
    put('many', data);
    const files = await serveStatic(PUBLIC);
    rig.handler = files;
    const clients = await Promise.all(Array.from({ length: 70 }, () => Client.open(rig.server.port, { paused: true })));
    for (const client of clients) await client.write('GET /many HTTP/1.1\r\nHost: test\r\n\r\n');
    await later(200); // sockets are full
    await Promise.all(
      clients.map(async (client) => {
        client.resume();
        assert.ok((await client.response()).body.equals(data));
        client.destroy();
      }),
    );
    await files.close();
  });

  rig.check('a middleware makes another response of it, reads it, or drops it', async () => {
    const files = await serveStatic(PUBLIC);
    const lengths = [];
    for (const middleware of [
      (response) => new Response(response.body, response),
      async (response) => new Response(await new globalThis.Response(response.body).text()),
      async (response) => {
        const reader = response.body.getReader();
        lengths.push((await reader.read()).value.length);
        await reader.cancel();
        return new Response('<h1>home</h1>');
      },
    ]) {
      rig.handler = async (request) => middleware(await files(request));
      const client = await Client.open(rig.server.port);
      assert.is((await client.ask('GET / HTTP/1.1\r\nHost: test\r\n\r\n')).text, '<h1>home</h1>');
      client.destroy();
    }
    assert.equal(lengths, [13]);
    await files.close();
  });

  rig.check('a client that leaves in the middle of a file: it is closed', async () => {
    put('large', pattern(32 * MEBIBYTE));
    const client = await Client.open(rig.server.port, { paused: true });
    const files = await serveStatic(PUBLIC, { openFiles: 0 });
    rig.handler = files;
    await client.write('GET /large HTTP/1.1\r\nHost: test\r\n\r\n');
    await later(100);
    client.destroy();
    await files.close(); // the rig waits until nothing is open
  });

  rig.check('one file open at most, many wanted at once', () =>
    withStatic({ openFiles: 1, revalidateMs: 0 }, async () => {
      const paths = ['/', '/data.bin', '/app.js', '/sub/', '/zero', '/none', '/data.bin', '/data.bin'];
      const answers = await Promise.all(
        Array.from({ length: 64 }, async (_, i) => {
          const client = await Client.open(rig.server.port);
          const path = paths[i % paths.length];
          const answer = await client.ask(`GET ${path} HTTP/1.1\r\nHost: test\r\n\r\n`);
          client.destroy();
          return [path, answer.status, answer.body.length];
        }),
      );
      const lengths = { '/': 13, '/data.bin': 300_000, '/app.js': 8, '/sub/': 3, '/zero': 0, '/none': 9 };
      for (const [path, status, length] of answers) {
        assert.equal([status, length], [path === '/none' ? 404 : 200, lengths[path]], path);
      }
    }),
  );

  rig.check('a URL, a Directory; what is none', async () => {
    await withStatic({}, async (ask) => assert.is((await ask('/sub/')).text, 'sub'), pathToFileURL(PUBLIC));
    const directory = await openDirectory(join(PUBLIC, 'sub'));
    await withStatic({}, async (ask) => assert.is((await ask('/')).text, 'sub'), directory);
    assert.not(directory.isClosed); // it is the program's
    await directory.close();
    const codeOf = (promise) => promise.then(assert.unreachable, (error) => error.errnoName ?? error.code);
    assert.is(await codeOf(serveStatic(join(folder, 'none'))), 'ENOENT');
    assert.is(await codeOf(serveStatic(join(folder, 'outside'))), 'ENOTDIR');
    for (const bad of [undefined, 1, new URL('http://test/')]) {
      assert.is(await codeOf(serveStatic(bad)), 'FEATHERSTAR_OPTION');
    }
    for (const bad of [
      { index: 'a/b' },
      { cacheControl: 'a\r\nb' },
      { revalidateMs: -1 },
      { openFiles: 70_000 },
      { x: 1 },
    ]) {
      assert.is(await codeOf(serveStatic(PUBLIC, bad)), 'FEATHERSTAR_OPTION', JSON.stringify(bad));
    }
  });

  rig.run();
}
