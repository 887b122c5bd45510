// The machine that a simulated program sees: names, numbers and sizes that differ from run to run are fixed.
//
// The working directory is the root of the simulated disk. The environment of the test stays as it is: process.env and
// process.argv, the platform and the versions, the time zone and the locale.
//
// Next: globals.ts.

import os from 'node:os';
import path from 'node:path';
import perfHooks from 'node:perf_hooks';
import type { AnyFunction } from '../calls/remote.js';
import { refuse } from './doors.js';
import { isLoading } from './module-loads.js';
import { activeWorld, type Callback, onStage, type Replacement, replaced, switched } from './replace.js';
import { isSignal, signalEvents } from './sim-signals.js';
import { START_NS, type World } from './world.js';

const PID = 4242;
const MEMORY_BYTES = 8 * 2 ** 30;
const FREE_BYTES = 4 * 2 ** 30;
const PROCESS_BYTES = 64 * 2 ** 20;
const PROCESSOR_MHZ = 1000;
const workingDirectory = process.cwd.bind(process);

function processors(): os.CpuInfo[] {
  const { range } = onStage().place;
  const times = { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 };
  return Array.from({ length: range.count }, () => ({ model: 'simulated', speed: PROCESSOR_MHZ, times }));
}

function hostname(): string {
  const { world, place } = onStage();
  return world.machines.nameOf(world.machines.of(place.index), 'localhost');
}

function memoryUsage(): NodeJS.MemoryUsage {
  return { rss: PROCESS_BYTES, heapTotal: PROCESS_BYTES, heapUsed: PROCESS_BYTES / 2, external: 0, arrayBuffers: 0 };
}

function networkInterfaces(): NodeJS.Dict<os.NetworkInterfaceInfo[]> {
  const { world, place } = onStage();
  const address = world.machines.addressOf(world.machines.of(place.index));
  const mac = '00:00:00:00:00:00';
  const family = 'IPv4' as const;
  return { sim0: [{ address, netmask: '255.255.255.0', family, mac, internal: false, cidr: `${address}/24` }] };
}

function memory(): Replacement[] {
  const made = switched(process, 'memoryUsage', memoryUsage);
  const [rss] = switched(process.memoryUsage, 'rss', () => PROCESS_BYTES);
  for (const { value } of made) Object.assign(value as object, { rss: rss?.value });
  return made;
}

const LISTENER_ADDERS = ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener'] as const;
const OF_LISTENERS = ['off', 'removeListener', 'listeners', 'rawListeners', 'listenerCount', 'emit'] as const;

/**
 * Listeners of the process go with the world that adds them. Otherwise one for `exit`, as libraries add to clean up,
 * would remove files of the real disk, whose paths are those of the simulated one. Listeners for signals hear of the
 * simulated process, and not of the real one. `removeAllListeners()` leaves those of the test and of simulate().
 */
function listeners(): Replacement[] {
  const adders = LISTENER_ADDERS.flatMap((name) => {
    const add = process[name] as (event: string | symbol, listener: Callback) => NodeJS.Process;
    return switched(process, name, (event: string | symbol, listener: Callback) => {
      const { world, place } = onStage();
      if (isSignal(event)) {
        signalEvents(place)[name](event, listener);
        return process;
      }
      place.processListeners.push([event, listener]);
      world.undos.push(() => process.removeListener(event, listener));
      return add.call(process, event, listener);
    });
  });
  const remover = switched(process, 'removeAllListeners', (...events: unknown[]) => {
    const { place } = onStage();
    const isMeant = (event: unknown) => events.length === 0 || events[0] === event;
    if (events.length === 0) signalEvents(place).removeAllListeners();
    else if (isSignal(events[0])) signalEvents(place).removeAllListeners(events[0]);
    for (const [event, listener] of place.processListeners) if (isMeant(event)) process.removeListener(event, listener);
    place.processListeners = place.processListeners.filter(([event]) => !isMeant(event));
    return process;
  });
  const others = OF_LISTENERS.flatMap((name) => {
    const real = process[name] as AnyFunction;
    return switched(process, name, (...args: unknown[]) => {
      if (!isSignal(args[0])) return real.apply(process, args as never);
      const events = signalEvents(onStage().place);
      const result = (events[name] as AnyFunction).apply(events, args as never);
      return result === events ? process : result;
    });
  });
  return [...adders, ...remover, ...others];
}

/** process.kill(): a signal to the own process. */
function killSimulated(pid: number, signal: string | number = 'SIGTERM'): true {
  const { world, place } = onStage();
  if (pid !== process.pid) refuse('process.kill() of another process', 'Use kill() or signal() of world.host(name)');
  if (signal === 0) return true;
  const [name] = Object.entries(os.constants.signals).find((each) => each.includes(signal)) ?? [];
  if (!isSignal(name) || name === 'SIGSTOP')
    refuse(`process.kill() with ${signal}`, 'Use a signal that ends a process');
  world.places[place.range.base]?.signals?.send(name);
  return true;
}

/** On Bun, resolve() of node:path does not ask for process.cwd(). */
function paths(): Replacement[] {
  if (process.versions.bun === undefined) return [];
  const resolve = path.resolve.bind(path);
  return switched(path, 'resolve', (...parts: string[]) => (isLoading() ? resolve(...parts) : resolve('/', ...parts)));
}

export function surroundings(): Replacement[] {
  const uptime = () => ((activeWorld() as World).nowNs - START_NS) / 1e9;
  return [
    replaced(process, 'pid', PID),
    ...switched(process, 'cwd', () => (isLoading() ? workingDirectory() : '/')),
    ...paths(),
    ...memory(),
    ...listeners(),
    ...switched(process, 'kill', killSimulated as AnyFunction),
    ...switched(os, 'hostname', hostname),
    ...switched(os, 'uptime', uptime),
    ...switched(os, 'loadavg', () => [0, 0, 0]),
    ...switched(os, 'totalmem', () => MEMORY_BYTES),
    ...switched(os, 'freemem', () => FREE_BYTES),
    ...switched(os, 'cpus', processors),
    ...switched(os, 'availableParallelism', () => processors().length),
    ...switched(os, 'networkInterfaces', networkInterfaces),
    ...switched(perfHooks.performance, 'eventLoopUtilization', () => ({ idle: 0, active: 0, utilization: 0 })),
  ];
}
