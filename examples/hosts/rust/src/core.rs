//! The core in C behind a safe interface: one memory, and one instance for each thread.
//!
//! What a host reads and writes lies in the block of its own shard. No other thread touches those words, so plain loads
//! and stores are enough; what shards share is touched by the core alone, with atomics.

use std::ffi::c_void;

use crate::exports::*;
use crate::layout::*;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RawMemory {
    pub(crate) at: *mut u8,
    pub(crate) bytes: u64,
}

#[repr(C)]
pub(crate) struct Imports {
    pub(crate) thread_spawn: extern "C" fn(*mut c_void, u32) -> u32,
    pub(crate) enter: extern "C" fn(*mut c_void),
}

unsafe extern "C" {
    static host_core_bytes: usize;
    fn featherstar_memory_reserve(pages: u32) -> RawMemory;
    fn featherstar_memory_release(memory: RawMemory);
    fn featherstar_instantiate(core: *mut c_void, memory: RawMemory, imports: *const Imports, context: *mut c_void);
}

/// The memory that all shards share. It lives until the last thread has gone.
pub struct Memory(pub(crate) RawMemory);

// SAFETY: threads share it by instances, and the core is made for that.
unsafe impl Send for Memory {}
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: instances borrow the memory, so none is left.
        unsafe { featherstar_memory_release(self.0) }
    }
}

impl Memory {
    /// Memory for these limits, planned: `(HEADER_SHARD_COUNT, 2)` and so on. None if it would be too large.
    pub fn planned(limits: &[(i64, u32)]) -> Option<Memory> {
        let pages = Memory::reserve(1)?.plan(limits)?;
        let memory = Memory::reserve(pages)?;
        memory.plan(limits)?;
        Some(memory)
    }

    fn reserve(pages: u32) -> Option<Memory> {
        // SAFETY: it has no conditions.
        let raw = unsafe { featherstar_memory_reserve(pages) };
        (!raw.at.is_null()).then_some(Memory(raw))
    }

    fn plan(&self, limits: &[(i64, u32)]) -> Option<u32> {
        for &(offset, value) in limits {
            self.set(HEADER + offset, value);
        }
        let mut core = Core::new(self, None);
        // SAFETY: the instance is whole, and no shard has booted.
        let pages = unsafe { featherstar_plan(core.raw()) };
        (pages != 0).then_some(pages)
    }

    /// Reads a value at an offset of the memory.
    pub fn get<T: Copy>(&self, at: i64) -> T {
        self.check::<T>(at);
        // SAFETY: it lies inside, and any bytes are a T: callers read numbers.
        unsafe { self.0.at.add(at as usize).cast::<T>().read_unaligned() }
    }

    /// Writes a value at an offset of the memory.
    pub fn set<T: Copy>(&self, at: i64, value: T) {
        self.check::<T>(at);
        // SAFETY: it lies inside.
        unsafe { self.0.at.add(at as usize).cast::<T>().write_unaligned(value) }
    }

    fn check<T>(&self, at: i64) {
        self.check_range(at, size_of::<T>() as i64);
    }

    /// Panics if these bytes do not lie in the memory.
    pub fn check_range(&self, at: i64, bytes: i64) {
        let is_inside = at >= 0 && bytes >= 0 && (at + bytes) as u64 <= self.0.bytes;
        assert!(is_inside, "{bytes} bytes at {at} are outside of the memory");
    }

    /// Copies bytes into the memory.
    pub fn write(&self, at: i64, bytes: &[u8]) {
        self.check_range(at, bytes.len() as i64);
        // SAFETY: it lies inside, and no reference to this memory exists.
        unsafe { self.0.at.add(at as usize).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) }
    }

    /// A copy of bytes of the memory.
    pub fn read(&self, at: i64, bytes: i64) -> Vec<u8> {
        self.check_range(at, bytes);
        // SAFETY: it lies inside. Nothing writes there meanwhile: it is the block of the caller's shard.
        unsafe { std::slice::from_raw_parts(self.0.at.add(at as usize), bytes as usize).to_vec() }
    }

    /// Moves bytes within the memory.
    pub fn copy_within(&self, from: i64, to: i64, bytes: i64) {
        self.check_range(from, bytes);
        self.check_range(to, bytes);
        // SAFETY: both lie inside, and may overlap.
        unsafe { self.0.at.add(to as usize).copy_from(self.0.at.add(from as usize), bytes as usize) }
    }

    /// A word of the Header: a limit or an offset.
    pub fn header(&self, offset: i64) -> i64 {
        self.get::<u32>(HEADER + offset).into()
    }
}

/// One instance, of one thread.
pub struct Core<'memory> {
    words: Box<[u64]>,
    _enter: Option<Box<dyn Fn() + 'memory>>, // a context of its own, for the pointer is thin
    _context: Box<Context<'memory>>,
}

type Context<'memory> = Option<*const (dyn Fn() + 'memory)>;

extern "C" fn thread_spawn(_context: *mut c_void, _shard: u32) -> u32 {
    u32::MAX // threads are this program's
}

extern "C" fn enter(context: *mut c_void) {
    // SAFETY: it is the context that Core::new() gave, which lives as long as the instance.
    if let Some(enter) = unsafe { &*context.cast::<Context>() } {
        unsafe { (**enter)() }
    }
}

static IMPORTS: Imports = Imports { thread_spawn, enter };

impl<'memory> Core<'memory> {
    /// `enter` takes what is staged. The core calls it when the window is full in mid-turn.
    pub fn new(memory: &'memory Memory, enter: Option<Box<dyn Fn() + 'memory>>) -> Core<'memory> {
        // SAFETY: a constant of the C file.
        let words = vec![0u64; unsafe { host_core_bytes }.div_ceil(8)].into_boxed_slice();
        let context: Box<Context> = Box::new(enter.as_deref().map(|enter| enter as *const _));
        let mut core = Core { words, _enter: enter, _context: context };
        let context = (&raw const *core._context).cast_mut().cast();
        // SAFETY: there is room for an instance, and it borrows the memory.
        unsafe { featherstar_instantiate(core.raw(), memory.0, &IMPORTS, context) }
        core
    }

    fn raw(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }
}

// Each call needs the instance for itself (&mut), so none begins while another runs. The core checks its arguments.
impl Core<'_> {
    pub fn boot(&mut self, shard: u32, now_ns: f64) {
        unsafe { featherstar_boot(self.raw(), shard, now_ns) }
    }

    pub fn wants_turn(&mut self) -> bool {
        unsafe { featherstar_wantsTurn(self.raw()) != 0 }
    }

    pub fn turn(&mut self) {
        unsafe { featherstar_turn(self.raw()) };
    }

    pub fn flush(&mut self) {
        unsafe { featherstar_flush(self.raw()) }
    }

    pub fn try_sleep(&mut self, busy: bool) -> bool {
        unsafe { featherstar_trySleep(self.raw(), busy.into()) != 0 }
    }

    pub fn awake(&mut self) {
        unsafe { featherstar_awake(self.raw()) }
    }

    /// A slot, or a code below 0.
    pub fn arm_timer(&mut self, deadline_ns: f64, kind: u32, owner: u32) -> i64 {
        (unsafe { featherstar_armTimer(self.raw(), deadline_ns, kind, owner) } as i32).into()
    }

    /// CODE_OK, or a code below 0: then nothing was sent.
    pub fn post(&mut self, peer: u32) -> i64 {
        (unsafe { featherstar_post(self.raw(), peer) } as i32).into()
    }

    pub fn stop(&mut self) {
        unsafe { featherstar_stop(self.raw()) }
    }
}
