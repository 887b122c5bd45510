// Clients behind proxies: whose word is taken for their address, in headers and in the PROXY protocol.

import { readFileSync } from 'node:fs';
import { Response, serve } from 'featherstar/http';
import { test as unit } from 'uvu';
import * as assert from 'uvu/assert';
import { parseProxyHeader } from '../../dist/host/net/proxy-header.js';
import { hosts, rejection } from '../support/hosts.js';
import { Client, until } from '../support/http.js';
import { later, ServerRig } from './server-rig.js';

const HERE = '127.0.0.1';
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

function v2(address, { command = 1, family = 1, version = 2, more = 0 } = {}) {
  const head = Buffer.from([(version << 4) | command, (family << 4) | 1, 0, address.length + more]);
  return Buffer.concat([SIGNATURE, head, Buffer.from(address), Buffer.alloc(more)]);
}

const V4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80]; // port 12345
const V6 = [0x20, 1, 0xd, 0xb8, ...new Array(11).fill(0), 7, ...new Array(16).fill(0), 0x30, 0x39, 0, 80];

unit('headers of the PROXY protocol, whole and in every piece', () => {
  const at = (hostname) => ({ hostname, port: 12345 });
  const cases = [
    ['PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n', at('192.0.2.7')],
    ['PROXY TCP6 2001:db8::7 ::1 12345 80\r\n', at('2001:db8::7')],
    ['PROXY UNKNOWN\r\n', undefined],
    ['PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n', undefined],
    [v2(V4), at('192.0.2.7')],
    [v2(V6, { family: 2 }), at('2001:db8::7')],
    [v2(V4, { more: 20 }), at('192.0.2.7')],
    [v2(V4, { command: 0 }), undefined],
    [v2([], { command: 0, family: 0 }), undefined],
    [v2(new Array(216).fill(1), { family: 3 }), undefined],
  ];
  for (const [text, remote] of cases) {
    const bytes = Buffer.from(text, 'latin1');
    for (const rest of ['', 'GET / HTTP/1.1\r\n']) {
      const found = parseProxyHeader(Buffer.concat([bytes, Buffer.from(rest)]));
      assert.equal(found, { bytes: bytes.length, remote });
    }
    for (let cut = 0; cut < bytes.length; cut++)
      assert.is(parseProxyHeader(bytes.subarray(0, cut)), undefined, `${cut}`);
  }
});

unit('what is no header of the PROXY protocol', () => {
  const wrong = [
    'GET / HTTP/1.1\r\n',
    'PROXY\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 12345\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 12345 80 \r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 012345 80\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 65536 80\r\n',
    'PROXY TCP4 192.0.2.7 10.0.0.1 12345 65536\r\n',
    'PROXY TCP4 2001:db8::7 10.0.0.1 12345 80\r\n',
    'PROXY TCP6 192.0.2.7 10.0.0.1 12345 80\r\n',
    'PROXY TCP4 192.0.2.256 10.0.0.1 12345 80\r\n',
    'PROXY TCP6 fe80::1%1 ::1 12345 80\r\n',
    'PROXY UDP4 192.0.2.7 10.0.0.1 12345 80\r\n',
    'PROXY UNKNOWNS\r\n',
    'proxy TCP4 192.0.2.7 10.0.0.1 12345 80\r\n',
    `PROXY UNKNOWN ${'x'.repeat(100)}\r\n`,
    'x'.repeat(200),
    v2(V4, { version: 1 }),
    v2(V4, { command: 2 }),
    v2(V4, { family: 4 }),
    v2(V4.slice(0, 11)),
    v2(V4, { family: 2 }),
    Buffer.concat([SIGNATURE, Buffer.from([0x21, 0x11, 0xff, 0xff])]),
  ];
  for (const text of wrong) assert.is(parseProxyHeader(Buffer.from(text, 'latin1')), null, JSON.stringify(`${text}`));
});

unit.run();

