// A program that holds a listening socket (socket-holder.js), and the servers that it has started on it.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Program } from './child.js';
import { until } from './http.js';

const CLI = fileURLToPath(new URL('../../dist/host/cli/main.js', import.meta.url));
const APP = fileURLToPath(new URL('./process-module.js', import.meta.url));
export const HOLDER = fileURLToPath(new URL('./socket-holder.js', import.meta.url));

/** A program that holds a socket, and the servers that it has started. */
export class Holder {
  #program;
  #starts = 0;

  constructor(...path) {
    this.#program = new Program([HOLDER, ...path]);
  }

  async place() {
    const [, place] = await this.#program.line(/^socket (\S+)\n/);
    return /^\d+$/.test(place) ? Number(place) : { path: place };
  }

  /** Starts a server. Resolves to its process id. */
  async start(host, shards, flags, { env = {}, names = 'web' } = {}) {
    const args = [CLI, 'serve', APP, '--shards', String(shards), ...flags];
    this.#program.say(JSON.stringify({ args, env: { FEATHERSTAR_HOST: host, ...env }, names }));
    this.#starts++;
    const [, pid] = await this.#said(/^started (\d+)$/gm, this.#starts);
    return Number(pid);
  }

  /** Waits until `count` servers have said that they listen. Returns what the last one said. */
  async listening(count) {
    const [, url] = await this.#said(/listening on (\S+) ·.*$/gm, count);
    return { url };
  }

  /** Waits for the line number `count` that matches. Returns the match. */
  async #said(pattern, count) {
    let matches = [];
    await until(() => {
      matches = [...this.#program.stdout.matchAll(pattern)];
      return matches.length >= count;
    }, `${count} lines like ${pattern}`);
    return matches[count - 1];
  }

  get stderr() {
    return this.#program.stderr;
  }

  async close() {
    this.#program.kill('SIGKILL');
    await this.#program.ended();
  }
}

/** Waits until a process has ended; the program that has started it never asks, so it stays as a zombie. */
export async function gone(pid) {
  const stateOf = () => readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/^.*\) /, '')[0];
  await until(() => stateOf() === 'Z', `the end of process ${pid}`);
}

export async function end(pid) {
  process.kill(pid, 'SIGTERM');
  await gone(pid);
}
