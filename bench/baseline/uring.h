// An io_uring by raw system calls, as little of it as the C baseline needs. It sets a ring up, stages submissions,
// enters, and reads completions. There are a sparse table of direct descriptors and one ring of provided buffers.
//
// Invariants. The ring belongs to one thread (SINGLE_ISSUER), which alone writes the submission tail and the completion
// head. The function ring_enter() returns with an empty submission queue, so what was staged before it has been issued.
//
// Next: http-uring.c.
#pragma once
#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
  int fd;
  int enter_fd;         // index of the registered ring, which spares the kernel a descriptor lookup per enter
  unsigned enter_flags; // says that enter_fd is such an index
  unsigned *sq_head, *sq_tail, *sq_flags, sq_mask, sq_entries, sq_staged;
  struct io_uring_sqe *sqes;
  unsigned *cq_head, *cq_tail, cq_mask;
  struct io_uring_cqe *cqes;
  struct io_uring_buf_ring *buffers; // provided buffers: the ring of descriptors, and the bytes themselves
  uint8_t *buffer_bytes;
  unsigned buffer_count, buffer_size;
  uint16_t buffer_tail;
};

#define load_acquire(at) __atomic_load_n((at), __ATOMIC_ACQUIRE)
#define store_release(at, value) __atomic_store_n((at), (value), __ATOMIC_RELEASE)

static inline int ring_register(struct ring *ring, unsigned what, const void *arg, unsigned count) {
  return syscall(__NR_io_uring_register, ring->fd, what, arg, count) < 0 ? -errno : 0;
}

static inline void *ring_map(int fd, size_t bytes, uint64_t offset) {
  return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, (off_t)offset);
}

