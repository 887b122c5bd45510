//! An HTTP/1.1 server on every core: `http [PORT [SHARDS]]`. It responds to each request with "Hello, World!".
//!
//!   cargo run --release --bin http
//!
//! It does what examples/hosts/c/http.c does. The flow: ACCEPT -> RECV, which the kernel repeats, into a buffer that it
//! picks -> the core's parser -> one SEND for all requests in that buffer.
//!
//! A connection has two send buffers. One is filled while the kernel may still read the other. If a client does not
//! read, its requests are kept, and its RECV is cancelled. SIGINT and SIGTERM end the server in order.

#![forbid(unsafe_code)]

use featherstar_host::core::Memory;
use featherstar_host::layout::*;
use featherstar_host::shard::{self, Event, Operation, Shard, op};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

const CONNECTIONS_MAX: u32 = 4096; // of a shard
const ALL_CONNECTIONS_MAX: u32 = 65536; // they have 3.3 GiB of addresses, and 32 bits can name 4
const SEND_BYTES: u32 = 16384;
const ANSWER_BYTES_MAX: u32 = 512;
const TEMPLATE_BYTES: u32 = 512; // at the beginning of the scratch memory
const HELD_BYTES: u32 = 20480; // a head, which has 16384 bytes at most, and a receive buffer behind it
const HELD_STRIDE: u32 = HELD_BYTES + 64; // the parser may read on a little
const SECOND_NS: f64 = 1e9;

const ACCEPT: u32 = 1; // tags of operations
const RECEIVE: u32 = 2;
const SEND: u32 = 3;
const END: u32 = 4;
const STOP: u32 = 5;
const DATE: u32 = 1; // tags of timers
const GIVE_UP: u32 = 2;

const ENOBUFS: i32 = -105;
const EAGAIN: i32 = -11;
const ECANCELED: i32 = -125;

const BEFORE_DATE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: ";
const DATE_BYTES: usize = 29;
const BEFORE_LENGTH: &str = "\r\nContent-Length: ";
const BODY: &str = "Hello, World!";

/// The limits for so many shards.
fn limits(shards: u32) -> Vec<(i64, u32)> {
    let connections = CONNECTIONS_MAX.min(ALL_CONNECTIONS_MAX / shards);
    vec![
        (HEADER_SHARD_COUNT, shards),
        (HEADER_RING_SLOTS, 64),
        (HEADER_CREDIT_COUNT, 32),
        (HEADER_SQE_SLOTS, 256),
        (HEADER_CQE_SLOTS, 1024),
        (HEADER_READY_SLOTS, 4096),
        // Of a connection: RECV, SEND, SHUTDOWN, CLOSE. Of the shard: ACCEPT, SHUTDOWN, POLL_ADD.
        (HEADER_OP_SLOTS, 4 * connections + 3),
        (HEADER_TIMER_SLOTS, 64),
        (HEADER_TASK_SLOTS, 64),
        (HEADER_CONNECTION_SLOTS, connections),
        (HEADER_RECV_BUFFER_COUNT, 256),
        (HEADER_RECV_BUFFER_BYTES, 4096),
        (HEADER_LARGE_RECV_BUFFER_COUNT, 1),
        (HEADER_LARGE_RECV_BUFFER_BYTES, 4096),
        (HEADER_SEND_BUFFER_COUNT, 2 * connections), // pages that are not touched cost nothing
        (HEADER_SEND_BUFFER_BYTES, SEND_BYTES),
        (HEADER_ARENA_BYTES, 4096),
        (HEADER_SCRATCH_BYTES, TEMPLATE_BYTES + connections * HELD_STRIDE),
        (HEADER_CALL_SLOTS, 0),
    ]
}

