// The ways in which a server can do TLS, which run the same tests; and a key and a certificate for them.

import { connect as connectPlain } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { currentShard } from '../../dist/host/shard/shard.js';
import { recordEngine } from '../../dist/host/tls/record-engine.js';
import { cert } from './certificate.js';
import { hosts } from './hosts.js';

export { cert, key } from './certificate.js';

/**
 * Each host with each engine that can do TLS on it: { host, engine }. Use runWith() for the suite, or chooseEngine()
 * before the server begins. The addon takes options that it cannot do to node:tls, so it is called 'auto' then.
 */
export function tlsWays() {
  return hosts().flatMap((host) => [
    ...(host === 'uring' ? [{ host, engine: 'addon' }] : []),
    { host, engine: 'node:tls' },
  ]);
}

/** Servers that begin from now on use this engine, for options that it can do. */
export function chooseEngine(engine) {
  process.env.FEATHERSTAR_TLS = engine === 'addon' ? 'auto' : engine;
}

/** The servers of a suite use this engine. */
export function runWith(engine, test) {
  test.before(() => chooseEngine(engine));
  test.after(() => chooseEngine('auto'));
}

/** The engine that servers have after chooseEngine(), if the addon can do their options. */
export function expectedEngine(engine) {
  if (engine !== 'addon' || recordEngine(currentShard()) !== undefined) return engine;
  console.log('# skipped: TLS by the addon: there is no OpenSSL that it can use');
  return 'node:tls';
}

/** A connection whose bytes are cut by `cut` on their way to the server. `options`: of node:tls. */
export function openCut(port, cut, options = {}) {
  const plain = connectPlain(port, '127.0.0.1').setNoDelay();
  plain.on('error', () => {});
  const via = new Duplex({
    read() {},
    write(bytes, _encoding, done) {
      void (async () => {
        for (const piece of cut(bytes)) await new Promise((resolve) => plain.write(piece, resolve));
        done();
      })();
    },
    final: (done) => plain.end(done),
    destroy(_error, done) {
      plain.destroy();
      done();
    },
  });
  plain.on('data', (bytes) => via.push(bytes)).on('end', () => via.push(null));
  return {
    plain,
    socket: connectTls({ socket: via, ca: cert, servername: 'localhost', ...options }).on('error', () => {}),
  };
}
