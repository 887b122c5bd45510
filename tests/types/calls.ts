// Compiled, never run: calls of functions on other shards, typed by the module's own type. A line below
// `@ts-expect-error` has to be refused by the compiler.

import type { NatsConnection as RealConnection } from '@nats-io/transport-node';
import { Runtime, type RuntimeOptions, runtime } from 'featherstar';
import { type NatsConnection, remote } from 'featherstar/nats';
import type * as module from './shard.js';

type Module = typeof module;

/** Fails to compile unless both types are the same; `any` equals only itself. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(sure: Same<A, B>): void;

export async function one(signal: AbortSignal): Promise<void> {
  const right = runtime<Module>().on(1);
  const sum = await right.add(1, 2);
  same<typeof sum, number>(true);
  const found = await right.later('key');
  same<typeof found, { key: string; at: Date }>(true);
  const ended = await right.watch('key', signal);
  same<typeof ended, boolean>(true);
  const inTime = await right.with({ signal, timeoutMs: 5 }).with({}).add(1, 2);
  same<typeof inTime, number>(true);

  // @ts-expect-error: no such function
  await right.subtract(1, 2);
  // @ts-expect-error: a value is no function
  right.version();
  // @ts-expect-error: a class cannot be called
  right.Store(1);
  // @ts-expect-error: an argument of another type
  await right.add(1, '2');
  // @ts-expect-error: an argument is missing
  await right.add(1);
  // @ts-expect-error: one too many
  await right.add(1, 2, 3);
  // @ts-expect-error: no such option
  right.with({ timeout: 5 });
  // @ts-expect-error: it is not changed
  right.add = () => Promise.resolve(1);
}

/** A function that returns a promise keeps its own type; another one keeps its overloads, and no type parameters. */
export async function signatures(): Promise<void> {
  const right = runtime<Module>().on(1);
  const picked = await right.pick({ a: 1, b: 'two' }, 'b');
  same<typeof picked, string>(true);
  same<typeof right.pick, typeof module.pick>(true);
  // @ts-expect-error: not a key of it
  await right.pick({ a: 1 }, 'b');

  const text = await right.double('a');
  same<typeof text, string>(true);
  const number = await right.double(1);
  same<typeof number, number>(true);
  // @ts-expect-error: no overload takes it
  await right.double(true);

  const first = await right.first([1, 2]);
  same<typeof first, unknown>(true); // its type parameter is lost
}

export async function several(signal: AbortSignal): Promise<void> {
  const here = runtime<Module>();
  const sums = await here.onAll().add(1, 2);
  same<typeof sums, number[]>(true);
  const found = await here.onOthers().with({ signal, timeoutMs: 5 }).later('key');
  same<typeof found, { key: string; at: Date }[]>(true);
  const texts = await here.onAll().double('a');
  same<typeof texts, string[]>(true);
  const total = (await here.onAll().add(1, 2)).reduce((sum, n) => sum + n, 0);
  same<typeof total, number>(true);
  const home = await here.on(here.homeOf('key')).add(1, 2);
  same<typeof home, number>(true);
  // @ts-expect-error: no such function
  await here.onAll().subtract(1, 2);
  // @ts-expect-error: numbers
  await here.onAll().with({ timeoutMs: 5 }).add('1', 2);
  // @ts-expect-error: a key is text or bytes
  here.homeOf(5);
}

export async function elsewhere(options: RuntimeOptions): Promise<void> {
  const started = await Runtime.start<Module>(options);
  const sum = await started.on(1).add(1, 2);
  same<typeof sum, number>(true);

  const untyped = await runtime().on(1).whatever(1, 'two');
  same<typeof untyped, unknown>(true);
  const inTime = await runtime().on(1).with({ timeoutMs: 5 }).whatever();
  same<typeof inTime, unknown>(true);
  // @ts-expect-error: with() takes options, also there
  runtime().on(1).with(5).whatever();
}

declare class Store {
  start(): Promise<void>;
  get(key: string): number;
}

export async function between(real: RealConnection): Promise<void> {
  const connection: NatsConnection = real;
  const store = remote<typeof Store>(connection, { name: 'Store', timeoutMs: 5 });
  const value = await store.on(1).with({ timeoutMs: 5 }).get('key');
  same<typeof value, number>(true);
  const any = await store.onAny().get('key');
  same<typeof any, number>(true);
  // @ts-expect-error: text
  await store.onAny().get(5);
  // @ts-expect-error: it belongs to the service
  await store.onAny().start();
}
