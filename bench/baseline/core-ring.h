// Two threads on two cores and the rings between them, for core.c. A ring is assembly/spsc.ts in C: free-running
// indices, the peer's index cached, everything published by one sequentially consistent store per batch, as in
// WebAssembly. (A release store would do. It was measured to gain little, because the cost is the line's way to the
// other core.)
//
// Invariants: head <= tail <= head + RING_SLOTS; `tail` is written by the producer only, `head` by the consumer only.
//
// Next: core.c.
#pragma once
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define RING_SLOTS 1024u
#define SLOT_WORDS 8

static inline void fail(const char *what) {
  fprintf(stderr, "core: %s\n", what);
  exit(1);
}

static inline double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

struct ring {
  _Alignas(128) _Atomic uint32_t tail;     // written by the producer
  _Alignas(64) _Atomic uint32_t waiting;   // the producer found the ring full
  _Alignas(128) _Atomic uint32_t head;     // written by the consumer
  _Alignas(128) uint32_t staged, head_seen; // the producer's own
  _Alignas(128) uint32_t taken, tail_seen;  // the consumer's own
  _Alignas(128) _Atomic uint32_t sleeping; // the consumer sleeps, or is about to; both touch it
  _Alignas(128) uint64_t slots[RING_SLOTS][SLOT_WORDS];
};

// The next slot to write, or NULL when the ring is full.
static inline uint64_t *ring_claim(struct ring *ring) {
  if (ring->staged - ring->head_seen == RING_SLOTS) {
    ring->head_seen = atomic_load(&ring->head); // pairs with ring_release()
    if (ring->staged - ring->head_seen == RING_SLOTS) return NULL;
  }
  return ring->slots[ring->staged & (RING_SLOTS - 1)];
}

static inline void ring_publish(struct ring *ring) {
  atomic_store(&ring->tail, ring->staged); // pairs with ring_available()
}

// The oldest message, or NULL when there is none.
static inline uint64_t *ring_available(struct ring *ring) {
  if (ring->taken == ring->tail_seen) {
    ring->tail_seen = atomic_load(&ring->tail); // pairs with ring_publish()
    if (ring->taken == ring->tail_seen) return NULL;
  }
  return ring->slots[ring->taken & (RING_SLOTS - 1)];
}

// Gives back all that was taken. Whether the producer waits is looked at as the core does; here it spins instead.
static inline void ring_release(struct ring *ring) {
  atomic_store(&ring->head, ring->taken); // pairs with ring_claim()
  if (atomic_load(&ring->waiting) != 0) fail("nobody waits for room here");
}

static inline void write_message(uint64_t *slot, uint64_t value) {
  for (int i = 0; i < SLOT_WORDS; i++) slot[i] = value + (uint64_t)i;
}

static inline void check_message(const uint64_t *slot, uint64_t value) {
  uint64_t wrong = 0;
  for (int i = 0; i < SLOT_WORDS; i++) wrong |= slot[i] ^ (value + (uint64_t)i);
  if (wrong != 0) fail("a message was torn or lost");
}

// --- one way --------------------------------------------------------------------------------------------------------

static inline void stream_out(struct ring *ring, uint32_t messages, uint32_t batch) {
  for (uint32_t i = 0, unpublished = 0; i < messages; i++) {
    uint64_t *slot = ring_claim(ring);
    if (slot == NULL) { // full: show what there is, then spin
      if (unpublished != 0) ring_publish(ring);
      unpublished = 0;
      while ((slot = ring_claim(ring)) == NULL) {}
    }
    write_message(slot, i);
    ring->staged++;
    if (++unpublished == batch) {
      ring_publish(ring);
      unpublished = 0;
    }
  }
  ring_publish(ring);
}

static inline void stream_in(struct ring *ring, uint32_t messages, uint32_t batch) {
  for (uint32_t i = 0, unreleased = 0; i < messages; i++) {
    uint64_t *slot = ring_available(ring);
    if (slot == NULL) { // empty: give back what was read, then spin
      if (unreleased != 0) ring_release(ring);
      unreleased = 0;
      while ((slot = ring_available(ring)) == NULL) {}
    }
    check_message(slot, i);
    ring->taken++;
    if (++unreleased == batch) {
      ring_release(ring);
      unreleased = 0;
    }
  }
  ring_release(ring);
}

// --- there and back -------------------------------------------------------------------------------------------------

static inline void futex(_Atomic uint32_t *word, int operation, uint32_t value) {
  if (syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0) >= 0) return;
  if (errno != EAGAIN && errno != EINTR) fail("futex"); // the word had changed already, or a signal came: look again
}

static inline void stage_one(struct ring *ring, uint64_t value) {
  uint64_t *slot = ring_claim(ring);
  if (slot == NULL) fail("a ring cannot be full of calls that are open");
  write_message(slot, value);
  ring->staged++;
}

