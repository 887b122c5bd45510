// Checks that a history is linearizable: each operation seems to happen at one moment between its call and its return.
// So one order explains all results.
//
// The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993). It takes an operation that
// may be the next one, applies it to the model, and goes on. If that leads nowhere, it takes the operation back. Lowe
// ("Testing for linearizability", 2017) prunes it: no pair of the operations that are taken, and the state that they
// lead to, is tried twice. Operations on different keys are checked apart, because linearizability is local (Herlihy
// and Wing, 1990).
//
//   entries by time:  call a -- call b -- return a -- call c -- return b -- ...
//                       ^ before the first return, each call is a candidate
//
// Next: models.ts.

import { FeatherstarError, optionError } from '../base/errors.js';
import type { HistoryModel } from './models.js';

/** One operation of a client. */
export interface HistoryOperation<Input, Output> {
  /** The client, which has one operation at a time. */
  readonly client: number | string;
  /** The request. */
  readonly input: Input;
  /** The result; undefined if it is not known whether the operation happened. */
  readonly output: Output | undefined;
  /** The time of the call, ms. */
  readonly startMs: number;
  /** The time of the return, ms. Infinity: there was none, so it may have happened at any time, or never. */
  readonly endMs: number;
}

/** The result of `checkLinearizable()`. */
export interface Linearizability<Input, Output> {
  /** One order explains all results. */
  readonly isLinearizable: boolean;
  /** An order that explains as many operations as possible, of the part that cannot be explained, or of the whole. */
  readonly longest: readonly HistoryOperation<Input, Output>[];
  /** A picture: the operations of each client over time, and those that no order explains. */
  readonly text: string;
}

/** Records the operations of clients, to be checked. */
export class History<Input, Output> {
  readonly #operations: HistoryOperation<Input, Output>[] = [];
  readonly #now: () => number;

  /** `now`: the time, ms. Default: performance.now(), which is the world's in a simulation. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** The operations that have begun, by the time of their end. */
  get operations(): readonly HistoryOperation<Input, Output>[] {
    return this.#operations;
  }

  /**
   * Runs an operation and records it. Resolves or rejects as `run` does. If `run` rejects, the operation may have
   * happened or not; let `run` resolve with an output that says so if it certainly has not.
   */
  async record(client: number | string, input: Input, run: () => Promise<Output>): Promise<Output> {
    const startMs = this.#now();
    const index = this.#operations.push({ client, input, output: undefined, startMs, endMs: Infinity }) - 1;
    const output = await run();
    this.#operations[index] = { client, input, output, startMs, endMs: this.#now() };
    return output;
  }
}

/** A call or a return, in a list by time. */
class HistoryEntry<Input, Output> {
  prev: HistoryEntry<Input, Output> | undefined;
  next: HistoryEntry<Input, Output> | undefined;
  /** Of a call: the return. */
  match: HistoryEntry<Input, Output> | undefined;

  constructor(
    readonly operation: HistoryOperation<Input, Output> | undefined,
    readonly number: number,
    readonly atMs: number,
    readonly isCall: boolean,
  ) {}

  unlink(): void {
    if (this.prev !== undefined) this.prev.next = this.next;
    if (this.next !== undefined) this.next.prev = this.prev;
  }

  relink(): void {
    if (this.prev !== undefined) this.prev.next = this;
    if (this.next !== undefined) this.next.prev = this;
  }
}

type Operations<Input, Output> = readonly HistoryOperation<Input, Output>[];

/**
 * All entries by time, behind a head that is none. Of a return and a call at one time the call is first: they overlap.
 */
function listOf<Input, Output>(operations: Operations<Input, Output>): HistoryEntry<Input, Output> {
  const entries = operations.flatMap((operation, number) => {
    const call = new HistoryEntry(operation, number, operation.startMs, true);
    call.match = new HistoryEntry(operation, number, operation.endMs, false);
    return [call, call.match];
  });
  entries.sort((a, b) => compareTimes(a.atMs, b.atMs) || Number(b.isCall) - Number(a.isCall) || a.number - b.number);
  const head = new HistoryEntry<Input, Output>(undefined, -1, 0, false);
  let last = head;
  for (const entry of entries) {
    last.next = entry;
    entry.prev = last;
    last = entry;
  }
  return head;
}

const compareTimes = (a: number, b: number) => (a === b ? 0 : a < b ? -1 : 1);

/** JSON, which has no Map and no Set: all of them would be one state. */
function keyOfState(state: unknown): string {
  return JSON.stringify(state, (_, value) => {
    if (value instanceof Map) return { map: [...value] };
    return value instanceof Set ? { set: [...value] } : value;
  });
}

