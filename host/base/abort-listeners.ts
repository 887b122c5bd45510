// Listeners of AbortSignals. However many waits share one signal, the platform sees one listener. Node warns of a leak
// from eleven listeners on, but a thousand waits on one signal are no leak.
//
// Next: abortable.ts, which waits use. Only code that passes an abort on to something else listens by itself.

export interface AbortListener {
  onSignal(signal: AbortSignal): void;
}

/** A function, or an object that needs no closure. */
type AnyListener = AbortListener | (() => void);

const listenersOf = new WeakMap<AbortSignal, Set<AnyListener>>();

// This works like the platform's own listeners. A listener that another one removes meanwhile is not called. If one
// throws, the others are still called.
function callListeners(this: AbortSignal): void {
  const listeners = listenersOf.get(this);
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
  if (listenersOf.delete(this)) this.removeEventListener('abort', callListeners); // one for each that was added
}

/** Calls `listener` when the signal aborts. The signal has not aborted yet. Without a signal nothing happens. */
export function addAbortListener(signal: AbortSignal | undefined, listener: AnyListener): void {
  if (signal === undefined) return;
  const listeners = listenersOf.get(signal);
  if (listeners !== undefined) listeners.add(listener);
  else {
    listenersOf.set(signal, new Set([listener]));
    signal.addEventListener('abort', callListeners, { once: true });
  }
}

/** Removes `listener`. With the last listener the platform's own is removed too. */
export function removeAbortListener(signal: AbortSignal | undefined, listener: AnyListener): void {
  if (signal === undefined) return;
  const listeners = listenersOf.get(signal);
  if (!listeners?.delete(listener) || listeners.size > 0) return;
  listenersOf.delete(signal);
  signal.removeEventListener('abort', callListeners);
}
