// A store that survives a crash: each change is a line of a journal, and is done when the line is on the disk. Changes
// that come while it is being synced share the next sync.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blockOn, runtimeOptions } from 'featherstar';
import { openDirectory } from 'featherstar/fs';

class Store {
  syncs = 0;
  #values = new Map();
  #lines = [];
  #saving = Promise.resolve();
  #next; // the save behind that, if a caller waits for it

  static async open(dir) {
    const store = new Store();
    const isThere = (await dir.list()).some(({ name }) => name === 'journal');
    if (!isThere) await dir.replaceFile('journal', ''); // its name is on the disk, too
    const text = await dir.readText('journal');
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole !== text) await dir.replaceFile('journal', whole); // half a line: of a crash; it was never confirmed
    for (const line of whole.split('\n').slice(0, -1)) store.#values.set(...JSON.parse(line));
    store.journal = await dir.open('journal', { flags: 'a' });
    return store;
  }

  get = (key) => this.#values.get(key);

  async set(key, value) {
    this.#values.set(key, value);
    this.#lines.push(`${JSON.stringify([key, value])}\n`);
    this.#next ??= this.#saving.then(() => this.#save());
    await this.#next;
  }

  async #save() {
    [this.#saving, this.#next] = [this.#next, undefined];
    await this.journal.write(this.#lines.splice(0).join(''));
    await this.journal.sync({ dataOnly: true });
    this.syncs++;
  }
}

const folder = await mkdtemp(join(tmpdir(), 'journal-'));
await blockOn(async () => {
  const dir = await openDirectory(folder);
  const store = await Store.open(dir);
  await Promise.all(Array.from({ length: 1000 }, (_, i) => store.set(`key ${i % 10}`, i)));
  console.log(`1000 changes, syncs: ${store.syncs}`);
  const again = await Store.open(dir);
  console.log(`key 7 is ${again.get('key 7')}`);
  await dir.open('../elsewhere').catch((error) => console.log(`no way out: ${error.errnoName}`));
}, runtimeOptions().options);
await rm(folder, { recursive: true });

// It prints:
//   1000 changes, syncs: 1
//   key 7 is 997
//   no way out: EXDEV
