// Programs that tests start, with a deadline: one that hangs is killed, and its test fails.

import { spawn } from 'node:child_process';
import { until, within } from './http.js';

const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class Program {
  stdout = '';
  stderr = '';
  #child;
  #ended;

  /** Starts `node ...args`, or another program. Descriptors in `given` are its own from 3 on. */
  constructor(args, env = {}, file = process.execPath, ...given) {
    const ids = env.AS_USER === undefined ? {} : { uid: env.AS_USER, gid: env.AS_USER };
    const stdio = ['pipe', 'pipe', 'pipe', ...given];
    const child = spawn(file, args, { env: { ...process.env, ...env }, stdio, ...ids });
    this.#child = child;
    running.add(child);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    child.stdin.on('error', () => {}); // it may end before it has read everything
    this.#ended = new Promise((resolve) => {
      child.on('close', (code, signal) => {
        running.delete(child);
        resolve(signal ?? code);
      });
    });
  }

  get pid() {
    return this.#child.pid;
  }

  /** Waits for a line of stdout that matches; returns the match. */
  async line(pattern) {
    let match = null;
    let code;
    this.#ended.then((how) => {
      code = how;
    });
    await until(() => {
      match = pattern.exec(this.stdout);
      return match !== null || code !== undefined;
    }, `a line like ${pattern}`);
    if (match === null) throw new Error(`ended with ${code} without a line like ${pattern}: ${this.stderr}`);
    return match;
  }

  say(text) {
    this.#child.stdin.write(`${text}\n`);
  }

  kill(signal) {
    this.#child.kill(signal);
  }

  /** The exit code, or the signal that ended it. Kills it and rejects if it takes longer than `ms`. */
  async ended(ms = 5000) {
    try {
      return await within(this.#ended, 'the end of the program', ms);
    } catch (error) {
      this.#child.kill('SIGKILL');
      await this.#ended;
      throw new Error(`${error.message}\n${this.stdout}\n${this.stderr}`);
    }
  }
}
