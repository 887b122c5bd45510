// The response of both C servers, and the few lines of set-up that they share.
//
// The response is always the same bytes but for the Date, so it is kept ready, COPIES times in a row. The responses to
// n pipelined requests are one send of n * ANSWER_BYTES from the start of that block. The Date changes once a second,
// in place, so a server may call answers_refresh() only while no send that reads the block is under way.
// `-DMORE_HEADERS` gives it more header lines, each with its CR LF.
//
// Next: http-uring.c, http-epoll.c.
#pragma once
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BEFORE_DATE "HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=UTF-8\r\nDate: "
#define DATE_BYTES 29 // Sun, 06 Nov 1994 08:49:37 GMT
#ifndef MORE_HEADERS
#define MORE_HEADERS ""
#endif
#define AFTER_DATE "\r\nContent-Length: 13\r\n" MORE_HEADERS "\r\nHello, World!"
#define ANSWER_BYTES (sizeof BEFORE_DATE - 1 + DATE_BYTES + sizeof AFTER_DATE - 1)
#define COPIES 128

struct answers {
  time_t second; // the Date in the block
  uint8_t block[COPIES * ANSWER_BYTES];
};

static inline void die(const char *what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

// Brings the Date up to date. The coarse clock is a read of a shared page, a few ns, so this may be called every turn.
static inline void answers_refresh(struct answers *answers) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == answers->second) return;
  struct tm parts;
  char one[ANSWER_BYTES + 1], date[DATE_BYTES + 1];
  gmtime_r(&now.tv_sec, &parts);
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &parts); // the C locale: names are English
  snprintf(one, sizeof one, "%s%s%s", BEFORE_DATE, date, AFTER_DATE);
  for (size_t i = 0; i < COPIES; i++) memcpy(answers->block + i * ANSWER_BYTES, one, ANSWER_BYTES);
  answers->second = now.tv_sec;
}

// A listening socket on 127.0.0.1. Accepted sockets inherit TCP_NODELAY, which saves a system call for each.
static inline int listen_on(uint16_t port, int type_flags) {
  int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);
  if (fd < 0) die("socket", errno);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) die("bind", errno);
  if (listen(fd, 1024) < 0) die("listen", errno);
  return fd;
}

// The value of `--name N`, or `otherwise`. Anything but a number within [0, max] ends the program.
static inline uint32_t number_option(int argc, char **argv, const char *name, uint32_t otherwise, uint32_t max) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], name) != 0) continue;
    char *end;
    unsigned long value = strtoul(argv[i + 1], &end, 10);
    if (*end != '\0' || end == argv[i + 1] || value > max) die(name, ERANGE);
    return (uint32_t)value;
  }
  return otherwise;
}

static inline void say_ready(void) {
  puts("ready");
  fflush(stdout);
}
