// A connection to NATS, and whether it is up. While it is down, the client library drops what is published, and says
// nothing of it. So messages wait here until it is up again.
//
//   UP --'disconnect'--> DOWN --'reconnect'--> UP     onDown() of each user, then the messages that wait go out
//    \-------------------/-- the connection is closed --> CLOSED     onClosed() of each user
//
// All users of a connection share one Link, so its status is read once.

import type { MsgHdrs } from '@nats-io/transport-node';

/** A message of NATS, as far as this library looks at it. */
export interface NatsMessage {
  readonly subject: string;
  readonly reply?: string;
  readonly data: Uint8Array;
  readonly headers?: { readonly code: number };
}

/** A subscription of NATS. */
export interface NatsSubscription {
  /** Ends it at once. */
  unsubscribe(): void;
  /** Ends it when the messages that are under way have been handled. */
  drain(): Promise<void>;
}

/** A connection to NATS, as `connect()` of `@nats-io/transport-node` returns it. */
export interface NatsConnection {
  readonly info?: { readonly max_payload: number };
  /** Sends a message. */
  publish(subject: string, payload?: Uint8Array | string, options?: { reply?: string; headers?: MsgHdrs }): void;
  /** Receives the messages of a subject. */
  subscribe(
    subject: string,
    options: { queue?: string; callback: (error: Error | null, message: NatsMessage) => void },
  ): NatsSubscription;
  /** Its events: 'disconnect', 'reconnect' and others. */
  status(): AsyncIterable<{ readonly type: string }>;
  /** Resolves when it is closed, to the error if there was one. */
  closed(): Promise<unknown>;
  /** Whether it is closed. */
  isClosed(): boolean;
  /** Whether it closes when all messages under way have been handled. */
  isDraining(): boolean;
  /** Resolves when the server has what was published. */
  flush(): Promise<void>;
}

/** A user of a connection, who is told of its end. */
export interface LinkUser {
  /** It was lost. Replies to what was published before may never come. */
  onDown?(): void;
  /** It was closed for good; `error` says why, if it was not the program. */
  onClosed?(error: unknown): void;
}

export class Link {
  readonly users = new Set<LinkUser>();
  readonly #connection: NatsConnection;
  #isDown = false;
  readonly #waiting = new Set<() => void>();

  constructor(connection: NatsConnection) {
    this.#connection = connection;
    this.#watch().catch((error) => this.#onClosed(error));
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Runs `send` when messages can go out: now, or after the reconnect. Then the result takes it back. */
  whenUp(send: () => void): (() => void) | undefined {
    if (this.#isDown) {
      this.#waiting.add(send);
      return () => this.#waiting.delete(send);
    }
    if (!this.#connection.isClosed()) send();
    return undefined;
  }

  async #watch(): Promise<void> {
    void this.#connection.closed().then((error) => this.#onClosed(error));
    for await (const { type } of this.#connection.status()) {
      if (type === 'disconnect') this.#onDown();
      else if (type === 'reconnect') {
        this.#onDown(); // also what was published before this link knew that it was down
        this.#isDown = false;
        const waiting = [...this.#waiting];
        this.#waiting.clear();
        for (const send of waiting) send();
      }
    }
  }

  #onDown(): void {
    this.#isDown = true;
    for (const user of [...this.users]) user.onDown?.();
  }

  #onClosed(error: unknown): void {
    this.#waiting.clear();
    for (const user of [...this.users]) user.onClosed?.(error);
    this.users.clear();
  }
}

const links = new WeakMap<NatsConnection, Link>();

/** The link of a connection: the same one for each user. */
export function linkOf(connection: NatsConnection): Link {
  let link = links.get(connection);
  if (link === undefined) {
    link = new Link(connection);
    links.set(connection, link);
  }
  return link;
}
