// Sends the responses of http-uring.c in the way that most servers go: epoll, and one system call per operation. It is
// here because on a loopback hello-world io_uring is no magic: the two cost about the same, and a reader should see it.
//
// The flow: epoll_wait() -> accept4() | recv() -> scan_ends() -> send(), one for all requests of that recv.
// Edge-triggered, for reading and writing at once. So a connection costs one epoll_ctl() in its life. After a short
// recv() the socket is known to be empty, without a second call.
//
// Invariant: while a connection has a rest (bytes that the socket did not take) its further responses are only counted.
//
// Next: ../http.js, which runs both.
#define _GNU_SOURCE
#include "http-answer.h"
#include "http-scan.h"
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>

#define CONNECTIONS 65536 // highest descriptor + 1
#define EVENTS 256
#define BUFFER_BYTES 16384

struct connection {
  uint32_t answers;   // requests that have ended and are not answered yet
  uint8_t matched;    // http-scan.h
  bool ended;         // the peer has finished sending
  uint32_t rest_left; // bytes not sent yet, the last of rest[0, rest_bytes)
  uint32_t rest_bytes;
  uint8_t *rest;
};

static struct answers answers;
static struct connection connections[CONNECTIONS];
static uint8_t buffer[BUFFER_BYTES + SCAN_PADDING];
static bool closing; // --close 1: the server closes each connection behind its first responses

static void close_connection(int fd) {
  free(connections[fd].rest);
  connections[fd] = (struct connection){0};
  close(fd);
}

// Sends the rest of earlier responses. False if the connection is broken.
static bool send_rest(int fd, struct connection *c) {
  ssize_t sent = send(fd, c->rest + c->rest_bytes - c->rest_left, c->rest_left, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  c->rest_left -= (uint32_t)sent;
  if (c->rest_left != 0) return true;
  free(c->rest);
  c->rest = NULL;
  return true;
}

// Sends all responses that are owed, or as much as the socket takes. False if the connection is broken.
static bool send_answers(int fd, struct connection *c) {
  while (c->answers != 0 && c->rest == NULL) {
    uint32_t count = c->answers < COPIES ? c->answers : COPIES;
    uint32_t bytes = count * (uint32_t)ANSWER_BYTES;
    ssize_t sent = send(fd, answers.block, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno != EAGAIN) return false;
    c->answers -= count;
    uint32_t done = sent < 0 ? 0 : (uint32_t)sent;
    if (done == bytes) continue;
    c->rest_bytes = c->rest_left = bytes - done; // a copy, because the Date in the block may change meanwhile
    c->rest = malloc(c->rest_bytes);
    if (c->rest == NULL) die("malloc", ENOMEM);
    memcpy(c->rest, answers.block + done, c->rest_bytes);
    if (!send_rest(fd, c)) return false; // room that appeared since then has no edge of its own
  }
  return true;
}

// Reads until the socket is empty, counting requests. False if the connection is broken.
static bool receive(int fd, struct connection *c) {
  for (;;) {
    ssize_t got = recv(fd, buffer, BUFFER_BYTES, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN;
    if (got == 0) {
      c->ended = true;
      return true;
    }
    c->answers += scan_ends(buffer, (size_t)got, &c->matched);
    c->ended = closing && c->answers != 0;
    if (got < BUFFER_BYTES) return true; // the socket is empty: new bytes, or the end, are a new edge
    if (!send_answers(fd, c)) return false;
  }
}

static void serve(int fd, uint32_t events) {
  struct connection *c = &connections[fd];
  bool good = c->rest == NULL || !(events & EPOLLOUT) || send_rest(fd, c);
  if (good && (events & (EPOLLIN | EPOLLHUP | EPOLLERR))) good = receive(fd, c);
  while (good && (events & EPOLLRDHUP) && !c->ended) good = receive(fd, c); // up to the end, which has no other edge
  good = good && send_answers(fd, c);
  if (!good || (c->ended && c->rest == NULL && c->answers == 0)) close_connection(fd);
}

static void accept_all(int epoll, int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0) die("accept4", errno);
    if (fd >= CONNECTIONS) {
      close(fd);
      continue;
    }
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl", errno);
  }
}

int main(int argc, char **argv) {
  uint16_t port = (uint16_t)number_option(argc, argv, "--port", 8080, 65535);
  closing = number_option(argc, argv, "--close", 0, 1) == 1;
  signal(SIGPIPE, SIG_IGN);
  int listener = listen_on(port, SOCK_NONBLOCK), epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
  if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) < 0) die("epoll", errno);
  say_ready();
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait", errno);
    answers_refresh(&answers);
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else serve(events[i].data.fd, events[i].events);
    }
  }
}