for (const host of hosts()) {
  const rig = new ServerRig('proxies', host);

  const check = (name, options, use) =>
    rig.check(name, async () => {
      const reports = [];
      const server = await serve({
        hostname: HERE,
        fetch: (request, info) => Response.json([info.remote, request.ip, info.requestIP()?.address, request.url]),
        onError: (error) => reports.push(error),
        ...options,
      });
      const asked = async (head, before = '') => {
        const client = await Client.open(server.port);
        const text = `GET /x?y HTTP/1.1\r\nHost: own\r\n${head}\r\n`;
        const { text: answer } = await client.ask(Buffer.concat([Buffer.from(before, 'latin1'), Buffer.from(text)]));
        client.destroy();
        const [remote, ip, address, url] = JSON.parse(answer);
        assert.equal([ip, address], [remote.hostname, remote.hostname]);
        return [remote.hostname, url];
      };
      try {
        await use({ server, asked, reports });
      } finally {
        await server.close();
      }
    });

  const URL_HERE = 'http://own/x?y';

  check('without the option no header is believed', {}, async ({ asked }) => {
    const all = 'X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1;proto=https\r\n';
    assert.equal(await asked(all), [HERE, URL_HERE]);
  });

  check('a peer that is not trusted is not believed', { proxy: { trust: ['10.0.0.0/8'] } }, async ({ asked }) => {
    assert.equal(await asked('X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\n'), [HERE, URL_HERE]);
  });

  check('X-Forwarded-For by addresses', { proxy: { trust: ['127.0.0.1', '10.0.0.0/8', 'fd00::/8'] } }, async (t) => {
    const of = async (value) => (await t.asked(`X-Forwarded-For: ${value}\r\n`))[0];
    assert.is(await of('192.0.2.1'), '192.0.2.1');
    assert.is(await of('6.6.6.6, 192.0.2.1'), '192.0.2.1', 'what the client has sent is not believed');
    assert.is(await of('6.6.6.6, 192.0.2.1, 10.2.3.4'), '192.0.2.1');
    assert.is(await of('192.0.2.1,fd00::5'), '192.0.2.1');
    assert.is(await of('10.9.9.9'), '10.9.9.9');
    assert.is(await of('192.0.2.1:4711'), '192.0.2.1');
    assert.is(await of('[2001:db8::1]:4711'), '2001:db8::1');
    assert.is(await of('2001:db8::1'), '2001:db8::1');
    assert.is(await of('192.0.2.1\r\nX-Forwarded-For: 192.0.2.2'), '192.0.2.2');
    for (const none of ['', 'unknown', '_hidden', '1.2.3', '1.2.3.4.5', '"192.0.2.1"', '192.0.2.1:99999', '::1%1'])
      assert.is(await of(none), HERE, none);
    assert.is(await of('192.0.2.1, unknown, 10.2.3.4'), '10.2.3.4', 'the list ends at what is no address');
  });

  check('X-Forwarded-For by a number of proxies', { proxy: { trust: 2 } }, async ({ asked }) => {
    const of = async (value) => (await asked(`X-Forwarded-For: ${value}\r\n`))[0];
    assert.is(await of('192.0.2.1'), '192.0.2.1');
    assert.is(await of('6.6.6.6, 192.0.2.1, 203.0.113.9'), '192.0.2.1');
  });

  check('one proxy: only the last address counts', { proxy: { trust: 1 } }, async ({ asked }) => {
    assert.equal(await asked('X-Forwarded-For: 6.6.6.6, 192.0.2.1\r\n'), ['192.0.2.1', URL_HERE]);
    assert.equal(await asked('X-Forwarded-Proto: HTTPS\r\n'), [HERE, 'https://own/x?y']);
    assert.equal(await asked('X-Forwarded-Proto: javascript\r\n'), [HERE, URL_HERE]);
    assert.equal(await asked('X-Forwarded-Host: evil\r\nForwarded: host=evil\r\n'), [HERE, URL_HERE], 'not by default');
  });

  check(
    'X-Forwarded-Host, if the proxy sets it',
    { proxy: { trust: 1, headers: ['x-forwarded-host', 'x-forwarded-proto'] } },
    async ({ asked }) => {
      const both = 'X-Forwarded-Host: Example.COM:443\r\nX-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\n';
      assert.equal(await asked(both), [HERE, 'https://example.com/x?y']);
      for (const host of ['a/b', 'a@b', '', 'a b', '%zz', '1.2.3.4.5'])
        assert.equal(await asked(`X-Forwarded-Host: ${host}\r\n`), [HERE, URL_HERE], host);
    },
  );

  check('Forwarded', { proxy: { trust: [HERE, '10.0.0.0/8'], headers: ['forwarded'] } }, async ({ asked }) => {
    const of = (value) => asked(`Forwarded: ${value}\r\nX-Forwarded-For: 6.6.6.6\r\n`);
    assert.equal(await of('for=192.0.2.1'), ['192.0.2.1', URL_HERE]);
    assert.equal(await of('For="[2001:db8::1]:4711";Proto=https;host="a.example"'), [
      '2001:db8::1',
      'https://a.example/x?y',
    ]);
    assert.equal(await of('for=6.6.6.6;proto=https, for=192.0.2.1;proto=http, for=10.0.0.7'), ['192.0.2.1', URL_HERE]);
    assert.equal(await of('for="a, for=6.6.6.6", for=192.0.2.1'), ['192.0.2.1', URL_HERE], 'a comma in quotes');
    for (const none of ['for=unknown', 'for=_x', 'by=192.0.2.1', 'for', 'for=192.0.2.1 proto', 'for="192.0.2.1'])
      assert.equal(await of(none), [HERE, URL_HERE], none);
  });

  check(
    'the PROXY protocol',
    { proxy: { trust: [HERE], expectProtocol: true } },
    async ({ server, asked, reports }) => {
      const v1 = 'PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n';
      assert.equal(await asked('X-Forwarded-For: 6.6.6.6\r\n', v1), ['192.0.2.7', URL_HERE]);
      assert.equal(await asked('', v2(V4).toString('latin1')), ['192.0.2.7', URL_HERE]);
      assert.equal(await asked('', v2(V6, { family: 2, more: 30 }).toString('latin1')), ['2001:db8::7', URL_HERE]);
      assert.equal(await asked('', 'PROXY UNKNOWN\r\n'), [HERE, URL_HERE]);
      const client = await Client.open(server.port);
      for (const byte of Buffer.concat([
        v2(V4),
        Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n'),
      ])) {
        await client.write(Buffer.from([byte]));
        await later(0);
      }
      for (const host of ['a', 'b']) {
        const [remote, , , url] = JSON.parse((await client.response()).text);
        assert.equal([remote, url], [{ hostname: '192.0.2.7', port: 12345 }, `http://${host}/`]);
      }
      client.destroy();
      assert.equal(reports, []);
      for (const wrong of ['GET / HTTP/1.1\r\nHost: a\r\n\r\n', 'PROXY TCP4 x\r\n', 'PROXX', v2(V4, { version: 1 })]) {
        const bad = await Client.open(server.port);
        await bad.write(wrong);
        assert.is((await bad.rest()).length, 0);
        bad.destroy();
        await until(() => reports.length === 1, 'it is reported');
        assert.match(reports.pop().message, /127\.0\.0\.1 begins without a valid PROXY header/);
      }
      const silent = await Client.open(server.port);
      await silent.write('PROXY ');
      silent.end();
      assert.is((await silent.rest()).length, 0);
      silent.destroy();
    },
  );

  check(
    'who is not trusted sends no PROXY header',
    { proxy: { trust: ['10.0.0.1'], expectProtocol: true } },
    async (t) => {
      assert.equal(await t.asked(''), [HERE, URL_HERE]);
      const client = await Client.open(t.server.port);
      assert.is((await client.ask('PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\nGET / HTTP/1.1\r\n\r\n')).status, 400);
      client.destroy();
    },
  );

  check(
    'a number of proxies counts the PROXY header',
    { proxy: { trust: 1, expectProtocol: true } },
    async ({ asked }) => {
      assert.equal(
        (await asked('X-Forwarded-For: 6.6.6.6\r\n', 'PROXY TCP4 192.0.2.7 10.0.0.1 1 80\r\n'))[0],
        '192.0.2.7',
      );
    },
  );

  check(
    'a large body behind a PROXY header; the log has the client',
    {
      proxy: { trust: 1, expectProtocol: true },
      fetch: async (request) => new Response(`${(await request.bytes()).length}`),
      onResponse: ({ remote }) => rig.errors.push(remote),
    },
    async ({ server }) => {
      const client = await Client.open(server.port);
      const body = readFileSync(new URL(import.meta.url));
      const proxied = 'PROXY TCP4 192.0.2.7 10.0.0.1 5 80\r\n';
      const head = `${proxied}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n`;
      assert.is((await client.ask(Buffer.concat([Buffer.from(head), body]))).text, `${body.length}`);
      client.destroy();
      await until(() => rig.errors.length === 1, 'it is logged');
      assert.equal(rig.errors.splice(0), [{ hostname: '192.0.2.7', port: 5 }]);
    },
  );

  rig.check('wrong options', async () => {
    const wrong = [
      5,
      {},
      { trust: '10.0.0.1' },
      { trust: 0 },
      { trust: 17 },
      { trust: true },
      { trust: ['10.0.0.1/8'] },
    ];
    wrong.push(
      { trust: ['*'] },
      { trust: ['name'] },
      { trust: [5] },
      { trust: 1, headers: ['x-real-ip'] },
      { trust: 1, x: 1 },
    );
    wrong.push({ trust: 1, headers: ['forwarded', 'x-forwarded-for'] }, { trust: 1, expectProtocol: 1 });
    for (const proxy of wrong) {
      const error = await rejection(serve({ hostname: HERE, fetch: () => new Response(''), proxy }));
      assert.is(error.code, 'FEATHERSTAR_OPTION', JSON.stringify(proxy));
    }
  });

  rig.run();
}
