/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One shard of a program in C: an instance of the core and a ring, in one thread. It is shipped as featherstar/c; the
 * addon does not use it.
 *
 *   limits --shard_memory()--> memory --shard_open()--> shard, in its own thread
 *   for ever: shard_turn(), shard_next() until it returns NULL, featherstar_flush()
 *
 * docs/abi.md explains the words and the rules. Between turns a program calls the exports of featherstar_core.h.
 */
#pragma once

#include "ring.h"
#include "featherstar_core.h"

struct shard {
	struct featherstar_core core; /* this thread's instance */
	struct ring ring;
	unsigned index;
	uint32_t base; /* where its block of the memory begins */
	const struct featherstar_header *header; /* the limits, and where everything lies */
	volatile struct featherstar_control *control;
	void *own; /* the program's */
};

#define SHARD_GRANTS 8 /* files that ring_grant() may add; connection_slots counts them, too */

#ifdef __cplusplus
extern "C" {
#endif

/* Limits that suit a small program. Change what you need before shard_memory(). */
struct featherstar_header shard_limits(unsigned shard_count);

/* Makes the memory of all shards. `at` is NULL if there is not so much, or if the limits break a rule. */
struct featherstar_memory shard_memory(const struct featherstar_header *limits);

/* Boots a shard in this thread. Returns 0, or -errno and in *what the call that failed. */
int shard_open(struct shard *shard, struct featherstar_memory memory, unsigned index, const char **what);

/*
 * Submits what is staged, sleeps if there is nothing to do, and runs the core's turn. Returns whether a turn has run.
 * Then call shard_next() until it returns NULL, and featherstar_flush().
 */
bool shard_turn(struct shard *shard);

/* The next event of this turn, or NULL. */
const struct featherstar_ready *shard_next(struct shard *shard);

/*
 * Submits what is staged now, in the middle of a turn, and takes no completions. A doorbell that goes out so wakes the
 * peer while this shard handles the rest of its events.
 */
void shard_submit(struct shard *shard);

/* Cancels what runs in the kernel, waits for it at most timeout_ns, and closes the ring. The peers are gone by then. */
void shard_close(struct shard *shard, double timeout_ns);

#ifdef __cplusplus
}
#endif

/* The number that the submitter of an operation or the owner of a timer gave as `tag` or `kind`. */
static inline uint32_t shard_tag(const struct featherstar_ready *entry)
{
	return entry->kind >> 8;
}

/* The memory at an address of the core. */
static inline void *shard_at(struct shard *shard, uint32_t address)
{
	return shard->core.memory.at + address;
}

/* The message of a MAIL entry. */
static inline struct featherstar_message *shard_message(struct shard *shard, const struct featherstar_ready *entry)
{
	void *first = shard_at(shard, shard->base + shard->header->ready_offset);
	void *inbox = shard_at(shard, shard->base + shard->header->inbox_offset);

	return (struct featherstar_message *)inbox + (entry - (struct featherstar_ready *)first);
}
