//! The functions of featherstar_core.h over core.wasm in wasmtime: one compiled module, and a store for each instance.
//!
//! An instance belongs to one thread, and the memory to all. A trap ends the process, with its reason.

use crate::core::{Imports, RawMemory};
use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr;
use std::sync::{Mutex, OnceLock};
use wasmtime::{
    Caller, Config, Engine, Linker, MemoryType, Module, SharedMemory, Store, TypedFunc, WasmParams, WasmResults,
};

const PREFIX: &str = "featherstar_";

/// `struct featherstar_core` as far as C reads it; behind that, the instance. C has more room than this needs.
#[repr(C)]
struct Core {
    memory: RawMemory,
    imports: *const Imports,
    context: *mut c_void,
    instance: *mut Instance,
}

/// The functions that an instance calls.
#[derive(Clone, Copy)]
struct Host {
    imports: *const Imports,
    context: *mut c_void,
}

struct Instance {
    store: Store<Host>,
    functions: Functions,
}

/// A memory and its instances, which are freed with it.
struct Reserved {
    shared: SharedMemory,
    instances: Vec<*mut Instance>,
}

// SAFETY: the pointers are used to free the instances only, when no thread uses one any more.
unsafe impl Send for Reserved {}

static RESERVED: Mutex<Vec<Reserved>> = Mutex::new(Vec::new());
static MODULE: OnceLock<Module> = OnceLock::new();

/// FEATHERSTAR_WASM names core.wasm; by default it is that of this repository.
fn compile() -> wasmtime::Result<Module> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../dist/core.wasm");
    let file = std::env::var("FEATHERSTAR_WASM").map_or_else(|_| PathBuf::from(default), PathBuf::from);
    let mut config = Config::new();
    config.wasm_threads(true).shared_memory(true);
    Module::from_file(&Engine::new(&config)?, file)
}

fn module() -> &'static Module {
    MODULE.get_or_init(|| compile().unwrap_or_else(|error| panic!("core.wasm: {error:#}")))
}

fn start_of(shared: &SharedMemory) -> *mut u8 {
    shared.data().as_ptr().cast_mut().cast()
}

#[unsafe(no_mangle)]
extern "C" fn featherstar_memory_reserve(pages: u32) -> RawMemory {
    let Ok(shared) = SharedMemory::new(module().engine(), MemoryType::shared(pages, pages)) else {
        return RawMemory { at: ptr::null_mut(), bytes: 0 };
    };
    let memory = RawMemory { at: start_of(&shared), bytes: shared.data_size() as u64 };
    RESERVED.lock().expect("no thread has panicked").push(Reserved { shared, instances: Vec::new() });
    memory
}

#[unsafe(no_mangle)]
extern "C" fn featherstar_memory_release(memory: RawMemory) {
    let mut reserved = RESERVED.lock().expect("no thread has panicked");
    let index = reserved.iter().position(|each| start_of(&each.shared) == memory.at).expect("the memory is reserved");
    for instance in reserved.swap_remove(index).instances {
        // SAFETY: it was made by Box::into_raw(), and the host uses no instance of a memory that it releases.
        drop(unsafe { Box::from_raw(instance) });
    }
}

fn instantiate(shared: &SharedMemory, host: Host) -> wasmtime::Result<Instance> {
    let mut store = Store::new(module().engine(), host);
    let mut linker = Linker::new(module().engine());
    linker.define(&store, "env", "memory", shared.clone())?;
    linker.func_wrap("uring", "enter", |caller: Caller<Host>| {
        let Host { imports, context } = *caller.data();
        // SAFETY: the host has said that both are valid as long as the instance is used.
        unsafe { ((*imports).enter)(context) }
    })?;
    linker.func_wrap("wasi", "thread-spawn", |caller: Caller<Host>, shard: u32| {
        let Host { imports, context } = *caller.data();
        // SAFETY: likewise.
        unsafe { ((*imports).thread_spawn)(context, shard) }
    })?;
    let instance = linker.instantiate(&mut store, module())?;
    let functions = Functions::of(&mut store, &instance)?;
    Ok(Instance { store, functions })
}

#[unsafe(no_mangle)]
extern "C" fn featherstar_instantiate(
    core: *mut Core,
    memory: RawMemory,
    imports: *const Imports,
    context: *mut c_void,
) {
    let mut reserved = RESERVED.lock().expect("no thread has panicked");
    let found = reserved.iter_mut().find(|each| start_of(&each.shared) == memory.at).expect("the memory is reserved");
    let instance = instantiate(&found.shared, Host { imports, context });
    let instance = Box::into_raw(Box::new(instance.unwrap_or_else(|error| panic!("core.wasm: {error:#}"))));
    found.instances.push(instance);
    // SAFETY: C has made room for it.
    unsafe { core.write(Core { memory, imports, context, instance }) }
}

fn function<Params: WasmParams, Results: WasmResults>(
    store: &mut Store<Host>,
    instance: &wasmtime::Instance,
    name: &str,
) -> wasmtime::Result<TypedFunc<Params, Results>> {
    instance.get_typed_func(store, &name[PREFIX.len()..])
}

macro_rules! exports {
    ($(fn $name:ident($($parameter:ident: $type:ty),*) -> $result:ty;)*) => {
        #[allow(non_snake_case)] // they have the names of the exports
        struct Functions {
            $($name: TypedFunc<($($type,)*), $result>,)*
        }

        impl Functions {
            fn of(store: &mut Store<Host>, instance: &wasmtime::Instance) -> wasmtime::Result<Functions> {
                Ok(Functions { $($name: function(store, instance, stringify!($name))?,)* })
            }
        }

        $(#[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        extern "C" fn $name(core: *mut Core $(, $parameter: $type)*) -> $result {
            // SAFETY: the host has instantiated it, and uses it in one thread, one call at a time.
            let Instance { store, functions } = unsafe { &mut *(*core).instance };
            let result = functions.$name.call(store, ($($parameter,)*));
            result.unwrap_or_else(|error| panic!("{}: {error:#}", stringify!($name)))
        })*
    };
}
include!(concat!(env!("OUT_DIR"), "/exports.rs"));
