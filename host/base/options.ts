// How options and arguments are checked: before anything begins, and in one way for the whole library.
//
//   const CHECKS: Checks<ListenOptions> = { port: integer(0, 65_535), reusePort: checkBoolean, ... };
//   checkOptions(options, CHECKS)     refuses an unknown name, then checks each value that is given
//
// The table is the only list of an object's options: the compiler wants each of them in it, and no other. A check
// throws FEATHERSTAR_OPTION, whose text has the name, what the option takes, and what it got.

import type { WaitOptions } from './abortable.js';
import { FeatherstarError, optionError } from './errors.js';

/** The longest timeout, 100 days. */
export const TIMEOUT_MAX_MS = 8.64e9;

export type Check = (name: string, value: unknown) => unknown;
export type Checks<T> = { readonly [K in keyof T]-?: Check };

/** For an option that is checked where it is used. */
export const checkedLater: Check = () => undefined;

/** Checks each option of an object. `what`: the object, if it is an option itself; then its options are `what.name`. */
export function checkOptions<T extends object>(options: T, checks: Checks<T>, what = ''): T {
  checkObject(what || 'options', options);
  for (const name of Object.keys(options) as (keyof T & string)[]) {
    const fullName = what === '' ? name : `${what}.${name}`;
    if (!Object.hasOwn(checks, name)) {
      const known = Object.keys(checks).join(', ');
      throw new FeatherstarError(
        'FEATHERSTAR_OPTION',
        `Unknown option ${JSON.stringify(fullName)}. Known options: ${known}`,
      );
    }
    const value = options[name];
    if (value !== undefined) checks[name](fullName, value);
  }
  return options;
}

/** Options without those that are undefined, so that they can be spread over defaults. */
export function definedOnly<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) throw optionError(name, value, 'an object');
}

export function checkInteger(name: string, value: unknown, least: number, most: number): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return value as number;
  throw optionError(name, value, `an integer from ${least} to ${most}`);
}

/** `unit`: what is counted, such as 'milliseconds'. */
export function checkNumber(name: string, value: unknown, least: number, most: number, unit = 'a number'): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw optionError(name, value, `${unit} from ${least} to ${most}`);
}

/** A time that something may take. */
export function checkTimeout(name: string, value: unknown, leastMs = 0): number {
  if (typeof value === 'number' && value >= leastMs && value <= TIMEOUT_MAX_MS) return value;
  throw optionError(name, value, `milliseconds from ${leastMs} to 100 days`);
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw optionError(name, value, 'true or false');
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw optionError(name, value, 'a function');
}

export function checkString(name: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw optionError(name, value, 'a string');
}

export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw optionError('signal', signal, 'an AbortSignal');
}

/** An index of a shard. */
export function checkShard(shard: unknown, shardCount: number): number {
  return checkInteger('shard', shard, 0, shardCount - 1);
}

/** The text of a URL. A path would be one beside this file, to `import()`. */
export function checkUrl(name: string, value: unknown): string {
  if (value instanceof URL || (typeof value === 'string' && URL.canParse(value))) return String(value);
  throw optionError(name, value, "a URL, as new URL('./shard.js', import.meta.url)");
}

// --- for tables ------------------------------------------------------------------------------------------------------

export const integer =
  (least: number, most: number): Check =>
  (name, value) =>
    checkInteger(name, value, least, most);

export const number =
  (least: number, most: number, unit?: string): Check =>
  (name, value) =>
    checkNumber(name, value, least, most, unit);

export const oneOf =
  (...values: readonly string[]): Check =>
  (name, value) => {
    if (values.includes(value as string)) return;
    const quoted = values.map((each) => `'${each}'`);
    throw optionError(name, value, `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`);
  };

export const signal: Check = (_, value) => checkSignal(value as AbortSignal);
export const milliseconds: Check = (name, value) => checkTimeout(name, value);

/** Of everything that waits. */
export const WAIT_CHECKS: Checks<WaitOptions> = { signal, timeoutMs: milliseconds };

/** Checks the options of a wait. Throws the reason of a signal that has aborted already. */
export function checkWait(options: WaitOptions): WaitOptions {
  checkOptions(options, WAIT_CHECKS);
  options.signal?.throwIfAborted();
  return options;
}
