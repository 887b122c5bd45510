// What a handler gets as `url` and `path`, and which hosts are refused before there is a handler. A path that a proxy
// in front has looked at must be the one that the handler sees: else its access rules are bypassed.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Response as FeatherResponse, serve } from 'featherstar/http';
import * as assert from 'uvu/assert';
import { hosts } from '../support/hosts.js';
import { ask, Client, get } from '../support/http.js';
import { ServerRig } from './server-rig.js';

const at = (target, host = 'test', method = 'GET') => `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

for (const host of hosts()) {
  const rig = new ServerRig('url', host);

  /** What a handler sees of a request. Both are read in either order, and must agree. */
  async function seen(request) {
    let told;
    const answer = await rig.answerOf((req) => {
      const path = req.path;
      told = [req.url, path, req.path === path, new URL(req.url).href === req.url, new URL(req.url).pathname === path];
      return new FeatherResponse('');
    }, request);
    assert.equal([answer.status, ...told.slice(2)], [200, true, true, true], `${request} gave ${told}`);
    return told[0];
  }

  async function refused(request) {
    let handled = 0;
    rig.handler = () => {
      handled++;
      return new FeatherResponse('');
    };
    const before = rig.server.stats.refused;
    const client = await Client.open(rig.server.port);
    try {
      const answer = await client.ask(request);
      assert.equal([answer.status, answer.headers.connection, handled], [400, 'close', 0], request);
      assert.is((await client.rest()).length, 0, request);
      assert.is(rig.server.stats.refused, before + 1);
    } finally {
      client.destroy();
    }
  }

  rig.check('an empty Host is 400: it would make a host of the path', async () => {
    for (const empty of ['', ' ', '\t', ':', ':80']) {
      await refused(at('/x/admin', empty));
      await refused(at('http://other/x', empty));
      await refused(`GET /x/admin HTTP/1.0\r\nHost: ${empty}\r\n\r\n`);
    }
    await refused(at('*', '', 'OPTIONS'));
  });

  rig.check('a Host of which no URL can be made is 400, and never an error of the handler', async () => {
    const names = ['1.2.3.4.5', '256.1.1.1', '1.2.3.08', 'a.0xg.0x', '%zz', '%', 'a%00b', 'a%2fb', 'a%23'];
    const addresses = ['[:::]', '[1::2::3]', '[1.2.3.4]', '[::1.2.3]', '[....]', '[12345::]'];
    for (const name of [...names, ...addresses]) {
      assert.not(URL.canParse(`http://${name}`), name);
      await refused(at('/', name));
      await refused(at('/', `${name}:8080`));
      await refused(at(`http://${name}/`));
      await refused(at('http://test/', name));
      await refused(`GET / HTTP/1.0\r\nHost: ${name}\r\n\r\n`);
    }
    await refused(at('/', '[::]:99999'));
    await refused(`POST / HTTP/1.1\r\nHost: 1.2.3.4.5\r\nContent-Length: 5\r\n\r\nhello`);
  });

  rig.check('Punycode that stands for nothing: as this version of the platform has it', async () => {
    for (const name of ['xn--a', 'a.XN--A.b']) {
      if (URL.canParse(`http://${name}`)) assert.is(await seen(at('/', name)), new URL(`http://${name}`).href);
      else await refused(at('/', name));
    }
  });

  rig.check('a Host is written as the URL standard writes it', async () => {
    const written = {
      'A.B': 'a.b',
      'example.org:80': 'example.org',
      'example.org:0080': 'example.org',
      'example.org:': 'example.org',
      'example.org:081': 'example.org:81',
      'example.org:8080': 'example.org:8080',
      'example.org.': 'example.org.',
      'a%41': 'aa',
      '0x7f.1': '127.0.0.1',
      '127.1:80': '127.0.0.1',
      '127.0.0.1:8080': '127.0.0.1:8080',
      'a_b--c.d': 'a_b--c.d',
      "a~!$&'()*+,;=": "a~!$&'()*+,;=",
      'XN--MNCHEN-3YA': 'xn--mnchen-3ya',
      '[::1]:8080': '[::1]:8080',
      '[0:0::0001]': '[::1]',
      '[::FFFF:1.2.3.4]:80': '[::ffff:102:304]',
    };
    for (const [name, expected] of Object.entries(written)) {
      assert.is(await seen(at('/a?b', name)), `http://${expected}/a?b`);
      assert.is(await seen(at(`http://${name}/a?b`)), `http://${expected}/a?b`);
    }
  });

  rig.check('a path is written as the URL standard writes it, and `path` is that of the URL', async () => {
    const written = {
      '/': '/',
      '/a/b?c=d/../e&f=?': '/a/b?c=d/../e&f=?',
      '/a/../b': '/b',
      '/../../b/.': '/b/',
      '/a/%2e%2E/b': '/b',
      '/a/.%2e': '/',
      '/.well-known/x': '/.well-known/x',
      '/%41%zz%': '/%41%zz%',
      '//evil/x': '//evil/x',
      '//evil/..': '//',
      '//evil/../..': '/',
      '///': '///',
      '/a\\b': '/a/b',
      '/\\evil/x': '//evil/x',
      '/\\..\\x': '/x',
      '/@evil/x': '/@evil/x',
      '/:80/x': '/:80/x',
      '/a"<>`{}?\'"<>`{}': new URL('http://test/a"<>`{}?\'"<>`{}').href.slice('http://test'.length),
      '/^': new URL('http://test/^').pathname, // not the same in all versions
      '/a|[]?|[]': '/a|[]?|[]',
      '/?': '/?',
    };
    for (const [target, expected] of Object.entries(written))
      assert.is(await seen(at(target)), `http://test${expected}`);
  });

  rig.check(
    'absolute-form: its host, not that of the Host field; http, for this connection is in plain text',
    async () => {
      const written = {
        'http://other/x?y': 'http://other/x?y',
        'http://other': 'http://other/',
        'http://other?y': 'http://other/?y',
        'HTTP://OTHER:80/a/../b': 'http://other/b',
        'http://other//evil/x': 'http://other//evil/x',
        'http://other:81/\\x': 'http://other:81//x',
        'https://other/': 'http://other/',
        'https://other:443/': 'http://other:443/',
      };
      for (const [target, expected] of Object.entries(written)) assert.is(await seen(at(target)), expected);
      assert.is(await seen('GET http://other/x HTTP/1.0\r\n\r\n'), 'http://other/x');
    },
  );

  rig.check('OPTIONS * has no path: that of its URL is /', async () => {
    assert.is(await seen(at('*', 'A:81', 'OPTIONS')), 'http://a:81/');
  });

  rig.check('HTTP/1.0 without a Host: the address of the server', async () => {
    assert.is(await seen('GET /a?b HTTP/1.0\r\n\r\n'), `http://127.0.0.1:${rig.server.port}/a?b`);
    assert.is(await seen('GET /a/../b HTTP/1.0\r\n\r\n'), `http://127.0.0.1:${rig.server.port}/b`);
    const urls = [];
    const fetch = (request) => {
      urls.push(request.url);
      return new FeatherResponse('');
    };
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
    const path = join(folder, 'http.sock');
    const servers = [await serve({ fetch, path }), await serve({ fetch, hostname: 'localhost' })];
    try {
      await ask({ path }, 'GET /x HTTP/1.0\r\n\r\n');
      await ask({ host: 'localhost', port: servers[1].port }, 'GET /x HTTP/1.0\r\n\r\n');
    } finally {
      for (const server of servers) await server.close();
      rmSync(folder, { recursive: true });
    }
    assert.equal(urls, ['http://localhost/x', `http://localhost:${servers[1].port}/x`]);
  });

  rig.check('what is refused is as sent: a fragment, user and password, relative paths, other schemes', async () => {
    for (const target of [
      '/a#b',
      'a',
      'http:/a',
      'http:///a',
      'http://u:p@a/',
      'http://a:70000/',
      'ftp://a/',
      'http:\\\\a',
      'http://a\\x',
    ]) {
      await refused(at(target));
    }
  });

  rig.check('header values: spaces and tabs around them are no part of them, 0xA0 is', async () => {
    const lines = 'X-A: \xa0v\xa0\r\nX-B:\t \xa0 \t\r\nX-C: \t\r\nX-D:a \t b\t\r\n';
    let told;
    await rig.answerOf(
      (request) => {
        const lazy = ['x-a', 'x-b', 'x-c', 'x-d'].map((name) => request.header(name));
        told = [lazy, lazy.map((_, i) => request.headers.get(`x-${'abcd'[i]}`))];
        return new FeatherResponse('');
      },
      Buffer.from(get('/', lines), 'latin1'),
    );
    const values = ['\xa0v\xa0', '\xa0', '', 'a \t b'];
    assert.equal(told, [values, values]);
  });

  rig.run();
}
