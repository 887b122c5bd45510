// What a host lacks, and why: behaviours that fail there, and are to fail. One that works after all is a failure of
// this table. `when` narrows a lack to where it is one.

const [major, minor] = process.versions.node.split('.').map(Number);
const isBun = process.versions.bun !== undefined;
const isDeno = 'Deno' in globalThis;
const hasReusePort = isBun || isDeno || major > 22 || (major === 22 && minor >= 12);

export const LACKS = [
  {
    host: 'portable',
    behaviour: 'shared: several shards listen on one port, and each gets connections',
    when: !hasReusePort || process.platform !== 'linux',
    reason: 'node:net has reusePort since Node 22.12; listener.spread() does it everywhere',
  },
  ...['uring', 'portable', 'sim'].map((host) => ({
    host,
    behaviour: "node: a server of Node's own http.Server",
    when: isBun || isDeno,
    reason: 'the http.Server of Bun and Deno takes no sockets: use serve()',
  })),
  {
    host: 'sim',
    behaviour: /^tls: /,
    when: !isDeno,
    reason: isBun ? 'Bun has no tls.Server that can be used' : 'TLS draws random numbers without a seed',
  },
  ...['uring', 'portable'].map((host) => ({
    host,
    behaviour: /^tls: /,
    when: isBun,
    reason: 'Bun has no tls.Server that can be used',
  })),
  ...['uring', 'portable', 'sim'].flatMap((host) => [
    {
      host,
      behaviour: 'tls: sni as a function',
      when: isDeno,
      reason: 'the tls.Server of Deno does not wait for a certificate',
    },
    {
      host,
      behaviour: 'tls: a session is resumed',
      when: isDeno,
      reason: 'the tls.Server of Deno resumes no sessions',
    },
  ]),
  {
    host: 'browser',
    behaviour: /^(tls|tcp|shared|udp|files|http|lent|node|signals): |^abort: (accept|read|write|receive|file)|^end: /,
    reason: 'a page has no sockets, files or signals of a process',
  },
  { host: 'browser', behaviour: /^(read into|pipes|chains)/, reason: 'a page has no sockets' },
  { host: 'browser', behaviour: /^restart: /, reason: 'a page starts no shard again' },
];

export function lackOf(host, name) {
  const isMeant = ({ behaviour }) => (typeof behaviour === 'string' ? behaviour === name : behaviour.test(name));
  return LACKS.find((lack) => lack.host === host && lack.when !== false && isMeant(lack));
}
