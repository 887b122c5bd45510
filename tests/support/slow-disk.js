// A folder on a disk that does not answer until it is told to; nothing in the kernel can be interrupted that waits for
// it.
//
//   const disk = await slowDisk(); disk.path; await disk.waits(n); disk.answer(); await disk.close()
//
// Mounting takes root and /dev/fuse. If one is missing, the test says why.

import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SERVER = fileURLToPath(new URL('./fuse-server.js', import.meta.url));

/** The disk, or { failed }: why there is none. */
export async function slowDisk() {
  if (!existsSync('/dev/fuse')) return { failed: 'no /dev/fuse' };
  const path = mkdtempSync(join(tmpdir(), 'featherstar-disk-'));
  const server = fork(SERVER, [path], { execArgv: [], detached: true }); // it tidies up also if all of us are killed
  let waiting = 0;
  const [said] = await once(server, 'message');
  const close = async () => {
    if (server.exitCode === null && server.signalCode === null) {
      server.kill('SIGKILL');
      await once(server, 'exit');
    }
    spawnSync('umount', ['-l', path]);
    rmdirSync(path);
  };
  if (said !== 'mounted') {
    await close();
    return said;
  }
  server.on('message', () => waiting++);
  return {
    path,
    /** Resolves when so many operations wait. */
    async waits(count) {
      while (waiting < count) await once(server, 'message');
    },
    answer: () => server.send('answer'),
    close,
  };
}
