// Process signals for users, on any shard. signal-board.ts carries them there.

import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import type { AbortOptions } from '../base/abort.js';
import { abortable } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkSignal } from '../base/options.js';
import { runtime } from './runtime.js';
import type { SignalBoard, SignalListener, SignalName } from './signal-board.js';

export function checkSignalNames(names: unknown): readonly SignalName[] {
  const isSignal = (name: unknown) => typeof name === 'string' && name in constants.signals;
  if (!Array.isArray(names) || names.length === 0 || !names.every(isSignal)) {
    throw optionError('names', Array.isArray(names) ? names.join(',') : names, "names of signals, as ['SIGTERM']");
  }
  for (const name of ['SIGKILL', 'SIGSTOP']) {
    if (names.includes(name)) throw optionError('names', name, 'signals that a process can handle');
  }
  return [...new Set(names as SignalName[])];
}

function boardHere(): SignalBoard {
  const { signals, self } = runtime();
  if (self === 0 && !isMainThread) {
    throw new FeatherstarError('FEATHERSTAR_STATE', 'signals come to the main thread, and the runtime is not in it');
  }
  return signals;
}

/**
 * Resolves to the name of the next of these signals, on any shard. Then the process's default is not back yet: one
 * more SIGINT, SIGTERM or SIGQUIT of them ends the process with 128 + its number, until the runtime has closed or
 * somebody waits again. Rejects with the reason when `signal` aborts; FEATHERSTAR_OPTION, FEATHERSTAR_STATE,
 * FEATHERSTAR_NO_SHARD.
 */
export async function waitForSignal(names: readonly SignalName[], options: AbortOptions = {}): Promise<SignalName> {
  const signal = checkSignal(options.signal);
  const board = boardHere();
  const checked = checkSignalNames(names);
  signal?.throwIfAborted();
  return abortable<SignalName>(
    (resolve) => {
      const listener: SignalListener = { names: checked, once: true, fn: resolve };
      board.add(listener);
      return () => board.remove(listener);
    },
    { signal },
  );
}

/**
 * Runs `fn` on this shard for each signal of that name, until the function that it answers is called. While a promise
 * of `fn` is open, one more SIGINT, SIGTERM or SIGQUIT ends the process with 128 + its number.
 */
export function onSignal(name: SignalName, fn: (name: SignalName) => unknown): () => void {
  const board = boardHere();
  if (typeof fn !== 'function') throw optionError('fn', fn, 'a function');
  const listener: SignalListener = { names: checkSignalNames([name]), once: false, fn };
  board.add(listener);
  return () => board.remove(listener);
}
