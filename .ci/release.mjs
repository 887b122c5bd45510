// Makes the package that is published, and refuses if it would lack an addon.
//
//   npm run release                  builds everything, packs, looks into the tarball, and says where it is
//   npm run release -- --publish     and then publishes it; the working copy must be clean, and at the version's tag
//
// `npm pack` alone packs what this machine could build. A package without the addon for a processor would silently run
// on the portable host there, three times slower. So a release has all of PROMISED, built here. One file for a
// processor serves glibc and musl (host/native/build.mjs).
//
// On Debian or Ubuntu: apt-get install gcc gcc-aarch64-linux-gnu libc6-dev-arm64-cross

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const E_MACHINE = 18; // offset in an ELF file of the processor that it is for
const PROMISED = [
  { arch: 'x64', machine: 62 },
  { arch: 'arm64', machine: 183 },
];

function run(program, ...args) {
  return execFileSync(program, args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
}

function refuse(reason) {
  console.error(`release: ${reason}`);
  process.exit(1);
}

/** The addons that could not be built, and why. */
function buildAddons() {
  return PROMISED.flatMap(({ arch }) => {
    const built = spawnSync(process.execPath, ['host/native/build.mjs', '--arch', arch], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    return built.status === 0 ? [] : [`linux-${arch}: ${built.stderr.trim()}`];
  });
}

/** Complaints about the addons in the tarball. */
function lookInto(tarball) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-release-'));
  try {
    run('tar', '-xzf', tarball, '-C', folder);
    return PROMISED.flatMap(({ arch, machine }) => {
      const path = join('package/dist/native', `linux-${arch}.node`);
      const found = readFileSync(join(folder, path)).readUInt16LE(E_MACHINE);
      return found === machine ? [] : [`${path} is for processor ${found}, not ${machine}`];
    });
  } catch (error) {
    return [error.message];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function checkSources(version) {
  if (run('git', 'status', '--porcelain') !== '') refuse('the working copy is not clean');
  const tags = run('git', 'tag', '--points-at', 'HEAD').split('\n');
  if (!tags.includes(`v${version}`)) refuse(`HEAD does not have the tag v${version}`);
}

const isPublished = process.argv.includes('--publish');
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
if (isPublished) checkSources(version);
run('npm', 'run', '-s', 'build:core');
run('npm', 'run', '-s', 'build:host');
const missing = buildAddons();
if (missing.length > 0) refuse(`these addons are promised, and could not be built:\n  ${missing.join('\n  ')}`);
const tarball = join(ROOT, run('npm', 'pack', '--ignore-scripts', '--silent').trim());
const complaints = lookInto(tarball);
if (complaints.length > 0) {
  rmSync(tarball);
  refuse(complaints.join('\n  '));
}
if (isPublished) run('npm', 'publish', tarball);
console.log(`${isPublished ? 'published' : 'ready'}: ${tarball}`);
