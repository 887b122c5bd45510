//! A shard with a ring of the kernel: shard.h of featherstar/c behind a safe interface.
//!
//! The kernel reads and writes the memory of the core only: the gate (gate.c) checks each operation. Rust has no
//! reference into that memory, only copies. So a wrong address can spoil bytes there, and nothing else.

use crate::core::{Memory, RawMemory};
use crate::exports::*;
use crate::layout::*;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

unsafe extern "C" {
    static host_shard_bytes: usize;
    fn host_grant(shard: *mut c_void, fd: c_int) -> c_int;
    fn host_files_max(shard: *mut c_void) -> u32;
    fn host_listen(address: *const c_char, port: *mut c_int, backlog: c_int, what: *mut *const c_char) -> c_int;
    fn host_bind(processor: u32);
    fn host_block_signals();
    fn host_wait_for_signal();
    fn shard_open(shard: *mut c_void, memory: RawMemory, index: u32, what: *mut *const c_char) -> c_int;
    fn shard_turn(shard: *mut c_void) -> bool;
    fn shard_next(shard: *mut c_void) -> *const Event;
    fn shard_close(shard: *mut c_void, timeout_ns: f64);
}

const CANCEL_NS: f64 = 1e9; // so long may the kernel take for operations that are left when a shard is dropped
const PARSER_READS_ON: i64 = 16; // docs/abi.md, "Memory"

/// Opcodes and flags of io_uring.
pub mod op {
    pub const POLL_ADD: u8 = 6;
    pub const ACCEPT: u8 = 13;
    pub const SEND: u8 = 26;
    pub const RECV: u8 = 27;
    pub const SHUTDOWN: u8 = 34;
    pub const BUFFER_SELECT: u8 = 32;
    pub const QUIET: u8 = 64; // no completion on success
    pub const RECV_MULTISHOT: u16 = 2;
    pub const ALLOCATE_FILE: u32 = u32::MAX;
    pub const DONTWAIT: u32 = 0x40;
    pub const WAITALL: u32 = 0x100;
    pub const POLL_IN: u32 = 1;
    pub const SHUT_BOTH: u32 = 2;
    pub const HAS_BUFFER: u32 = 1; // of a completion: its number is in the upper half
    pub const HAS_MORE: u32 = 2;
}

/// An operation on a file of the ring. Fields are those of docs/abi.md, `submit`.
#[derive(Default)]
pub struct Operation {
    pub opcode: u8,
    pub flags: u8,
    pub ioprio: u16,
    pub file: u32,
    pub address: u32,
    pub bytes: u32,
    pub op_flags: u32,
    pub file_index: u32,
    pub owner: u32,
    pub tag: u32,
}

/// An entry of the ready ring.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Event {
    kind: u32,
    pub owner: u32,
    pub result: i32,
    pub flags: u32,
}

impl Event {
    pub fn is_timer(&self) -> bool {
        i64::from(self.kind & 255) == READY_KIND_TIMER
    }

    pub fn tag(&self) -> u32 {
        self.kind >> 8
    }
}

/// A shard, in the thread that has opened it.
pub struct Shard<'memory> {
    words: Box<[u64]>, // the C struct, which begins with an instance of the core
    pub memory: &'memory Memory,
    pub base: i64, // of its block
    _not_send: PhantomData<*const ()>,
}

fn result_of(code: c_int, what: *const c_char) -> io::Result<c_int> {
    if code >= 0 {
        return Ok(code);
    }
    // SAFETY: on failure, what names the call by a string constant.
    let what = unsafe { CStr::from_ptr(what) }.to_string_lossy();
    let error = io::Error::from_raw_os_error(-code);
    Err(io::Error::new(error.kind(), format!("{what}: {error}")))
}

