//! core.wasm in wasmtime, behind the interface of ../rust: `calls` is the same program over both.
//!
//!   thread: Store, instance ---+
//!   thread: Store, instance ---+--- one SharedMemory, one compiled module
//!
//! An access outside of the memory is a trap here, not the end of the process. A store belongs to one thread.
//!
//! Next: ../rust/src/bin/calls.rs.

pub mod core;

/// Offsets and numbers of featherstar.h.
pub mod layout {
    #![allow(dead_code)]
    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}
