// The functions that stuck-program.js runs on a shard.

import { open } from 'node:fs/promises';
import { openDirectory } from 'featherstar/fs';

export async function begin(folder, what) {
  if (what === 'open') {
    await open(`${folder}/pipe`, 'r'); // in a thread of libuv's, until somebody writes
    return;
  }
  const directory = await openDirectory(folder);
  const file = await directory.open('file', { flags: 'r+' });
  if (what === 'spin') {
    void file.write('x', { position: 0 });
    setTimeout(() => {
      for (;;); // when the write has gone out
    }, 50);
    return;
  }
  if (what === 'write') await file.write('x', { position: 0 });
  else await file.read(new Uint8Array(8), { position: 0 });
}

export function add(a, b) {
  return a + b;
}
