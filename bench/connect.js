// Express and Fastify, unmodified, on node:http and on createServer() of featherstar/node, against the same C server as
// in http.js.
//
// The frameworks are no dependencies of featherstar. They come from a folder beside the project: --modules.
//
// Next: wrk.js, which measures them; baseline/framework.mjs.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { REFERENCE } from './contest.js';
import { baseline } from './peers.js';
import { BenchError } from './tools.js';
import { checkWrkOptions, WRK_OPTIONS, wrkContest } from './wrk.js';

const DECLARED = { ...WRK_OPTIONS, modules: { type: 'string', default: '../featherstar-peers/node_modules' } };
const FRAMEWORKS = ['express', 'fastify'];

function packageVersions(modules) {
  return Object.fromEntries(
    FRAMEWORKS.map((name) => {
      const path = join(modules, name, 'package.json');
      if (existsSync(path)) return [name, `v${JSON.parse(readFileSync(path, 'utf8')).version}`];
      const install = `npm i --prefix ${dirname(modules)} ${FRAMEWORKS.join(' ')}`;
      throw new BenchError(`no ${name} in ${modules}: ${install}, or name a folder that has it by --modules`);
    }),
  );
}

function specsFor(framework, modules) {
  const program = [baseline('framework.mjs'), '--modules', modules, '--framework', framework];
  const onShard = [...program, '--shard'];
  return [
    { name: REFERENCE, on: 'c', source: 'http-uring', program: 'http-uring', flags: [], args: [] },
    { name: 'featherstar', on: 'node', args: onShard, env: { FEATHERSTAR_HOST: 'uring' } },
    { name: 'featherstar-portable', on: 'node', args: onShard, env: { FEATHERSTAR_HOST: 'portable' } },
    { name: 'node-http', on: 'node', args: program },
  ];
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: DECLARED });
  checkWrkOptions(options);
  const modules = resolve(options.modules);
  const packages = packageVersions(modules);
  const cases = FRAMEWORKS.map((framework) => ({ name: framework, specs: specsFor(framework, modules) }));
  return wrkContest('connect', DECLARED, options, cases, packages);
}
