// The client of the benchmarks of large bodies and of short connections: one thread, epoll, one buffer that stays in
// the cache. It keeps `--connections` operations going at any time. It checks status and length of each response.
//
//   --get PATH --expect N      the body of the answer must have N bytes
//   --post PATH --body N       sends N bytes; the answer must be the text of N
//   --echo N                   no HTTP: sends N bytes, and N bytes must come back
//   --close server|client      a connection for each request: the server closes it first, or the client
//
// At the end of `--seconds` no new operation begins, and those under way are waited for. So the server has done exactly
// what is counted. The last line of the output is `RESULT` and JSON, in the form of ../wrk.lua.
//
// Invariant: a connection that fails is counted as an error and never replaced, except with --close.
//
// Next: bulk-uring.c.
#define _GNU_SOURCE
#include "http-answer.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/epoll.h>

#define BUFFER_BYTES (256 * 1024)
#define HEAD_MAX 4096
#define EVENTS 256
#define SAMPLES_MAX (1 << 22)
#define SOURCES 64         // addresses 127.0.0.2 and up that short connections come from, so that ports do not run out
#define GRACE_NS 5000000000 // for what is under way at the end

enum state { UNUSED, CONNECTING, BUSY, ENDING };
enum framing { HEAD, LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, LAST_END, DONE };

struct connection {
  int fd;
  enum state state;
  enum framing framing;
  uint64_t started_ns;
  size_t sent; // of the request
  char line[HEAD_MAX + 1];
  size_t line_bytes; // of the head, or of a line of the chunked coding
  uint64_t left;     // of the body or the chunk
  uint64_t body_bytes;
  char text[32]; // the first bytes of the body
};

static uint16_t port;
static uint32_t active, in_flight;
static bool echoing, closing, server_closes, over;
static uint8_t *request, buffer[BUFFER_BYTES];
static size_t request_bytes;
static uint64_t expected_bytes;
static char expected_text[32];
static uint32_t *samples, sample_count;
static uint64_t operations, errors_connect, errors_read, errors_write, errors_status, errors_length, errors_timeout;
static uint32_t next_source;
static int epoll;

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *text_option(int argc, char **argv, const char *name) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  }
  return NULL;
}

static bool send_request(struct connection *c);

static void fail(struct connection *c, uint64_t *counter) {
  ++*counter;
  close(c->fd);
  c->state = UNUSED;
  in_flight--;
  active--;
}

static void open_connection(struct connection *c) {
  int on = 1;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket", errno);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (closing) {
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + next_source++ % SOURCES)};
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) < 0) die("bind", errno);
  }
  c->state = CONNECTING;
  in_flight++;
  c->started_ns = now_ns();
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) {
    fail(c, &errors_connect);
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) < 0) die("epoll_ctl", errno);
}

static void begin_operation(struct connection *c) {
  c->state = BUSY;
  c->framing = echoing ? LENGTH : HEAD;
  c->left = echoing ? request_bytes : 0;
  c->sent = c->line_bytes = 0;
  c->body_bytes = 0;
}

static void end_operation(struct connection *c) {
  if (sample_count < SAMPLES_MAX) samples[sample_count++] = (uint32_t)((now_ns() - c->started_ns) / 1000);
  operations++;
  in_flight--;
  if (closing) {
    close(c->fd);
    c->state = UNUSED;
    if (!over) open_connection(c);
  } else if (over) {
    c->state = UNUSED;
  } else {
    c->started_ns = now_ns();
    in_flight++;
    begin_operation(c);
    send_request(c);
  }
}

// The whole answer is there: it must be right, and the request must have gone out.
static void end_answer(struct connection *c) {
  bool right = c->sent == request_bytes && (echoing || c->body_bytes == expected_bytes);
  if (expected_text[0] != '\0') right = right && memcmp(c->text, expected_text, c->body_bytes) == 0;
  if (!right) fail(c, &errors_length);
  else if (server_closes) c->state = ENDING;
  else end_operation(c);
}

// --- the answer -----------------------------------------------------------------------------------------------------

