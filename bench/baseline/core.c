// The core's data structures in C: what assembly/{wheel,slab,list,task,spsc}.ts cost when a C compiler has them. The
// algorithms, table layouts and orders of work are the same, so that a difference is the compiler's and the sandbox's.
//
//   core wheel N          N pending timers, 10 ms to 60 s ahead: insert one and cancel a random one; then fire all
//   core slab             give back the oldest of 64 handles and take a new one, generation checked
//   core task             queue 64 tasks and take one after the other
//   core spsc B           64-byte messages from one core to another, published every B; ns per message
//   core pingpong         one message there and back through two rings, both sides spinning
//   core pingpong-sleep   the same, each side asleep in a futex until its message comes
//
// Prints lines of `name ns_per_op`: the median of five runs, and with two cores the lower quartile of 25 short ones.
// Any other load on either core multiplies the time of a run. Every message and every firing is checked; a wrong one
// ends the program with code 1.
//
// Next: core-ring.h, which has the rings and the two threads; assembly/wheel.ts.
#define _GNU_SOURCE
#include "core-ring.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#define RUNS 5
#define PAIR_RUNS 25

static void sort(double *values, int count) {
  for (int i = 1; i < count; i++) {
    for (int j = i; j > 0 && values[j] < values[j - 1]; j--) {
      double swap = values[j];
      values[j] = values[j - 1];
      values[j - 1] = swap;
    }
  }
}

static double median_of(double *values) {
  sort(values, RUNS);
  return values[RUNS / 2];
}

// Zeroed memory whose untouched pages cost nothing, like the shared memory of the core.
static void *reserve(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return memory;
}

// Marsaglia's xorshift32: about 1 ns, and the same numbers everywhere.
static uint32_t random_state = 2463534242u;
static inline uint32_t random_u32(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  return random_state ^= random_state << 5;
}

// --- list.ts and slab.ts: slots linked by index, 0 is nobody --------------------------------------------------------

struct slot { // 32 bytes, the head of a timer or a task
  uint32_t generation, next, prev;
  uint32_t where; // timer: level * 64 + slot
  uint64_t tick;  // timer: when it is due
  union {
    struct { uint32_t owner, kind; }; // timer: the maker's words
    uint32_t word;                    // task: the maker's word
  };
};

struct list {
  uint32_t head, tail;
};

struct slab {
  struct slot *slots; // slots[0] is never handed out
  uint32_t limit, free, fresh, used;
};

static void slab_init(struct slab *slab, uint32_t limit) {
  *slab = (struct slab){.slots = reserve(((size_t)limit + 1) * sizeof(struct slot)), .limit = limit, .fresh = 1};
}

static void slab_destroy(struct slab *slab) {
  munmap(slab->slots, ((size_t)slab->limit + 1) * sizeof(struct slot));
}

static inline uint32_t slab_take(struct slab *slab) {
  uint32_t index = slab->free;
  if (index != 0) {
    slab->free = slab->slots[index].next;
    slab->slots[index].generation = (slab->slots[index].generation + 1) & 0x7fffffff;
  } else {
    index = slab->fresh;
    if (index > slab->limit) return 0;
    slab->fresh = index + 1;
    slab->slots[index].generation = 1;
  }
  slab->used++;
  return index;
}

static inline void slab_give(struct slab *slab, uint32_t index) {
  struct slot *slot = &slab->slots[index];
  slot->generation = (slot->generation + 1) & 0x7fffffff;
  slot->next = slab->free;
  slab->free = index;
  slab->used--;
}

static inline bool slab_live(const struct slab *slab, uint32_t index, uint32_t generation) {
  if (index == 0 || index >= slab->fresh) return false;
  return (generation & 1) != 0 && slab->slots[index].generation == generation;
}

static inline void push(struct list *list, struct slot *slots, uint32_t index) {
  slots[index].next = 0;
  slots[index].prev = list->tail;
  if (list->tail != 0) slots[list->tail].next = index;
  else list->head = index;
  list->tail = index;
}

static inline void unlink_slot(struct list *list, struct slot *slots, uint32_t index) {
  struct slot *slot = &slots[index];
  if (slot->prev != 0) slots[slot->prev].next = slot->next;
  else list->head = slot->next;
  if (slot->next != 0) slots[slot->next].prev = slot->prev;
  else list->tail = slot->prev;
}

