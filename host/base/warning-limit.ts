// Warnings of one kind, a few in each minute: the rest is counted, and the next warning says how many there were.

const WARNINGS_MAX = 5; // a minute
const MINUTE_NS = 60e9;

export class WarningLimit {
  #fromNs = Number.NEGATIVE_INFINITY;
  #count = 0;
  #unsaid = 0;

  /** How many were not said since the last warning, if there may be one now; else undefined, and this one counts. */
  next(nowNs: number): number | undefined {
    if (nowNs - this.#fromNs >= MINUTE_NS) {
      this.#fromNs = nowNs;
      this.#count = 0;
    }
    if (this.#count >= WARNINGS_MAX) {
      this.#unsaid++;
      return undefined;
    }
    this.#count++;
    const unsaid = this.#unsaid;
    this.#unsaid = 0;
    return unsaid;
  }
}
