// The floor for files: files.c WHAT DEPTH COUNT DIRECTORY does COUNT operations, DEPTH at any time, by io_uring and
// nothing else, twice, and prints what the second time cost. ../files/work.js does the same work; the files that are
// read have been written by it.
//
//   read-4k, read-1m  a random block of `big`
//   write-4k          the same block is written
//   small-file        one of the files `small.N` is opened, read to its end and closed
//   append-sync       512 bytes are appended to a file of the worker's own and synced (fdatasync)
//
// A worker is a sequence of steps, one of which is in the kernel.
//
// Next: ../files.js.
#define _GNU_SOURCE
#include "uring.h"
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#define BIG_BYTES (64u << 20)
#define SMALL_FILES 100
#define APPEND_BYTES 512
#define MAX_DEPTH 64
#define FIRST_SMALL 1 // direct descriptors: 0 is the big file, then one for each worker

enum what { READ, WRITE, SMALL, APPEND };

struct worker {
  unsigned step;
  uint64_t offset;
  char path[32];
  uint8_t *bytes;
};

static struct ring ring;
static struct worker workers[MAX_DEPTH];
static enum what what;
static unsigned block, depth;
static int directory;
static long left;
static uint64_t seed = 88172645463325252u;

static void die(const char *why, int error) {
  fprintf(stderr, "files: %s: %s\n", why, strerror(error));
  exit(1);
}

static uint64_t draw(uint64_t below) { // xorshift64
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed % below;
}

static struct io_uring_sqe *stage(unsigned index, uint8_t opcode, unsigned slot, unsigned bytes) {
  struct io_uring_sqe *sqe = ring_sqe(&ring);
  if (sqe == NULL) die("io_uring_enter", errno);
  sqe->opcode = opcode;
  sqe->flags = IOSQE_FIXED_FILE;
  sqe->fd = (int)slot;
  sqe->addr = (uint64_t)workers[index].bytes;
  sqe->len = bytes;
  sqe->off = workers[index].offset;
  sqe->user_data = index;
  return sqe;
}

static void stage_open(unsigned index) {
  static const struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};
  struct worker *worker = &workers[index];
  snprintf(worker->path, sizeof worker->path, "small.%u", (unsigned)draw(SMALL_FILES));
  struct io_uring_sqe *sqe = stage(index, IORING_OP_OPENAT2, 0, sizeof how);
  sqe->flags = 0;
  sqe->fd = directory;
  sqe->addr = (uint64_t)worker->path;
  sqe->off = (uint64_t)&how;
  sqe->file_index = FIRST_SMALL + index + 1;
}

static void stage_close(unsigned index) {
  struct io_uring_sqe *sqe = ring_sqe(&ring);
  if (sqe == NULL) die("io_uring_enter", errno);
  sqe->opcode = IORING_OP_CLOSE;
  sqe->file_index = FIRST_SMALL + index + 1;
  sqe->user_data = index;
}

// Takes the worker's next step. False: its operation was the last.
static bool go_on(unsigned index, int result) {
  struct worker *worker = &workers[index];
  if (what == SMALL && worker->step == 1) { // opened
    worker->offset = 0;
    worker->step = 2;
    stage(index, IORING_OP_READ, FIRST_SMALL + index, block);
    return true;
  }
  if (what == SMALL && worker->step == 2 && result > 0) { // not at the end yet
    worker->offset += (unsigned)result;
    stage(index, IORING_OP_READ, FIRST_SMALL + index, block);
    return true;
  }
  if (what == SMALL && worker->step == 2) {
    worker->step = 0;
    stage_close(index);
    return true;
  }
  if (what == APPEND && worker->step == 1) { // written
    worker->step = 0;
    struct io_uring_sqe *sqe = stage(index, IORING_OP_FSYNC, FIRST_SMALL + index, 0);
    sqe->fsync_flags = IORING_FSYNC_DATASYNC;
    sqe->addr = sqe->off = 0; // all of it
    return true;
  }
  if (left-- <= 0) return false;
  if (what == SMALL) {
    worker->step = 1;
    stage_open(index);
  } else if (what == APPEND) {
    worker->step = 1;
    worker->offset = UINT64_MAX; // where O_APPEND says
    stage(index, IORING_OP_WRITE, FIRST_SMALL + index, APPEND_BYTES);
  } else {
    worker->offset = draw(BIG_BYTES / block) * block;
    stage(index, what == READ ? IORING_OP_READ : IORING_OP_WRITE, 0, block);
  }
  return true;
}

static void work(long count) {
  unsigned running = 0;
  left = count;
  for (unsigned i = 0; i < depth; i++) running += go_on(i, 0);
  while (running > 0) {
    int result = ring_enter(&ring, 1);
    if (result < 0) die("io_uring_enter", -result);
    while (ring_has_completions(&ring)) {
      struct io_uring_cqe cqe = ring.cqes[*ring.cq_head & ring.cq_mask];
      store_release(ring.cq_head, *ring.cq_head + 1); // the kernel writes entries from here on
      if (cqe.res < 0) die("an operation", -cqe.res);
      running -= !go_on((unsigned)cqe.user_data, cqe.res);
    }
  }
}

static double now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double cpu_ns(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e9 +
         (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e3;
}

static void set_file(unsigned slot, const char *path, int flags) {
  int fd = openat(directory, path, flags, 0644);
  if (fd < 0) die(path, errno);
  struct io_uring_files_update update = {.offset = slot, .fds = (uint64_t)&fd};
  int result = ring_register(&ring, IORING_REGISTER_FILES_UPDATE, &update, 1);
  if (result < 0) die("registering a file", -result);
  close(fd);
}

int main(int argc, char **argv) {
  if (argc != 5) die("files WHAT DEPTH COUNT DIRECTORY", EINVAL);
  const char *name = argv[1];
  depth = (unsigned)atoi(argv[2]);
  long count = atol(argv[3]);
  directory = open(argv[4], O_DIRECTORY | O_RDONLY);
  if (directory < 0) die(argv[4], errno);
  if (depth < 1 || depth > MAX_DEPTH) die("the depth", EINVAL);
  what = name[0] == 'r' ? READ : name[0] == 'w' ? WRITE : name[0] == 's' ? SMALL : APPEND;
  block = strcmp(name, "read-1m") == 0 ? 1u << 20 : 4096;

  int result = ring_open(&ring, 128, 256, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (result < 0) die("io_uring_setup (needs Linux 6.1, and a seccomp profile that allows it)", -result);
  struct io_uring_rsrc_register files = {.nr = FIRST_SMALL + MAX_DEPTH, .flags = IORING_RSRC_REGISTER_SPARSE};
  result = ring_register(&ring, IORING_REGISTER_FILES2, &files, sizeof files);
  if (result < 0) die("registering files", -result);
  set_file(0, "big", O_RDWR);
  for (unsigned i = 0; i < depth; i++) {
    if ((workers[i].bytes = calloc(1, block)) == NULL) die("memory", errno);
    if (what != APPEND) continue;
    char path[32];
    snprintf(path, sizeof path, "log.%u", i);
    set_file(FIRST_SMALL + i, path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  }

  work(count);
  double wall = now_ns(), cpu = cpu_ns();
  work(count);
  cpu = cpu_ns() - cpu;
  wall = now_ns() - wall;
  printf("%s.%u %f\n%s.%u.wall %f\n", name, depth, cpu / (double)count, name, depth, wall / (double)count);
  return 0;
}
