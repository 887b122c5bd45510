// featherstar: shards, tasks, time. Importing it starts nothing.

export { type Caller, type FunctionName, type ShardHandle, submitTo, type UntypedModule } from './call-api.js';
export type { CallOptions } from './call-signals.js';
export { type ErrorCode, FeatherstarError } from './errors.js';
export { type ProgramOptions, RUNTIME_HELP, runtimeOptions } from './flags.js';
export { connectRuntime, type ForeignPortOptions, ForeignRuntime, ForeignShard, foreignPort } from './foreign.js';
export { Gate } from './gate.js';
export { type GroupOptions, type SchedulingGroup, schedulingGroup } from './group.js';
export type { HostName } from './hosts/host.js';
export { pick } from './hosts/pick.js';
export { Interval, type IntervalOptions, interval, type MissedTicks } from './interval.js';
export { JoinHandle } from './join-handle.js';
export { type Joined, JoinSet } from './join-set.js';
export type { Limits } from './layout.js';
export type { RuntimeOptions } from './options.js';
export { type PeriodicHandle, type PeriodicOptions, spawnPeriodic } from './periodic.js';
export { blockOn, type CloseHook, Runtime, runtime } from './runtime.js';
export { openSender, ShardChannel, type ShardChannelOptions, ShardSender } from './shard-channel.js';
export { ServiceError, type ServiceFailure, Sharded, type ShardedMethod } from './sharded.js';
export { allocate, type SharedBytes } from './shared-bytes.js';
export type { CloseReport, ShardEnd } from './shutdown.js';
export type { SignalName } from './signal-board.js';
export { onSignal, waitForSignal } from './signals.js';
export type { Holdings, ShardStats } from './stats.js';
export * from './sync/index.js';
export { maybeYield, type SpawnOptions, spawn, type TaskContext, type TaskFunction, yieldNow } from './task.js';
export { TaskBuilder } from './task-builder.js';
export { type AbortOptions, now, sleep, type TimerHandle, timeout, timer } from './timer.js';
