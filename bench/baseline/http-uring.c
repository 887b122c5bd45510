// The floor: a hello-world HTTP server on io_uring in C, one thread, as fast as its author could make it. The extra
// cost of another server is the cost of its runtime.
//
// The flow of a turn:
//   ring_enter()   submits the SENDs of the last turn and waits for completions, in one system call
//   reap()         ACCEPT: a multishot RECV is armed on the new direct descriptor
//                  RECV: ends of requests are counted in a provided buffer, which goes straight back
//   flush()        stages one SEND for each connection that owes answers, however many were pipelined
//
// Sending. A SEND carries MSG_DONTWAIT | MSG_WAITALL and IOSQE_CQE_SKIP_SUCCESS: it is decided inside the enter that
// submits it. It has a completion only if it did not go out whole. So usually the kernel no longer reads the responses'
// block once the enter is over (its Date may change). Order is kept without links, and an enter that waits is not cut
// short by the completions of its own sends. A full socket is the slow path: the rest is copied, and sent by an
// ordinary SEND that the kernel finishes when there is room. Until then further responses are only counted.
//
// Invariants. A connection has at most one RECV and one slow SEND in the kernel. Its slot is closed when neither is
// left, so no completion ever meets a slot's next owner.
//
// Next: http-epoll.c, the same server with one system call per operation.
#define _GNU_SOURCE
#include "http-answer.h"
#include "http-scan.h"
#include "uring.h"
#include <signal.h>

#define CONNECTIONS 4096 // slots of the direct descriptor table; slot 0 is the listener
#define SQ_ENTRIES 1024
#define CQ_ENTRIES 4096
#define BUFFERS 256 // few enough to stay in the second-level cache; running out costs no more than arming a RECV again
#define BUFFER_BYTES 2048

enum kind { ACCEPT = 1, RECV, SEND, SLOW_SEND, SHUTDOWN, CLOSE };

struct connection {
  uint32_t answers;   // requests that have ended and whose responses are not staged yet
  uint32_t sending;   // bytes of the SEND staged last
  uint8_t matched;    // http-scan.h
  bool receiving;     // a RECV is in the kernel
  bool blocked;       // a SLOW_SEND is in the kernel
  bool broken;        // nothing more can be sent
  bool listed;        // flush() has to look at it
  uint32_t rest_left; // the slow path: bytes not sent yet, the last of rest[0, rest_bytes)
  uint32_t rest_bytes;
  uint8_t *rest;
};

static struct ring ring;
static struct answers answers;
static struct connection connections[CONNECTIONS];
static uint32_t listed[CONNECTIONS], listed_count;
static bool closing; // --close 1: the server closes each connection behind its first responses

static struct io_uring_sqe *stage(enum kind kind, uint8_t opcode, uint32_t slot) {
  struct io_uring_sqe *sqe = ring_sqe(&ring);
  if (sqe == NULL) die("io_uring_enter", errno);
  sqe->opcode = opcode;
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->fd = (int)slot;
  sqe->user_data = (uint64_t)kind << 32 | slot;
  return sqe;
}

static void stage_accept(void) {
  struct io_uring_sqe *sqe = stage(ACCEPT, IORING_OP_ACCEPT, 0);
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
  sqe->file_index = IORING_FILE_INDEX_ALLOC;
}

static void stage_recv(uint32_t slot) {
  struct io_uring_sqe *sqe = stage(RECV, IORING_OP_RECV, slot);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  if (!closing) sqe->ioprio = IORING_RECV_MULTISHOT;
  connections[slot].receiving = true;
}

static void stage_send(uint32_t slot, uint32_t count) {
  struct io_uring_sqe *sqe = stage(SEND, IORING_OP_SEND, slot);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->addr = (uint64_t)answers.block;
  sqe->len = count * ANSWER_BYTES;
  sqe->msg_flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL; // WAITALL: a short send is a failure, so it is told
  connections[slot].sending = sqe->len;
}

