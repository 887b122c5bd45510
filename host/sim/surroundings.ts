// The machine that a simulated program sees: names, numbers and sizes that differ from run to run are fixed.
//
// The working directory is the root of the simulated disk. The environment of the test stays as it is: process.env and
// process.argv, the platform and the versions, the time zone and the locale.
//
// Next: globals.ts.

import os from 'node:os';
import perfHooks from 'node:perf_hooks';
import { isLoading } from './module-loads.js';
import { activeWorld, onStage, type Replacement, replaced, switched } from './replace.js';
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

export function surroundings(): Replacement[] {
  const uptime = () => ((activeWorld() as World).nowNs - START_NS) / 1e9;
  return [
    replaced(process, 'pid', PID),
    ...switched(process, 'cwd', () => (isLoading() ? workingDirectory() : '/')),
    ...memory(),
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
