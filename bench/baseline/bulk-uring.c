// The limit of large bodies: a server in C on io_uring, one thread, as fast as its author could make it. Bodies go out
// of one static block, by one operation each. Bodies come into one buffer, which stays in the cache. With --echo it
// sends back what it receives, without HTTP.
//
// The flow of a turn:
//   ring_enter()   submits, and waits for a completion
//   READY          recv() into the buffer. bulk.h reads the bytes and chooses a response. An echo is sent at once
//   SEND           MSG_WAITALL: the kernel itself waits for room and goes on, so a body is one completion
//   ROOM           a file: page cache -> pipe -> socket by splice(), which copies nothing
//
// io_uring only polls here for bytes to read. RECV into provided buffers costs 1.15 times as much: several buffers are
// under way at any time, and less of them is in the cache.
//
// Invariant. A connection has one operation in the kernel at any time, so its descriptor is closed when that is over.
//
// Next: client.c.
#include "bulk.h"
#include "uring.h"
#include <poll.h>
#include <signal.h>

#define ENTRIES 4096
#define BUFFER_BYTES (256 * 1024)
#define ECHO_BYTES (64 * 1024)

enum kind { ACCEPT = 1, READY, SEND, ROOM };

static struct ring ring;
static struct connection *connections[CONNECTIONS];
static int listener;
static bool echoing;
static uint8_t buffer[BUFFER_BYTES];

static struct io_uring_sqe *stage(enum kind kind, uint8_t opcode, int fd) {
  struct io_uring_sqe *sqe = ring_sqe(&ring);
  if (sqe == NULL) die("io_uring_enter", errno);
  sqe->opcode = opcode;
  sqe->fd = fd;
  sqe->user_data = (uint64_t)kind << 32 | (uint32_t)fd;
  return sqe;
}

static void stage_accept(void) {
  struct io_uring_sqe *sqe = stage(ACCEPT, IORING_OP_ACCEPT, listener);
  sqe->ioprio = IORING_ACCEPT_MULTISHOT;
  sqe->accept_flags = SOCK_CLOEXEC;
}

static void stage_poll(enum kind kind, int fd, unsigned events) {
  stage(kind, IORING_OP_POLL_ADD, fd)->poll32_events = events;
}

static void stage_send(int fd) {
  struct connection *c = connections[fd];
  struct io_uring_sqe *sqe = stage(SEND, IORING_OP_SEND, fd);
  sqe->addr = (uint64_t)c->out;
  sqe->len = (uint32_t)c->out_left;
  sqe->msg_flags = MSG_WAITALL | MSG_NOSIGNAL | (c->file_left != 0 ? MSG_MORE : 0);
}

static void end_connection(int fd) {
  struct connection *c = connections[fd];
  if (c->pipe[1] != 0) {
    close(c->pipe[0]);
    close(c->pipe[1]);
  }
  free(c);
  connections[fd] = NULL;
  close(fd);
}

// Moves the file on as far as the socket has room. False if the connection is broken.
static bool send_file(int fd) {
  struct connection *c = connections[fd];
  if (c->pipe[1] == 0) {
    if (pipe2(c->pipe, O_CLOEXEC) < 0) die("pipe2", errno);
    fcntl(c->pipe[1], F_SETPIPE_SZ, PAYLOAD_BYTES); // if that is refused the pipe is smaller, and the loop longer
  }
  while (c->file_left != 0) {
    loff_t at = PAYLOAD_BYTES - (loff_t)(c->file_left - c->in_pipe);
    if (c->in_pipe == 0) {
      ssize_t got = splice(payload_file, &at, c->pipe[1], NULL, c->file_left, SPLICE_F_NONBLOCK);
      if (got <= 0) die("splice from the file", got == 0 ? EIO : errno);
      c->in_pipe = (size_t)got;
    }
    ssize_t sent = splice(c->pipe[0], NULL, fd, NULL, c->in_pipe, SPLICE_F_NONBLOCK);
    if (sent < 0 && errno == EAGAIN) {
      stage_poll(ROOM, fd, POLLOUT);
      return true;
    }
    if (sent <= 0) return false;
    c->in_pipe -= (size_t)sent;
    c->file_left -= (size_t)sent;
  }
  stage_poll(READY, fd, POLLIN);
  return true;
}

