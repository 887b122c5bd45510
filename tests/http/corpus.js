// Requests with what must become of them, and the rule that says so. Every one is also a seed of the random tests.
//
// [request, expected, why]: expected is an answer of http_parse(), or, for what is accepted, the fields that matter.

import {
  CHUNKED,
  CLOSE,
  DONE,
  EXPECT_CONTINUE,
  HAS_HOST,
  HAS_LENGTH,
  HTTP_1_0,
  KEEP_ALIVE,
  METHODS,
  ODD_HOST,
  ODD_TARGET,
  UPGRADE,
} from './wasm.js';

const BASE = KEEP_ALIVE | HAS_HOST;
const H = 'Host: a\r\n';

/** A GET with these header lines, and a Host. */
function get(lines) {
  return `GET / HTTP/1.1\r\n${H}${lines}\r\n`;
}

const browser = [
  'GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg?size=large&v=2 HTTP/1.1',
  'Host: www.kittyhell.com',
  'User-Agent: Mozilla/5.0 (Macintosh; U; Intel Mac OS X 10.6; ja-JP-mac) Gecko/20100401 Firefox/3.6.3',
  'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
  'Accept-Language: ja,en-us;q=0.7,en;q=0.3',
  'Accept-Encoding: gzip,deflate',
  'Keep-Alive: 115',
  'Connection: keep-alive',
  `Cookie: session=${'x'.repeat(200)}; theme=dark`,
  '\r\n',
].join('\r\n');

const methods = METHODS.slice(1).map((method, index) => {
  const target = method === 'CONNECT' ? 'a:1' : '/';
  return [`${method} ${target} HTTP/1.1\r\n${H}\r\n`, { methodId: index + 1 }, 'RFC 9110 9: the methods'];
});

// biome-ignore format: lists of words
export const HOSTS_PLAIN = [
  'a', 'test', 'a-b.c_d', '127.0.0.1:8080', '0.0.0.0', '255.255.255.255:1', '249.199.1.1', 'a:65535', '1.2.3.4.com',
  'a..b', '.a', 'xn-a', '1a.b', `${'a'.repeat(70)}.${'b'.repeat(300)}`, `${'0'.repeat(16)}.c`, 'a.b.c.d.e.f.g.h',
  '-', '_', 'a'.repeat(16), `a${'1'.repeat(20)}`,
];
// biome-ignore format: lists of words
export const HOSTS_ODD = [
  'A', 'a,b', 'a~', 'a%41', '%zz', 'a.', '.', '..', 'a:', 'a:80', 'a:080', 'a:0', 'a:08', '1', '1.', '1.2.3',
  '1.2.3.4.5', '256.0.0.1', '01.2.3.4', '1.2.3.04', '1.2.3.4.', '0x7f.1', '1.2.3.0x4', 'a.0x', 'a.08', 'a.1b',
  '265.0.0.1', '012.2.3.4', 'a1.2.3.4',
  'xn--a', 'a.xn--a', 'a--b', 'a\'b', 'a!$&()*+;=', '[::]', '[::1]', '[::1]:8080', '[:::]', '[1.2.3.4]',
  '[::ffff:1.2.3.4]:80', `${'a'.repeat(15)}--b`, `${'a'.repeat(16)}.1`,
];
// biome-ignore format: lists of words
export const TARGETS_PLAIN = [
  '/', '//', '//evil/x', '/a/b.c/d..e?f', '/a..', '/a.', "/-._~!$&()*+,;=:@%/a?-._~!$&()*+,;=:@%/?[]|", '/a%20b%2F',
  '/?', '/??', `/${'a'.repeat(14)}/b`, `/${'a'.repeat(300)}`,
];
// biome-ignore format: lists of words
export const TARGETS_ODD = [
  '/.', '/..', '/a/../b', '/./', '/.well-known/x', '/%2e', '/%2E./a', '/a/%41', '/a\\b', '/\\evil/x', '/a"', '/<',
  '/>', '/^', '/`', '/{', '/}', "/'", "/?'", '/?a="', '/?<>', `/${'a'.repeat(14)}/../b`, `/${'a'.repeat(15)}/./b`,
  `/${'a'.repeat(30)}"`, '/?/../',
];

