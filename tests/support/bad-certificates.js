// Certificates that something is wrong with, made by the command `openssl`: all that a client has to refuse. Each is
// { key, cert }, as a server takes them.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const CONFIG = `
[ca]
default_ca = own
[own]
database = index.txt
new_certs_dir = .
default_md = sha256
policy = names
unique_subject = no
rand_serial = yes
default_crl_days = 2
[names]
commonName = supplied
`;
const EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
const HERE = 'subjectAltName=DNS:localhost,IP:127.0.0.1';
const AUTHORITY = 'basicConstraints=critical,CA:true';
const YEAR = 365 * 86_400_000;

const dateAfter = (ms) => new Date(Date.now() + ms).toISOString().replace(/[-:T]|\.\d+/g, '');

/** Makes them in a folder of its own. remove() takes the folder away. */
export function makeCertificates() {
  const folder = mkdtempSync(join(tmpdir(), 'featherstar-bad-'));
  const run = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const read = (file) => readFileSync(join(folder, file), 'utf8');
  const write = (file, text) => writeFileSync(join(folder, file), text);
  let count = 0;

  /** `signer`: what this returned before. Without one the certificate has signed itself. */
  function issue(name, signer, extensions = [HERE], { from = -86_400_000, until = YEAR, key = EC, digest } = {}) {
    const file = String(count++);
    run('req', '-new', ...key, '-nodes', '-keyout', `${file}.key`, '-out', `${file}.csr`, '-subj', `/CN=${name}`);
    write(`${file}.ext`, `${extensions.join('\n')}\n`);
    const by = signer?.file ?? file;
    const self = signer === undefined ? ['-selfsign'] : ['-cert', `${by}.pem`];
    const dates = ['-startdate', dateAfter(from), '-enddate', dateAfter(until)];
    const options = ['-in', `${file}.csr`, '-extfile', `${file}.ext`, '-out', `${file}.pem`, '-notext'];
    const hash = digest === undefined ? [] : ['-md', digest];
    run('ca', '-batch', '-config', 'ca.cnf', ...self, '-keyfile', `${by}.key`, ...dates, ...hash, ...options);
    return { file, key: read(`${file}.key`), cert: read(`${file}.pem`) };
  }

  write('ca.cnf', CONFIG);
  write('index.txt', '');
  const root = issue('root', undefined, [AUTHORITY]);
  const stranger = issue('stranger', undefined, [AUTHORITY]);
  const middle = issue('middle', root, [AUTHORITY]);
  const oldMiddle = issue('old middle', root, [AUTHORITY], { until: -1000 });
  const narrow = issue('narrow', root, [AUTHORITY, 'nameConstraints=critical,permitted;DNS:other.example']);
  const short = issue('short', root, ['basicConstraints=critical,CA:true,pathlen:0']);
  const tooDeep = issue('too deep', short, [AUTHORITY]);
  const good = issue('localhost', root);
  const chain = (leaf, ...signers) => ({ ...leaf, cert: [leaf, ...signers].map(({ cert }) => cert).join('') });
  const revoked = issue('localhost', root);
  const signer = ['-config', 'ca.cnf', '-cert', `${root.file}.pem`, '-keyfile', `${root.file}.key`];
  run('ca', ...signer, '-revoke', `${revoked.file}.pem`);
  run('ca', ...signer, '-gencrl', '-out', 'crl.pem');

  return {
    /** The authorities that clients trust, or not. */
    root: root.cert,
    middle: middle.cert,
    crl: read('crl.pem'),
    client: issue('client', root, ['extendedKeyUsage=clientAuth']),
    revoked,
    good,
    /** By what is wrong. */
    servers: {
      'nothing is wrong': good,
      'nothing is wrong, and there is one between': chain(issue('localhost', middle), middle),
      'it is over': issue('localhost', root, [HERE], { until: -1000 }),
      'it has not begun': issue('localhost', root, [HERE], { from: 86_400_000 }),
      'it has signed itself': issue('localhost', undefined, [HERE]),
      'an unknown authority': issue('localhost', stranger),
      'an unknown authority, which is sent': chain(issue('localhost', stranger), stranger),
      'the one between is not sent': issue('localhost', middle),
      'the one between is over': chain(issue('localhost', oldMiddle), oldMiddle),
      'another name': issue('other.example', root, ['subjectAltName=DNS:other.example']),
      'a name only as its subject': issue('localhost', root, ['keyUsage=digitalSignature']),
      'a name of a longer name': issue('localhost', root, ['subjectAltName=DNS:localhost.example,DNS:a.localhost']),
      'for clients only': issue('localhost', root, [HERE, 'extendedKeyUsage=clientAuth']),
      'the signer is no authority': chain(issue('localhost', good), good),
      'the authority may not sign this name': chain(issue('localhost', narrow), narrow),
      'the chain is longer than an authority allows': chain(issue('localhost', tooDeep), tooDeep, short),
      'the signature is wrong': withWrongSignature(good),
      'a short key': issue('localhost', root, [HERE], { key: ['-newkey', 'rsa:1024'] }),
      'an old digest': issue('localhost', root, [HERE], { digest: 'sha1' }),
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}

function withWrongSignature({ key, cert }) {
  const der = Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  der[der.length - 1] ^= 1;
  const lines = der.toString('base64').replace(/.{64}/g, '$&\n');
  return { key, cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n` };
}