static bool begin_answer(struct connection *c) {
  c->line[c->line_bytes] = '\0';
  if (strncmp(c->line, "HTTP/1.1 200 ", 13) != 0) return false;
  const char *length = strcasestr(c->line, "\r\ncontent-length:");
  c->left = length == NULL ? 0 : strtoull(length + 17, NULL, 10);
  c->framing = LENGTH;
  if (length == NULL && strcasestr(c->line, "\r\ntransfer-encoding: chunked\r\n") == NULL) return false;
  if (length == NULL) c->framing = CHUNK_SIZE;
  c->line_bytes = 0;
  return true;
}

// Collects a line up to `end`. Returns how many bytes it took; `framing` has to change if *complete.
static size_t collect(struct connection *c, const uint8_t *bytes, size_t count, const char *end, bool *complete) {
  size_t marks = strlen(end), i = 0;
  *complete = false;
  while (i < count && c->line_bytes < HEAD_MAX && !*complete) {
    c->line[c->line_bytes++] = (char)bytes[i++];
    *complete = c->line_bytes >= marks && memcmp(c->line + c->line_bytes - marks, end, marks) == 0;
  }
  return i;
}

static size_t take_body(struct connection *c, const uint8_t *bytes, size_t count) {
  size_t take = count < c->left ? count : (size_t)c->left;
  for (size_t i = 0; i < take && c->body_bytes + i < sizeof c->text; i++) c->text[c->body_bytes + i] = (char)bytes[i];
  c->body_bytes += take;
  c->left -= take;
  return take;
}

// One step of the parser. Returns how many bytes it took, or -1 if the answer cannot be right.
static ssize_t parse_step(struct connection *c, const uint8_t *bytes, size_t count) {
  bool complete;
  size_t took;
  switch (c->framing) {
    case HEAD:
      took = collect(c, bytes, count, "\r\n\r\n", &complete);
      if (complete ? !begin_answer(c) : c->line_bytes == HEAD_MAX) return -1;
      if (c->framing == LENGTH && c->left == 0) c->framing = DONE;
      return (ssize_t)took;
    case LENGTH:
      took = take_body(c, bytes, count);
      if (c->left == 0) c->framing = DONE;
      return (ssize_t)took;
    case CHUNK_SIZE:
      took = collect(c, bytes, count, "\r\n", &complete);
      if (!complete) return c->line_bytes == HEAD_MAX ? -1 : (ssize_t)took;
      c->left = strtoull(c->line, NULL, 16);
      c->framing = c->left == 0 ? LAST_END : CHUNK_DATA;
      c->line_bytes = 0;
      return (ssize_t)took;
    case CHUNK_DATA:
      took = take_body(c, bytes, count);
      if (c->left == 0) c->framing = CHUNK_END;
      return (ssize_t)took;
    case CHUNK_END:
    case LAST_END:
      took = collect(c, bytes, count, "\r\n", &complete);
      if (!complete) return c->line_bytes == HEAD_MAX ? -1 : (ssize_t)took;
      if (c->line_bytes != 2) return -1; // trailers
      c->framing = c->framing == LAST_END ? DONE : CHUNK_SIZE;
      c->line_bytes = 0;
      return (ssize_t)took;
    case DONE: return -1;
  }
  return -1;
}

// Reads until the socket is empty or the operation is over.
static void receive(struct connection *c) {
  for (;;) {
    ssize_t got = recv(c->fd, buffer, BUFFER_BYTES, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got == 0 && c->state == ENDING) {
      end_operation(c);
      return;
    }
    if (got <= 0 || c->state == ENDING) {
      fail(c, &errors_read);
      return;
    }
    for (ssize_t at = 0; at < got;) {
      ssize_t took = parse_step(c, buffer + at, (size_t)(got - at));
      if (took < 0) {
        fail(c, c->framing == HEAD ? &errors_status : &errors_length);
        return;
      }
      at += took;
      if (c->framing != DONE) continue;
      if (at == got) end_answer(c);
      else fail(c, &errors_length); // more bytes than the answer has
      if (c->state != ENDING) return;
    }
  }
}

