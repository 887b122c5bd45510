// Work that handlers have passed to waitUntil(): it goes on behind their responses, and close() waits for it.

export class Background {
  readonly #running = new Set<PromiseLike<unknown>>();
  readonly #report: (error: unknown) => void;

  /** `report` gets what a promise rejects with. */
  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  add(work: PromiseLike<unknown>): void {
    const running = Promise.resolve(work).then(
      () => void this.#running.delete(running),
      (error) => {
        this.#running.delete(running);
        this.#report(error);
      },
    );
    this.#running.add(running);
  }

  /** Resolves when no work runs, not even work that was added meanwhile. */
  async settled(): Promise<void> {
    while (this.#running.size !== 0) await Promise.all(this.#running);
  }
}
