// How a search reaches the simulations of a run. It records their choices, sets some of them, and draws their faults.
// It also keeps their worlds, to look at. A run is any function that calls simulate(), once or several times.
//
// Next: search.ts.

import type { Choices } from './choices.js';
import type { SimOptions } from './simulate.js';
import type { World } from './world.js';

export interface Session {
  readonly choices: Choices;
  /** How many of the last events are kept; undefined: as the run says. */
  readonly traceEvents: number | undefined;
  /** The event before which a debugger stops, counted over all worlds of the run; undefined: none. */
  readonly stopAt: number | undefined;
  /** The worlds of the run so far. */
  readonly worlds: World[];
  /** How often each `sometimes()` held; 0: it never did. */
  readonly sometimes: Map<string, number>;
  /** How many simulations of the run have begun and not ended. */
  open: number;
  /** The options that a simulation gets. */
  adjust(options: SimOptions): SimOptions;
}

let current: Session | undefined;

/** The search that goes on in this thread. */
export function currentSession(): Session | undefined {
  return current;
}

/** Runs with a session. One at a time in a thread, as simulations are. */
export async function inSession<T>(session: Session, run: () => Promise<T>): Promise<T> {
  current = session;
  try {
    return await run();
  } finally {
    current = undefined;
  }
}
