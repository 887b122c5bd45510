//! A shared memory of wasmtime, and one instance of core.wasm for each thread.

use crate::layout::*;
use std::path::PathBuf;
use wasmtime::{
    Config, Engine, Instance, Linker, MemoryType, Module, SharedMemory, Store, TypedFunc, WasmParams, WasmResults,
};

/// The memory that all shards share, with the module that runs over it.
pub struct Memory {
    module: Module,
    shared: SharedMemory,
}

/// FEATHERSTAR_WASM names core.wasm; by default it is that of this repository.
fn compile() -> wasmtime::Result<Module> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../dist/core.wasm");
    let file = std::env::var("FEATHERSTAR_WASM").map_or_else(|_| PathBuf::from(default), PathBuf::from);
    let mut config = Config::new();
    config.wasm_threads(true).shared_memory(true);
    Module::from_file(&Engine::new(&config)?, file)
}

impl Memory {
    /// Memory for these limits, planned: `(HEADER_SHARD_COUNT, 2)` and so on. None if it would be too large.
    pub fn planned(limits: &[(i64, u32)]) -> Option<Memory> {
        let module = compile().unwrap_or_else(|error| panic!("core.wasm: {error:#}"));
        let pages = Memory::reserve(&module, 1)?.plan(limits)?;
        let memory = Memory::reserve(&module, pages)?;
        memory.plan(limits)?;
        Some(memory)
    }

    fn reserve(module: &Module, pages: u32) -> Option<Memory> {
        let shared = SharedMemory::new(module.engine(), MemoryType::shared(pages, pages)).ok()?;
        Some(Memory { module: module.clone(), shared })
    }

    fn plan(&self, limits: &[(i64, u32)]) -> Option<u32> {
        for &(offset, value) in limits {
            self.set(HEADER + offset, value);
        }
        let mut core = Core::new(self, None);
        let plan = core.export::<(), u32>("plan");
        let pages = plan.call(&mut core.store, ()).expect("plan() does not trap");
        (pages != 0).then_some(pages)
    }

    /// Reads a value at an offset of the memory.
    pub fn get<T: Copy>(&self, at: i64) -> T {
        // SAFETY: it lies inside, and any bytes are a T: callers read numbers.
        unsafe { self.pointer::<T>(at).read_unaligned() }
    }

    /// Writes a value at an offset of the memory.
    pub fn set<T: Copy>(&self, at: i64, value: T) {
        // SAFETY: it lies inside.
        unsafe { self.pointer::<T>(at).write_unaligned(value) }
    }

    fn pointer<T>(&self, at: i64) -> *mut T {
        let cells = self.shared.data();
        let is_inside = at >= 0 && at as u64 + size_of::<T>() as u64 <= cells.len() as u64;
        assert!(is_inside, "{at} is outside of the memory");
        cells[at as usize].get().cast()
    }

    /// A word of the Header: a limit or an offset.
    pub fn header(&self, offset: i64) -> i64 {
        self.get::<u32>(HEADER + offset).into()
    }
}

type Enter = dyn Fn();

/// The core's import `uring.enter`. A store wants data that lives for ever, so it has a pointer.
struct Imports(Option<*const Enter>);

/// One instance, of one thread.
pub struct Core<'memory> {
    store: Store<Imports>,
    instance: Instance,
    wants_turn: TypedFunc<(), u32>,
    turn: TypedFunc<(), u32>,
    flush: TypedFunc<(), ()>,
    try_sleep: TypedFunc<u32, u32>,
    awake: TypedFunc<(), ()>,
    post: TypedFunc<u32, i32>,
    _enter: Option<Box<dyn Fn() + 'memory>>, // what the store points at
}

