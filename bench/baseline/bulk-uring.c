// The limit of large bodies: a server in C on io_uring, one thread, as fast as its author could make it. Bodies go out
// of one static block, each by as few operations as it takes. Bodies come into a few buffers that stay in the cache.
// With --echo it sends back what it receives, without HTTP.
//
// The flow of a turn:
//   ring_enter()   submits, and waits for a completion
//   RECV           bulk.h reads the bytes and chooses an answer; the buffer goes back
//   SEND           MSG_WAITALL: the kernel itself waits for room and goes on, so a body is one completion
//   a file         page cache -> pipe -> socket by splice(), which copies nothing; POLL_ADD waits for room
//
// Invariants. A connection has one operation in the kernel at any time, so its descriptor is closed when that is over.
// An echo keeps its buffer until the SEND is over.
//
// Next: client.c.
#include "bulk.h"
#include "uring.h"
#include <poll.h>
#include <signal.h>

#define ENTRIES 4096
#define BUFFERS 16
#define BUFFER_BYTES 65536

enum kind { ACCEPT = 1, RECV, SEND, ROOM };

static struct ring ring;
static struct connection *connections[CONNECTIONS];
static int listener;
static bool echoing;

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

static void stage_recv(int fd) {
  struct io_uring_sqe *sqe = stage(RECV, IORING_OP_RECV, fd);
  sqe->flags = IOSQE_BUFFER_SELECT;
  sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
}

static void stage_send(int fd) {
  struct connection *c = connections[fd];
  struct io_uring_sqe *sqe = stage(SEND, IORING_OP_SEND, fd);
  sqe->addr = (uint64_t)c->out;
  sqe->len = (uint32_t)(c->out_left < c->out_piece ? c->out_left : c->out_piece);
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
      stage(ROOM, IORING_OP_POLL_ADD, fd)->poll32_events = POLLOUT;
      return true;
    }
    if (sent <= 0) return false;
    c->in_pipe -= (size_t)sent;
    c->file_left -= (size_t)sent;
  }
  stage_recv(fd);
  return true;
}

static void on_accept(int fd, uint32_t flags) {
  if (fd >= CONNECTIONS) die("too many connections", EMFILE);
  if (fd >= 0) {
    connections[fd] = calloc(1, sizeof *connections[fd]);
    if (connections[fd] == NULL) die("calloc", ENOMEM);
    stage_recv(fd);
  }
  if (!(flags & IORING_CQE_F_MORE)) stage_accept();
}

static void on_recv(int fd, int32_t result, uint32_t flags) {
  struct connection *c = connections[fd];
  if (result == -ENOBUFS) {
    stage_recv(fd);
    return;
  }
  unsigned id = flags >> IORING_CQE_BUFFER_SHIFT;
  if (result <= 0) {
    if (flags & IORING_CQE_F_BUFFER) ring_give_buffer(&ring, id);
    end_connection(fd);
    return;
  }
  if (echoing) {
    c->in_pipe = id;
    send_block(c, (struct block){ring_buffer(&ring, id), (size_t)result, SIZE_MAX});
    stage_send(fd);
    return;
  }
  bool good = request_bytes(c, ring_buffer(&ring, id), (size_t)result);
  ring_give_buffer(&ring, id);
  if (!good) end_connection(fd);
  else if (c->out_left != 0) stage_send(fd);
  else stage_recv(fd);
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
  if (echoing) ring_give_buffer(&ring, (unsigned)c->in_pipe);
  if (result <= 0) end_connection(fd);
  else if (c->file_left == 0) stage_recv(fd);
  else if (!send_file(fd)) end_connection(fd);
}

static void complete(const struct io_uring_cqe *cqe) {
  int fd = (int)(uint32_t)cqe->user_data;
  switch ((enum kind)(cqe->user_data >> 32)) {
    case ACCEPT: on_accept(cqe->res, cqe->flags); break;
    case RECV: on_recv(fd, cqe->res, cqe->flags); break;
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
  uint32_t buffers = number_option(argc, argv, "--buffers", BUFFERS, 4096);
  uint32_t size = number_option(argc, argv, "--buffer-bytes", BUFFER_BYTES, 1 << 22);
  result = ring_provide(&ring, buffers, size, 0);
  if (result < 0) die("registering buffers", -result);
  listener = listen_on(port, 0);
  stage_accept();
  say_ready();
  for (;;) {
    result = ring_enter(&ring, 1);
    if (result < 0) die("io_uring_enter", -result);
    unsigned head = *ring.cq_head, tail = load_acquire(ring.cq_tail);
    for (; head != tail; head++) complete(&ring.cqes[head & ring.cq_mask]);
    store_release(ring.cq_head, head);
    ring_publish_buffers(&ring);
  }
}
