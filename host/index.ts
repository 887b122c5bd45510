// featherstar: shards, tasks, time. Importing it starts nothing.

export type { Caller, FunctionName, ShardHandle, UntypedModule } from './call-api.js';
export { type ErrorCode, FeatherstarError } from './errors.js';
export { type ProgramOptions, RUNTIME_HELP, runtimeOptions } from './flags.js';
export type { HostName } from './hosts/host.js';
export { pick } from './hosts/pick.js';
export type { Limits } from './layout.js';
export type { RuntimeOptions } from './options.js';
export { blockOn, type CloseHook, Runtime, runtime } from './runtime.js';
export { ServiceError, type ServiceFailure, Sharded, type ShardedMethod } from './sharded.js';
export type { CloseReport, ShardEnd } from './shutdown.js';
export type { SignalName } from './signal-board.js';
export { onSignal, waitForSignal } from './signals.js';
export type { Holdings, ShardStats } from './stats.js';
export { JoinHandle, type SpawnOptions, spawn, yieldNow } from './task.js';
export { type AbortOptions, sleep } from './timer.js';
