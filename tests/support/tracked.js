// The files of the project: those that git tracks. A working copy may have others in it, which are no business of ours.
//
// Next: ../tidy.test.js.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Paths within `root`, sorted; without those that are deleted and not yet committed. */
export function trackedFiles(root) {
  const list = execFileSync('git', ['ls-files', '-z', '--cached'], { cwd: root, encoding: 'utf8' });
  const paths = new Set(list.split('\0').filter((path) => path !== '')); // an unmerged file is listed several times
  return [...paths].filter((path) => existsSync(join(root, path))).sort();
}
