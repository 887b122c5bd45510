// Processes that io_uring is denied to, by a real seccomp filter: tests/native/seccomp.c, compiled when it is needed.
//
//   const child = denyUring('EPERM', [process.execPath, 'main.js'], { env });
//
// Invariant: who cannot be denied anything (no Linux, no compiler) is told so by denyObstacle(), and says it aloud.
// Next: ../native/probe.test.js.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const SOURCE = fileURLToPath(new URL('../native/seccomp.c', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../dist/tests/', import.meta.url));
const LAUNCHER = `${FOLDER}deny-uring`;

/** The first C compiler that works, or undefined. */
export function findCompiler() {
  const names = [process.env.CC, 'cc', 'gcc', 'clang'].filter(Boolean);
  return names.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

/** Why nothing can be denied here, or undefined. Says `# skipped: ...` if so. */
export function denyObstacle() {
  let reason;
  if (process.platform !== 'linux') reason = `seccomp is Linux's, this is ${process.platform}`;
  else if (findCompiler() === undefined) reason = 'no C compiler';
  if (reason !== undefined) console.log(`# skipped: ${reason}`);
  return reason;
}

function build() {
  const built = statSync(LAUNCHER, { throwIfNoEntry: false });
  if (built && built.mtimeMs > statSync(SOURCE).mtimeMs) return;
  mkdirSync(FOLDER, { recursive: true });
  const part = `${LAUNCHER}.${process.pid}`; // test files may run at the same time
  execFileSync(findCompiler(), ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-O1', '-o', part, SOURCE]);
  renameSync(part, LAUNCHER);
}

/** Spawns `argv` with io_uring answering `errno` ('EPERM' or 'ENOSYS'). Options are those of spawn(). */
export function denyUring(errno, argv, options = {}) {
  build();
  return spawn(LAUNCHER, [errno, ...argv], options);
}
