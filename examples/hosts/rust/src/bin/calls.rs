//! A host of the core in Rust: std threads, and the core compiled from C by build.rs. It was written from docs/abi.md.
//!
//!   cargo run --release --bin calls [COUNT [OPEN]]
//!
//!   shard 0 --a number--> shard 1
//!           <--one more--
//!
//! Shards sleep by `thread::park_timeout()`. Its token is the doorbell: a bell that rings before the thread parks is
//! not lost.

use featherstar_host::core::{Core, Memory};
use featherstar_host::layout::*;
use featherstar_host::shard::bind;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

const TIMERS: u64 = 20;
const REQUEST: u8 = 1; // kinds of messages
const REPLY: u8 = 2;
const DOORBELL: u8 = 40;
const MAIL_BATCH: u64 = 16; // messages after which a staged doorbell rings, in the middle of a turn
const SQE_BYTES: i64 = 64;
const ENTRY_BYTES: i64 = 16;
const QUOTA_NS: f64 = 1e6;

const LIMITS: [(i64, u32); 19] = [
    (HEADER_SHARD_COUNT, 2),
    (HEADER_RING_SLOTS, 1024),
    (HEADER_CREDIT_COUNT, 256),
    (HEADER_SQE_SLOTS, 16),
    (HEADER_CQE_SLOTS, 16),
    (HEADER_READY_SLOTS, 4096),
    (HEADER_OP_SLOTS, 64),
    (HEADER_TIMER_SLOTS, 64),
    (HEADER_TASK_SLOTS, 64),
    (HEADER_CONNECTION_SLOTS, 1),
    (HEADER_RECV_BUFFER_COUNT, 1),
    (HEADER_RECV_BUFFER_BYTES, 64),
    (HEADER_LARGE_RECV_BUFFER_COUNT, 1),
    (HEADER_LARGE_RECV_BUFFER_BYTES, 64),
    (HEADER_SEND_BUFFER_COUNT, 1),
    (HEADER_SEND_BUFFER_BYTES, 64),
    (HEADER_ARENA_BYTES, 4096),
    (HEADER_SCRATCH_BYTES, 64),
    (HEADER_CALL_SLOTS, 0),
];

/// What the threads of this program share besides the memory.
struct World {
    memory: Memory,
    began: Instant,
    threads: [OnceLock<Thread>; 2],
    all_booted: Barrier,
    is_done: AtomicBool,
}

impl World {
    fn now_ns(&self) -> f64 {
        self.began.elapsed().as_nanos() as f64
    }

    fn ring(&self, shard: usize) {
        if let Some(thread) = self.threads[shard].get() {
            thread.unpark();
        }
    }
}

/// Takes what a shard has staged. Its only operations are doorbells, which have no completions.
fn enter(world: &World, base: i64) {
    let memory = &world.memory;
    let sqes = base + memory.header(HEADER_SQE_OFFSET);
    for i in 0..memory.get::<u32>(base + CONTROL_SUBMIT_COUNT) {
        let sqe = sqes + i64::from(i) * SQE_BYTES;
        if memory.get::<u8>(sqe + SQE_OPCODE) == DOORBELL {
            world.ring(memory.get::<u32>(sqe + SQE_FD) as usize);
        }
    }
    memory.set(base + CONTROL_SUBMIT_COUNT, 0u32);
    memory.set(base + CONTROL_RECYCLE_COUNT, 0u32);
    memory.set(base + CONTROL_NOW_NS, world.now_ns());
}

struct Shard<'world> {
    world: &'world World,
    core: Core<'world>,
    base: i64,                    // of its block
    waiting: VecDeque<(u8, u64)>, // messages that were refused
    fired: u64,
    taken: u64, // messages
}