fn instantiate(memory: &Memory, enter: Option<*const Enter>) -> wasmtime::Result<(Store<Imports>, Instance)> {
    let mut store = Store::new(memory.module.engine(), Imports(enter));
    let mut linker = Linker::new(memory.module.engine());
    linker.define(&store, "env", "memory", memory.shared.clone())?;
    linker.func_wrap("uring", "enter", |caller: wasmtime::Caller<Imports>| {
        if let Some(enter) = caller.data().0 {
            // SAFETY: the Core owns it, and is borrowed while this runs.
            unsafe { (*enter)() }
        }
    })?;
    linker.func_wrap("wasi", "thread-spawn", |_shard: u32| -1)?; // threads are this program's
    let instance = linker.instantiate(&mut store, &memory.module)?;
    Ok((store, instance))
}

const NO_TRAP: &str = "the core does not trap";

impl<'memory> Core<'memory> {
    /// `enter` takes what is staged. The core calls it when the window is full in mid-turn.
    pub fn new(memory: &'memory Memory, enter: Option<Box<dyn Fn() + 'memory>>) -> Core<'memory> {
        let pointer = enter.as_deref().map(|enter| {
            let pointer: *const (dyn Fn() + 'memory) = enter;
            // SAFETY: only the lifetime changes, and the box lives as long as the store.
            unsafe { std::mem::transmute::<*const (dyn Fn() + 'memory), *const Enter>(pointer) }
        });
        let (mut store, instance) = instantiate(memory, pointer).unwrap_or_else(|error| panic!("core.wasm: {error:#}"));
        Core {
            wants_turn: export(&mut store, &instance, "wantsTurn"),
            turn: export(&mut store, &instance, "turn"),
            flush: export(&mut store, &instance, "flush"),
            try_sleep: export(&mut store, &instance, "trySleep"),
            awake: export(&mut store, &instance, "awake"),
            post: export(&mut store, &instance, "post"),
            _enter: enter,
            store,
            instance,
        }
    }

    fn export<Params: WasmParams, Results: WasmResults>(&mut self, name: &str) -> TypedFunc<Params, Results> {
        export(&mut self.store, &self.instance, name)
    }

    pub fn boot(&mut self, shard: u32, now_ns: f64) {
        let boot = self.export::<(u32, f64), ()>("boot");
        boot.call(&mut self.store, (shard, now_ns)).expect(NO_TRAP)
    }

    pub fn wants_turn(&mut self) -> bool {
        self.wants_turn.call(&mut self.store, ()).expect(NO_TRAP) != 0
    }

    pub fn turn(&mut self) {
        self.turn.call(&mut self.store, ()).expect(NO_TRAP);
    }

    pub fn flush(&mut self) {
        self.flush.call(&mut self.store, ()).expect(NO_TRAP)
    }

    pub fn try_sleep(&mut self, busy: bool) -> bool {
        self.try_sleep.call(&mut self.store, busy.into()).expect(NO_TRAP) != 0
    }

    pub fn awake(&mut self) {
        self.awake.call(&mut self.store, ()).expect(NO_TRAP)
    }

    /// A slot, or a code below 0.
    pub fn arm_timer(&mut self, deadline_ns: f64, kind: u32, owner: u32) -> i64 {
        let arm_timer = self.export::<(f64, u32, u32), i32>("armTimer");
        arm_timer.call(&mut self.store, (deadline_ns, kind, owner)).expect(NO_TRAP).into()
    }

    /// CODE_OK, or a code below 0: then nothing was sent.
    pub fn post(&mut self, peer: u32) -> i64 {
        self.post.call(&mut self.store, peer).expect(NO_TRAP).into()
    }

    pub fn stop(&mut self) {
        let stop = self.export::<(), ()>("stop");
        stop.call(&mut self.store, ()).expect(NO_TRAP)
    }
}

fn export<Params: WasmParams, Results: WasmResults>(
    store: &mut Store<Imports>,
    instance: &Instance,
    name: &str,
) -> TypedFunc<Params, Results> {
    let found = instance.get_typed_func(&mut *store, name);
    found.unwrap_or_else(|error| panic!("core.wasm has no {name}: {error}"))
}
