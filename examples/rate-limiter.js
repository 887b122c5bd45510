// Extending the library: a rate limiter, made of a semaphore and a periodic task. In each period so many may pass; who
// comes too early waits for the next one, in the order of coming.
import { blockOn, runtimeOptions, Semaphore, spawnPeriodic } from 'featherstar';

class RateLimiter {
  period = 1;
  #passes;
  #taken = []; // the guards of this period's passes
  #refill;

  constructor(limit, periodMs) {
    this.#passes = new Semaphore(limit);
    this.#refill = spawnPeriodic(periodMs, () => this.#begin(), { missed: 'skip' });
  }

  /** Takes { signal, timeoutMs } as everything that waits does: who gives up leaves the queue. */
  async pass(options) {
    this.#taken.push(await this.#passes.acquire(options));
  }

  #begin() {
    this.period++;
    for (const guard of this.#taken.splice(0)) guard.release(); // the next in the queue has it at once
  }

  /** Callers that still wait are rejected with FEATHERSTAR_CLOSED. */
  close() {
    this.#passes.close();
    this.#refill.abort();
  }
}

await blockOn(async () => {
  const limiter = new RateLimiter(2, 20);
  const requests = [1, 2, 3, 4, 5].map(async (number) => {
    await limiter.pass();
    console.log(`request ${number} passes in period ${limiter.period}`);
  });

  const control = new AbortController();
  const impatient = limiter.pass({ signal: control.signal });
  control.abort(new Error('does not want to wait'));
  await impatient.catch((error) => console.log(`request 6 ${error.message}`));

  await Promise.all(requests);
  const late = [limiter.pass(), limiter.pass()]; // request 5 has left one pass in this period
  limiter.close();
  const [one, other] = await Promise.allSettled(late);
  console.log(`when it closes: ${one.status}, ${other.reason.code}`);
}, runtimeOptions().options);

// It prints:
//   request 1 passes in period 1
//   request 2 passes in period 1
//   request 6 does not want to wait
//   request 3 passes in period 2
//   request 4 passes in period 2
//   request 5 passes in period 3
//   when it closes: fulfilled, FEATHERSTAR_CLOSED