impl<'world> Shard<'world> {
    fn boot(world: &'world World, index: u32) -> Shard<'world> {
        bind(index); // two threads on one processor would take turns
        let memory = &world.memory;
        let base = memory.header(HEADER_SHARDS_OFFSET) + i64::from(index) * memory.header(HEADER_SHARD_BYTES);
        let mut core = Core::new(memory, Some(Box::new(move || enter(world, base))));
        memory.set(base + CONTROL_QUOTA_NS, QUOTA_NS);
        core.boot(index, world.now_ns());
        world.threads[index as usize]
            .set(thread::current())
            .expect("a shard boots once");
        world.all_booted.wait();
        Shard {
            world,
            core,
            base,
            waiting: VecDeque::new(),
            fired: 0,
            taken: 0,
        }
    }

    /// The loop of docs/abi.md, "Turn". `on_mail` gets the kind and the number of each message.
    fn run(&mut self, mut on_mail: impl FnMut(&mut Self, u8, u64), mut is_done: impl FnMut(&Self) -> bool) {
        while !is_done(self) {
            enter(self.world, self.base);
            let memory = &self.world.memory;
            if self.core.wants_turn() {
                self.core.turn();
                self.drain(&mut on_mail);
                self.core.flush();
            } else if memory.get::<u32>(self.base + CONTROL_SUBMIT_COUNT) == 0 && self.core.try_sleep(false) {
                let left_ns = memory.get::<f64>(self.base + CONTROL_NEXT_DEADLINE_NS) - self.world.now_ns();
                thread::park_timeout(Duration::from_nanos(left_ns.clamp(0.0, 1e18) as u64));
                self.core.awake();
            }
        }
        enter(self.world, self.base);
        self.core.stop();
    }

    fn drain(&mut self, on_mail: &mut impl FnMut(&mut Self, u8, u64)) {
        let memory = &self.world.memory;
        let mask = memory.header(HEADER_READY_SLOTS) - 1;
        loop {
            let head: u32 = memory.get(self.base + CONTROL_READY_HEAD);
            if head == memory.get(self.base + CONTROL_READY_TAIL) {
                return;
            }
            memory.set(self.base + CONTROL_READY_HEAD, head.wrapping_add(1));
            let slot = i64::from(head) & mask;
            let entry = self.base + memory.header(HEADER_READY_OFFSET) + slot * ENTRY_BYTES;
            match i64::from(memory.get::<u32>(entry) & 255) {
                READY_KIND_TIMER => self.fired += 1,
                READY_KIND_MAIL => {
                    let message = self.base + memory.header(HEADER_INBOX_OFFSET) + slot * MESSAGE_BYTES;
                    on_mail(self, memory.get(message), memory.get(message + MESSAGE_INLINE));
                    self.taken += 1;
                    if self.taken.is_multiple_of(MAIL_BATCH) {
                        enter(self.world, self.base); // a peer that sleeps can begin while this turn goes on
                    }
                }
                _ => self.send_waiting(), // there is room again: no other kind can come
            }
        }
    }

    fn peer(&self) -> u32 {
        u32::from(self.base == self.world.memory.header(HEADER_SHARDS_OFFSET))
    }

    /// Sends a number to the other shard, now or when there is room.
    fn send(&mut self, kind: u8, value: u64) {
        self.waiting.push_back((kind, value));
        if self.waiting.len() == 1 {
            self.send_waiting();
        }
    }

    fn send_waiting(&mut self) {
        let memory = &self.world.memory;
        while let Some(&(kind, value)) = self.waiting.front() {
            let at = self.base + memory.header(HEADER_OUTGOING_OFFSET);
            memory.set(at, [0u8; MESSAGE_BYTES as usize]);
            memory.set(at, kind);
            memory.set(at + MESSAGE_PAYLOAD_BYTES, size_of_val(&value) as u32);
            memory.set(at + MESSAGE_INLINE, value);
            if self.core.post(self.peer()) != CODE_OK {
                return;
            }
            self.waiting.pop_front();
        }
    }
}

/// Shard 1: responds to each number with the next one.
fn serve(world: &World) {
    let mut shard = Shard::boot(world, 1);
    let on_mail = |shard: &mut Shard, _kind: u8, value: u64| shard.send(REPLY, value + 1);
    shard.run(on_mail, |_| world.is_done.load(Ordering::Acquire));
}

/// Shard 0: makes the calls, and prints what has come of them.
fn call(world: &World, calls: u64, open: u64) {
    let mut shard = Shard::boot(world, 0);
    let began = Instant::now();
    for i in 1..=TIMERS {
        assert!(
            shard.core.arm_timer(world.now_ns() + i as f64 * 1e6, 0, i as u32) >= 0,
            "no timer is free"
        );
    }
    let mut sent = 0;
    while sent < calls.min(open) {
        shard.send(REQUEST, sent);
        sent += 1;
    }
    let replied = std::cell::Cell::new(0);
    let on_mail = |shard: &mut Shard, kind: u8, value: u64| {
        replied.set(replied.get() + 1);
        assert!(kind == REPLY && value == replied.get(), "a reply is wrong: {value}");
        if sent < calls {
            shard.send(REQUEST, sent);
            sent += 1;
        }
    };
    shard.run(on_mail, |shard| replied.get() == calls && shard.fired == TIMERS);
    let each_ns = began.elapsed().as_nanos() / u128::from(calls);
    println!("{calls} calls between two threads, {TIMERS} timers");
    eprintln!("{each_ns} ns a call");
    world.is_done.store(true, Ordering::Release);
    world.ring(1);
}

fn main() {
    let argument = |index, otherwise| std::env::args().nth(index).map_or(Ok(otherwise), |text| text.parse());
    let (Ok(calls @ 1..), Ok(open @ 1..)) = (argument(1, 1_000_000), argument(2, 64)) else {
        eprintln!("usage: calls [COUNT [OPEN]]");
        std::process::exit(2);
    };
    let world = World {
        memory: Memory::planned(&LIMITS).expect("there is memory for two small shards"),
        began: Instant::now(),
        threads: [OnceLock::new(), OnceLock::new()],
        all_booted: Barrier::new(2),
        is_done: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        scope.spawn(|| serve(&world));
        call(&world, calls, open);
    });
}
