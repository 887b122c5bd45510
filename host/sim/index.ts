// featherstar/testing: programs in a simulated world.

export type { UnreachedCode } from './coverage.js';
export { type DrawnWorld, drawWorld, type SimSwarm } from './draw.js';
export type { SimFaults } from './faults.js';
export {
  assertLinearizable,
  checkLinearizable,
  History,
  type HistoryOperation,
  type Linearizability,
} from './history.js';
export type { LinkOptions } from './links.js';
export {
  type HistoryModel,
  type ListInput,
  listModel,
  type QueueInput,
  queueModel,
  type RegisterInput,
  registerModel,
  type SetInput,
  setModel,
} from './models.js';
export { always, buggify, note, reachable, sometimes, unreachable } from './properties.js';
export type { SearchFailure, SearchOptions, SearchProgress, SearchReport } from './search.js';
export type { SimClient } from './sim-client.js';
export { SimDisk, type SimDiskOptions } from './sim-disk.js';
export type { SimClockOptions, SimMachine, SimMachineRestartOptions } from './sim-machine.js';
export type { SimHostOptions } from './sim-machines.js';
export type { ClientOptions, DiskOptions, PartitionOptions, SimWorld } from './sim-world.js';
export { coreHash, type SimOptions, type SimReport, SimulationError, simulate } from './simulate.js';
