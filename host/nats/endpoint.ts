// Discovery and figures of a service, as JSON, by the rules of NATS for its micro services (its ADR-32). Monitors and
// clients of NATS read them.
//
//   $SRV.PING, $SRV.PING.name, $SRV.PING.name.id     and likewise INFO and STATS
//
// A client library has this ready-made, but counts neither the errors nor the time of functions that are asynchronous.

import { monotonicNs } from '../hosts/host.js';

/** One subject that a service listens on, and its figures. */
export class Endpoint {
  readonly name: string;
  readonly subject: string;
  readonly queue: string;
  #requestCount = 0;
  #errorCount = 0;
  #processingNs = 0;
  #lastError = '';

  constructor(name: string, subject: string, queue: string) {
    this.name = name;
    this.subject = subject;
    this.queue = queue;
  }

  /** A request that came at `startNs` has ended. */
  count(startNs: number, error?: string): void {
    this.#requestCount++;
    this.#processingNs += monotonicNs() - startNs;
    if (error === undefined) return;
    this.#errorCount++;
    this.#lastError = error;
  }

  get info(): object {
    return { name: this.name, subject: this.subject, queue_group: this.queue, metadata: {} };
  }

  get stats(): object {
    const average = this.#requestCount === 0 ? 0 : Math.round(this.#processingNs / this.#requestCount);
    return {
      name: this.name,
      subject: this.subject,
      queue_group: this.queue,
      num_requests: this.#requestCount,
      num_errors: this.#errorCount,
      last_error: this.#lastError,
      processing_time: Math.round(this.#processingNs),
      average_processing_time: average,
    };
  }
}

/** The identity of an instance, which is part of every reply. */
export interface ServiceIdentity {
  name: string;
  id: string;
  version: string;
  metadata: Record<string, string>;
}

/** The replies of an instance to PING, INFO and STATS. */
export function monitorReplies(
  identity: ServiceIdentity,
  description: string,
  endpoints: readonly Endpoint[],
): Record<'PING' | 'INFO' | 'STATS', () => string> {
  const started = new Date().toISOString();
  const reply = (type: string, more: object = {}) =>
    JSON.stringify({ type: `io.nats.micro.v1.${type}_response`, ...identity, ...more });
  return {
    PING: () => reply('ping'),
    INFO: () => reply('info', { description, endpoints: endpoints.map(({ info }) => info) }),
    STATS: () => reply('stats', { started, endpoints: endpoints.map(({ stats }) => stats) }),
  };
}