// Makes the ring. 0, or -errno: -ENOSYS, -EPERM where io_uring is not allowed, -EINVAL on a kernel before 6.1.
static inline int ring_open(struct ring *ring, unsigned sq_entries, unsigned cq_entries, unsigned flags) {
  struct io_uring_params params = {.flags = flags | IORING_SETUP_CQSIZE, .cq_entries = cq_entries};
  *ring = (struct ring){.fd = (int)syscall(__NR_io_uring_setup, sq_entries, &params)};
  if (ring->fd < 0) return -errno;
  size_t sq_bytes = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  size_t cq_bytes = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
  uint8_t *rings = ring_map(ring->fd, sq_bytes > cq_bytes ? sq_bytes : cq_bytes, IORING_OFF_SQ_RING);
  if (rings == MAP_FAILED) return -errno;
  ring->sqes = ring_map(ring->fd, params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
  if (ring->sqes == MAP_FAILED) return -errno;
  ring->sq_head = (unsigned *)(rings + params.sq_off.head);
  ring->sq_tail = (unsigned *)(rings + params.sq_off.tail);
  ring->sq_flags = (unsigned *)(rings + params.sq_off.flags);
  ring->sq_mask = params.sq_entries - 1;
  ring->sq_entries = params.sq_entries;
  ring->cq_head = (unsigned *)(rings + params.cq_off.head);
  ring->cq_tail = (unsigned *)(rings + params.cq_off.tail);
  ring->cq_mask = params.cq_entries - 1;
  ring->cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
  unsigned *array = (unsigned *)(rings + params.sq_off.array); // the indirection is not used: entry i is SQE i
  for (unsigned i = 0; i < params.sq_entries; i++) array[i] = i;

  struct io_uring_rsrc_update update = {.offset = UINT32_MAX, .data = (unsigned)ring->fd};
  ring->enter_fd = ring->fd;
  if (syscall(__NR_io_uring_register, ring->fd, IORING_REGISTER_RING_FDS, &update, 1) == 1) {
    ring->enter_fd = (int)update.offset;
    ring->enter_flags = IORING_ENTER_REGISTERED_RING;
  }
  return 0;
}

// A table of `count` direct descriptors: slot 0 holds `first`, the kernel hands the others out.
static inline int ring_files(struct ring *ring, unsigned count, int first) {
  struct io_uring_rsrc_register table = {.nr = count, .flags = IORING_RSRC_REGISTER_SPARSE};
  int result = ring_register(ring, IORING_REGISTER_FILES2, &table, sizeof table);
  if (result < 0) return result;
  struct io_uring_file_index_range range = {.off = 1, .len = count - 1};
  result = ring_register(ring, IORING_REGISTER_FILE_ALLOC_RANGE, &range, 0);
  if (result < 0) return result;
  struct io_uring_files_update update = {.offset = 0, .fds = (uint64_t)&first};
  return ring_register(ring, IORING_REGISTER_FILES_UPDATE, &update, 1);
}

static inline uint8_t *ring_buffer(struct ring *ring, unsigned id) {
  return ring->buffer_bytes + (size_t)id * ring->buffer_size;
}

// Hands a buffer back. The kernel sees it at the next ring_publish_buffers().
static inline void ring_give_buffer(struct ring *ring, unsigned id) {
  struct io_uring_buf *entry = &ring->buffers->bufs[ring->buffer_tail++ & (ring->buffer_count - 1)];
  entry->addr = (uint64_t)ring_buffer(ring, id);
  entry->len = ring->buffer_size;
  entry->bid = (uint16_t)id;
}

static inline void ring_publish_buffers(struct ring *ring) {
  store_release(&ring->buffers->tail, ring->buffer_tail); // the kernel reads entries below the tail
}

// `count` (a power of two) provided buffers of `size` bytes in group 0, with `padding` readable bytes behind the last.
static inline int ring_provide(struct ring *ring, unsigned count, unsigned size, unsigned padding) {
  const int prot = PROT_READ | PROT_WRITE, how = MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE;
  ring->buffers = mmap(NULL, count * sizeof(struct io_uring_buf), prot, how, -1, 0);
  ring->buffer_bytes = mmap(NULL, (size_t)count * size + padding, prot, how, -1, 0);
  if (ring->buffers == MAP_FAILED || ring->buffer_bytes == MAP_FAILED) return -errno;
  ring->buffer_count = count;
  ring->buffer_size = size;
  struct io_uring_buf_reg group = {.ring_addr = (uint64_t)ring->buffers, .ring_entries = count};
  int result = ring_register(ring, IORING_REGISTER_PBUF_RING, &group, 1);
  if (result < 0) return result;
  for (unsigned id = 0; id < count; id++) ring_give_buffer(ring, id);
  ring_publish_buffers(ring);
  return 0;
}

// Submits all that is staged, lets the kernel finish what is ready, and waits for `wait` completions. 0, or -errno.
// -EINTR is no error: the caller takes another turn.
static inline int ring_enter(struct ring *ring, unsigned wait) {
  store_release(ring->sq_tail, ring->sq_staged); // the kernel reads SQEs below the tail
  for (;;) {
    unsigned submit = ring->sq_staged - load_acquire(ring->sq_head);
    long result = syscall(__NR_io_uring_enter, ring->enter_fd, submit, wait,
                          IORING_ENTER_GETEVENTS | ring->enter_flags, NULL, 0);
    if (result < 0 && errno != EINTR) return -errno;
    if (load_acquire(ring->sq_head) == ring->sq_staged) return 0;
  }
}

// A cleared submission. A full queue is submitted first, without waiting. NULL if that fails; errno says why.
static inline struct io_uring_sqe *ring_sqe(struct ring *ring) {
  if (ring->sq_staged - load_acquire(ring->sq_head) == ring->sq_entries) {
    int result = ring_enter(ring, 0);
    if (result < 0) {
      errno = -result;
      return NULL;
    }
  }
  struct io_uring_sqe *sqe = &ring->sqes[ring->sq_staged++ & ring->sq_mask];
  return memset(sqe, 0, sizeof *sqe);
}

static inline bool ring_has_completions(struct ring *ring) {
  return *ring->cq_head != load_acquire(ring->cq_tail);
}

// Whether an enter would find something to do. Needs IORING_SETUP_TASKRUN_FLAG.
static inline bool ring_has_work(struct ring *ring) {
  return ring_has_completions(ring) ||
         (__atomic_load_n(ring->sq_flags, __ATOMIC_RELAXED) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}
