/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host of featherstar's core in C: one thread for each shard, each with its own io_uring, over one memory.
 *
 * shard.c of featherstar/c has what one shard needs. host.c has what a whole program needs: threads, doorbells, the way
 * to stop. A program says what happens with events by the functions of `struct program`. http.c and calls.c are two
 * programs.
 */
#pragma once

#include <pthread.h>
#include "shard.h"

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
void host_start(const struct featherstar_header *limits, const struct program *program);
/* Asks all shards to stop. From any thread. */
void host_stop(void);
/* Waits until all have. */
void host_join(void);
/* Whether a shard has been asked to stop. In its own thread. */
bool host_is_stopping(const struct shard *shard);

/* Ends the program with a message. `error` is an errno, or 0. */
__attribute__((noreturn)) void die(const char *what, int error);
