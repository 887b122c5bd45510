// Runs one file of the web platform tests in a process, whose globals it then has for itself. The first message says
// which scripts to run, and whether Response, Request and Headers are the platform's or featherstar's. It sends the
// results of testharness.js. Next: wpt.js.

import { once } from 'node:events';
import { runInThisContext } from 'node:vm';
import { Elsewhere, testharness } from './testharness.js';

const [{ scripts, ours, url }] = await once(process, 'message');
const platformFetch = globalThis.fetch;

/** Only URLs that need no server. */
async function fetch(input, init) {
  const target = new URL(typeof input === 'object' && 'url' in input ? input.url : input, url);
  if (target.protocol === 'http:' || target.protocol === 'https:') throw new Elsewhere(`a server: ${target}`);
  return platformFetch(input, init);
}

/** The part of the browser's FileReader that the tests use. */
class FileReader {
  readAsArrayBuffer = (blob) => this.#read(blob.arrayBuffer());
  readAsText = (blob) => this.#read(blob.text());

  async #read(value) {
    this.result = await value;
    this.onload?.({ target: this });
    this.onloadend?.({ target: this });
  }
}

const { functions, results } = testharness();
globalThis[Symbol.for('undici.globalOrigin.1')] = new URL(url); // what relative URLs are resolved against in Node
Object.assign(globalThis, functions, { fetch, FileReader, self: globalThis, location: new URL(url) });
globalThis.GLOBAL = { isWindow: () => false, isWorker: () => true, isShadowRealm: () => false };
if (ours) {
  const { Response: Own, serve } = await import('featherstar/http');
  await serve({ fetch: () => new Own(), hostname: '127.0.0.1' });
  if (globalThis.Response !== Own) throw new Error('serve() has not put its classes in the place of the globals');
}

let failure;
process.on('unhandledRejection', () => undefined); // some tests never await a promise that rejects
try {
  for (const { text, path } of scripts) runInThisContext(text, { filename: path });
} catch (error) {
  const skip = error instanceof ReferenceError;
  failure = { name: '(the file itself)', outcome: skip ? 'skip' : 'fail', message: String(error) };
}
const all = await results();
process.send(failure === undefined ? all : [...all, failure]);
