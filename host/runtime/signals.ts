// Process signals for users, on any shard. signal-board.ts carries them there.

import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { abortable, type WaitOptions } from '../base/abortable.js';
import { FeatherstarError, optionError } from '../base/errors.js';
import { checkWait } from '../base/options.js';
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
 * Waits for one of these signals of the process, on any shard, and resolves to its name. After that, one more SIGINT,
 * SIGTERM or SIGQUIT ends the process with 128 + its number, until the runtime has closed or a caller waits again.
 * Rejects with FEATHERSTAR_TIMEOUT, the reason of `signal`, FEATHERSTAR_OPTION, FEATHERSTAR_STATE, or
 * FEATHERSTAR_NO_SHARD.
 *
 * @example
 * await waitForSignal(['SIGINT', 'SIGTERM']);
 * await runtime.close();
 */
export async function waitForSignal(names: readonly SignalName[], options: WaitOptions = {}): Promise<SignalName> {
  const board = boardHere();
  const checked = checkSignalNames(names);
  checkWait(options);
  return abortable<SignalName>((resolve) => {
    const listener: SignalListener = { names: checked, once: true, fn: resolve };
    board.add(listener);
    return () => board.remove(listener);
  }, options);
}

/**
 * Runs `fn` on this shard for each signal of that name. Returns a function that ends this. While a promise of `fn` is
 * pending, one more SIGINT, SIGTERM or SIGQUIT ends the process with 128 + its number. Throws FEATHERSTAR_OPTION, or
 * FEATHERSTAR_NO_SHARD outside a runtime.
 *
 * @example
 * const stop = onSignal('SIGHUP', () => reload());
 */
export function onSignal(name: SignalName, fn: (name: SignalName) => unknown): () => void {
  const board = boardHere();
  if (typeof fn !== 'function') throw optionError('fn', fn, 'a function');
  const listener: SignalListener = { names: checkSignalNames([name]), once: false, fn };
  board.add(listener);
  return () => board.remove(listener);
}