#[derive(Default)]
struct Connection {
    is_open: bool,
    is_receiving: bool,
    is_shut: bool,
    has_ended: bool,  // the client sends no more: what it has sent is served
    is_closing: bool, // nothing more is served: what has been written goes out
    is_paused: bool,  // it receives nothing, because too many requests wait
    in_body: bool,
    half: u32,     // the send buffer that is being filled
    filled: u32,   // bytes in it
    sending: u32,  // bytes in the other one; 0: the kernel has none
    sent: u32,     // how many of them are out
    held: u32,     // bytes in the scratch memory: a head that is not complete, or requests that wait
    rest: Vec<u8>, // bytes that follow those
    receive: (u32, u32),
}

struct Server<'memory> {
    shard: Shard<'memory>,
    connections: Vec<Connection>,
    listener: u32,
    open: u32, // connections
    open_max: u32,
    is_accepting: bool,
    template: u32,
    template_bytes: u32,
    is_stopping: bool,
}

impl Server<'_> {
    fn submit(&mut self, opcode: u8, tag: u32, file: u32, operation: Operation) -> (u32, u32) {
        self.shard.submit(Operation { opcode, tag, file, owner: file + 1, ..operation }) // 0: no owner
    }

    /// Accepts a client, unless it does already or all slots are taken: then clients wait. An ACCEPT that the kernel
    /// repeats would go on until there is no slot, and close the client that has found none.
    fn accept(&mut self) {
        if self.is_accepting || self.open >= self.open_max || self.is_stopping {
            return;
        }
        self.is_accepting = true;
        let file_index = op::ALLOCATE_FILE;
        self.submit(op::ACCEPT, ACCEPT, self.listener, Operation { file_index, ..Default::default() });
    }

    fn shut(&mut self, file: u32) {
        self.submit(op::SHUTDOWN, END, file, Operation { bytes: op::SHUT_BOTH, ..Default::default() });
    }

    fn send(&mut self, file: u32, address: u32, bytes: u32, flags: u8, op_flags: u32) {
        self.submit(op::SEND, SEND, file, Operation { address, bytes, flags, op_flags, ..Default::default() });
    }

    fn send_buffer(&self, file: u32, half: u32) -> u32 {
        let stride = i64::from(SEND_BYTES) + SEND_STAGGER;
        (self.shard.address(HEADER_SEND_OFFSET) + i64::from(file * 2 + half) * stride) as u32
    }

    fn held_at(&self, file: u32) -> u32 {
        self.template + TEMPLATE_BYTES + file * HELD_STRIDE
    }

    fn receive_if_wanted(&mut self, file: u32) {
        let c = &self.connections[file as usize];
        if c.is_receiving || c.is_paused || c.is_closing || c.has_ended {
            return;
        }
        let (flags, ioprio) = (op::BUFFER_SELECT, op::RECV_MULTISHOT);
        let receive = self.submit(op::RECV, RECEIVE, file, Operation { flags, ioprio, ..Default::default() });
        let c = &mut self.connections[file as usize];
        c.receive = receive;
        c.is_receiving = true;
    }

    /// Closes a connection when its responses are out. Its slot is free when no operation can name it any more.
    fn close_if_done(&mut self, file: u32) {
        let c = &mut self.connections[file as usize];
        if !c.is_open || !(c.is_closing || c.has_ended) {
            return;
        }
        if c.sending > 0 || c.filled > 0 {
            return self.shard.hurry(); // the next turn says whether the last SEND was taken whole
        }
        if !c.is_receiving {
            *c = Connection::default();
            self.shard.close_file(file);
            self.open -= 1;
            self.accept();
        } else if !c.is_shut {
            c.is_shut = true;
            self.shut(file); // this ends the receive
        }
    }

    fn send_filled(&mut self, file: u32) {
        let c = &mut self.connections[file as usize];
        if c.filled == 0 {
            return;
        }
        if c.sending > 0 {
            return self.shard.hurry(); // likewise
        }
        let (half, bytes) = (c.half, c.filled);
        (c.sending, c.sent, c.filled) = (bytes, 0, 0);
        c.half ^= 1;
        self.send(file, self.send_buffer(file, half), bytes, op::QUIET, op::DONTWAIT | op::WAITALL);
    }

    fn fill(&mut self, file: u32, text: &str) {
        let c = &self.connections[file as usize];
        self.shard.memory.write((self.send_buffer(file, c.half) + c.filled).into(), text.as_bytes());
        self.connections[file as usize].filled += text.len() as u32;
    }

    fn answer(&mut self, file: u32) {
        let c = &self.connections[file as usize];
        let out = self.send_buffer(file, c.half) + c.filled;
        let bytes = self.shard.http_head(out, self.template, self.template_bytes, BODY.len() as u32);
        self.connections[file as usize].filled += bytes;
        if i64::from(self.shard.http_field::<u32>(file, HTTP_CONNECTION_METHOD_ID)) != HTTP_METHOD_HEAD {
            self.fill(file, BODY);
        }
        self.connections[file as usize].is_closing |= !self.has_flag(file, HTTP_FLAG_KEEP_ALIVE);
    }

    /// Responds to a request that the parser refuses. Its result is the status, below 0.
    fn refuse(&mut self, file: u32, status: i32) {
        let reason = match i64::from(status) {
            TARGET_TOO_LONG => "URI Too Long",
            EXPECTATION_FAILED => "Expectation Failed",
            HEAD_TOO_LARGE => "Request Header Fields Too Large",
            NOT_IMPLEMENTED => "Not Implemented",
            VERSION_NOT_SUPPORTED => "HTTP Version Not Supported",
            _ => "Bad Request",
        };
        let head = format!("HTTP/1.1 {} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", -status);
        self.fill(file, &head);
        self.connections[file as usize].is_closing = true;
    }

    fn has_flag(&self, file: u32, flag: i64) -> bool {
        self.shard.http_field::<u32>(file, HTTP_CONNECTION_FLAGS) & flag as u32 != 0
    }

    /// Parses requests, and responds to those that are complete. Returns how many bytes it has used.
    fn serve(&mut self, file: u32, at: u32, bytes: u32) -> u32 {
        let mut used = 0;
        while used < bytes {
            let c = &self.connections[file as usize];
            if c.is_closing || c.filled + ANSWER_BYTES_MAX > SEND_BYTES {
                break;
            }
            let in_body = c.in_body;
            let result = if in_body {
                self.shard.http_body(file, at + used, bytes - used)
            } else {
                self.shard.http_parse(file, at + used, bytes - used)
            };
            if result < 0 {
                self.refuse(file, result);
                break;
            }
            used += result as u32;
            let is_done = self.has_flag(file, HTTP_FLAG_DONE);
            if result == 0 && !is_done {
                break; // more has to come
            }
            self.connections[file as usize].in_body = !is_done;
            if is_done {
                self.answer(file);
                self.shard.http_reset(file);
            } else if !in_body && self.has_flag(file, HTTP_FLAG_EXPECT_CONTINUE) {
                self.fill(file, "HTTP/1.1 100 Continue\r\n\r\n");
            }
        }
        used
    }

    /// Moves bytes of the rest to those that are held, as far as there is room.
    fn hold_rest(&mut self, file: u32) {
        let at = self.held_at(file);
        let c = &mut self.connections[file as usize];
        let count = c.rest.len().min((HELD_BYTES - c.held) as usize);
        self.shard.memory.write((at + c.held).into(), &c.rest[..count]);
        c.rest.drain(..count);
        c.held += count as u32;
    }

    /// Goes on with the bytes that are held.
    fn serve_held(&mut self, file: u32) {
        let at = self.held_at(file);
        let used = self.serve(file, at, self.connections[file as usize].held);
        let c = &mut self.connections[file as usize];
        c.held -= used;
        self.shard.memory.copy_within((at + used).into(), at.into(), c.held.into());
        self.hold_rest(file);
        self.send_filled(file);
        let c = &mut self.connections[file as usize];
        if c.is_paused && c.rest.is_empty() {
            c.is_paused = false;
            self.receive_if_wanted(file);
        }
    }

    /// Keeps bytes that cannot be served yet. Too many of them: the client has to wait.
    fn keep(&mut self, file: u32, at: u32, bytes: u32) {
        let more = self.shard.memory.read(at.into(), bytes.into());
        self.connections[file as usize].rest.extend(more);
        self.hold_rest(file);
        let c = &mut self.connections[file as usize];
        if !c.rest.is_empty() && !c.is_paused {
            c.is_paused = true;
            if c.is_receiving {
                self.shard.cancel(c.receive);
            }
        }
    }

    fn on_bytes(&mut self, file: u32, at: u32, bytes: u32) {
        let used = if self.connections[file as usize].held == 0 { self.serve(file, at, bytes) } else { 0 };
        if used < bytes && !self.connections[file as usize].is_closing {
            self.keep(file, at + used, bytes - used);
            if used == 0 {
                self.serve_held(file);
            }
        }
        self.send_filled(file);
    }

    // --- events ------------------------------------------------------------------------------------------------------

    fn on_accepted(&mut self, event: &Event) {
        self.is_accepting = false;
        if event.result >= 0 {
            let file = event.result as u32;
            self.open += 1;
            self.connections[file as usize].is_open = true;
            self.shard.http_reset(file);
            self.receive_if_wanted(file);
            self.connections[file as usize].is_closing = self.is_stopping;
            self.close_if_done(file);
            self.accept();
        } // else the client is gone, or there are too many files: the next second or the next close tries again
    }

    fn on_received(&mut self, event: &Event) {
        let file = event.owner - 1;
        let c = &mut self.connections[file as usize];
        c.is_receiving = event.flags & op::HAS_MORE != 0;
        c.has_ended |= event.result == 0;
        c.is_closing |= event.result < 0 && event.result != ENOBUFS && event.result != ECANCELED;
        if event.flags & op::HAS_BUFFER != 0 {
            let buffer = event.flags >> 16;
            if event.result > 0 && !c.is_closing {
                let size = self.shard.memory.header(HEADER_RECV_BUFFER_BYTES);
                let at = self.shard.address(HEADER_RECV_OFFSET) + i64::from(buffer) * size;
                self.on_bytes(file, at as u32, event.result as u32);
            }
            self.shard.recycle(buffer);
        }
        self.receive_if_wanted(file);
        self.close_if_done(file);
    }

    /// The kernel has taken a SEND, wholly or in part.
    fn on_sent(&mut self, event: &Event) {
        let file = event.owner - 1;
        let c = &mut self.connections[file as usize];
        if event.result < 0 && event.result != EAGAIN {
            c.is_closing = true; // the client is gone: nothing more can be sent
            (c.sending, c.filled) = (0, 0);
        } else {
            c.sent += event.result.max(0) as u32;
            if c.sent < c.sending {
                let (sent, left, half) = (c.sent, c.sending - c.sent, c.half ^ 1);
                let address = self.send_buffer(file, half) + sent;
                return self.send(file, address, left, 0, op::WAITALL); // this one waits until the socket has room
            }
            c.sending = 0;
            if c.filled == 0 {
                c.half ^= 1; // the buffer that was sent is free, and in the processor's cache
            }
            let is_waiting = c.held > 0 && !c.is_closing;
            self.send_filled(file);
            if is_waiting {
                self.serve_held(file);
            }
        }
        self.close_if_done(file);
    }

    fn on_timer(&mut self, event: &Event) {
        if event.tag() == GIVE_UP {
            for file in 0..self.connections.len() as u32 {
                if self.connections[file as usize].sending > 0 {
                    self.shut(file); // it does not read: its send fails now
                }
            }
        } else if !self.is_stopping {
            self.every_second();
        }
    }

    /// Every second: the Date of the responses, and an ACCEPT if the last one has failed.
    fn every_second(&mut self) {
        self.accept();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let date = self.template + BEFORE_DATE.len() as u32;
        self.shard.http_date(date, now.floor());
        self.shard.memory.write(i64::from(date) + DATE_BYTES as i64, BEFORE_LENGTH.as_bytes());
        self.shard.arm_timer(SECOND_NS, DATE);
    }

    fn stop(&mut self) {
        self.is_stopping = true;
        self.shut(self.listener); // this ends the ACCEPT, and refuses new clients
        for file in 0..self.connections.len() as u32 {
            self.connections[file as usize].is_closing = true;
            self.close_if_done(file);
        }
        self.shard.arm_timer(SECOND_NS, GIVE_UP);
    }

    fn run(&mut self) {
        let mut events = Vec::new();
        while !self.is_stopping || self.shard.open_ops() > 0 {
            self.shard.turn(&mut events);
            // Sends first: one that has failed must be known before more is sent.
            for event in events.iter().filter(|event| !event.is_timer() && event.tag() == SEND) {
                self.on_sent(event);
            }
            for event in events.drain(..) {
                match (event.is_timer(), event.tag()) {
                    (true, _) => self.on_timer(&event),
                    (_, ACCEPT) => self.on_accepted(&event),
                    (_, RECEIVE) => self.on_received(&event),
                    (_, STOP) => self.stop(),
                    _ => {} // a SEND, or the end of a SHUTDOWN
                }
            }
            self.shard.flush();
        }
    }
}