// Shows the peer what is staged, and wakes it.
static inline void publish(struct ring *ring, int sleeping) {
  ring_publish(ring);
  if (sleeping && atomic_load(&ring->sleeping) != 0 && atomic_exchange(&ring->sleeping, 0) != 0) {
    futex(&ring->sleeping, FUTEX_WAKE, 1);
  }
}

// Waits for a message. Publishing "I sleep" and looking once more comes before sleeping: either we see the message, or
// its sender sees us.
static inline uint64_t *await_message(struct ring *ring, int sleeping) {
  uint64_t *slot;
  while ((slot = ring_available(ring)) == NULL) {
    if (!sleeping) continue;
    atomic_store(&ring->sleeping, 1);
    if (ring_available(ring) == NULL) futex(&ring->sleeping, FUTEX_WAIT, 1);
    atomic_store(&ring->sleeping, 0);
  }
  return slot;
}

static inline void send_one(struct ring *ring, uint64_t value, int sleeping) {
  stage_one(ring, value);
  publish(ring, sleeping);
}

static inline void receive_one(struct ring *ring, uint64_t value, int sleeping) {
  check_message(await_message(ring, sleeping), value);
  ring->taken++;
  ring_release(ring);
}

// --- calls: many open at a time, and both sides sleep when they have nothing to do ----------------------------------

static inline void call_out(struct ring *there, struct ring *back, uint32_t calls, uint32_t open) {
  for (uint32_t sent = 0, replied = 0; replied < calls;) {
    for (; sent < calls && sent - replied < open; sent++) stage_one(there, sent);
    publish(there, 1);
    for (uint64_t *slot = await_message(back, 1); slot != NULL; slot = ring_available(back)) {
      check_message(slot, ++replied); // a reply is one more than its number
      back->taken++;
    }
    ring_release(back);
  }
}

static inline void call_in(struct ring *there, struct ring *back, uint32_t calls) {
  for (uint32_t served = 0; served < calls;) {
    for (uint64_t *slot = await_message(there, 1); slot != NULL; slot = ring_available(there)) {
      check_message(slot, served);
      stage_one(back, ++served);
      there->taken++;
    }
    ring_release(there);
    publish(back, 1);
  }
}

// --- the two threads ------------------------------------------------------------------------------------------------

enum pair_kind { STREAM, PING_PONG, PING_PONG_SLEEP, CALLS };

struct pair {
  enum pair_kind kind;
  uint32_t messages, batch;
  double started_ns, ended_ns;
  _Atomic uint32_t arrived;
  struct ring there, back;
};

static inline void pin_to(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (pthread_setaffinity_np(pthread_self(), sizeof cores, &cores) != 0) fail("cannot pin a thread: two cores needed");
}

static inline void meet(struct pair *pair) {
  atomic_fetch_add(&pair->arrived, 1);
  while (atomic_load(&pair->arrived) < 2) {}
}

static void *near_side(void *argument) {
  struct pair *pair = argument;
  pin_to(0);
  meet(pair);
  pair->started_ns = now_ns();
  if (pair->kind == STREAM) {
    stream_out(&pair->there, pair->messages, pair->batch);
    return NULL;
  }
  if (pair->kind == CALLS) {
    call_out(&pair->there, &pair->back, pair->messages, pair->batch);
    return NULL;
  }
  for (uint32_t i = 0; i < pair->messages; i++) {
    send_one(&pair->there, i, pair->kind == PING_PONG_SLEEP);
    receive_one(&pair->back, i, pair->kind == PING_PONG_SLEEP);
  }
  return NULL;
}

static void *far_side(void *argument) {
  struct pair *pair = argument;
  pin_to(1);
  meet(pair);
  if (pair->kind == STREAM) stream_in(&pair->there, pair->messages, pair->batch);
  else if (pair->kind == CALLS) call_in(&pair->there, &pair->back, pair->messages);
  else {
    for (uint32_t i = 0; i < pair->messages; i++) {
      receive_one(&pair->there, i, pair->kind == PING_PONG_SLEEP);
      send_one(&pair->back, i, pair->kind == PING_PONG_SLEEP);
    }
  }
  pair->ended_ns = now_ns();
  return NULL;
}

// Runs both sides and returns the nanoseconds that all messages took, measured to the far side's end.
static double time_pair(enum pair_kind kind, uint32_t messages, uint32_t batch) {
  static struct pair pair;
  memset(&pair, 0, sizeof pair);
  pair.kind = kind;
  pair.messages = messages;
  pair.batch = batch;
  pthread_t near, far;
  if (pthread_create(&near, NULL, near_side, &pair) != 0) fail("pthread_create");
  if (pthread_create(&far, NULL, far_side, &pair) != 0) fail("pthread_create");
  pthread_join(near, NULL);
  pthread_join(far, NULL);
  return pair.ended_ns - pair.started_ns;
}
