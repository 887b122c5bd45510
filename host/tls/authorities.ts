// The authorities that Node trusts when the option `ca` is not given, for the addon.
//
// Next: record-context.ts.

import { X509Certificate } from 'node:crypto';
import nodeTls from 'node:tls';

/** Since Node 22.15. It is not on other runtimes. */
interface CertificateTeller {
  getCACertificates?: (type: 'default') => readonly string[];
}

let told: readonly string[] | undefined; // in PEM; Node returns the same list until setDefaultCACertificates()
let certificates: readonly Uint8Array[] | undefined;

/**
 * The authorities in DER, the same array until they change. Undefined: Node does not tell them all. With
 * --use-openssl-ca, OpenSSL finds them by itself, and the list of Node lacks its own ones.
 */
export function defaultAuthorities(): readonly Uint8Array[] | undefined {
  const list = (nodeTls as CertificateTeller).getCACertificates?.('default');
  if (list === told) return certificates;
  told = list;
  const known = new Set(list);
  const isWhole = nodeTls.rootCertificates.every((pem) => known.has(pem));
  certificates = isWhole ? list?.map((pem) => new X509Certificate(pem).raw) : undefined;
  return certificates;
}
