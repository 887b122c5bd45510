/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The fuzzer of test builds: fuzz.c runs and judges, fuzz_audit.c audits, fuzz_input.c asks,
   fuzz_files.c is about files and their names. */
#pragma once

#include <node_api.h>
#include <stdio.h>
#include <sys/stat.h>
#include "ring.h"

#define ARENA_BYTES (1u << 18)
#define BLOCKS_BYTES (1u << 16) /* fewer than the arena has: what is inside it need not be inside these */
#define BLOCK_SPACE (1ull << 32)
#define CANARY_BYTES 4096u
#define CANARY_BYTE 0xa7
#define SQES_AT 512u
#define SQE_SLOTS 64u
#define CQES_AT 8192u
#define CQE_SLOTS 256u
#define RECYCLE_AT 16384u
#define BUFFERS_AT 20480u
#define BUFFER_COUNT 16u
#define BUFFER_BYTES 256u
#define LARGE_COUNT 4u
#define LARGE_BYTES 2048u
#define BUFFERS (BUFFER_COUNT + LARGE_COUNT)
#define DATA_AT 32768u
#define FILE_SLOTS 32u
#define GRANT_SLOTS 8u
#define PEER_SLOTS 8u
#define SWEEP_BATCHES 64 /* between two looks at descriptors, and two cancellations of what blocks */
#define CANARIES 7
#define DIRECTORIES 2 /* that are granted */
#define FUZZ_RULES 3
#define DOOR_INDEX 5 /* of the one path of the table */
#define TEXT_BYTES 1200 /* at most, of what fuzz_files_text() writes */

#define FUZZ_VIOLATION(fuzz, ...) snprintf((fuzz)->violation, sizeof((fuzz)->violation), __VA_ARGS__)

enum { FILE_CANARY, PIPE_OUT, PIPE_IN, PAIR_A, PAIR_B, EVENT, EVENT_2 };

struct fuzz {
	struct ring ring;
	uint8_t *map, *arena, *blocks;
	uint64_t random;
	int canaries[CANARIES];
	struct stat canary_stats[CANARIES];
	int sink[2], listener, zero, datagrams;
	int door, shut_door; /* Unix sockets that listen: one that was granted, one that was not */
	uint16_t port, datagram_port; /* network order */
	char folder[64];
	struct stat secret;
	volatile bool racing;
	bool has_auditor;
	uint64_t staged, refused, admitted, completions;
	char violation[160];
};

static inline uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static inline unsigned below(uint64_t *state, unsigned limit)
{
	return (unsigned)((next(state) >> 32) % limit);
}

/* fuzz_input.c */
int fuzz_lend(void *context, uint32_t slot, struct region *pieces); /* in the place of lent.c */
int fuzz_lend_target(void *context, uint32_t slot, struct region *pieces);
void fuzz_make(const struct fuzz *fuzz, uint64_t *r, struct io_uring_sqe *sqe);
void *fuzz_race(void *data); /* a thread's body, while fuzz->racing */
/* fuzz_files.c; `at`: TEXT_BYTES that may be written */
void fuzz_files_path(const struct fuzz *fuzz, const char *name, char *path, size_t bytes);
void fuzz_files_text(const struct fuzz *fuzz, uint64_t *r, uint8_t *at);
void fuzz_files_tame(const struct fuzz *fuzz, struct io_uring_sqe *sqe, struct path_copies *copies);
const char *fuzz_files_audit(const struct fuzz *fuzz, const struct io_uring_sqe *sqe, const struct path_copies *copies);
bool fuzz_files_are_whole(struct fuzz *fuzz);
bool fuzz_files_renew(struct fuzz *fuzz);
bool fuzz_files_open(struct fuzz *fuzz);
void fuzz_files_close(struct fuzz *fuzz);
/* fuzz_audit.c: NULL, or what is wrong */
extern const struct address_rule fuzz_rules[FUZZ_RULES];
const char *fuzz_audit(const struct fuzz *fuzz, const struct io_uring_sqe *sqe, const uint8_t *address,
		       const struct path_copies *copies, const struct lent_message *message);
bool fuzz_is_path(const struct fuzz *fuzz, const uint8_t *address, const char *name);
bool fuzz_is_inside(const struct fuzz *fuzz, uint64_t address, uint64_t bytes);
/* fuzz.c */
void fuzz_export(napi_env env, napi_value exports);
