//! The core of featherstar in Rust: compiled from C by build.rs, behind safe interfaces.
//!
//!   core.rs    the memory and an instance of the core: enough for threads that call each other (bin/calls.rs)
//!   shard.rs   an instance with a ring of the kernel: enough for a server (bin/http.rs)
//!
//! Next: bin/calls.rs, which has the loop of docs/abi.md; then bin/http.rs.

pub mod core;
mod exports;
pub mod shard;

/// Offsets and numbers of featherstar.h.
pub mod layout {
    #![allow(dead_code)]
    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}