// --- wheel.ts: eight levels of 64 slots, ticks of 512 ns ------------------------------------------------------------

#define LEVELS 8
#define HORIZON ((uint64_t)63 << 42)
#define NEVER UINT64_MAX
#define TICK_NS 512.0
#define DEADLINE_MAX_NS 0x1p60
#define BOOT_NS (123456789 * TICK_NS) // a machine that has been up for a minute: slots lie where they would

static struct {
  uint64_t elapsed, occupied[LEVELS];
  struct list lists[LEVELS * 64];
  struct slab timers;
} wheel;

static inline void file_timer(uint32_t index) {
  struct slot *timer = &wheel.timers.slots[index];
  uint64_t tick = timer->tick < wheel.elapsed ? wheel.elapsed : timer->tick;
  if (tick - wheel.elapsed > HORIZON) tick = wheel.elapsed + HORIZON;
  uint32_t level = (63 - (uint32_t)__builtin_clzll((wheel.elapsed ^ tick) | 63)) / 6;
  if (level >= LEVELS) level = LEVELS - 1; // the top level turns over
  uint32_t slot = (uint32_t)(tick >> (level * 6)) & 63;
  timer->where = level * 64 + slot;
  push(&wheel.lists[timer->where], wheel.timers.slots, index);
  wheel.occupied[level] |= 1ull << slot;
}

// Deadlines are doubles, as they are for the core: a clock of JavaScript is one.
// Not inlined, nor is cancel_timer(). A runtime's callers are elsewhere, so no compiler may keep the clock and the
// addresses of the wheel in registers between calls.
__attribute__((noinline)) static uint32_t insert_timer(double deadline_ns, uint32_t kind, uint32_t owner) {
  if (!(deadline_ns >= 0 && deadline_ns <= DEADLINE_MAX_NS)) return 0;
  uint32_t index = slab_take(&wheel.timers);
  if (index == 0) return 0;
  struct slot *timer = &wheel.timers.slots[index];
  timer->tick = (uint64_t)ceil(deadline_ns / TICK_NS);
  timer->kind = kind;
  timer->owner = owner;
  file_timer(index);
  return index;
}

static inline void drop_timer(uint32_t index) {
  uint32_t where = wheel.timers.slots[index].where;
  unlink_slot(&wheel.lists[where], wheel.timers.slots, index);
  if (wheel.lists[where].head == 0) wheel.occupied[where / 64] &= ~(1ull << (where & 63));
  slab_give(&wheel.timers, index);
}

__attribute__((noinline)) static bool cancel_timer(uint32_t index, uint32_t generation) {
  if (!slab_live(&wheel.timers, index, generation)) return false;
  drop_timer(index);
  return true;
}

// The first tick at which something is to be done, and where.
static inline uint64_t find_next(uint32_t *where) {
  for (uint32_t level = 0; level < LEVELS; level++) {
    uint64_t occupied = wheel.occupied[level];
    if (occupied == 0) continue;
    uint32_t shift = level * 6, here = (uint32_t)(wheel.elapsed >> shift) & 63;
    uint64_t turned = here == 0 ? occupied : occupied >> here | occupied << (64 - here);
    uint32_t ahead = (uint32_t)__builtin_ctzll(turned);
    *where = level * 64 + ((here + ahead) & 63);
    uint64_t start = ((wheel.elapsed >> shift) + ahead) << shift;
    return start > wheel.elapsed ? start : wheel.elapsed;
  }
  return NEVER;
}

// Deals a slot of a higher level out to the levels below.
static void deal_out(uint32_t where) {
  uint32_t index = wheel.lists[where].head;
  wheel.lists[where] = (struct list){0};
  wheel.occupied[where / 64] &= ~(1ull << (where & 63));
  while (index != 0) {
    uint32_t next = wheel.timers.slots[index].next;
    file_timer(index);
    index = next;
  }
}

