// Clocks and dates of a simulated program: all show the world's time.
//
// Date, `Intl` and performance.now() are the world's for all code while a world runs, not only in a shard's turn.
//
// Next: globals.ts.

import { activeWorld, type Replacement, replaced, stage, switched } from './replace.js';
import { START_NS, type World } from './world.js';

const RealDate = Date;
const realDateMs = Date.now;

/** The date of the machine whose code asks, in ms; without a world, the real one. */
function dateMs(): number {
  const world = activeWorld();
  if (world === undefined) return realDateMs();
  world.look();
  return Math.floor(world.dateMs(stage()?.place.index));
}

/** Time since the world began, ns. Reading it takes a little time, so a loop that waits for time to pass ends. */
function elapsedNs(world: World): number {
  return world.look() - START_NS;
}

function simulatedDate(): DateConstructor {
  // A function, as Date may be called without `new`; `Reflect.construct` keeps classes that extend it.
  function SimDate(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return new RealDate(dateMs()).toString();
    return Reflect.construct(RealDate, args.length === 0 ? [dateMs()] : args, new.target);
  }
  Object.defineProperties(SimDate, {
    prototype: { value: RealDate.prototype, writable: false },
    name: { value: 'Date' },
    length: { value: 7 },
    now: { value: dateMs, writable: true, configurable: true },
    parse: { value: RealDate.parse, writable: true, configurable: true },
    UTC: { value: RealDate.UTC, writable: true, configurable: true },
  });
  return SimDate as unknown as DateConstructor;
}

/** The formatter's default date. */
function formats(): Replacement[] {
  const shape = Intl.DateTimeFormat.prototype;
  const format = Object.getOwnPropertyDescriptor(shape, 'format')?.get as () => (date: unknown) => string;
  const { formatToParts } = shape;
  function get(this: Intl.DateTimeFormat) {
    const real = format.call(this);
    return (date?: unknown) => real(date === undefined ? dateMs() : date);
  }
  function toParts(this: Intl.DateTimeFormat, date: Date | number = dateMs()) {
    return formatToParts.call(this, date);
  }
  return [{ target: shape, name: 'format', get }, replaced(shape, 'formatToParts', toParts)];
}

interface TemporalInstant {
  toZonedDateTimeISO(zone: string): Record<'toPlainDate' | 'toPlainTime' | 'toPlainDateTime', () => unknown>;
}
interface TemporalNamespace {
  Now: { timeZoneId(): string };
  Instant: { fromEpochMilliseconds(ms: number): TemporalInstant };
}

/** Temporal.Now, on engines that have it. */
function temporals(): Replacement[] {
  const { Temporal } = globalThis as { Temporal?: TemporalNamespace };
  if (Temporal === undefined) return [];
  const { Now, Instant } = Temporal;
  const instant = () => Instant.fromEpochMilliseconds(dateMs());
  const zoned = (zone = Now.timeZoneId()) => instant().toZonedDateTimeISO(zone);
  return [
    replaced(Now, 'instant', instant),
    replaced(Now, 'zonedDateTimeISO', zoned),
    replaced(Now, 'plainDateISO', (zone?: string) => zoned(zone).toPlainDate()),
    replaced(Now, 'plainTimeISO', (zone?: string) => zoned(zone).toPlainTime()),
    replaced(Now, 'plainDateTimeISO', (zone?: string) => zoned(zone).toPlainDateTime()),
  ];
}

function processClocks(): Replacement[] {
  const { hrtime: realTime, uptime: realUptime } = process;
  const bigint = () => {
    const world = activeWorld();
    return world === undefined ? realTime.bigint() : BigInt(world.look());
  };
  const hrtime = (since?: [number, number]): [number, number] => {
    const world = activeWorld();
    if (world === undefined) return realTime(since);
    const ns = world.look() - (since === undefined ? 0 : since[0] * 1e9 + since[1]);
    return [Math.floor(ns / 1e9), ns % 1e9];
  };
  const uptime = () => {
    const world = activeWorld();
    return world === undefined ? realUptime() : elapsedNs(world) / 1e9;
  };
  return [
    replaced(process, 'hrtime', Object.assign(hrtime, { bigint })),
    replaced(process, 'uptime', uptime),
    ...switched(process, 'cpuUsage', (since?: NodeJS.CpuUsage) => {
      const user = Math.floor(elapsedNs(activeWorld() as World) / 1000);
      return { user: user - (since?.user ?? 0), system: 0 };
    }),
  ];
}

function performanceClocks(): Replacement[] {
  const { mark: realMark, measure: realMeasure, now: realNow } = performance;
  function now(this: Performance): number {
    const world = activeWorld();
    return world === undefined ? realNow.call(this) : elapsedNs(world) / 1e6;
  }
  const mark = (name: string, options?: PerformanceMarkOptions) =>
    realMark.call(performance, name, { startTime: performance.now(), ...options });
  const measure = (name: string, start?: string | PerformanceMeasureOptions, end?: string) => {
    const given = typeof start === 'object' ? start : { start: start ?? 0, ...(end === undefined ? {} : { end }) };
    const isOpen = given.end === undefined && (given.duration === undefined || given.start === undefined);
    return realMeasure.call(performance, name, isOpen ? { ...given, end: performance.now() } : given);
  };
  return [
    replaced(performance, 'now', now),
    { target: performance, name: 'timeOrigin', get: () => activeWorld()?.epochMs },
    ...switched(performance, 'mark', mark as never),
    ...switched(performance, 'measure', measure as never),
  ];
}

export function clocks(): Replacement[] {
  return [
    replaced(globalThis, 'Date', simulatedDate()),
    replaced(RealDate, 'now', dateMs), // for modules that have kept it
    ...formats(),
    ...temporals(),
    ...processClocks(),
    ...performanceClocks(),
  ];
}
