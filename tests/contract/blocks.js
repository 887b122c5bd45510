// Behaviours of blocks: what allocate() returns, in files and in calls. A part of behaviours.js.

import assert from 'node:assert/strict';
import { allocate, runtime } from 'featherstar';
import { openDirectory } from 'featherstar/fs';

const CONTENT = Buffer.from(Array.from({ length: 200_000 }, (_, i) => (i * 31 + (i >>> 8)) & 0xff));

export const blockFiles = {
  'a file is read into a block, and written from it': async (t) => {
    const dir = await openDirectory(t.folder);
    const shared = allocate(400_000);
    await dir.writeFile('in', CONTENT);
    const file = await dir.open('in', { flags: 'r+' });
    assert.equal(await file.read(shared, { offset: 5 }), 200_000);
    await file.write(shared, { offset: 5, length: 200_000, position: 3 });
    await file.close();
    shared.dispose();
    const written = Buffer.from(await dir.readFile('in'));
    assert.ok(written.subarray(3).equals(CONTENT));
    await dir.close();
  },
};

export const blockCalls = {
  'a view of a block that is filled from end to end breaks blocks, and nothing else': async () => {
    const mine = allocate(100);
    new Float64Array(mine.bytes.buffer).fill(Number.NaN); // byteOffset is forgotten
    mine.dispose();
    for (let i = 0; i < 50; i++) assert.equal(await runtime().on(1).add(i, 1), i + 1);
    (await runtime().on(1).fill(allocate(5000))).dispose();
  },
};
