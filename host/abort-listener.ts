// Listening to AbortSignals. However many wait for the abort of one signal, it has one listener: Node warns of a leak
// from eleven on, and a signal that a thousand calls share is no leak.

export interface AbortListener {
  onSignal(signal: AbortSignal): void;
}

const all = new WeakMap<AbortSignal, Set<AbortListener>>();

function onAbort(this: AbortSignal): void {
  const listeners = all.get(this);
  all.delete(this);
  for (const listener of listeners ?? []) listener.onSignal(this);
}

/** Calls `listener.onSignal` when the signal aborts. The signal has not aborted yet. */
export function listen(signal: AbortSignal, listener: AbortListener): void {
  const listeners = all.get(signal);
  if (listeners !== undefined) listeners.add(listener);
  else {
    all.set(signal, new Set([listener]));
    signal.addEventListener('abort', onAbort, { once: true });
  }
}

/** Takes it back. The signal is then as it was before. */
export function unlisten(signal: AbortSignal, listener: AbortListener): void {
  const listeners = all.get(signal);
  if (!listeners?.delete(listener) || listeners.size > 0) return;
  all.delete(signal);
  signal.removeEventListener('abort', onAbort);
}
