// connect({ tls: {} }) trusts the authorities that Node trusts: also those of NODE_EXTRA_CA_CERTS, of OpenSSL itself,
// and of setDefaultCACertificates(). Each case is a process of its own.

import { execFile } from 'node:child_process';
import nodeTls from 'node:tls';
import { promisify } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Authority, hasOpenssl } from '../support/certificates.js';
import { tlsWays } from '../support/tls.js';

const PROGRAM = `
import nodeTls from 'node:tls';
import { Runtime } from 'featherstar';
import { connect } from 'featherstar/net';
const { own, root } = JSON.parse(process.env.CERTIFICATES);
await Runtime.start({ shards: 1, host: 'uring' });
const server = nodeTls.createServer({ ...own, maxVersion: 'TLSv1.2' }).on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', async () => {
  let session;
  const ask = async (tellsResumed = false) => {
    try {
      const { port } = server.address();
      const socket = await connect({ port, tls: { servername: 'localhost', session } });
      if (tellsResumed) console.log('is resumed:', socket.tls.isResumed);
      else console.log(socket.tls.engine, socket.tls.isAuthorized);
      if (process.env.RESUMES) session = socket.tls.session;
      socket.close();
    } catch ({ code, cause }) {
      console.log(code, cause.code);
    }
  };
  if (process.env.RESUMES) {
    await ask();
    await ask(true);
    nodeTls.setDefaultCACertificates(nodeTls.rootCertificates);
  }
  await ask();
  if (process.env.CHANGES) {
    for (const list of [[], [root], [...nodeTls.rootCertificates, root], nodeTls.rootCertificates]) {
      nodeTls.setDefaultCACertificates(list);
      await ask();
    }
  }
  process.exit();
});`;

const test = suite('the authorities that Node trusts');
const isPossible = tlsWays().some(({ engine }) => engine === 'addon') && hasOpenssl();
if (!isPossible) {
  console.log('# skipped: the authorities that Node trusts: the host has no addon, or there is no openssl');
  test.skip('the host has no addon, or there is no openssl', () => {});
} else {
  const authority = new Authority();
  const { cert: root } = authority;
  const own = authority.issue('localhost');
  const file = authority.file(root);
  const isTold = 'getCACertificates' in nodeTls;
  const refused = 'FEATHERSTAR_TLS UNABLE_TO_VERIFY_LEAF_SIGNATURE';
  test.after(() => authority.remove());

  const ask = async (env, flags = []) => {
    const { NODE_EXTRA_CA_CERTS: _, ...rest } = process.env;
    const options = { env: { ...rest, CERTIFICATES: JSON.stringify({ own, root }), ...env }, timeout: 60_000 };
    const run = promisify(execFile);
    const { stdout } = await run(process.execPath, [...flags, '--input-type=module', '-e', PROGRAM], options);
    return stdout.trim().split('\n');
  };

  test('an unknown authority', async () => assert.equal(await ask({}), [refused]));

  test('NODE_EXTRA_CA_CERTS', async () => {
    assert.equal(await ask({ NODE_EXTRA_CA_CERTS: file }), [`${isTold ? 'addon' : 'node:tls'} true`]);
  });

  test('--use-openssl-ca: Node does not tell them', async () => {
    const env = { SSL_CERT_FILE: file };
    assert.equal(await ask(env, ['--use-openssl-ca']), ['node:tls true']);
    assert.equal(await ask({ ...env, NODE_EXTRA_CA_CERTS: file }, ['--use-openssl-ca']), ['node:tls true']);
  });

  if ('setDefaultCACertificates' in nodeTls) {
    for (const engine of ['auto', 'node:tls']) {
      test(`${engine}: a session is not resumed when other authorities are trusted`, async () => {
        const lines = await ask({ RESUMES: '1', FEATHERSTAR_TLS: engine, NODE_EXTRA_CA_CERTS: file });
        assert.equal(lines.slice(0, 2), [`${engine === 'auto' ? 'addon' : engine} true`, 'is resumed: true']);
        assert.match(lines[2], /^FEATHERSTAR_TLS /);
      });
    }

    test('setDefaultCACertificates()', async () => {
      const outcomes = await ask({ CHANGES: '1' });
      assert.equal(outcomes.slice(0, 3), [refused, refused, 'node:tls true']); // those of Node are not in the list
      assert.match(outcomes[3], /^(addon|node:tls) true$/);
      assert.is(outcomes[4], refused);
    });
  } else console.log('# skipped: setDefaultCACertificates(): this Node has none');
}
test.run();