static void on_accept(int fd, uint32_t flags) {
  if (fd >= CONNECTIONS) die("too many connections", EMFILE);
  if (fd >= 0) {
    connections[fd] = calloc(1, sizeof *connections[fd]);
    if (connections[fd] == NULL) die("calloc", ENOMEM);
    stage_poll(READY, fd, POLLIN);
  }
  if (!(flags & IORING_CQE_F_MORE)) stage_accept();
}

// Sends an echo. Bytes that find no room are copied and left to the kernel. False if the connection is broken.
static bool send_echo(int fd, size_t bytes) {
  struct connection *c = connections[fd];
  ssize_t sent = send(fd, buffer, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN) return false;
  size_t done = sent < 0 ? 0 : (size_t)sent;
  if (done == bytes) {
    stage_poll(READY, fd, POLLIN);
    return true;
  }
  c->rest = malloc(bytes - done);
  if (c->rest == NULL) die("malloc", ENOMEM);
  memcpy(c->rest, buffer + done, bytes - done);
  send_block(c, (struct block){c->rest, bytes - done});
  stage_send(fd);
  return true;
}

static void on_ready(int fd) {
  struct connection *c = connections[fd];
  ssize_t got = recv(fd, buffer, echoing ? ECHO_BYTES : BUFFER_BYTES, MSG_DONTWAIT);
  bool good = got > 0 && (echoing ? send_echo(fd, (size_t)got) : request_bytes(c, buffer, (size_t)got));
  if (got < 0 && errno == EAGAIN) stage_poll(READY, fd, POLLIN);
  else if (!good) end_connection(fd);
  else if (!echoing && c->out_left != 0) stage_send(fd);
  else if (!echoing) stage_poll(READY, fd, POLLIN);
}

static void on_send(int fd, int32_t result) {
  struct connection *c = connections[fd];
  if (result > 0) {
    c->out += result;
    c->out_left -= (size_t)result;
    if (c->out_left != 0) {
      stage_send(fd);
      return;
    }
  }
  free(c->rest);
  c->rest = NULL;
  if (result <= 0) end_connection(fd);
  else if (c->file_left == 0) stage_poll(READY, fd, POLLIN);
  else if (!send_file(fd)) end_connection(fd);
}

static void complete(const struct io_uring_cqe *cqe) {
  int fd = (int)(uint32_t)cqe->user_data;
  switch ((enum kind)(cqe->user_data >> 32)) {
    case ACCEPT: on_accept(cqe->res, cqe->flags); break;
    case READY: on_ready(fd); break;
    case SEND: on_send(fd, cqe->res); break;
    case ROOM:
      if (cqe->res < 0 || !send_file(fd)) end_connection(fd);
      break;
  }
}

int main(int argc, char **argv) {
  uint16_t port = (uint16_t)number_option(argc, argv, "--port", 8080, 65535);
  const char *payload = text_option(argc, argv, "--payload", NULL);
  echoing = payload == NULL;
  if (!echoing) prepare_answers(payload);
  signal(SIGPIPE, SIG_IGN);
  int result = ring_open(&ring, ENTRIES, ENTRIES, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
  if (result < 0) die("io_uring_setup (needs Linux 6.1, and a seccomp profile that allows it)", -result);
  listener = listen_on(port, 0);
  stage_accept();
  say_ready();
  for (;;) {
    result = ring_enter(&ring, 1);
    if (result < 0) die("io_uring_enter", -result);
    unsigned head = *ring.cq_head, tail = load_acquire(ring.cq_tail);
    for (; head != tail; head++) complete(&ring.cqes[head & ring.cq_mask]);
    store_release(ring.cq_head, head);
  }
}
