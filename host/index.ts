// featherstar: shards, tasks, time. Importing it starts nothing.

export { type ErrorCode, type ErrorDetails, type ErrorKind, FeatherstarError } from './base/errors.js';
export type { Remote, RemoteAll, RemoteAllFunction, RemoteFunction, UntypedModule } from './calls/remote.js';
export { allocate, type SharedBytes } from './calls/shared-bytes.js';
export type { Limits } from './core/layout.js';
export type { HostName } from './hosts/host.js';
export type { NetworkOptions } from './net/network-rules.js';
export type { ShardDown } from './runtime/death.js';
export { type Environment, type ProgramOptions, RUNTIME_HELP, runtimeOptions } from './runtime/flags.js';
export type { RuntimeOptions } from './runtime/options.js';
export type { RestartOptions } from './runtime/restart.js';
export { blockOn, type CloseHook, type CloseOptions, Runtime, runtime, type WorkerRuntime } from './runtime/runtime.js';
export type { CloseReport, ShardEnd } from './runtime/shutdown.js';
export type { SignalName } from './runtime/signal-board.js';
export { onSignal, waitForSignal } from './runtime/signals.js';
export type { Holdings, ShardStats } from './runtime/stats.js';
export {
  connectRuntime,
  type ForeignPortOptions,
  type ForeignRuntime,
  foreignPort,
} from './services/foreign.js';
export { openSender, ShardChannel, type ShardChannelOptions, type ShardSender } from './services/shard-channel.js';
export { ServiceError, type ServiceFailure, Sharded } from './services/sharded.js';
export * from './sync/index.js';
export { Gate, type GateOptions } from './tasks/gate.js';
export { type GroupOptions, type SchedulingGroup, schedulingGroup } from './tasks/group.js';
export { type Interval, type IntervalOptions, interval, type MissedTicks } from './tasks/interval.js';
export type { JoinHandle } from './tasks/join-handle.js';
export { type Joined, JoinSet } from './tasks/join-set.js';
export { type PeriodicHandle, type PeriodicOptions, spawnPeriodic } from './tasks/periodic.js';
export { maybeYield, type SpawnOptions, spawn, type TaskContext, type TaskFunction, yieldNow } from './tasks/task.js';
export { TaskBuilder } from './tasks/task-builder.js';
export { type AbortOptions, now, schedule, sleep, type TimerHandle, timeout } from './tasks/timer.js';
