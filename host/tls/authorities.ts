// The authorities that Node trusts when the option `ca` is not given, for the addon.
//
// Next: record-context.ts.

import { createHash, X509Certificate } from 'node:crypto';
import nodeTls from 'node:tls';

/** Since Node 22.15. It is not on other runtimes. */
interface TlsWithAuthorities {
  getCACertificates?: (type: 'default') => readonly string[];
}

let lastList: readonly string[] | undefined; // of defaultAuthorities()
let certificates: readonly Uint8Array[] | undefined;
let lastHashed: readonly string[] | undefined; // of authoritiesDigest()
let digest = '';

/** In PEM. Node returns the same array until setDefaultCACertificates(). */
function listOfNode(): readonly string[] | undefined {
  return (nodeTls as TlsWithAuthorities).getCACertificates?.('default');
}

/** Tells lists of Node apart. '': this Node has no list. */
export function authoritiesDigest(): string {
  const list = listOfNode();
  if (list === undefined || list === lastHashed) return digest;
  const hash = createHash('sha256');
  for (const pem of list) hash.update(pem);
  digest = hash.digest('base64');
  lastHashed = list;
  return digest;
}

/**
 * The authorities in DER, the same array until they change. Undefined: the list of Node may lack some.
 * It does with --use-openssl-ca: OpenSSL finds them by itself, and the list of Node lacks those of Node, too.
 */
export function defaultAuthorities(): readonly Uint8Array[] | undefined {
  const list = listOfNode();
  if (list === lastList) return certificates;
  const known = new Set(list);
  const isWhole = nodeTls.rootCertificates.every((pem) => known.has(pem));
  certificates = isWhole ? list?.map((pem) => new X509Certificate(pem).raw) : undefined;
  lastList = list;
  return certificates;
}
