// The routes of the benchmark of large bodies, the responses kept ready, and the parser of requests, for C.
//
//   GET /64k, /1m   that many bytes of the payload, in one block behind its head
//   GET /stream     the payload in 16 chunks of 64 KiB (chunked transfer coding)
//   GET /file       the payload from its file, page cache to socket
//   POST /read      counts the body, and responds with the count; /sum responds with its FNV-1a hash, for the check
//
// A server gives the pieces of a connection to request_bytes() as they come, and sends what `next` then says. A client
// that sends its next request before it has the response is refused: the benchmark's never does.
//
// Next: bulk-uring.c.
#pragma once
#define _GNU_SOURCE
#include "http-answer.h"
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define HEAD_MAX 4096
#define CHUNK_BYTES 65536
#define CHUNKS 16
#define PAYLOAD_BYTES (CHUNKS * CHUNK_BYTES)
#define CONNECTIONS 4096 // highest descriptor + 1

struct block {
  uint8_t *bytes;
  size_t count;
};

struct connection {
  char head[HEAD_MAX + 1]; // of the request that comes in, as far as it is there
  uint32_t head_bytes;
  bool in_body, hashing;
  uint64_t body_left, body_bytes;
  uint32_t hash;
  char small[256]; // a response that was made for this request
  // Still to be sent: bytes, then so much of the file.
  const uint8_t *out;
  size_t out_left;
  size_t file_left;
  int pipe[2]; // the way of the file
  size_t in_pipe;
  uint8_t *rest; // of an echo
};

static struct block whole_64k, whole_1m, streamed, file_head;
static int payload_file = -1;

static inline struct block block_of(size_t most) {
  struct block block = {.bytes = mmap(NULL, most, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)};
  if (block.bytes == MAP_FAILED) die("mmap", errno);
  return block;
}

static inline void add(struct block *block, const void *bytes, size_t count) {
  memcpy(block->bytes + block->count, bytes, count);
  block->count += count;
}

static inline void add_head(struct block *block, const char *framing) {
  char date[DATE_BYTES + 1], head[HEAD_MAX];
  time_t now = time(NULL);
  struct tm parts;
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &parts));
  add(block, head, (size_t)snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
                                                       "Date: %s\r\n%s\r\n\r\n", date, framing));
}

// Makes the responses. Their Date is that of the start: a second more or less changes no cost.
static inline void prepare_answers(const char *path) {
  payload_file = open(path, O_RDONLY | O_CLOEXEC);
  struct stat stat;
  if (payload_file < 0 || fstat(payload_file, &stat) < 0) die(path, errno);
  if (stat.st_size != PAYLOAD_BYTES) die("the payload has the wrong size", EINVAL);
  const uint8_t *payload = mmap(NULL, PAYLOAD_BYTES, PROT_READ, MAP_PRIVATE | MAP_POPULATE, payload_file, 0);
  if (payload == MAP_FAILED) die(path, errno);
  whole_64k = block_of(HEAD_MAX + CHUNK_BYTES);
  add_head(&whole_64k, "Content-Length: 65536");
  add(&whole_64k, payload, CHUNK_BYTES);
  whole_1m = block_of(HEAD_MAX + PAYLOAD_BYTES);
  add_head(&whole_1m, "Content-Length: 1048576");
  add(&whole_1m, payload, PAYLOAD_BYTES);
  streamed = block_of(HEAD_MAX + PAYLOAD_BYTES + CHUNKS * 16);
  add_head(&streamed, "Transfer-Encoding: chunked");
  for (size_t i = 0; i < CHUNKS; i++) {
    add(&streamed, "10000\r\n", 7);
    add(&streamed, payload + i * CHUNK_BYTES, CHUNK_BYTES);
    add(&streamed, "\r\n", 2);
  }
  add(&streamed, "0\r\n\r\n", 5);
  file_head = block_of(HEAD_MAX);
  add_head(&file_head, "Content-Length: 1048576");
}

static inline void send_block(struct connection *c, struct block block) {
  c->out = block.bytes;
  c->out_left = block.count;
}

static inline void answer_body(struct connection *c) {
  char number[24];
  int digits = snprintf(number, sizeof number, "%llu",
                        (unsigned long long)(c->hashing ? c->hash : c->body_bytes));
  int count = snprintf(c->small, sizeof c->small, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                                                  "Content-Length: %d\r\n\r\n%s", digits, number);
  send_block(c, (struct block){(uint8_t *)c->small, (size_t)count});
  c->in_body = false;
}

// The head is there: chooses the answer, or begins the body. False if there is no such route.
static inline bool begin_request(struct connection *c) {
  const char *head = c->head;
  if (strncmp(head, "GET /64k ", 9) == 0) send_block(c, whole_64k);
  else if (strncmp(head, "GET /1m ", 8) == 0) send_block(c, whole_1m);
  else if (strncmp(head, "GET /stream ", 12) == 0) send_block(c, streamed);
  else if (strncmp(head, "GET /file ", 10) == 0) {
    send_block(c, file_head);
    c->file_left = PAYLOAD_BYTES;
  } else if (strncmp(head, "POST /", 6) == 0) {
    const char *length = strcasestr(head, "\r\ncontent-length:");
    if (length == NULL) return false;
    c->body_left = c->body_bytes = strtoull(length + 17, NULL, 10);
    c->hashing = strncmp(head + 6, "sum", 3) == 0;
    c->hash = 2166136261u;
    c->in_body = true;
  } else {
    return false;
  }
  return true;
}

// Takes the next bytes of a connection. False if they cannot be right.
static inline bool request_bytes(struct connection *c, const uint8_t *bytes, size_t count) {
  if (c->out_left != 0 || c->file_left != 0) return false;
  if (!c->in_body) {
    size_t take = HEAD_MAX - c->head_bytes < count ? HEAD_MAX - c->head_bytes : count;
    memcpy(c->head + c->head_bytes, bytes, take);
    c->head[c->head_bytes + take] = '\0';
    char *end = strstr(c->head, "\r\n\r\n");
    if (end == NULL) {
      c->head_bytes += (uint32_t)take;
      return c->head_bytes < HEAD_MAX;
    }
    size_t used = (size_t)(end + 4 - c->head) - c->head_bytes;
    c->head_bytes = 0;
    if (!begin_request(c)) return false;
    bytes += used;
    count -= used;
  }
  if (!c->in_body) return count == 0;
  if (count > c->body_left) return false;
  if (c->hashing) {
    for (size_t i = 0; i < count; i++) c->hash = (c->hash ^ bytes[i]) * 16777619u;
  }
  c->body_left -= count;
  if (c->body_left == 0) answer_body(c);
  return true;
}

static inline const char *text_option(int argc, char **argv, const char *name, const char *otherwise) {
  for (int i = 1; i + 1 < argc; i++) {
    if (strcmp(argv[i], name) == 0) return argv[i + 1];
  }
  return otherwise;
}