static void stage_slow_send(uint32_t slot) {
  struct connection *c = &connections[slot];
  struct io_uring_sqe *sqe = stage(SLOW_SEND, IORING_OP_SEND, slot);
  sqe->addr = (uint64_t)(c->rest + c->rest_bytes - c->rest_left);
  sqe->len = c->rest_left;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL;
}

static void stage_close(uint32_t slot) {
  struct io_uring_sqe *sqe = stage(CLOSE, IORING_OP_CLOSE, slot);
  sqe->flags = IOSQE_CQE_SKIP_SUCCESS; // a direct descriptor is closed by its index, not as a fixed file
  sqe->fd = 0;
  sqe->file_index = slot + 1;
}

// Closes the connection as soon as the SEND that was just staged has gone out whole. If it has not, on_send() lists the
// connection, and flush() closes it later.
static void stage_close_behind(uint32_t slot) {
  ring.sqes[(ring.sq_staged - 1) & ring.sq_mask].flags |= IOSQE_IO_LINK;
  stage_close(slot);
}

static void list(uint32_t slot) {
  if (connections[slot].listed) return;
  connections[slot].listed = true;
  listed[listed_count++] = slot;
}

// Nothing more can be sent. A RECV that is still armed would keep the connection for ever, so it is made to end.
static void break_off(uint32_t slot) {
  struct connection *c = &connections[slot];
  c->broken = true;
  if (c->receiving) stage(SHUTDOWN, IORING_OP_SHUTDOWN, slot)->len = SHUT_RDWR;
  list(slot);
}

static void on_accept(int32_t result, uint32_t flags) {
  if (result >= 0) {
    connections[result] = (struct connection){0};
    stage_recv((uint32_t)result);
  } // else the kernel has dropped that connection: the peer was gone, or all slots are taken
  if (!(flags & IORING_CQE_F_MORE)) stage_accept();
}

static void on_recv(uint32_t slot, int32_t result, uint32_t flags) {
  struct connection *c = &connections[slot];
  if (flags & IORING_CQE_F_BUFFER) {
    unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
    if (result > 0) {
      uint32_t ends = scan_ends(ring_buffer(&ring, id), (size_t)result, &c->matched);
      c->answers += ends;
      if (ends != 0) list(slot);
    }
    ring_give_buffer(&ring, id);
  }
  if (flags & IORING_CQE_F_MORE) return;
  if (result == -ENOBUFS || (result > 0 && !(closing && c->answers != 0))) {
    stage_recv(slot); // every buffer is back before the next enter, so this cannot spin
    return;
  }
  c->receiving = false;
  c->broken = c->broken || result < 0; // 0: the peer has finished sending, but may wait for responses
  list(slot);
}

// A SEND that did not go out whole: `result` bytes did, or none.
static void on_send(uint32_t slot, int32_t result) {
  struct connection *c = &connections[slot];
  if (result < 0 && result != -EAGAIN) {
    break_off(slot);
    return;
  }
  uint32_t done = result < 0 ? 0 : (uint32_t)result;
  c->rest_bytes = c->rest_left = c->sending - done;
  c->rest = malloc(c->rest_bytes);
  if (c->rest == NULL) die("malloc", ENOMEM);
  memcpy(c->rest, answers.block + done, c->rest_bytes);
  c->blocked = true;
  stage_slow_send(slot);
}

static void on_slow_send(uint32_t slot, int32_t result) {
  struct connection *c = &connections[slot];
  if (result > 0) c->rest_left -= (uint32_t)result;
  if (result > 0 && c->rest_left != 0) {
    stage_slow_send(slot);
    return;
  }
  free(c->rest);
  c->rest = NULL;
  c->blocked = false;
  if (result > 0) list(slot);
  else break_off(slot);
}

