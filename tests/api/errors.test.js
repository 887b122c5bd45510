// Errors say what the system call that failed needs, and what cannot be had has a code of its own.

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blockOn } from 'featherstar';
import { openDirectory } from 'featherstar/fs';
import { connect, listen } from 'featherstar/net';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Program } from '../support/child.js';
import { hosts, rejection } from '../support/hosts.js';

const NOBODY = 65534;

for (const host of hosts()) {
  const test = suite(`errors (${host})`);

  // Root may do everything, so this user is another one meanwhile.
  async function asNobody(act) {
    if (process.geteuid() !== 0) return act();
    process.seteuid(NOBODY);
    try {
      return await act();
    } finally {
      process.seteuid(0);
    }
  }

  test('EACCES of a file is its mode, not a port; of a Unix socket it is its directory', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'featherstar-'));
    const path = join(folder, 'closed');
    writeFileSync(path, 'x');
    chmodSync(path, 0);
    chmodSync(folder, 0o755);
    try {
      const [file, below, unix] = await asNobody(() =>
        blockOn(
          async () => {
            const directory = await openDirectory(folder);
            const errors = [
              await rejection(directory.open('closed')),
              await rejection(directory.makeDirectory('new')),
              await rejection(listen({ path: join(folder, 'socket') })),
            ];
            await directory.close();
            return errors;
          },
          { host },
        ),
      );
      const isOurs = process.geteuid() !== 0; // then the folder is, too, and only the file is closed
      assert.is(file.errnoName, 'EACCES');
      assert.is(file.syscall, 'open');
      assert.match(file.message, /^open \/.*\/closed: EACCES: .*the mode of the file/);
      if (isOurs) return;
      assert.match(below.message, /^mkdir \/.*\/new: EACCES: .*the mode of the file/);
      assert.match(unix.message, /unix:\/.*socket: EACCES: .*the directory of the socket/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('what is missing is a file of open(), and the directory of a socket', async () => {
    await blockOn(
      async () => {
        const directory = await openDirectory(tmpdir());
        const missing = await rejection(directory.open('no/such/file'));
        assert.match(missing.message, /ENOENT: no such file or directory$/);
        const unix = await rejection(listen({ path: '/no/such/socket' }));
        assert.match(unix.message, /ENOENT: the directory of the socket does not exist$|EACCES: /);
        await directory.close();
        const port = await rejection(connect({ hostname: '127.0.0.1', port: 1 }));
        assert.match(port.message, /^connect 127\.0\.0\.1:1: ECONNREFUSED: nobody listens there$/);
      },
      { host },
    );
  });

  test.run();
}

const test = suite('errors');

test('a process that may not have the memory: a code, what was asked for, what to lower', async () => {
  const program = `
    import { Runtime } from 'featherstar';
    await Runtime.start({ shards: 1, host: 'portable' }).catch((error) => console.log(JSON.stringify(
      { code: error.code, text: error.message, cause: error.cause?.name })));`;
  const limited = ['-c', 'ulimit -v 8000000 && exec "$0" --input-type=module -e "$1"', process.execPath, program];
  const child = new Program(limited, {}, 'bash');
  const [, line] = await child.line(/^(\{.*\})\n/);
  const { code, text, cause } = JSON.parse(line);
  assert.equal([code, cause], ['FEATHERSTAR_MEMORY', 'RangeError']);
  assert.match(text, /^no shared memory of \d+ bytes is available: .*ulimit -v.*lower shards, memoryPerShard/);
  assert.is(await child.ended(), 0);
});

test.run();
