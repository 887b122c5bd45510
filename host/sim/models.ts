// Models of linearizable objects, one operation at a time: a register, a set, a queue, an append-only list. A program
// can write its own model.
//
// Next: history.ts.

/** A model of an object. `State`: plain data that is never changed, only replaced. */
export interface HistoryModel<State, Input, Output> {
  /** The state at first. */
  initial(): State;
  /**
   * Applies an operation: the state after it, or undefined if the operation cannot have this output in this state. An
   * `output` of undefined is not known, and so always possible.
   */
  apply(state: State, input: Input, output: Output | undefined): { state: State } | undefined;
  /** Operations with different results of this do not influence each other. Default: they all may. */
  partOf?(input: Input): string;
  /** A text that is equal for equal states. Default: JSON, in which a Map or a Set is a list. */
  keyOf?(state: State): string;
}

/** An operation on a register; each `key` is a register of its own. */
export type RegisterInput<T> =
  | { readonly type: 'read'; readonly key?: string }
  | { readonly type: 'write'; readonly value: T; readonly key?: string }
  | { readonly type: 'compareAndSet'; readonly expected: T; readonly value: T; readonly key?: string };

/** A model of registers. The output of a read is the value; of a compare and set, whether it was set. */
export function registerModel<T>(initial: T): HistoryModel<T, RegisterInput<T>, unknown> {
  return {
    initial: () => initial,
    partOf: ({ key }) => key ?? '',
    apply(state, input, output) {
      if (input.type === 'write') return { state: input.value };
      if (input.type === 'read') return isEqual(output, state) ? { state } : undefined;
      const isSet = isSameValue(state, input.expected);
      return isEqual(output, isSet) ? { state: isSet ? input.value : state } : undefined;
    },
  };
}

/** An operation on a set of strings; each value is checked by itself. */
export interface SetInput {
  readonly type: 'add' | 'delete' | 'has';
  readonly value: string;
}

/** A model of a set. The output of each operation says whether the value was in the set before. */
export function setModel(): HistoryModel<boolean, SetInput, boolean> {
  return {
    initial: () => false,
    partOf: ({ value }) => value,
    apply(state, { type }, output) {
      if (!isEqual(output, state)) return undefined;
      return { state: type === 'has' ? state : type === 'add' };
    },
  };
}

/** An operation on a queue. */
export type QueueInput<T> = { readonly type: 'enqueue'; readonly value: T } | { readonly type: 'dequeue' };

/** A model of a queue, first in, first out. The output of a dequeue is the value, or null if the queue is empty. */
export function queueModel<T>(): HistoryModel<readonly T[], QueueInput<T>, unknown> {
  return {
    initial: () => [],
    apply(state, input, output) {
      if (input.type === 'enqueue') return { state: [...state, input.value] };
      const [first = null] = state;
      return isEqual(output, first) ? { state: state.slice(1) } : undefined;
    },
  };
}

/** An operation on a list; each `key` is a list of its own. */
export type ListInput<T> =
  | { readonly type: 'append'; readonly value: T; readonly key?: string }
  | { readonly type: 'read'; readonly key?: string };

/** A model of append-only lists. The output of a read is an array of all values, in order. */
export function listModel<T>(): HistoryModel<readonly T[], ListInput<T>, unknown> {
  return {
    initial: () => [],
    partOf: ({ key }) => key ?? '',
    apply(state, input, output) {
      if (input.type === 'append') return { state: [...state, input.value] };
      return isEqual(output, state) ? { state } : undefined;
    },
  };
}

function isSameValue(a: unknown, b: unknown): boolean {
  return Object.is(a, b) || JSON.stringify(a) === JSON.stringify(b);
}

/** Whether an output is this one, or not known. */
function isEqual(output: unknown, wanted: unknown): boolean {
  return output === undefined || isSameValue(output, wanted);
}