/// A listening socket, which others of this process may listen beside. `port` 0 finds a free one.
pub fn listen(address: &str, port: &mut u16, backlog: i32) -> io::Result<OwnedFd> {
    let address = CString::new(address)?;
    let mut found: c_int = (*port).into();
    let mut what = c"".as_ptr();
    // SAFETY: all pointers are valid, and the result is a new descriptor.
    let fd = result_of(unsafe { host_listen(address.as_ptr(), &mut found, backlog, &mut what) }, what)?;
    *port = found as u16;
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Binds this thread to a processor, if the process may use that.
pub fn bind(processor: u32) {
    unsafe { host_bind(processor) } // SAFETY: no conditions
}

/// SIGINT and SIGTERM wait for wait_for_signal(). Call it before other threads start.
pub fn block_signals() {
    unsafe { host_block_signals() } // SAFETY: no conditions
}

pub fn wait_for_signal() {
    unsafe { host_wait_for_signal() } // SAFETY: no conditions
}

impl<'memory> Shard<'memory> {
    /// Boots a shard in this thread. No shard of this memory may have the same index.
    pub fn open(memory: &'memory Memory, index: u32) -> io::Result<Shard<'memory>> {
        assert!(i64::from(index) < memory.header(HEADER_SHARD_COUNT), "there is no shard {index}");
        // SAFETY: a constant of the C file.
        let mut words = vec![0u64; unsafe { host_shard_bytes }.div_ceil(8)].into_boxed_slice();
        let mut what = c"".as_ptr();
        // SAFETY: there is room for the struct, and it borrows the memory.
        result_of(unsafe { shard_open(words.as_mut_ptr().cast(), memory.0, index, &mut what) }, what)?;
        let base = memory.header(HEADER_SHARDS_OFFSET) + i64::from(index) * memory.header(HEADER_SHARD_BYTES);
        Ok(Shard { words, memory, base, _not_send: PhantomData })
    }

    fn raw(&mut self) -> *mut c_void {
        self.words.as_mut_ptr().cast()
    }

    /// The address of something that lies in this shard's block: `HEADER_SEND_OFFSET`.
    pub fn address(&self, offset: i64) -> i64 {
        self.base + self.memory.header(offset)
    }

    /// Gives a file to the ring. Returns its number for operations.
    pub fn grant(&mut self, fd: BorrowedFd) -> io::Result<u32> {
        // SAFETY: the descriptor is open, and the ring makes its own reference.
        let slot = result_of(unsafe { host_grant(self.raw(), fd.as_raw_fd()) }, c"ring_grant".as_ptr())?;
        Ok(slot as u32)
    }

    /// How many files operations can make.
    pub fn files_max(&mut self) -> u32 {
        unsafe { host_files_max(self.raw()) } // SAFETY: the struct is open
    }

    /// Submits what is staged, sleeps if there is nothing to do, and runs a turn. Adds its events to `events`.
    pub fn turn(&mut self, events: &mut Vec<Event>) {
        // SAFETY: the struct is open. An entry is valid until the next turn, and is copied.
        unsafe {
            if shard_turn(self.raw()) {
                while let Some(event) = shard_next(self.raw()).as_ref() {
                    events.push(*event);
                }
            }
        }
    }

    /// Stages an operation. Returns its slot and generation, for cancel(). Panics if no operation is free.
    pub fn submit(&mut self, o: Operation) -> (u32, u32) {
        const FIXED_FILE: u8 = 1;
        let flags = u32::from(FIXED_FILE | o.flags);
        // SAFETY: the core takes any numbers, and the gate checks them.
        let slot = unsafe {
            featherstar_submit(
                self.raw(),
                o.opcode.into(),
                flags,
                o.ioprio.into(),
                o.file,
                0.0,
                o.address.into(),
                o.bytes,
                o.op_flags,
                o.file_index,
                o.owner,
                o.tag,
                0,
            )
        };
        assert!(slot as i32 >= 0, "no operation is free");
        (slot, self.memory.get(self.address(HEADER_OPS_OFFSET) + i64::from(slot) * OP_BYTES))
    }

    /// Cancels an operation, if it still runs.
    pub fn cancel(&mut self, (slot, generation): (u32, u32)) {
        assert!(i64::from(slot) < self.memory.header(HEADER_OP_SLOTS), "{slot} is no operation");
        unsafe { featherstar_cancelOp(self.raw(), slot, generation) }; // SAFETY: the slot exists
    }

    /// Gives a receive buffer back.
    pub fn recycle(&mut self, buffer: u32) {
        let buffers = self.memory.header(HEADER_RECV_BUFFER_COUNT) + self.memory.header(HEADER_LARGE_RECV_BUFFER_COUNT);
        assert!(i64::from(buffer) < buffers, "{buffer} is no buffer");
        unsafe { featherstar_recycle(self.raw(), buffer) } // SAFETY: the buffer exists
    }

    /// Closes a file that an operation has made.
    pub fn close_file(&mut self, file: u32) {
        unsafe { featherstar_closeFile(self.raw(), file) }; // SAFETY: the gate checks the number
    }

    /// Arms a timer. Panics if none is free.
    pub fn arm_timer(&mut self, delay_ns: f64, tag: u32) {
        let deadline_ns = self.memory.get::<f64>(self.base + CONTROL_NOW_NS) + delay_ns;
        // SAFETY: the core checks its arguments.
        let slot = unsafe { featherstar_armTimer(self.raw(), deadline_ns, tag, 1) };
        assert!(slot as i32 >= 0, "no timer is free");
    }

    // SAFETY of the rest: these have no arguments that could be wrong, or check them here.

    /// Call it when the events of a turn are handled.
    pub fn flush(&mut self) {
        unsafe { featherstar_flush(self.raw()) }
    }

    /// An owner waits for a quiet operation: the next turn comes at once.
    pub fn hurry(&mut self) {
        unsafe { featherstar_hurry(self.raw()) }
    }

    pub fn open_ops(&mut self) -> u32 {
        unsafe { featherstar_openOps(self.raw()) }
    }

    fn parser(&self, connection: u32) -> u32 {
        assert!(i64::from(connection) < self.memory.header(HEADER_CONNECTION_SLOTS));
        (self.address(HEADER_CONNECTIONS_OFFSET) + i64::from(connection) * CONNECTION_BYTES) as u32
    }

    pub fn http_reset(&mut self, connection: u32) {
        let parser = self.parser(connection);
        unsafe { featherstar_http_reset(self.raw(), parser) }
    }

    /// Bytes of the head; 0: more has to come; a status below 0.
    pub fn http_parse(&mut self, connection: u32, at: u32, bytes: u32) -> i32 {
        self.memory.check_range(at.into(), i64::from(bytes) + PARSER_READS_ON);
        let parser = self.parser(connection);
        unsafe { featherstar_http_parse(self.raw(), parser, at, bytes) as i32 }
    }

    /// Bytes consumed; a status below 0.
    pub fn http_body(&mut self, connection: u32, at: u32, bytes: u32) -> i32 {
        self.memory.check_range(at.into(), i64::from(bytes) + PARSER_READS_ON);
        let parser = self.parser(connection);
        unsafe { featherstar_http_body(self.raw(), parser, at, bytes) as i32 }
    }

    /// What the parser has found, a field of HttpConnection: `HTTP_CONNECTION_FLAGS`.
    pub fn http_field<T: Copy>(&self, connection: u32, field: i64) -> T {
        self.memory.get(i64::from(self.parser(connection)) + field)
    }

    /// Writes a head at `out`, and returns its length.
    pub fn http_head(&mut self, out: u32, template: u32, template_bytes: u32, content_length: u32) -> u32 {
        self.memory.check_range(template.into(), template_bytes.into());
        self.memory.check_range(out.into(), i64::from(template_bytes) + 16);
        unsafe { featherstar_http_head(self.raw(), out, template, template_bytes, content_length) }
    }

    /// Writes the date at `out`: 29 bytes, and spoils three more.
    pub fn http_date(&mut self, out: u32, epoch_seconds: f64) {
        self.memory.check_range(out.into(), 32);
        unsafe { featherstar_http_date(self.raw(), out, epoch_seconds) };
    }
}

impl Drop for Shard<'_> {
    fn drop(&mut self) {
        // SAFETY: the struct is open, and its ring has no peers.
        unsafe {
            featherstar_stop(self.raw());
            shard_close(self.raw(), CANCEL_NS);
        }
    }
}
