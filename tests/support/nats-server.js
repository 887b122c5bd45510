// A nats-server of a test, which can be stopped and started again on its port.

import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const LOOKS = 500;
const LOOK_MS = 20;

/** Why there is no nats-server here, or undefined. */
export function natsObstacle() {
  const { error } = spawnSync('nats-server', ['--version']);
  return error === undefined ? undefined : 'no nats-server: apt-get install nats-server';
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const end = (isThere) => () => {
      socket.destroy();
      resolve(isThere);
    };
    socket.on('connect', end(true)).on('error', end(false));
  });
}

export class NatsServer {
  #child;
  #onExit = () => this.#child?.kill('SIGKILL');
  #folder = mkdtempSync(join(tmpdir(), 'featherstar-nats-'));
  #config;

  /** `config`: more lines of its configuration. */
  static async start(config = '') {
    const server = new NatsServer();
    server.port = await freePort();
    server.#config = join(server.#folder, 'nats.conf');
    writeFileSync(server.#config, `listen: 127.0.0.1:${server.port}\n${config}\n`);
    process.once('exit', server.#onExit);
    await server.start();
    return server;
  }

  get servers() {
    return `127.0.0.1:${this.port}`;
  }

  async start() {
    this.#child = spawn('nats-server', ['-c', this.#config], { stdio: 'ignore' });
    for (let i = 0; i < LOOKS; i++) {
      if (await accepts(this.port)) return;
      await delay(LOOK_MS);
    }
    throw new Error('nats-server does not accept connections');
  }

  /** Kills it, without a word to its clients. */
  async kill() {
    const child = this.#child;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }

  async close() {
    await this.kill();
    process.off('exit', this.#onExit);
    rmSync(this.#folder, { recursive: true });
  }
}
