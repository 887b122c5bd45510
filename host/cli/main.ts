#!/usr/bin/env node
// The command `featherstar`.
//
//   featherstar serve app.js --port 8080     a server on every core: serve({ module }), until SIGINT or SIGTERM
//   featherstar sim app.js --seeds 1000      a program in a simulated world, with many seeds (sim.ts)
//
// Exit codes: 0 when it was told to close and has, 1 when it cannot start, 2 when the command line is wrong. A second
// signal ends it at once, with 128 + the number of the signal.

import { existsSync, readFileSync } from 'node:fs';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { FeatherstarError } from '../base/errors.js';
import { type ServeModuleOptions, serveModule } from '../http/serve-module.js';
import { systemdSockets } from '../net/systemd.js';
import { RUNTIME_FLAGS, RUNTIME_HELP, runtimeOptions } from '../runtime/flags.js';
import type { RuntimeOptions } from '../runtime/options.js';
import { waitForSignal } from '../runtime/signals.js';

const WRONG_USAGE = 2;
const PORT = 8080;

const HELP = `Usage: featherstar serve <module> [options]
       featherstar sim <program> [options]      (featherstar sim --help)

Serves HTTP on every core. The module has "export default { fetch(request) { return new Response(...) } }".
A TypeScript module needs Node >= 22.18, Bun or Deno.

Options:
  --port N                    port to listen on; 0: any free one (PORT, default ${PORT})
  --hostname ADDRESS          address or name to listen on (default 0.0.0.0: all addresses)
  --share-port                other processes that say so too may listen on the port
  --fd N|systemd[:NAME]       listen on a descriptor that is open already, or on a socket of systemd's
  --drain-ms N                how long to go on serving after a signal, so that clients can leave (default 0)
  --help                      this text
  --version                   the version of featherstar

${RUNTIME_HELP}`;

/** A complaint about the command line. */
class UsageError extends Error {}

const OWN = {
  port: { type: 'string' },
  hostname: { type: 'string' },
  'share-port': { type: 'boolean' },
  fd: { type: 'string' },
  'drain-ms': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const;

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The command line without the runtime's options. Throws UsageError for an option that is not known. */
function parseFlags(args: string[]) {
  const { tokens } = parseArgs({ args, options: OWN, strict: false, tokens: true });
  const names = Object.keys(OWN);
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    if (!names.includes(token.name)) {
      const known = [...names.map((name) => `--${name}`), ...RUNTIME_FLAGS].join(', ');
      throw new UsageError(`Unknown option ${token.rawName}. Known options: ${known}`);
    }
  }
  try {
    return parseArgs({ args, options: OWN, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function portOf(text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw new UsageError(`--port must be an integer from 0 to 65535, not ${JSON.stringify(text)}`);
}

/** The descriptor that `--fd` names. */
function fdOf(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  const [word, name] = text.split(/:(.*)/s);
  if (word !== 'systemd') throw new UsageError(`--fd must be a number or systemd[:NAME], not ${JSON.stringify(text)}`);
  const socket = systemdSockets().find((each) => name === undefined || each.name === name);
  if (socket !== undefined) return socket.fd;
  const what = name === undefined ? 'no socket' : `no socket with the name ${JSON.stringify(name)}`;
  throw new FeatherstarError('FEATHERSTAR_OPTION', `--fd ${text}: systemd has opened ${what} for this process`);
}

/** The URL of the module, if this runtime can load it. */
function moduleOf(path: string): URL {
  const full = resolve(path);
  if (!existsSync(full)) throw new FeatherstarError('FEATHERSTAR_MODULE', `there is no file ${full}`);
  const isTypeScript = ['.ts', '.mts'].includes(extname(full));
  const { versions, features } = process;
  const runsTypeScript = 'bun' in versions || 'deno' in versions || ('typescript' in features && features.typescript);
  if (isTypeScript && !runsTypeScript) {
    const text = `Node ${versions.node} cannot run ${full}: TypeScript needs Node >= 22.18, Bun or Deno`;
    throw new FeatherstarError('FEATHERSTAR_MODULE', text);
  }
  return pathToFileURL(full);
}

type ListenFlags = Pick<ServeModuleOptions, 'port' | 'hostname' | 'sharePort' | 'fd' | 'drainMs'>;

async function serveFile(path: string, flags: ListenFlags, { shards, ...runtime }: RuntimeOptions): Promise<void> {
  const server = await serveModule({ ...flags, module: moduleOf(path), shards, runtime });
  const { summary, sharesPorts, shardCount } = server.runtime;
  const alone = sharesPorts || shardCount === 1 ? '' : ' · shard 0 listens for all: shards cannot share a port here';
  print(`featherstar listening on ${server.url} · ${summary}${alone}`);
  await waitForSignal(['SIGTERM', 'SIGINT']);
  await server.close();
}

/** Resolves with the exit code. */
async function sim(args: string[]): Promise<number> {
  const { runSim, SIM_HELP, SimUsageError } = await import('./sim.js'); // a server needs none of it
  if (args.includes('--help') || args.includes('-h')) {
    print(SIM_HELP);
    return 0;
  }
  return runSim(args).catch((error: unknown) => {
    throw error instanceof SimUsageError ? new UsageError(error.message) : error;
  });
}

async function main(args: string[]): Promise<void> {
  const { options, rest } = runtimeOptions(args);
  const { values, positionals } = parseFlags(rest);
  if (values.help) return print(HELP);
  if (values.version) {
    const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'));
    return print(version);
  }
  const [command, path, ...more] = positionals;
  if (command !== 'serve' || path === undefined || more.length > 0) {
    throw new UsageError('the command is: featherstar serve <module>');
  }
  const fd = values.fd === undefined ? undefined : fdOf(values.fd);
  const port = values.port ?? (fd === undefined ? (process.env.PORT ?? String(PORT)) : undefined);
  const address = { port: port === undefined ? undefined : portOf(port), hostname: values.hostname };
  const drainMs = values['drain-ms'] === undefined ? undefined : Number(values['drain-ms']);
  await serveFile(path, { ...address, sharePort: values['share-port'], fd, drainMs }, options);
}

function fail(error: unknown): number {
  if (error instanceof UsageError) {
    console.error(`featherstar: ${error.message}\nTry: featherstar --help, or featherstar sim --help`);
    return WRONG_USAGE;
  }
  if (!FeatherstarError.is(error)) throw error;
  console.error(`${error.code}: ${error.message}`);
  // A module that cannot be loaded is the program's: its author wants the line.
  if (error.code === 'FEATHERSTAR_MODULE' && error.cause instanceof Error) console.error(error.cause.stack);
  return 1;
}

try {
  const [command, ...rest] = process.argv.slice(2);
  if (command === 'sim') process.exit(await sim(rest));
  await main(process.argv.slice(2));
  process.exit(0); // the module may have timers that nothing ends
} catch (error) {
  process.exit(fail(error));
}
