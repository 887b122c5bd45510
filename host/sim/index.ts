// featherstar/testing: programs in a simulated world.

export type { SimFaults } from './faults.js';
export { SimDisk, type SimDiskOptions } from './sim-disk.js';
export { coreHash, type SimOptions, type SimReport, SimulationError, type SimWorld, simulate } from './simulate.js';
