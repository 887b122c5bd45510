/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host of featherstar's core in C: one thread for each shard, each with its own io_uring, over one memory.
 *
 * host.c has what every program needs: memory, threads, the loop of a turn, the way to stop. A program says what
 * happens with events by the functions of `struct program`. http.c and calls.c are two programs.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include "featherstar_core.h"
#include "featherstar.h"
#include "ring.h"

struct shard {
	struct featherstar_core core; /* this thread's instance */
	struct ring ring;
	unsigned index;
	uint32_t base; /* where its block begins */
	struct featherstar_control *control;
	int stop_fd; /* an eventfd: someone has asked it to stop */
	bool is_stopping;
	pthread_t thread;
	void *own; /* the program's */
};

/*
 * Functions of a program for events. Each runs in the shard's own thread. One that cannot come may be NULL. Operations
 * have tags from 1 on. Those with `sent_tag` are handled before all others of a turn: a send that has failed must be
 * known before more is sent.
 */
struct program {
	uint32_t sent_tag;
	void (*start)(struct shard *shard);
	void (*on_sent)(struct shard *shard, const struct featherstar_ready *entry);
	void (*on_op)(struct shard *shard, uint32_t tag, const struct featherstar_ready *entry);
	void (*on_timer)(struct shard *shard, uint32_t tag, uint32_t owner);
	void (*on_mail)(struct shard *shard, uint32_t peer, struct featherstar_message *message);
	void (*on_room)(struct shard *shard, uint32_t peer);
	void (*stop)(struct shard *shard); /* ends what is open; the loop goes on until no operation is left */
	void (*end)(struct shard *shard); /* the loop has ended */
};

/* Starts all shards with a program. They run until host_stop(). Exits with a message if that is impossible. */
void host_start(unsigned shard_count, const struct program *program);
/* Asks all shards to stop. From any thread. */
void host_stop(void);
/* Waits until all have. */
void host_join(void);

extern struct shard *shards;
extern unsigned shard_count;
extern struct featherstar_header *header; /* the limits, and where everything lies */

/* Ends the program with a message. `error` is an errno, or 0. */
__attribute__((noreturn)) void die(const char *what, int error);

/* The memory at an address of the core. */
static inline void *at(struct shard *shard, uint32_t address)
{
	return shard->core.memory.at + address;
}