// One timer that is due at `now`, still armed, or 0.
static inline uint32_t next_due(uint64_t now) {
  for (uint32_t where;;) {
    uint64_t tick = find_next(&where);
    if (tick > now) break;
    wheel.elapsed = tick;
    if (where < 64) return wheel.lists[where].head;
    deal_out(where);
  }
  if (now > wheel.elapsed) wheel.elapsed = now;
  return 0;
}

// 10 ms to 60 s ahead, in whole microseconds.
static inline double random_deadline_ns(void) {
  return BOOT_NS + (double)(10000 + ((uint64_t)random_u32() * 59990000 >> 32)) * 1000;
}

// Fires everything as an idle shard would: sleep to the next deadline, take what is due, again. Returns how many.
static uint32_t fire_all(void) {
  uint32_t fired = 0, where;
  for (uint64_t tick; (tick = find_next(&where)) != NEVER;) {
    for (uint32_t index; (index = next_due(tick)) != 0; fired++) {
      if (wheel.timers.slots[index].tick != tick) fail("a timer fired at the wrong time");
      drop_timer(index);
    }
  }
  return fired;
}

struct handle { uint32_t index, generation; };

static inline void insert_as(struct handle *handle) {
  handle->index = insert_timer(random_deadline_ns(), 0, 0);
  handle->generation = wheel.timers.slots[handle->index].generation;
}

static double churn_ns(struct handle *handles, uint32_t count, uint32_t operations) {
  double start = now_ns();
  for (uint32_t i = 0; i < operations; i++) {
    struct handle *handle = &handles[(uint64_t)random_u32() * count >> 32];
    uint32_t index = insert_timer(random_deadline_ns(), 0, 0);
    if (!cancel_timer(handle->index, handle->generation)) fail("a timer was lost");
    *handle = (struct handle){index, wheel.timers.slots[index].generation};
  }
  return (now_ns() - start) / operations;
}

static double pass_ns(uint32_t operations) {
  double start = now_ns(), time_ns = BOOT_NS;
  for (uint32_t i = 0; i < operations; i++) {
    time_ns += 4;
    uint32_t index = insert_timer(time_ns, 0, 0);
    if (next_due((uint64_t)((time_ns + TICK_NS) / TICK_NS)) != index) fail("a timer did not fire");
    drop_timer(index);
  }
  return (now_ns() - start) / operations;
}

// `count` timers are pending all the while: random ones are exchanged, then the last 64, then one more comes and goes.
static void run_wheel(uint32_t count) {
  enum { RECENT = 64, OPERATIONS = 2000000 };
  double churn[RUNS], recent[RUNS], pass[RUNS], fire[RUNS];
  struct handle *handles = reserve((count + RECENT) * sizeof *handles);
  for (int run = 0; run < RUNS; run++) {
    memset(&wheel, 0, sizeof wheel);
    slab_init(&wheel.timers, count + RECENT + 1);
    wheel.elapsed = (uint64_t)(BOOT_NS / TICK_NS);
    for (uint32_t i = 0; i < count; i++) insert_as(&handles[i]);
    churn[run] = churn_ns(handles, count, OPERATIONS);
    for (uint32_t i = 0; i < RECENT; i++) insert_as(&handles[count + i]);
    recent[run] = churn_ns(handles + count, RECENT, OPERATIONS);
    pass[run] = pass_ns(OPERATIONS);
    double start = now_ns();
    if (fire_all() != count + RECENT) fail("not every timer fired");
    fire[run] = (now_ns() - start) / (count + RECENT);
    slab_destroy(&wheel.timers);
  }
  munmap(handles, (count + RECENT) * sizeof *handles);
  printf("wheel.insert-cancel.%u %.2f\nwheel.recent.%u %.2f\n", count, median_of(churn), count, median_of(recent));
  printf("wheel.insert-fire.%u %.2f\nwheel.fire.%u %.2f\n", count, median_of(pass), count, median_of(fire));
}

// --- slab and tasks -------------------------------------------------------------------------------------------------

