// A shard module of files.test.js.

import { runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';

export async function append(folder, count) {
  const dir = await openDirectory(folder);
  const file = await dir.open('log', { flags: 'a' });
  for (let i = 0; i < count; i++) await file.write(`${runtime().self}:${i}\n`);
  await file.close();
  await dir.close();
}
