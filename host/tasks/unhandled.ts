// Failures that no code awaits: always reported, and fatal only where the runtime's option `unhandled` says so.

import { textOf } from '../base/errors.js';

/**
 * Reports the failure of `what` when the current turn is over, unless `isSeen()` by then. A handle may be awaited a
 * moment after its task has failed.
 */
export function reportUnhandled(
  what: string,
  error: unknown,
  mode: 'warn' | 'throw',
  isSeen: () => boolean = () => false,
): void {
  setImmediate(() => {
    if (isSeen()) return;
    if (mode === 'throw') throw error;
    const text = error instanceof Error ? (error.stack ?? error.message) : textOf(error);
    process.emitWarning(`${what} failed, and no code awaits it: ${text}`, 'Featherstar');
  });
}