static void complete(const struct io_uring_cqe *cqe) {
  uint32_t slot = (uint32_t)cqe->user_data;
  switch ((enum kind)(cqe->user_data >> 32)) {
    case ACCEPT: on_accept(cqe->res, cqe->flags); break;
    case RECV: on_recv(slot, cqe->res, cqe->flags); break;
    case SEND: on_send(slot, cqe->res); break;
    case SLOW_SEND: on_slow_send(slot, cqe->res); break;
    case SHUTDOWN: break; // ENOTCONN: the RECV has ended on its own
    case CLOSE:
      if (cqe->res == -ECANCELED) break; // the SEND in front of it fell short
      die("close of a direct descriptor", -cqe->res);
  }
}

// Takes every completion there is, and those that did not fit the queue. So flush() knows of every SEND that failed.
static void reap(void) {
  for (;;) {
    unsigned head = *ring.cq_head, tail = load_acquire(ring.cq_tail);
    for (; head != tail; head++) complete(&ring.cqes[head & ring.cq_mask]);
    store_release(ring.cq_head, head);
    if (!(__atomic_load_n(ring.sq_flags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW)) break;
    ring_publish_buffers(&ring);
    int result = ring_enter(&ring, 0);
    if (result < 0) die("io_uring_enter", -result);
  }
  ring_publish_buffers(&ring);
}

// Stages what the listed connections need. True if some of them need another turn at once.
static bool flush(void) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < listed_count; i++) {
    uint32_t slot = listed[i];
    struct connection *c = &connections[slot];
    c->listed = false;
    if (c->blocked) continue; // on_slow_send() lists it again
    if (c->answers != 0 && !c->broken) {
      uint32_t count = c->answers < COPIES ? c->answers : COPIES;
      stage_send(slot, count);
      c->answers -= count;
      if (c->answers == 0 && c->receiving) continue;
      if (c->answers == 0 && closing) {
        stage_close_behind(slot);
        continue;
      }
      c->listed = true; // more to send, or to close once this SEND is known to have gone out
      listed[kept++] = slot;
    } else if (!c->receiving) {
      stage_close(slot);
    }
  }
  listed_count = kept;
  return kept != 0;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Looks at the ring for up to `poll_ns` without a system call. True if there is something to enter for.
static bool poll_ring(uint64_t poll_ns) {
  uint64_t end = now_ns() + poll_ns;
  do {
    for (int i = 0; i < 32; i++) {
      if (ring_has_work(&ring)) return true;
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  } while (now_ns() < end);
  return false;
}

// Submits, and comes back when there is something to do.
static void wait_for_work(bool more, uint64_t poll_ns) {
  int result = 0;
  if (poll_ns != 0 && !more) {
    if (ring.sq_staged != *ring.sq_head) result = ring_enter(&ring, 0); // what is staged must not wait for the polling
    if (result == 0) result = ring_enter(&ring, poll_ring(poll_ns) ? 0 : 1);
  } else {
    result = ring_enter(&ring, more ? 0 : 1);
  }
  if (result < 0) die("io_uring_enter", -result);
}

int main(int argc, char **argv) {
  uint16_t port = (uint16_t)number_option(argc, argv, "--port", 8080, 65535);
  uint64_t poll_ns = (uint64_t)number_option(argc, argv, "--poll-us", 0, 1000000) * 1000;
  closing = number_option(argc, argv, "--close", 0, 1) == 1;
  signal(SIGPIPE, SIG_IGN);
  unsigned flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN;
  if (poll_ns != 0) flags |= IORING_SETUP_TASKRUN_FLAG; // lets poll_ring() see deferred work without a system call
  int result = ring_open(&ring, SQ_ENTRIES, CQ_ENTRIES, flags);
  if (result < 0) die("io_uring_setup (needs Linux 6.1, and a seccomp profile that allows it)", -result);
  result = ring_files(&ring, CONNECTIONS, listen_on(port, 0));
  if (result < 0) die("registering files", -result);
  result = ring_provide(&ring, BUFFERS, BUFFER_BYTES, SCAN_PADDING);
  if (result < 0) die("registering buffers", -result);
  stage_accept();
  say_ready();
  for (bool more = false;;) {
    wait_for_work(more, poll_ns);
    reap();
    answers_refresh(&answers); // every SEND staged so far is decided, and the rest of a short one has been copied
    more = flush();
  }
}
