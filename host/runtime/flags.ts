// The options that every program on featherstar has without code of its own. The environment sets the options that a
// program does not give to Runtime.start(). Flags cost it one call of runtimeOptions().
//
//   argv, environment --> runtimeOptions() --> { options for Runtime.start(), rest: the program's own arguments }
//
// Nothing is checked here but that a flag has its value: options.ts checks what start() is given, wherever it is from.

import { parseArgs } from 'node:util';
import { optionError } from '../base/errors.js';
import type { RuntimeOptions } from './options.js';

interface Flag {
  flag: string;
  env: string;
  option: keyof RuntimeOptions;
  value: string;
  help: string;
}

const FLAGS: readonly Flag[] = [
  { flag: 'shards', env: 'FEATHERSTAR_SHARDS', option: 'shards', value: 'N|auto', help: 'number of shards' },
  {
    flag: 'cpuset',
    env: 'FEATHERSTAR_CPUSET',
    option: 'cpuset',
    value: '0-3,5|auto|none',
    help: 'processors, one a shard',
  },
  {
    flag: 'memory',
    env: 'FEATHERSTAR_MEMORY',
    option: 'memoryPerShard',
    value: '64M',
    help: 'memory of each shard',
  },
  {
    flag: 'host',
    env: 'FEATHERSTAR_HOST',
    option: 'host',
    value: 'auto|uring|portable',
    help: 'the kernel: io_uring, or what Node offers',
  },
  {
    flag: 'task-quota-us',
    env: 'FEATHERSTAR_TASK_QUOTA_US',
    option: 'taskQuotaUs',
    value: 'µs',
    help: 'longest run of tasks in one turn',
  },
  {
    flag: 'idle-poll-us',
    env: 'FEATHERSTAR_IDLE_POLL_US',
    option: 'idlePollUs',
    value: 'µs',
    help: 'longest poll before a sleep',
  },
  {
    flag: 'stall-ms',
    env: 'FEATHERSTAR_STALL_MS',
    option: 'stallMs',
    value: 'ms',
    help: 'warn of what keeps a shard for longer; 0: never',
  },
  {
    flag: 'check-memory',
    env: 'FEATHERSTAR_CHECK_MEMORY',
    option: 'checkMemory',
    value: '1|0',
    help: 'find late writes to blocks, and writes between shards (slow)',
  },
];

/** The names of these flags, as `--shards`. */
export const RUNTIME_FLAGS: readonly string[] = FLAGS.map(({ flag }) => `--${flag}`);

/** Text for `--help` about these options: one line each. */
export const RUNTIME_HELP = [
  'Options of the runtime (each has a twin in the environment):',
  ...FLAGS.map(({ flag, value, env, help }) => `  ${`--${flag} ${value}`.padEnd(28)}${help} (${env})`),
  '',
].join('\n');

/** Environment variables, like `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** A number if it is one; anything else stays as it is, for the check to name it. */
function numberOrText(text: string): string | number {
  return /^\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
}

/** The values of the environment, for options that `given` leaves open. */
export function withEnvironment(given: RuntimeOptions, env: Environment): RuntimeOptions {
  const options: Record<string, unknown> = { ...given };
  for (const { env: name, option } of FLAGS) {
    const text = env[name];
    if (options[option] === undefined && text) options[option] = option === 'cpuset' ? text : numberOrText(text);
  }
  return options as RuntimeOptions;
}

/** A program's arguments, taken apart by `runtimeOptions()`. */
export interface ProgramOptions {
  /** For Runtime.start(); only what was given. */
  options: RuntimeOptions;
  /** The arguments that are not the runtime's, in their order. */
  rest: string[];
}

/**
 * Takes --shards, --cpuset, --memory, --host, --task-quota-us, --idle-poll-us, --stall-ms and --check-memory out of a
 * program's arguments, up to `--`. A flag outranks its twin in the environment (but see RuntimeOptions.host), the
 * last one of several counts. `own`: flags of this name that the program keeps for itself, such as 'host'. Throws
 * FEATHERSTAR_OPTION for a flag without a value; a value that is wrong is refused by Runtime.start().
 */
export function runtimeOptions(
  argv: readonly string[] = process.argv.slice(2),
  env: Environment = process.env,
  own: readonly string[] = [],
): ProgramOptions {
  const flags = FLAGS.filter(({ flag }) => !own.includes(flag));
  const { tokens } = parseArgs({
    args: [...argv],
    options: Object.fromEntries(flags.map(({ flag }) => [flag, { type: 'string' as const }])),
    strict: false, // what it does not know is the program's
    tokens: true,
  });
  const given: Record<string, unknown> = {};
  const taken = new Set<number>();
  for (const token of tokens) {
    const flag = token.kind === 'option' ? flags.find((known) => known.flag === token.name) : undefined;
    if (token.kind !== 'option' || flag === undefined) continue;
    if (!token.value) throw optionError(`--${flag.flag}`, token.value, `given a value: ${flag.value}`);
    given[flag.option] = flag.option === 'cpuset' ? token.value : numberOrText(token.value);
    taken.add(token.index);
    if (!token.inlineValue) taken.add(token.index + 1);
  }
  return { options: withEnvironment(given, env), rest: argv.filter((_, index) => !taken.has(index)) };
}
