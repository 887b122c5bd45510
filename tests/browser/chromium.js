// A headless Chromium, over the DevTools protocol's pipe: messages end with a zero byte, on descriptors 3 and 4.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const NAMES = ['chromium-headless-shell', 'chrome-headless-shell', 'chromium', 'chromium-browser', 'google-chrome'];
const ANSWER_MS = 30_000;

/** The first one that can be run here: CHROMIUM, or what is in PATH; undefined if none can. */
export function findChromium() {
  const names = process.env.CHROMIUM ? [process.env.CHROMIUM] : NAMES;
  return names.find((name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0);
}

export class Chromium {
  #child;
  #folder = mkdtempSync(join(tmpdir(), 'featherstar-chromium-'));
  #id = 0;
  #waiting = new Map();
  #loads = new Map();
  #rest = '';
  /** What pages wrote to their consoles, and exceptions that nobody caught. */
  log = [];

  /** `flags`: more of Chromium's own. */
  constructor(command, flags = []) {
    const args = [
      '--headless',
      '--no-sandbox', // it is root in a container
      '--disable-gpu',
      '--disable-dev-shm-usage',
      `--user-data-dir=${this.#folder}`,
      '--remote-debugging-pipe',
      ...flags,
      'about:blank',
    ];
    this.#child = spawn(command, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true });
    this.#child.stdio[4].on('data', (part) => this.#onData(part));
    this.#child.on('exit', () => this.#fail(new Error('Chromium ended')));
    this.#child.stdio[3].on('error', (error) => this.#fail(error));
  }

  #onData(part) {
    const messages = (this.#rest + part.toString()).split('\0');
    this.#rest = messages.pop();
    for (const text of messages) this.#onMessage(JSON.parse(text));
  }

  #onMessage({ id, result, error, method, params, sessionId }) {
    if (id === undefined) {
      if (method === 'Runtime.consoleAPICalled') this.log.push(params.args.map((arg) => arg.value).join(' '));
      if (method === 'Page.loadEventFired') this.#loads.get(sessionId)?.();
      if (method === 'Runtime.exceptionThrown') this.log.push(params.exceptionDetails.exception?.description);
      return;
    }
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error.message));
  }

  #fail(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  send(method, params = {}, sessionId = undefined, answerMs = ANSWER_MS) {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${method}: no answer`)), answerMs);
      const end = (settle) => (value) => {
        clearTimeout(timer);
        settle(value);
      };
      this.#waiting.set(id, { resolve: end(resolve), reject: end(reject) });
      this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  /** Opens a page. Returns how to run an expression in it; what it returns, awaited, as JSON. */
  async open(url) {
    const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
    await this.send('Runtime.enable', {}, sessionId);
    await this.send('Page.enable', {}, sessionId);
    const loaded = new Promise((resolve) => this.#loads.set(sessionId, resolve)); // until then there is no context
    await this.send('Page.navigate', { url }, sessionId);
    await loaded;
    return async (expression, answerMs = ANSWER_MS) => {
      const options = { expression, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await this.send('Runtime.evaluate', options, sessionId, answerMs);
      if (exceptionDetails !== undefined) {
        throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      }
      return result.value;
    };
  }

  async close() {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    process.kill(-this.#child.pid, 'SIGKILL'); // and the processes of its pages
    await gone;
    for (const pipe of this.#child.stdio) pipe?.destroy();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