/** Undefined: an order explains all. Else the longest order that was found. */
function linearize<State, Input, Output>(
  operations: Operations<Input, Output>,
  model: HistoryModel<State, Input, Output>,
): { isLinearizable: boolean; longest: number[] } {
  const keyOf = model.keyOf ?? keyOfState;
  const head = listOf(operations);
  const taken = new Uint8Array(operations.length);
  const seen = new Set<string>();
  const stack: { call: HistoryEntry<Input, Output>; before: State }[] = [];
  let longest: number[] = [];
  let state = model.initial();
  let entry = head.next;
  for (;;) {
    // Operations without a return are at the end: nothing has to explain them.
    if (entry === undefined || (!entry.isCall && entry.atMs === Infinity)) {
      return { isLinearizable: true, longest: stack.map(({ call }) => call.number) };
    }
    if (entry.isCall) {
      const after = model.apply(state, entry.operation?.input as Input, entry.operation?.output);
      if (after !== undefined) {
        taken[entry.number] = 1;
        const key = `${taken.join('')} ${keyOf(after.state)}`;
        if (!seen.has(key)) {
          seen.add(key);
          stack.push({ call: entry, before: state });
          state = after.state;
          entry.unlink();
          entry.match?.unlink();
          entry = head.next;
          continue;
        }
        taken[entry.number] = 0;
      }
      entry = entry.next;
      continue;
    }
    // The operation that returns here has to be taken before, and no candidate leads there.
    if (stack.length > longest.length) longest = stack.map(({ call }) => call.number);
    const last = stack.pop();
    if (last === undefined) return { isLinearizable: false, longest };
    taken[last.call.number] = 0;
    state = last.before;
    last.call.match?.relink();
    last.call.relink();
    entry = last.call.next;
  }
}

/**
 * Checks whether one order explains the results of all operations. Takes time that grows with how many overlap: keep
 * histories at some hundred operations for each key. Throws FEATHERSTAR_OPTION if an operation ends before it begins.
 */
export function checkLinearizable<State, Input, Output>(
  history: History<Input, Output> | Operations<Input, Output>,
  model: HistoryModel<State, Input, Output>,
): Linearizability<Input, Output> {
  const operations = history instanceof History ? history.operations : history;
  for (const { startMs, endMs } of operations) {
    if (!(endMs >= startMs)) throw optionError('endMs', endMs, `at least the operation's startMs, ${startMs}`);
  }
  const parts = new Map<string, HistoryOperation<Input, Output>[]>();
  for (const operation of operations) {
    const key = model.partOf?.(operation.input) ?? '';
    const part = parts.get(key);
    if (part === undefined) parts.set(key, [operation]);
    else part.push(operation);
  }
  let longest: HistoryOperation<Input, Output>[] = [];
  for (const part of parts.values()) {
    const result = linearize(part, model);
    const order = result.longest.map((number) => part[number] as HistoryOperation<Input, Output>);
    if (!result.isLinearizable) {
      return { isLinearizable: false, longest: order, text: historyPicture(part, order) };
    }
    longest = longest.concat(order);
  }
  return { isLinearizable: true, longest, text: 'one order explains all results' };
}

/** Throws FEATHERSTAR_SIMULATION, with the picture, if the history is not linearizable. */
export function assertLinearizable<State, Input, Output>(
  history: History<Input, Output> | Operations<Input, Output>,
  model: HistoryModel<State, Input, Output>,
): void {
  const { isLinearizable, text } = checkLinearizable(history, model);
  if (!isLinearizable) throw new FeatherstarError('FEATHERSTAR_SIMULATION', `the history is not linearizable\n${text}`);
}

const COLUMNS = 40;
const AROUND = 12; // operations that are shown before and behind the first that is not explained

function historyPicture<Input, Output>(
  operations: Operations<Input, Output>,
  order: Operations<Input, Output>,
): string {
  const explained = new Set(order);
  const sorted = [...operations].sort((a, b) => compareTimes(a.startMs, b.startMs));
  const first = sorted.findIndex((operation) => !explained.has(operation));
  const shown = sorted.slice(Math.max(0, first - AROUND), first + AROUND);
  const fromMs = Math.min(...shown.map(({ startMs }) => startMs));
  const toMs = Math.max(
    ...shown.flatMap(({ startMs, endMs }) => (endMs === Infinity ? [startMs] : [endMs])),
    fromMs + 1,
  );
  const column = (ms: number) => Math.round(((Math.min(ms, toMs) - fromMs) / (toMs - fromMs)) * (COLUMNS - 1));
  const lines = shown.map((operation) => {
    const { client, input, output, startMs, endMs } = operation;
    const [from, to] = [column(startMs), column(endMs)];
    const bar = `${' '.repeat(from)}|${'-'.repeat(Math.max(0, to - from - 1))}${endMs === Infinity ? '>' : '|'}`;
    const result = output === undefined ? 'no result' : JSON.stringify(output);
    const mark = explained.has(operation) ? ' ' : 'x';
    const end = endMs === Infinity ? 'open' : `${endMs.toFixed(3)} ms`;
    const when = `${startMs.toFixed(3)} to ${end}`;
    return `${mark} ${bar.padEnd(COLUMNS + 1)} client ${client}: ${JSON.stringify(input)} -> ${result}  (${when})`;
  });
  const count = operations.length - order.length;
  return [
    `no order explains more than ${order.length} of ${operations.length} operations; x: not explained (${count})`,
    ...lines,
  ].join('\n');
}
