// The benchmark of HTTPS: hello-world servers over TLS 1.3, under wrk, and for comparison two without TLS.
//
// All have the same key (ECDSA, P-256) and speak HTTP/1.1. Connections are kept, so a request costs its records. The
// handshakes are part of the warm-up.
//
// Next: wrk.js, which measures them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cert, key } from '../tests/support/certificate.js';
import { REFERENCE, temporaryFolder } from './contest.js';
import { baseline } from './peers.js';
import { checkWrkOptions, WRK_OPTIONS, wrkContest } from './wrk.js';

/** A folder with key.pem and cert.pem. */
function keyFolder() {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'key.pem'), `${key}\n`);
  writeFileSync(join(folder, 'cert.pem'), `${cert}\n`);
  return folder;
}

function specsFor(tls) {
  const featherstar = [baseline('featherstar.mjs')];
  const secure = (name, on, program, env) => {
    return { name, on, args: [...program, '--tls', tls], env, isSecure: true };
  };
  const uring = { FEATHERSTAR_HOST: 'uring' };
  return [
    { name: REFERENCE, on: 'c', source: 'http-uring', args: [] },
    { name: 'featherstar-plain', on: 'node', args: featherstar, env: uring },
    secure('featherstar', 'node', featherstar, { ...uring, FEATHERSTAR_TLS: 'addon' }),
    secure('featherstar-node:tls', 'node', featherstar, { ...uring, FEATHERSTAR_TLS: 'node:tls' }),
    secure('featherstar-portable', 'node', featherstar, { FEATHERSTAR_HOST: 'portable' }),
    secure('node-https', 'node', [baseline('node-https.mjs')]),
    secure('bun-serve', 'bun', [baseline('bun-serve.mjs')]),
    { name: 'nginx', on: 'nginx', tls, isSecure: true },
  ];
}

export async function main(args) {
  const { values: options } = parseArgs({ args, options: WRK_OPTIONS });
  checkWrkOptions(options);
  return wrkContest('tls', WRK_OPTIONS, options, [{ name: '', specs: specsFor(keyFolder()) }]);
}
