// The wasi-threads ABI: the only way in which a shard starts another. (Formatters cannot read a decorated function,
// so this declaration has a file of its own.)

/** Starts a thread that instantiates this module and calls wasi_thread_start(tid, arg). Returns its tid, or < 0. */
// @ts-ignore: decorator
@external("wasi", "thread-spawn")
export declare function threadSpawn(arg: i32): i32;
