// Clients that download slowly: `--connections` of them ask for `--get PATH`. Each reads `--rate` bytes a second, in
// ticks of 20 ms, from a small receive buffer. Each must get `--expect` bytes, and the server closes the connection.
//
// The last line of the output is `RESULT` and JSON: how many got all of it, how many did not, and the time.
//
// Next: ../slow.js.
#define _GNU_SOURCE
#include "http-answer.h"
#include <stdbool.h>

#define TICKS_PER_SECOND 50
#define RECEIVE_BUFFER_BYTES (256 * 1024) // so that the download waits in the server, not in the client's kernel
#define PIECE_MAX (1 << 20)

struct client {
  int fd;
  uint64_t bytes;
  bool open;
};

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static const char *path_option(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], "--get") == 0) return argv[i + 1];
  }
  return "/";
}

static void begin(struct client *client, uint16_t port, const char *request, size_t count) {
  int size = RECEIVE_BUFFER_BYTES;
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client->fd < 0) die("socket", errno);
  setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  if (connect(client->fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect", errno);
  if (send(client->fd, request, count, MSG_NOSIGNAL) != (ssize_t)count) die("send", errno);
  client->open = true;
}

// Reads up to `most` bytes. The end of the connection, or an error, closes it.
static void read_some(struct client *client, size_t most) {
  static uint8_t buffer[PIECE_MAX];
  for (size_t left = most; left > 0;) {
    ssize_t got = recv(client->fd, buffer, left, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      close(client->fd);
      client->open = false;
      return;
    }
    client->bytes += (uint64_t)got;
    left -= (size_t)got;
  }
}

int main(int argc, char **argv) {
  uint16_t port = (uint16_t)number_option(argc, argv, "--port", 8080, 65535);
  uint32_t count = number_option(argc, argv, "--connections", 1000, 20000);
  uint32_t rate = number_option(argc, argv, "--rate", 512 * 1024, PIECE_MAX * TICKS_PER_SECOND);
  uint64_t expected = number_option(argc, argv, "--expect", 0, 1 << 30);
  uint64_t most_ns = (uint64_t)number_option(argc, argv, "--seconds", 60, 600) * 1000000000u;
  char request[256];
  int bytes = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
                       path_option(argc, argv));
  struct client *clients = calloc(count, sizeof *clients);
  if (clients == NULL) die("calloc", ENOMEM);
  uint64_t started = now_ns(), tick = started;
  for (uint32_t i = 0; i < count; i++) begin(&clients[i], port, request, (size_t)bytes);
  for (uint32_t open = count; open > 0 && tick - started < most_ns;) {
    tick += 1000000000u / TICKS_PER_SECOND;
    struct timespec until = {.tv_sec = (time_t)(tick / 1000000000u), .tv_nsec = (long)(tick % 1000000000u)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    open = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (clients[i].open) read_some(&clients[i], rate / TICKS_PER_SECOND);
      open += clients[i].open;
    }
  }
  uint32_t whole = 0;
  for (uint32_t i = 0; i < count; i++) whole += !clients[i].open && clients[i].bytes >= expected;
  printf("RESULT {\"whole\":%u,\"failed\":%u,\"durationMs\":%llu}\n", whole, count - whole,
         (unsigned long long)((now_ns() - started) / 1000000));
}
