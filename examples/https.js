// A server with TLS: HTTP/1.1 and HTTP/2 on one port, and a new certificate without a restart.
// It makes certificates by the command `openssl`. A real server reads its files instead.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { blockOn, runtimeOptions } from 'featherstar';
import { createClient } from 'featherstar/client';
import { Response, serve } from 'featherstar/http';

/** A key and a certificate that signs itself, for this machine. */
function makeCertificate(organization) {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-https-'));
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  const names = ['-subj', `/O=${organization}/CN=localhost`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  execFileSync('openssl', ['req', ...kind, ...names, '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' });
  const pair = { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') };
  rmSync(folder, { recursive: true });
  return pair;
}

await blockOn(async () => {
  const first = makeCertificate('first');
  const server = await serve({
    hostname: '127.0.0.1',
    tls: first,
    fetch: (_request, { tls }) => new Response(`${tls.protocol}, ${tls.alpnProtocol ?? 'http/1.1'}`),
  });

  /** One request by a client that trusts `ca`. */
  async function ask(ca, http2 = false) {
    const client = createClient({ tls: { ca }, http2 });
    try {
      return await (await client.fetch(server.url)).text();
    } catch (error) {
      return error.cause.code;
    } finally {
      await client.close();
    }
  }
  console.log(`without HTTP/2: ${await ask(first.cert)}`);
  console.log(`with HTTP/2: ${await ask(first.cert, true)}`);

  // Connections that come from now on have the new certificate. Open ones keep the one they have.
  const second = makeCertificate('second');
  server.setSecureContext(second);
  console.log(`the old certificate: ${await ask(first.cert)}`);
  console.log(`the new certificate: ${await ask(second.cert)}`);
  await server.close();
}, runtimeOptions().options);

// It prints:
//   without HTTP/2: TLSv1.3, http/1.1
//   with HTTP/2: TLSv1.3, h2
//   the old certificate: DEPTH_ZERO_SELF_SIGNED_CERT
//   the new certificate: TLSv1.3, http/1.1
