// deadline: 300 s
// `npm run release`: it makes a package with every promised addon, or none. The publishing itself is not tried.
//
// Next: pack.test.js, which installs the package that this machine can make.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { findCompiler } from './support/deny.js';
import { trackedFiles } from './support/tracked.js';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const CROSS = 'aarch64-linux-gnu-gcc';

const copy = mkdtempSync(join(tmpdir(), 'featherstar-release-'));
test.after(() => rmSync(copy, { recursive: true }));

function release(env, ...args) {
  const options = { cwd: copy, encoding: 'utf8', env: { ...process.env, ...env } };
  return spawnSync(process.execPath, ['.ci/release.mjs', ...args], options);
}

test('a copy of the tracked files, so that nothing is built over what other tests use', () => {
  const copied = spawnSync('tar', ['-cf', join(copy, 'all.tar'), '--null', '-T', '-'], {
    cwd: ROOT,
    input: trackedFiles(ROOT).join('\0'),
  });
  assert.is(copied.status, 0, String(copied.stderr));
  assert.is(spawnSync('tar', ['-xf', 'all.tar'], { cwd: copy }).status, 0);
  rmSync(join(copy, 'all.tar'));
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
});

test('refuses without a compiler for a promised processor, names it, and leaves no tarball', () => {
  const { status, stderr } = release({ CC_ARM64: '/no/compiler', CC_X64: '/no/compiler' });
  assert.is(status, 1);
  assert.match(stderr, /linux-(arm64|x64): io-uring-napi: no C compiler found for \w+ \(\/no\/compiler\)/);
  assert.not.match(spawnSync('ls', [copy], { encoding: 'utf8' }).stdout, /\.tgz/);
});

test('refuses to publish what is not committed', () => {
  spawnSync('git', ['init', '-q'], { cwd: copy });
  writeFileSync(join(copy, 'notes.txt'), 'mine');
  const { status, stderr } = release({}, '--publish');
  assert.is(status, 1);
  assert.match(stderr, /not clean/);
});

test('makes a tarball with an addon for each promised processor', () => {
  if (process.arch !== 'x64' || findCompiler() === undefined || spawnSync(CROSS, ['--version']).status !== 0) {
    console.log(`# skipped: a tarball with every addon: needs x64, a C compiler and ${CROSS}`);
    return;
  }
  const { status, stdout, stderr } = release({});
  assert.is(status, 0, stderr);
  const [, tarball] = /^ready: (.*\.tgz)$/m.exec(stdout);
  const names = spawnSync('tar', ['-tzf', tarball], { encoding: 'utf8' }).stdout;
  for (const arch of ['x64', 'arm64']) assert.match(names, new RegExp(`dist/native/linux-${arch}\\.node`));
});

test('publishes under the version of CHANGELOG.md', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  assert.match(
    readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8'),
    new RegExp(`^## .*${version.replaceAll('.', '\\.')}`, 'm'),
  );
});

test.run();
