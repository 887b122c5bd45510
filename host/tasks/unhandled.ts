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
    process.emitWarning(`${what} failed, and no code awaits it: ${stackOf(error)}`, 'Featherstar');
  });
}

function stackOf(error: unknown): string {
  try {
    if (error instanceof Error) return `${error.stack ?? error.message}`;
  } catch {
    // a proxy whose properties throw
  }
  return textOf(error);
}
