// The runtimes and servers that can take part in a benchmark: which of them this machine has, and how each is started.
//
// A benchmark gives a list of specs: { name, on, args, env, headers, pipelined, isSecure }. `on` says what runs it;
// 'node' means every Node. A C program has { source, program, flags }, as compile() takes them; one that is 'built' has
// its `command`. `headers` are lines that its responses must have. `pipelined` is false if it cannot take two requests
// at once. `isSecure`: it speaks TLS. The results are contenders that startServer() takes. Those that cannot run have
// the reason in `unavailable`.
//
// Next: contest.js.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BenchError, compile, compileRust, versionOf } from './tools.js';

export const PEER_OPTIONS = {
  node: { type: 'string' },
  bun: { type: 'string', default: 'bun' },
  deno: { type: 'string', default: 'deno' },
};

/** The path of a program in bench/baseline. */
export const baseline = (name) => fileURLToPath(new URL(`baseline/${name}`, import.meta.url));

/** The versions of the runtimes that were found; undefined for one that is missing. */
export function findPeers(options) {
  const otherNode = options.node === undefined ? undefined : versionOf(options.node);
  if (options.node !== undefined && otherNode === undefined)
    throw new BenchError(`--node ${options.node} cannot be run`);
  const nginx = /nginx\/(\S+)/.exec(spawnSync('nginx', ['-v'], { encoding: 'utf8' }).stderr ?? '')?.[1];
  return { node: process.version, otherNode, bun: versionOf(options.bun), deno: versionOf(options.deno), nginx };
}

/** The contenders of all specs: C first, then one Node after the other, then the others. */
export async function contendersOf(specs, options, versions) {
  const of = (on) => specs.filter((spec) => spec.on === on);
  const contenders = [];
  for (const { source, program, flags, ...spec } of of('c')) {
    contenders.push({ ...spec, command: await compile(source, program, flags) });
  }
  contenders.push(...of('built'));
  contenders.push(...of('node').map((spec) => ({ ...spec, command: process.execPath })));
  if (options.node !== undefined) {
    const named = (name) => `${name}@${versions.otherNode}`;
    contenders.push(...of('node').map((spec) => ({ ...spec, name: named(spec.name), command: options.node })));
  }
  const missing = (name, option) => `no ${name} in PATH (--${option} PATH names one)`;
  for (const spec of of('bun')) {
    const unavailable = versions.bun === undefined ? missing(options.bun, 'bun') : undefined;
    contenders.push({ ...spec, command: options.bun, unavailable });
  }
  for (const spec of of('deno')) {
    const unavailable = versions.deno === undefined ? missing(options.deno, 'deno') : undefined;
    contenders.push({ ...spec, command: options.deno, args: ['run', '-A', ...spec.args], unavailable });
  }
  for (const spec of of('nginx')) {
    const unavailable = versions.nginx === undefined ? 'no nginx in PATH: apt-get install nginx-light' : undefined;
    contenders.push({ ...spec, command: 'nginx', args: nginxArgs(spec), unavailable });
  }
  if (of('rust').length > 0) {
    const { path: command, unavailable } = await compileRust();
    contenders.push(...of('rust').map((spec) => ({ ...spec, command, unavailable })));
  }
  return contenders;
}

/** Keeps the contenders named by `only`; a name without @version means it on every Node. */
export function chooseContenders(contenders, only) {
  if (only === undefined) return contenders;
  const wanted = only.split(',');
  const matches = (name, wish) => name === wish || name.split('@')[0] === wish;
  for (const wish of wanted) {
    if (contenders.some(({ name }) => matches(name, wish))) continue;
    throw new BenchError(`--only ${wish}: choose from ${contenders.map(({ name }) => name).join(', ')}`);
  }
  return contenders.filter(({ name }) => wanted.some((wish) => matches(name, wish)));
}

/**
 * Arguments for nginx as one process with a folder of its own: hello at `/`, and `files` (name -> path). `tls` is a
 * folder with key.pem and cert.pem.
 */
function nginxArgs({ files = {}, tls }) {
  const secure =
    tls && `ssl_certificate ${tls}/cert.pem; ssl_certificate_key ${tls}/key.pem; ssl_protocols TLSv1.2 TLSv1.3;`;
  return (port) => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-bench-nginx-'));
    process.once('exit', () => rmSync(folder, { recursive: true }));
    for (const [name, path] of Object.entries(files)) symlinkSync(path, join(folder, name));
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${name};`);
    const config = `
      daemon off; master_process off; error_log stderr; pid ${folder}/pid;
      events { worker_connections 8192; }
      http {
        access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; ${temporary.join(' ')}
        open_file_cache max=10; default_type application/octet-stream;
        server {
          listen 127.0.0.1:${port} ${tls ? 'ssl' : ''} backlog=1024; root ${folder}; ${secure ?? ''}
          location = / { default_type "text/plain; charset=utf-8"; return 200 'Hello, World!'; }
        }
      }`;
    writeFileSync(join(folder, 'nginx.conf'), config);
    return ['-p', folder, '-e', 'stderr', '-c', join(folder, 'nginx.conf')];
  };
}
