export type { DiskFault, DiskLatency, OperationKind, SimDisk, SimDiskOptions } from './disk.ts';
export type { SimMachine, SimMachineOptions } from './machine.ts';
export type { Link, SimNetwork } from './network.ts';
export type { SimProcess } from './process.ts';
export { type Range, SimRandom } from './random.ts';
export { Simulation, SimulationError, type SimulationOptions } from './simulation.ts';
export { lineOf, type Trace } from './trace.ts';
