// Builds the addon with nothing but a C compiler and node-api-headers. The loader resolves libc, so one file serves
// glibc and musl.
//   node host/native/build.mjs [--if-possible] [--arch x64|arm64] [--sanitize] [--test]
//                              [--replace NAME=FILE --output FILE]
//
//   --arch         builds for another processor: by CC_ARM64 or CC_X64, or by Debian's cross compiler
//   --sanitize     builds a file of its own with sanitizers and the fuzzer in it; --test with the fuzzer alone
//   --replace      uses another file for one source: tests build gates with a hole, which the fuzzer must find
//   --if-possible  names a missing tool in one line and exits with 0; the portable host needs no addon

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, renameSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const args = process.argv.slice(2);
const isOptional = args.includes('--if-possible');
const variant = args.includes('--sanitize') ? '.asan' : args.includes('--test') ? '.test' : '';
const optionValue = (name) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
const arch = optionValue('--arch') ?? process.arch;
const output = optionValue('--output') ?? join(here, '../../dist/native', `linux-${arch}${variant}.node`);
const [replaced, replacement] = (optionValue('--replace') ?? '').split('=');
const names = [
  'addon.c',
  'address.c',
  'buffers.c',
  'cpus.c',
  'directory.c',
  'gate.c',
  'lent.c',
  'listen.c',
  'loop.c',
  'openssl.c',
  'options.c',
  'ring.c',
  'tls.c',
  'tls_context.c',
  ...(variant === '' ? [] : ['fuzz.c', 'fuzz_audit.c', 'fuzz_files.c', 'fuzz_input.c']),
];
const sources = names.map((name) => (name === replaced ? replacement : join(here, name)));

function giveUp(reason) {
  if (!isOptional) {
    console.error(`io-uring-napi: ${reason}`);
    process.exit(1);
  }
  console.log(`io-uring-napi: not built (${reason}); featherstar will use its portable host here`);
  process.exit(0);
}

/** The names of compilers that may be there. */
function candidates() {
  if (arch === process.arch) return [process.env.CC, 'cc', 'gcc', 'clang'].filter(Boolean);
  return arch === 'arm64'
    ? [process.env.CC_ARM64 ?? 'aarch64-linux-gnu-gcc']
    : [process.env.CC_X64 ?? 'x86_64-linux-gnu-gcc'];
}

function findCompiler() {
  return candidates().find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

if (process.platform !== 'linux') giveUp(`io_uring is Linux's, this is ${process.platform}`);
const compiler = findCompiler();
if (compiler === undefined) giveUp(`no C compiler found for ${arch} (${candidates().join(', ')})`);

const headers = createRequire(import.meta.url).resolve('node-api-headers/package.json');
const flags = ['-std=gnu11', '-fPIC', '-shared', '-Wall', '-Wextra', '-fvisibility=hidden', '-D_GNU_SOURCE'];
if (!isOptional) flags.push('-Werror');
// Three more walls against a mistake in this C: a canary in each frame with an array, checked copies, and read-only
// tables of addresses. Only glibc has the checked copies, so tests/native/elf.test.js sees that the compiler has proved
// all of them away.
if (variant !== '.asan') {
  flags.push('-O2', '-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2', '-Wl,-z,relro,-z,now');
}
if (arch === 'arm64') flags.push('-mno-outline-atomics'); // these would be calls to libgcc, which is not linked
if (variant === '') flags.push('-nostdlib');
if (variant === '.test') flags.push('-DFEATHERSTAR_TEST');
if (variant === '.asan') {
  flags.push('-O1', '-g', '-DFEATHERSTAR_TEST', '-fsanitize=address,undefined', '-fno-sanitize-recover=undefined');
}

mkdirSync(dirname(output), { recursive: true });
const part = `${output}.${process.pid}`; // renamed at the end: a process that has the old file loaded keeps it
try {
  const include = [`-I${join(dirname(headers), 'include')}`, `-I${here}`];
  execFileSync(compiler, [...flags, ...include, '-o', part, ...sources], {
    stdio: isOptional ? 'pipe' : 'inherit',
  });
  renameSync(part, output);
} catch (error) {
  const detail =
    String(error.stderr ?? error.message)
      .split('\n')
      .find((line) => line.includes('error')) ?? '';
  giveUp(`${compiler} failed ${detail}`.trim());
}