static void run_slab(void) {
  double times[RUNS];
  for (int run = 0; run < RUNS; run++) {
    struct slab slab;
    struct { uint32_t index, generation; } live[64] = {0};
    slab_init(&slab, 1024);
    const uint32_t operations = 20000000;
    for (uint32_t i = 0; i < 64; i++) live[i].generation = slab.slots[live[i].index = slab_take(&slab)].generation;
    double start = now_ns();
    for (uint32_t i = 0; i < operations; i++) {
      uint32_t at = i & 63;
      if (!slab_live(&slab, live[at].index, live[at].generation)) fail("a live handle was stale");
      slab_give(&slab, live[at].index);
      live[at].generation = slab.slots[live[at].index = slab_take(&slab)].generation;
    }
    times[run] = (now_ns() - start) / operations;
    if (slab.used != 64) fail("the slab lost count");
    slab_destroy(&slab);
  }
  printf("slab.give-take %.2f\n", median_of(times));
}

static inline void spawn_task(struct slab *tasks, struct list *ready, uint32_t owner) {
  uint32_t index = slab_take(tasks);
  if (index == 0) fail("the table of tasks is full");
  tasks->slots[index].word = owner;
  push(ready, tasks->slots, index);
}

static inline uint32_t next_task(struct slab *tasks, struct list *ready) {
  uint32_t index = ready->head;
  if (index == 0) return 0;
  unlink_slot(ready, tasks->slots, index);
  uint32_t owner = tasks->slots[index].word;
  slab_give(tasks, index);
  return owner;
}

static void run_task(void) {
  double times[RUNS];
  for (int run = 0; run < RUNS; run++) {
    struct slab tasks;
    struct list ready = {0};
    slab_init(&tasks, 64);
    const uint32_t operations = 64 * 200000;
    double start = now_ns();
    for (uint32_t done = 0; done < operations; done += 64) {
      for (uint32_t owner = 1; owner <= 64; owner++) spawn_task(&tasks, &ready, owner);
      uint32_t expected = 1;
      for (uint32_t owner; (owner = next_task(&tasks, &ready)) != 0;)
        if (owner != expected++) fail("a task ran out of turn");
      if (expected != 65) fail("a task was lost");
    }
    times[run] = (now_ns() - start) / operations;
    slab_destroy(&tasks);
  }
  printf("task.queue-run %.2f\n", median_of(times));
}

// --- two cores ------------------------------------------------------------------------------------------------------

static void run_pair(const char *name, enum pair_kind kind, uint32_t messages, uint32_t batch) {
  double times[PAIR_RUNS];
  for (int run = 0; run < PAIR_RUNS; run++) times[run] = time_pair(kind, messages, batch) / messages;
  sort(times, PAIR_RUNS);
  printf("%s %.2f\n", name, times[PAIR_RUNS / 4]);
}

static uint32_t count_argument(const char *text, uint32_t max) {
  char *end;
  unsigned long value = text == NULL ? 0 : strtoul(text, &end, 10);
  if (value == 0 || *end != '\0' || value > max) fail("a count is missing, or out of range");
  return (uint32_t)value;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "", *count = argc > 2 ? argv[2] : NULL;
  if (strcmp(what, "wheel") == 0) {
    run_wheel(count_argument(count, 10000000));
  } else if (strcmp(what, "slab") == 0) {
    run_slab();
  } else if (strcmp(what, "task") == 0) {
    run_task();
  } else if (strcmp(what, "spsc") == 0) {
    char name[32];
    uint32_t batch = count_argument(count, RING_SLOTS);
    snprintf(name, sizeof name, "spsc.%u", batch);
    run_pair(name, STREAM, 400000, batch);
  } else if (strcmp(what, "pingpong") == 0) {
    run_pair("pingpong.round-trip", PING_PONG, 50000, 1);
  } else if (strcmp(what, "pingpong-sleep") == 0) {
    run_pair("pingpong-sleep.round-trip", PING_PONG_SLEEP, 1000, 1);
  } else if (strcmp(what, "calls") == 0) {
    uint32_t calls = count_argument(count, 1000000000), open = count_argument(argc > 3 ? argv[3] : NULL, RING_SLOTS);
    printf("%u calls there and back, %.0f ns each\n", calls, time_pair(CALLS, calls, open) / calls);
  } else {
    fputs("usage: core wheel N | slab | task | spsc B | pingpong | pingpong-sleep | calls N OPEN\n", stderr);
    return 2;
  }
  return 0;
}
