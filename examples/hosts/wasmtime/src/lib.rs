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
mod module;
#[path = "../../rust/src/shard.rs"]
pub mod shard;

/// Offsets and numbers of featherstar.h.
pub mod layout {
    #![allow(dead_code)]
    include!(concat!(env!("OUT_DIR"), "/layout.rs"));
}

/// The functions of featherstar_core.h, as C sees them. Each takes an instance first. They are in module.rs.
mod exports {
    #![allow(dead_code)]
    use std::ffi::c_void;
    macro_rules! exports {
        ($(fn $name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => {
            unsafe extern "C" {
                $(pub fn $name(core: *mut c_void $(, $parameter: $type)*) -> $result;)*
            }
        };
    }
    include!(concat!(env!("OUT_DIR"), "/exports.rs"));
}
