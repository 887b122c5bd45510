//! core.wasm in wasmtime, behind the functions of featherstar_core.h. So the programs of ../rust run over it without a
//! change: `calls`, and `http` with the gate in C.
//!
//!   bin/calls.rs, bin/http.rs --> core.rs, shard.rs of ../rust --> shard.c --> module.rs: featherstar_turn() and so on
//!                                                                    +-------> the gate
//!   thread: Store, instance ---+
//!   thread: Store, instance ---+--- one SharedMemory, one compiled module
//!
//! The core is in a sandbox here: it reaches its memory, and no more. A store belongs to one thread.
//!
//! Next: module.rs.

#[path = "../../rust/src/core.rs"]
pub mod core;
#[path = "../../rust/src/exports.rs"]
mod exports; // module.rs defines them
mod module;
#[path = "../../rust/src/shard.rs"]
pub mod shard;

/// Offsets and numbers of featherstar.h.
pub mod layout {
    #![allow(dead_code)]
    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}
