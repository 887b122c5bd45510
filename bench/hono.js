// Hono, unmodified, on featherstar and on the servers of others, against the same C server as in http.js. There are
// three tables: a bare hello, and twice the same behind three of Hono's middlewares, whose headers the C server sends
// too.
//
// Hono is no dependency of featherstar. It comes from a folder beside the project: --modules.
//
// Next: wrk.js, which measures them; baseline/hono.mjs.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { REFERENCE } from './contest.js';
import { baseline } from './peers.js';
import { BenchError } from './tools.js';
import { checkWrkOptions, WRK_OPTIONS, wrkContest } from './wrk.js';

const DECLARED = { ...WRK_OPTIONS, modules: { type: 'string', default: '../featherstar-peers/node_modules' } };
const PACKAGES = { hono: '4.13.19', '@hono/node-server': '2.1.9' }; // what the README's figures were measured with

/** Lines that cors(), etag() and secureHeaders() add. The C server sends them, too, and each contender is checked. */
const MIDDLEWARE_HEADERS = [
  'Access-Control-Allow-Origin: *',
  'ETag: "0a0a9f2a6772942557ab5355d76af442f8f65e01"',
  'Cross-Origin-Resource-Policy: same-origin',
  'Cross-Origin-Opener-Policy: same-origin',
  'Origin-Agent-Cluster: ?1',
  'Referrer-Policy: no-referrer',
  'Strict-Transport-Security: max-age=15552000; includeSubDomains',
  'X-Content-Type-Options: nosniff',
  'X-DNS-Prefetch-Control: off',
  'X-Download-Options: noopen',
  'X-Frame-Options: SAMEORIGIN',
  'X-Permitted-Cross-Domain-Policies: none',
  'X-XSS-Protection: 0',
];

const CASES = [
  { title: 'hello', more: [], headers: [] },
  { title: 'hello behind cors(), etag() and secureHeaders()', more: ['--middlewares'], headers: MIDDLEWARE_HEADERS },
  {
    title: 'the same, with the hash of etag() made in place by node:crypto',
    more: ['--middlewares', '--hash-in-place'],
    headers: MIDDLEWARE_HEADERS,
  },
];

/** The versions of Hono and of its server for Node in the folder `modules`. */
function packageVersions(modules) {
  return Object.fromEntries(
    Object.entries(PACKAGES).map(([name, version]) => {
      const path = join(modules, name, 'package.json');
      if (existsSync(path)) return [name, `v${JSON.parse(readFileSync(path, 'utf8')).version}`];
      const wanted = Object.entries(PACKAGES).map((entry) => entry.join('@'));
      const install = `npm i --prefix ${dirname(modules)} ${wanted.join(' ')}`;
      throw new BenchError(
        `no ${name}@${version} in ${modules}: ${install}, or name a folder that has it by --modules`,
      );
    }),
  );
}

function specsFor({ more, headers }, modules) {
  const hono = (on, ...own) => [baseline('hono.mjs'), '--modules', modules, '--on', on, ...own, ...more];
  const uring = { FEATHERSTAR_HOST: 'uring' };
  const specs = [
    {
      name: REFERENCE,
      on: 'c',
      source: 'http-uring',
      program: headers.length === 0 ? 'http-uring' : 'http-uring-headers',
      flags: [`-DMORE_HEADERS=${JSON.stringify(headers.map((line) => `${line}\r\n`).join(''))}`],
      args: [],
    },
    { name: 'featherstar', on: 'node', args: hono('featherstar'), env: uring },
    { name: 'featherstar-own', on: 'node', args: hono('featherstar', '--own'), env: uring },
    { name: 'node-server', on: 'node', args: hono('node-server') },
    { name: 'bun', on: 'bun', args: hono('bun'), pipelined: false },
  ];
  return specs.map((spec) => ({ ...spec, headers }));
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  checkWrkOptions(options);
  const modules = resolve(options.modules);
  const packages = packageVersions(modules);
  const cases = CASES.map((each) => ({ name: each.title, specs: specsFor(each, modules) }));
  return wrkContest('hono', DECLARED, options, cases, packages);
}
