// Certificates that a test makes, by the command `openssl`: an authority, and keys that it has signed. Without the
// command there are none, and that is said aloud.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Whether there is an `openssl` to be run. */
export function hasOpenssl() {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    console.log(`# skipped: openssl: ${error.code ?? error.message}`);
    return false;
  }
}

/** An authority in a folder of its own. remove() takes the folder away. */
export class Authority {
  #folder = mkdtempSync(join(tmpdir(), 'featherstar-ca-'));
  #count = 0;
  cert;

  constructor() {
    const name = ['-keyout', this.#path('ca.key'), '-out', this.#path('ca.pem'), '-subj', '/CN=test authority'];
    this.#run('req', '-x509', ...EC_KEY, '-days', '2', ...name);
    this.cert = readFileSync(this.#path('ca.pem'), 'utf8');
  }

  #path(name) {
    return join(this.#folder, name);
  }

  #run(...args) {
    execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  }

  /** A key and a certificate for these names. */
  issue(...names) {
    const file = this.#path(String(this.#count++));
    writeFileSync(`${file}.ext`, `subjectAltName=${names.map((name) => `DNS:${name}`).join(',')},IP:127.0.0.1\n`);
    this.#run('req', ...EC_KEY, '-keyout', `${file}.key`, '-out', `${file}.csr`, '-subj', `/CN=${names[0]}`);
    const signer = ['-CA', this.#path('ca.pem'), '-CAkey', this.#path('ca.key'), '-CAcreateserial', '-days', '2'];
    this.#run('x509', '-req', '-in', `${file}.csr`, ...signer, '-extfile', `${file}.ext`, '-out', `${file}.pem`);
    return { key: readFileSync(`${file}.key`, 'utf8'), cert: readFileSync(`${file}.pem`, 'utf8') };
  }

  /** The file of a text, for programs that want a path. */
  file(text) {
    const path = this.#path(`text-${this.#count++}`);
    writeFileSync(path, text);
    return path;
  }

  remove() {
    rmSync(this.#folder, { recursive: true });
  }
}

const EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Resolves to all that `openssl s_client` prints about a connection to `port`. It sends `input`, and then its end. */
export function sClient(port, args = [], input = '') {
  return new Promise((resolve) => {
    const all = ['s_client', '-connect', `127.0.0.1:${port}`, ...args];
    const child = execFile('openssl', all, { timeout: 10_000 }, (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, text: stdout + stderr });
    });
    child.stdin.on('error', () => {}); // the server may end it before it has read
    child.stdin.end(input);
  });
}

/** `openssl s_client`, to be fed while it runs. */
export function openSClient(port, args = []) {
  return spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
}