/// One shard, in its thread. It ends when the other side of `stop` is closed.
fn run(memory: &Memory, index: u32, listener: OwnedFd, stop: UnixStream) -> io::Result<()> {
    let mut shard = Shard::open(memory, index)?;
    let listener = shard.grant(listener.as_fd())?;
    let stop = shard.grant(stop.as_fd())?;
    let template = shard.address(HEADER_SCRATCH_OFFSET);
    let open_max = shard.files_max();
    let connections = memory.header(HEADER_CONNECTION_SLOTS);
    memory.write(template, BEFORE_DATE.as_bytes());
    let mut server = Server {
        shard,
        connections: (0..connections).map(|_| Connection::default()).collect(),
        listener,
        open: 0,
        open_max,
        is_accepting: false,
        template: template as u32,
        template_bytes: (BEFORE_DATE.len() + DATE_BYTES + BEFORE_LENGTH.len()) as u32,
        is_stopping: false,
    };
    server.every_second();
    server.submit(op::POLL_ADD, STOP, stop, Operation { op_flags: op::POLL_IN, ..Default::default() });
    server.run();
    Ok(())
}

fn serve(mut port: u16, count: u32) -> io::Result<()> {
    shard::block_signals();
    let memory = Memory::planned(&limits(count)).ok_or_else(|| io::Error::other("no memory for so many shards"))?;
    let (stop, stopped) = UnixStream::pair()?;
    let listeners: io::Result<Vec<_>> = (0..count).map(|_| shard::listen("127.0.0.1", &mut port, 1024)).collect();
    let listeners = listeners?;
    thread::scope(|scope| {
        for (index, listener) in (0..).zip(listeners) {
            let (memory, stopped) = (&memory, stopped.try_clone()?);
            scope.spawn(move || run(memory, index, listener, stopped).unwrap_or_else(|error| die(&error.to_string(), 1)));
        }
        println!("listening on http://127.0.0.1:{port} with {count} shards");
        io::stdout().flush()?;
        shard::wait_for_signal();
        stop.shutdown(Shutdown::Both)
    })?;
    println!("stopped");
    Ok(())
}

fn die(what: &str, code: i32) -> ! {
    eprintln!("{what}");
    std::process::exit(code)
}

fn main() {
    let argument = |index, otherwise| std::env::args().nth(index).map_or(Ok(otherwise), |text| text.parse());
    let cores = thread::available_parallelism().map_or(1, |count| count.get().min(64) as u16);
    let (Ok(port), Ok(count @ 1..=64)) = (argument(1, 8080), argument(2, cores)) else {
        die("usage: http [PORT [SHARDS]]", 2);
    };
    if let Err(error) = serve(port, count.into()) {
        die(&error.to_string(), 1);
    }
}
