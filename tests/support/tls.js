// A key and a certificate for localhost, valid until 2126. They protect nothing: both are public. And the ways in which
// a server can do TLS, which run the same tests.

import { currentShard } from '../../dist/host/shard/shard.js';
import { recordEngine } from '../../dist/host/tls/record-engine.js';
import { hosts } from './hosts.js';

export const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1skYKkc5J1g3d53P
dkICNwO19YAoDHSR0WuKL8i47xChRANCAAReK+HtZrrNr6gJ/N5AfiQztwBoEMIb
BlyFr8lWRgzya+o0y90vJWVINZpiYowEufO4kUWGhAVV+0L7xEL8HuE4
-----END PRIVATE KEY-----`;

export const cert = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUa/CUoFXli78kn0S23Kuu0mJUn8owCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzIyMjgyMloYDzIxMjYxMTAz
MjIyODIyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAReK+HtZrrNr6gJ/N5AfiQztwBoEMIbBlyFr8lWRgzya+o0y90vJWVI
NZpiYowEufO4kUWGhAVV+0L7xEL8HuE4o28wbTAdBgNVHQ4EFgQUlmzVKCKkx9Im
Xgsh3cNS+zTdYaMwHwYDVR0jBBgwFoAUlmzVKCKkx9ImXgsh3cNS+zTdYaMwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSAAwRQIgJdRKRno9B23nDshWFRKZz1ULxFVuQMu6/SzcyHsGiQsCIQCb
7Pt8uM89QSuvn7T5uJhE4x9NmTZe/RyjVjso4MX/ug==
-----END CERTIFICATE-----`;

/**
 * Each host with each engine that can do TLS on it: { host, engine }. Use chooseEngine() before the server begins. The
 * addon takes options that it cannot do to node:tls, so it is called 'auto' then.
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

/** Whether the addon has found an OpenSSL in this process. Says so if not. */
export function hasRecordEngine() {
  const has = recordEngine(currentShard()) !== undefined;
  if (!has) console.log('# skipped: TLS by the addon: there is no OpenSSL that it can use');
  return has;
}