// Sends what the socket takes. False if the connection has failed.
static bool send_request(struct connection *c) {
  while (c->sent < request_bytes) {
    ssize_t sent = send(c->fd, request + c->sent, request_bytes - c->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return true;
    if (sent < 0) {
      fail(c, &errors_write);
      return false;
    }
    c->sent += (size_t)sent;
  }
  return true;
}

static void on_event(struct connection *c, uint32_t events) {
  if (c->state == UNUSED) return;
  if (c->state == CONNECTING) {
    if (events & (EPOLLERR | EPOLLHUP)) {
      fail(c, &errors_connect);
      return;
    }
    if (!(events & EPOLLOUT)) return;
    begin_operation(c);
  }
  if (c->state == BUSY && (events & EPOLLOUT) && !send_request(c)) return;
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) receive(c);
}

static void make_request(int argc, char **argv) {
  const char *get = text_option(argc, argv, "--get"), *post = text_option(argc, argv, "--post");
  uint32_t body = number_option(argc, argv, "--body", 0, 1 << 30);
  uint32_t echo = number_option(argc, argv, "--echo", 0, 1 << 30);
  const char *ending = text_option(argc, argv, "--close");
  closing = ending != NULL;
  server_closes = closing && strcmp(ending, "server") == 0;
  echoing = echo != 0;
  expected_bytes = number_option(argc, argv, "--expect", 0, 1 << 30);
  char head[HEAD_MAX], length[48] = "";
  if (post != NULL) {
    snprintf(length, sizeof length, "Content-Length: %u\r\n", body);
    expected_bytes = (uint64_t)snprintf(expected_text, sizeof expected_text, "%u", body);
  }
  const char *method = post != NULL ? "POST" : "GET", *path = post != NULL ? post : get;
  int bytes = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n", method, path, length,
                       server_closes ? "Connection: close\r\n" : "");
  if (echoing) bytes = 0;
  request_bytes = (size_t)bytes + body + echo;
  request = malloc(request_bytes);
  if (request == NULL) die("malloc", errno);
  memcpy(request, head, (size_t)bytes);
  for (size_t i = 0; i < body + echo; i++) request[(size_t)bytes + i] = (uint8_t)(i * 2654435761u >> 24);
}

static int by_size(const void *a, const void *b) {
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  return left < right ? -1 : left > right;
}

static uint32_t percentile(uint32_t percent) {
  return sample_count == 0 ? 0 : samples[(uint64_t)(sample_count - 1) * percent / 100];
}

int main(int argc, char **argv) {
  port = (uint16_t)number_option(argc, argv, "--port", 8080, 65535);
  active = number_option(argc, argv, "--connections", 16, 60000);
  uint64_t run_ns = (uint64_t)number_option(argc, argv, "--seconds", 3, 600) * 1000000000u;
  make_request(argc, argv);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  struct connection *connections = calloc(active, sizeof *connections);
  samples = malloc(SAMPLES_MAX * sizeof *samples);
  if (epoll < 0 || connections == NULL || samples == NULL) die("set-up", errno);
  uint64_t begin = now_ns(), end = begin + run_ns;
  for (uint32_t i = 0, count = active; i < count; i++) open_connection(&connections[i]);
  struct epoll_event events[EVENTS];
  while (in_flight > 0) {
    int count = epoll_wait(epoll, events, EVENTS, 100);
    if (count < 0 && errno != EINTR) die("epoll_wait", errno);
    uint64_t now = now_ns();
    over = now >= end;
    if (now >= end + GRACE_NS) break;
    for (int i = 0; i < count; i++) on_event(events[i].data.ptr, events[i].events);
  }
  errors_timeout = in_flight;
  uint64_t duration_us = (now_ns() - begin) / 1000;
  qsort(samples, sample_count, sizeof *samples, by_size);
  printf("RESULT {\"requests\":%llu,\"durationUs\":%llu,\"p50Us\":%u,\"p99Us\":%u,\"errors\":{\"connect\":%llu,"
         "\"read\":%llu,\"write\":%llu,\"status\":%llu,\"length\":%llu,\"timeout\":%llu}}\n",
         (unsigned long long)operations, (unsigned long long)duration_us, percentile(50), percentile(99),
         (unsigned long long)errors_connect, (unsigned long long)errors_read, (unsigned long long)errors_write,
         (unsigned long long)errors_status, (unsigned long long)errors_length, (unsigned long long)errors_timeout);
}
