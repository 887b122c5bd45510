// Compiled, never run: what users may write and what they may not. A line below `@ts-expect-error` has to be refused by
// the compiler; the line is an error of its own if it is not.

import {
  blockOn,
  connectRuntime,
  FeatherstarError,
  interval,
  type JoinHandle,
  JoinSet,
  maybeYield,
  type now,
  openSender,
  Runtime,
  runtime,
  runtimeOptions,
  type SchedulingGroup,
  ShardChannel,
  Sharded,
  type ShardStats,
  schedule,
  schedulingGroup,
  sleep,
  spawn,
  spawnPeriodic,
  TaskBuilder,
  timeout,
  waitForSignal,
  yieldNow,
} from 'featherstar';
import { Response as FastResponse, serve } from 'featherstar/http';
import { connect, listen } from 'featherstar/net';
import type * as module from './shard.js';

type Module = typeof module;

/** Fails to compile unless both types are the same; `any` equals only itself. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
declare function same<A, B>(sure: Same<A, B>): void;

// --- services, channels, other threads -------------------------------------------------------------------------------

export async function services(): Promise<void> {
  const store = await Sharded.start<typeof module.Store>('Store', 100);
  const value = await store.on(1).get('key');
  same<typeof value, Uint8Array | undefined>(true);
  const sizes = await store.onAll().with({ timeoutMs: 5 }).put('key', new Uint8Array(1));
  same<typeof sizes, number[]>(true);
  same<typeof store.local.limit, number>(true);

  // @ts-expect-error: the constructor takes a number
  await Sharded.start<typeof module.Store>('Store', '100');
  // @ts-expect-error: no such method
  await store.on(1).delete('key');
  // @ts-expect-error: a field is no method
  store.on(1).limit();
  // @ts-expect-error: start() is the service's own
  await store.on(1).start();
}

export async function channels(signal: AbortSignal): Promise<void> {
  const channel = new ShardChannel<{ n: number }>({ capacity: 2, senders: 3 });
  for await (const value of channel) same<typeof value, { n: number }>(true);
  const sender = await openSender<{ n: number }>(channel.name);
  await sender.send({ n: 1 }, { signal });
  // @ts-expect-error: another type
  await sender.send('one');
  // @ts-expect-error: a name is a string
  await openSender(1);
}

export async function foreign(port: import('node:worker_threads').MessagePort): Promise<void> {
  const remote = await connectRuntime<Module>(port);
  const sum = await remote.on(1).with({ timeoutMs: 5 }).add(1, 2);
  same<typeof sum, number>(true);
  // @ts-expect-error: no such function
  await remote.on(1).subtract();
}

// --- tasks and time --------------------------------------------------------------------------------------------------

export async function tasks(signal: AbortSignal): Promise<void> {
  const handle = spawn(async (context) => {
    same<typeof context.signal, AbortSignal>(true);
    await context.yieldNow();
    return 'done' as const;
  });
  same<typeof handle, JoinHandle<'done'>>(true);
  same<Awaited<typeof handle>, 'done'>(true);
  handle.abort();
  handle.abort(new Error('own reason'));
  same<typeof handle.isFinished, boolean>(true);
  await handle.ended;

  const background: SchedulingGroup = schedulingGroup('background', { shares: 10 });
  spawn(() => 1, { group: background, name: 'sweep', signal });
  const remote = new TaskBuilder().name('sum').spawn(() => runtime<Module>().on(1).add(1, 2));
  same<typeof remote, JoinHandle<number>>(true);
  const local = new TaskBuilder()
    .group(background)
    .signal(signal)
    .spawn(() => 'text');
  same<typeof local, JoinHandle<string>>(true);

  const set = new JoinSet<number>();
  set.spawn(() => 1);
  const joined = await set.joinNext();
  if (joined?.status === 'fulfilled') same<typeof joined.value, number>(true);
  const periodic = spawnPeriodic(100, async () => {}, { missed: 'skip', signal });
  periodic.abort();
  await maybeYield();
  await yieldNow({ signal });

  // @ts-expect-error: a task is a function
  spawn(Promise.resolve(1));
  // @ts-expect-error: a function that wants what a task does not get
  spawn((text: string) => text);
  // @ts-expect-error: a set of numbers
  set.spawn(() => 'text');
  // @ts-expect-error: not a policy
  spawnPeriodic(100, () => {}, { missed: 'drop' });
}

export async function time(signal: AbortSignal): Promise<void> {
  await sleep(10, { signal });
  const inTime = await timeout(10, async (inner) => {
    same<typeof inner, AbortSignal>(true);
    return 5;
  });
  same<typeof inTime, number>(true);
  for await (const tick of interval(5, { missed: 'burst' })) same<typeof tick, number>(true);
  const handle = schedule(5, () => {});
  same<boolean, ReturnType<typeof handle.cancel>>(true);
  handle.cancel();
  same<ReturnType<typeof now>, number>(true);

  // @ts-expect-error: milliseconds are a number
  await sleep('10');
  // @ts-expect-error: a signal, not its controller
  await sleep(10, { signal: new AbortController() });
  // @ts-expect-error: a handle is not a listener of the ready ring
  handle.onEvent();
}

// --- the runtime -----------------------------------------------------------------------------------------------------

export async function runtimes(): Promise<void> {
  const here = await Runtime.start<Module>({ shards: 'auto', module: new URL('./shard.js', import.meta.url) });
  const sum = await here.on(1).add(1, 2);
  same<typeof sum, number>(true);
  same<typeof here.stats extends (shard: number) => infer S ? S : never, ShardStats>(true);
  await here.close({ timeoutMs: 100 });
  const result = await blockOn(async () => ({ ok: true }), { host: 'portable' });
  same<typeof result, { ok: boolean }>(true);
  const { options, rest } = runtimeOptions();
  await Runtime.start(options);
  same<typeof rest, string[]>(true);
  const name = await waitForSignal(['SIGTERM', 'SIGINT']);
  same<typeof name extends string ? true : false, true>(true);

  // @ts-expect-error: no such host
  await Runtime.start({ host: 'epoll' });
  // @ts-expect-error: a number or 'auto'
  await Runtime.start({ shards: '4' });
  // @ts-expect-error: no such limit
  await Runtime.start({ limits: { timers: 5 } });
  // @ts-expect-error: no such signal
  await waitForSignal(['SIGNOTHING']);
  // @ts-expect-error: runtimes are started, not made
  new Runtime();
}

export function errors(error: unknown): string {
  if (!FeatherstarError.is(error)) return '';
  if (error.code === 'FEATHERSTAR_TIMEOUT') return error.message;
  // @ts-expect-error: no such code
  if (error.code === 'FEATHERSTAR_NOTHING') return '';
  // @ts-expect-error: errors are not changed
  error.code = 'FEATHERSTAR_FULL';
  return error.code;
}

// --- net and http ----------------------------------------------------------------------------------------------------

export async function network(signal: AbortSignal): Promise<void> {
  const listener = await listen({ port: 0 });
  for await (const socket of listener) {
    same<typeof socket.local, typeof socket.remote>(true);
    const bytes = await socket.read({ signal });
    same<typeof bytes, Uint8Array | null>(true);
    await socket.write('text');
    await socket.write(new Uint8Array(3));
    same<number, Awaited<ReturnType<typeof socket.pipeTo>>>(true);
    await socket.pipeTo(socket, { signal, timeoutMs: 5 });
    same<number | null, Awaited<ReturnType<typeof socket.readInto>>>(true);
    await socket.readInto(new Uint8Array(3), { signal, timeoutMs: 5 });
    // @ts-expect-error: bytes or text
    await socket.write(5);
  }
  const client = await connect({ hostname: '127.0.0.1', port: 80, signal });
  await client.close();
  void serve({ port: 8080, fetch: () => new Response('global') });
  void serve({ port: 8080, fetch: async (request) => new FastResponse(`${request.method} ${request.url}`) });
  void serve({ port: 8080, fetch: (request: Request) => new Response(request.url, { status: 200 }) });
  void serve({ port: 8080, fetch: (request) => new FastResponse(`${request.path} ${request.clone().mode}`) });
  void serve({ port: 8080, fetch: (request, info) => new FastResponse(`${request.ip} ${info.remote?.port}`) });
  void serve({
    fetch: async (request, info) => {
      same<typeof request.trailers, Promise<Headers>>(true);
      same<ReturnType<typeof info.sendTrailers>, boolean>(true);
      info.sendTrailers(() => ({ 'x-sum': '1' }));
      info.sendTrailers(async () => new Headers());
      return new FastResponse('trailers');
    },
  });
  void listen({ proxy: { trust: ['10.0.0.0/8'], expectProtocol: true } });
  // @ts-expect-error: a socket has no headers that could tell
  void listen({ proxy: { trust: 1, expectProtocol: false } });
  // what Hono's app.fetch is
  type Context = { waitUntil(promise: Promise<unknown>): void; passThroughOnException(): void };
  const app = (_request: Request, _env?: object, _context?: Context) => new Response('hono');
  void serve({ port: 8080, fetch: app });
  // @ts-expect-error: fetch answers a response
  void serve({ port: 8080, fetch: () => 'text' });
  // @ts-expect-error: fetch is missing
  void serve({ port: 8080 });
}