export const ACCEPTED = [
  ...methods,
  ['GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n', { flags: BASE | DONE, targetStart: 4, targetEnd: 5 }, 'plain'],
  [browser, { headerCount: 8, flags: BASE | DONE, pathEnd: 64, targetEnd: 79 }, 'a browser'],
  [
    'GET / HTTP/1.0\r\n\r\n',
    { flags: HTTP_1_0 | DONE, headerCount: 0, headersStart: 16 },
    'RFC 9112 3.2: 1.0, no Host',
  ],
  ['GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n', { flags: HTTP_1_0 | KEEP_ALIVE | DONE }, 'RFC 9112 9.3'],
  ['GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n', { flags: HTTP_1_0 | CLOSE | DONE }, 'RFC 9112 9.3'],
  ['GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n', { flags: HTTP_1_0 | DONE }, 'RFC 9110 10.1.1: ignored in 1.0'],
  ['\r\n\r\nGET / HTTP/1.0\r\n\r\n', { methodStart: 4, methodEnd: 7, targetStart: 8 }, 'RFC 9112 2.2: empty lines'],
  ['get / HTTP/1.0\r\n\r\n', { methodId: 0 }, 'RFC 9110 9.1: methods are case-sensitive'],
  [`${'M'.repeat(24)} / HTTP/1.0\r\n\r\n`, { methodId: 0, methodEnd: 24 }, 'the longest method'],
  ["!#$%&'*+-.^_`|~09azAZ / HTTP/1.0\r\n\r\n", { methodId: 0, methodEnd: 21 }, 'RFC 9110 5.6.2: any token'],
  [`GET /${'x'.repeat(29)} HTTP/1.0\r\n\r\n`, { pathEnd: 34, targetEnd: 34 }, 'more than one vector of 16 bytes'],
  ['GET /?a?b HTTP/1.0\r\n\r\n', { pathEnd: 5, targetEnd: 9 }, 'RFC 3986 3.4: the query may hold ?'],
  ['GET /"<>[]\\^`{|} HTTP/1.0\r\n\r\n', { targetEnd: 16 }, 'what browsers leave as it is'],
  [`OPTIONS * HTTP/1.1\r\n${H}\r\n`, { methodId: 7, flags: BASE | ODD_TARGET | DONE }, 'RFC 9112 3.2.4'],
  ['GET http://a HTTP/1.0\r\n\r\n', { pathEnd: 12 }, 'RFC 9112 3.2.2: absolute-form'],
  ['GET HTTPS://[::1]:8443/x?y HTTP/1.0\r\n\r\n', { pathEnd: 24, targetEnd: 26 }, 'RFC 9112 3.2.2'],
  ['GET http://a:80?q HTTP/1.0\r\n\r\n', { pathEnd: 15 }, 'RFC 3986 3: an empty path'],
  ['CONNECT [::ffff:10.0.0.1]:443 HTTP/1.0\r\n\r\n', { methodId: 6 }, 'RFC 9112 3.2.3: authority-form'],
  [`GET / HTTP/1.1\r\nHost: [${'0123:'.repeat(9)}]\r\n\r\n`, { headerCount: 1 }, 'an address of 45 bytes'],
  ['GET / HTTP/1.1\r\nHOST:\ta.b-c_d:65535 \t\r\n\r\n', { flags: BASE | DONE }, 'RFC 9110 7.2, 5.6.3'],
  ...HOSTS_PLAIN.map((host) => [
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    { flags: BASE | DONE },
    'written as the URL standard writes it',
  ]),
  ...HOSTS_ODD.map((host) => [
    `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
    { flags: BASE | ODD_HOST | DONE },
    'RFC 9110 7.2: for a URL parser to decide',
  ]),
  ...TARGETS_PLAIN.map((target) => [`GET ${target} HTTP/1.1\r\n${H}\r\n`, { flags: BASE | DONE }, 'a plain target']),
  ...TARGETS_ODD.map((target) => [
    `GET ${target} HTTP/1.1\r\n${H}\r\n`,
    { flags: BASE | ODD_TARGET | DONE },
    'a target that the URL standard may write otherwise',
  ]),
  ...['http://a', 'http://A.B/', 'https://[::1]:80/x'].map((target) => [
    `GET ${target} HTTP/1.1\r\n${H}\r\n`,
    { flags: BASE | ODD_TARGET | ODD_HOST | DONE },
    'RFC 9112 3.2.2: absolute-form has a host of its own',
  ]),
  [get('X:\r\nY: \t \r\nZ:\x80\xff\t!~\r\n'), { headerCount: 4 }, 'RFC 9110 5.5: what a value may hold'],
  [get('Connection: close\r\n'), { flags: CLOSE | HAS_HOST | DONE }, 'RFC 9112 9.6'],
  [get('Connection: foo,, cLoSe ,bar\r\n'), { flags: CLOSE | HAS_HOST | DONE }, 'RFC 9110 5.6.1, 7.6.1'],
  [get('Connection: closed, close x\r\n'), { flags: BASE | DONE }, 'RFC 9110 7.6.1: no such options'],
  [get('Connection: upgrades, upgrade x, upgrad\r\n'), { flags: BASE | DONE }, 'RFC 9110 7.6.1: no such options'],
  [get('Connection: close, \r\n'), { flags: CLOSE | HAS_HOST | DONE }, 'RFC 9110 5.6.1: an empty option'],
  ['GET / HTTP/1.0\r\nConnection: keep-alives, keep-alive x\r\n\r\n', { flags: HTTP_1_0 | DONE }, 'RFC 9110 7.6.1'],
  [get('Connection: keep-alive\r\nconnection: Upgrade\r\n'), { flags: BASE | UPGRADE | DONE }, 'RFC 9110 7.8'],
  [get('Content-Length: 0\r\n'), { flags: BASE | HAS_LENGTH | DONE, contentLength: 0 }, 'RFC 9112 6.3'],
  [get('content-LENGTH:\t 0042 \r\n'), { flags: BASE | HAS_LENGTH, contentLength: 42 }, 'RFC 9110 8.6: 1*DIGIT'],
  [get('Content-Length: 9007199254740991\r\n'), { contentLength: 2 ** 53 - 1 }, 'the longest body'],
  [get('Transfer-Encoding: \tCHUNKED \r\n'), { flags: BASE | CHUNKED }, 'RFC 9112 7: codings ignore case'],
  [
    get('Expect: 100-Continue\r\nExpect: 100-continue\r\n'),
    { flags: BASE | EXPECT_CONTINUE | DONE },
    'RFC 9110 10.1.1',
  ],
  [
    get('Hosts: b\r\nHos: b\r\nContent-Lengths: x\r\nExpected: y\r\n'),
    { headerCount: 5 },
    'names that only look alike',
  ],
  [get('Hort: b\r\nExpert: y\r\nContent-Lengtb: x\r\nTransfer-Encodins: x\r\n'), { headerCount: 5 }, 'the same length'],
];

const long = 'a'.repeat(25);

export const REFUSED = [
  ['\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', -400, 'a TLS hello is not a token'],
  ['\n', -400, 'RFC 9112 2.2: bare LF is no empty line'],
  ['\rGET / HTTP/1.0\r\n\r\n', -400, 'RFC 9112 2.2: bare CR'],
  [' GET / HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3'],
  ['G\x80T / HTTP/1.0\r\n\r\n', -400, 'RFC 9110 9.1: not a token'],
  [`${'M'.repeat(16)}\0 / HTTP/1.0\r\n\r\n`, -400, 'RFC 9110 9.1: not a token'],
  ['GET\t/ HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3: exactly one SP'],
  ['GET  / HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3: exactly one SP'],
  ['GET /  HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3: exactly one SP'],
  ['GET / HTTP/1.0 \r\n\r\n', -400, 'RFC 9112 3: nothing behind the version'],
  ['GET /\r\n', -400, 'HTTP/0.9 is not spoken'],
  ['GET\r\n', -400, 'RFC 9112 3: no target'],
  [`${long} / HTTP/1.0\r\n\r\n`, -501, 'RFC 9112 3: longer than any method'],
  ['GET /\x80 HTTP/1.0\r\n\r\n', -400, 'RFC 3986 2: not in a URI'],
  ['GET /\x7f HTTP/1.0\r\n\r\n', -400, 'RFC 3986 2: not in a URI'],
  ['GET /\0 HTTP/1.0\r\n\r\n', -400, 'RFC 3986 2: not in a URI'],
  ['GET /a#b HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2: a target has no fragment'],
  ['GET a HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2: none of the four forms'],
  ['GET * HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2.4: OPTIONS only'],
  ['OPTIONS ** HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2.4'],
  ['GET ftp://a/ HTTP/1.0\r\n\r\n', -400, 'not a scheme of this server'],
  ['GET httpr://a/ HTTP/1.0\r\n\r\n', -400, 'not a scheme of this server'],
  ['GET http:// HTTP/1.0\r\n\r\n', -400, 'RFC 9110 4.2.1: an empty host'],
  ['GET http:/a/b/c HTTP/1.0\r\n\r\n', -400, 'RFC 9110 4.2.1: no authority'],
  ['GET http:///b/c HTTP/1.0\r\n\r\n', -400, 'RFC 9110 4.2.1: an empty host'],
  ['GET http://?b=c HTTP/1.0\r\n\r\n', -400, 'RFC 9110 4.2.1: an empty host'],
  ['GET http://:80/ HTTP/1.0\r\n\r\n', -400, 'RFC 9110 4.2.1: an empty host'],
  ['GET http://u:p@a/ HTTP/1.0\r\n\r\n', -400, 'RFC 9110 4.2.4: userinfo'],
  ['GET http://a:x/ HTTP/1.0\r\n\r\n', -400, 'RFC 3986 3.2.3: a port is a number'],
  ['GET a:443 HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2.3: CONNECT only'],
  ['CONNECT / HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2.3: CONNECT takes nothing else'],
  ['CONNECT a HTTP/1.0\r\n\r\n', -400, 'RFC 9110 9.3.6: no port'],
  ['CONNECT a: HTTP/1.0\r\n\r\n', -400, 'RFC 9110 9.3.6: an empty port'],
  ['CONNECT a:0 HTTP/1.0\r\n\r\n', -400, 'RFC 9110 9.3.6: an invalid port'],
  ['CONNECT a:65536 HTTP/1.0\r\n\r\n', -400, 'RFC 9110 9.3.6: an invalid port'],
  ['CONNECT [fe80::1%25]:443 HTTP/1.0\r\n\r\n', -400, 'zones are not supported'],
  ['CONNECT :443 HTTP/1.0\r\n\r\n', -400, 'RFC 9110 9.3.6: no host'],
  ['CONNECT a:1/x HTTP/1.0\r\n\r\n', -400, 'RFC 9112 3.2.3'],
  ['GET / http/1.1\r\n', -400, 'RFC 9112 2.3: case-sensitive'],
  ['GET / HTTP/1.x\r\n', -400, 'RFC 9112 2.3'],
  ['GET / HTTP/11\r\n', -400, 'RFC 9112 2.3'],
  ['GET / HTTP/1.10\r\n', -400, 'RFC 9112 2.3: one digit'],
  ['GET / HTTP/1.2\r\n', -505, 'neither 1.0 nor 1.1'],
  ['GET / HTTP/2.0\r\n', -505, 'neither 1.0 nor 1.1'],
  ['GET / HTTP/0.9\r\n', -505, 'neither 1.0 nor 1.1'],
  ['GET / HTTP/1.1\nHost: a\n\n', -400, 'RFC 9112 2.2: bare LF'],
  ['GET / HTTP/1.1\r\nHost: a\n\r\n', -400, 'RFC 9112 2.2: bare LF'],
  ['GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n', -400, 'RFC 9112 2.2: bare CR'],
  ['GET / HTTP/1.1\r\nHost: a\r\n\rX', -400, 'RFC 9112 2.2: bare CR'],
  ['GET / HTTP/1.1\r\n\r\n', -400, 'RFC 9112 3.2: no Host'],
  [get('host: a\r\n'), -400, 'RFC 9112 3.2: two of them'],
  ['GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n', -400, 'RFC 9112 3.2: two of them'],
  ...[
    '',
    ' \t ',
    ':',
    ':80',
    'a b',
    'a/b',
    'u@a',
    '[::1',
    '[::1x',
    '[:]',
    '[]',
    '[::1]x',
    '[::g]',
    'a:b',
    'a:999999',
    'a:000001',
    'a:4294967297',
    'a:65536',
    'a\xe9',
  ].map((host) => [`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`, -400, 'RFC 9110 7.2']),
  [`GET / HTTP/1.1\r\nHost: [${'0123:'.repeat(9)}0]\r\n\r\n`, -400, 'longer than any address'],
  [get(' folded\r\n'), -400, 'RFC 9112 5.2: no folding'],
  [get('X: a\r\n\tb\r\n'), -400, 'RFC 9112 5.2: no folding'],
  [get('X : a\r\n'), -400, 'RFC 9112 5.1: no space before the colon'],
  [get(': a\r\n'), -400, 'RFC 9112 5: no name'],
  [get('X\r\n'), -400, 'RFC 9112 5: no colon'],
  [get('X(: a\r\n'), -400, 'RFC 9110 5.1: not a token'],
  [get('X\xe9: a\r\n'), -400, 'RFC 9110 5.1: not a token'],
  [get('X: a\0b\r\n'), -400, 'RFC 9110 5.5: NUL'],
  [get('X: a\x1bb\r\n'), -400, 'RFC 9110 5.5: a control'],
  [get('X: a\x7fb\r\n'), -400, 'RFC 9110 5.5: a control'],
  ...['', '-1', '+1', '1 2', '0x10', '5, 5', '5,6', '1e3', '9007199254740992', '99999999999999999999999'].map(
    (value) => [get(`Content-Length: ${value}\r\n`), -400, 'RFC 9112 6.3: no length, or too long'],
  ),
  [get('Content-Length: 5\r\nContent-Length: 6\r\n'), -400, 'RFC 9112 6.3: two lengths'],
  [get('Content-Length: 5\r\nContent-Length: 5\r\n'), -400, 'RFC 9112 6.3: may be refused even if they are equal'],
  [get('Content-Length: 0\r\nContent-Length: 0\r\n'), -400, 'RFC 9112 6.3: may be refused even if they are equal'],
  [get('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n'), -400, 'RFC 9112 6.3, 11.2: smuggling'],
  [get('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n'), -400, 'RFC 9112 6.3, 11.2: smuggling'],
  [get('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n'), -400, 'RFC 9112 7: chunked once'],
  ['POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n', -400, 'RFC 9112 6.1: not in 1.0'],
  ...['', ',', 'gzip', 'chunked, gzip', 'chunked, chunked', 'gzip, chunked, chunked', 'chunked;q=1', 'xchunked'].map(
    (value) => [get(`Transfer-Encoding: ${value}\r\n`), -400, 'RFC 9112 6.3: it does not end in chunked, once'],
  ),
  ...['chunke', '"chunked"', 'identity', ', chunked', 'gzip,, chunked', 'gzip, chunked,', '"a", chunked', 'gzip, '].map(
    (value) => [
      get(`Transfer-Encoding: ${value}\r\n`),
      -400,
      'RFC 9112 6.3: it does not end in chunked, or is no list of codings',
    ],
  ),
  ...['gzip, chunked', 'x;y="z",\tgzip ,CHUNKED'].map((value) => [
    get(`Transfer-Encoding: ${value}\r\n`),
    -501,
    'RFC 9112 6.1: an unknown coding',
  ]),
  [get('Expect: 100\r\n'), -417, 'RFC 9110 10.1.1'],
  [get('Expect: 100-continue, x=y\r\n'), -417, 'RFC 9110 10.1.1'],
  ['GET / HTTP/1.0\r\nExpect: x\r\n\r\n', -417, 'RFC 9110 10.1.1'],
];

export const CORPUS = [...ACCEPTED, ...REFUSED];
