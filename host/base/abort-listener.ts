// Listening to AbortSignals: the one way in this library. However many wait for the abort of one signal, it has one
// listener of the platform's: Node warns of a leak from eleven on, and a signal that a thousand waits share is no leak.

export interface AbortListener {
  onSignal(signal: AbortSignal): void;
}

/** A function, or an object that needs no closure. */
type Listener = AbortListener | (() => void);

const all = new WeakMap<AbortSignal, Set<Listener>>();

// As with the platform's own listeners: one that another one takes back in mid-way is not told any more, and one that
// throws does not keep the others from being told.
function onAbort(this: AbortSignal): void {
  const listeners = all.get(this);
  for (const listener of listeners ?? []) {
    try {
      if (typeof listener === 'function') listener();
      else listener.onSignal(this);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }
  if (all.delete(this)) this.removeEventListener('abort', onAbort); // one for each that was added
}

/** Calls `listener` when the signal aborts. The signal has not aborted yet; undefined: nothing happens. */
export function listen(signal: AbortSignal | undefined, listener: Listener): void {
  if (signal === undefined) return;
  const listeners = all.get(signal);
  if (listeners !== undefined) listeners.add(listener);
  else {
    all.set(signal, new Set([listener]));
    signal.addEventListener('abort', onAbort, { once: true });
  }
}

/** Takes it back. With the last one the signal is as it was before. */
export function unlisten(signal: AbortSignal | undefined, listener: Listener): void {
  if (signal === undefined) return;
  const listeners = all.get(signal);
  if (!listeners?.delete(listener) || listeners.size > 0) return;
  all.delete(signal);
  signal.removeEventListener('abort', onAbort);
}
