// The authorities that Node trusts when the option `ca` is not given, for the addon.
//
// Next: record-context.ts.

import { createHash, X509Certificate } from 'node:crypto';
import nodeTls from 'node:tls';

/** Since Node 22.15. It is not on other runtimes. */
interface TlsWithAuthorities {
  getCACertificates?: (type: 'default') => readonly string[];
}

type List = readonly string[] | undefined; // in PEM; undefined: this Node has none

/** A function that makes something of Node's list, and makes it again if the list is another one. */
function perList<T>(make: (list: List) => T): () => T {
  let last: { readonly list: List; readonly made: T } | undefined;
  return () => {
    const list = (nodeTls as TlsWithAuthorities).getCACertificates?.('default'); // one array until it is set
    if (last === undefined || last.list !== list) last = { list, made: make(list) };
    return last.made;
  };
}

/** Tells lists of Node apart. '': this Node has no list. */
export const authoritiesDigest = perList((list) => {
  if (list === undefined) return '';
  const hash = createHash('sha256');
  for (const pem of list) hash.update(pem);
  return hash.digest('base64');
});

/**
 * The authorities in DER, the same array until they change. Undefined: the list of Node may lack some.
 * It does with --use-openssl-ca: OpenSSL finds them by itself, and the list of Node lacks those of Node, too.
 */
export const defaultAuthorities = perList((list): readonly Uint8Array[] | undefined => {
  if (list === undefined) return undefined;
  const known = new Set(list);
  const isWhole = nodeTls.rootCertificates.every((pem) => known.has(pem));
  return isWhole ? list.map((pem) => new X509Certificate(pem).raw) : undefined;
});
