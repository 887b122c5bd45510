/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host: a thread for each shard, over shard.c of featherstar/c. docs/abi.md says what a host has to do.
 *
 * Next: http.c, a server.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "host.h"
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#define TAG_STOP 0xffffff
#define MAIL_BATCH 16 /* messages that are handled before a peer is woken, whose doorbell is staged */
#define CANCEL_NS 1e9 /* so long may the kernel take for the operations that are left at the end */

static struct thread {
	struct shard shard;
	pthread_t id;
	int stop_fd; /* an eventfd: the shard is asked to stop */
	bool is_stopping;
	unsigned mail_count;
} threads[FEATHERSTAR_SHARDS_MAX];

static unsigned shard_count;
static struct featherstar_memory memory;
static const struct program *program;
static pthread_barrier_t all_here;

void die(const char *what, int error)
{
	fprintf(stderr, "%s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	exit(1);
}

bool host_is_stopping(const struct shard *shard)
{
	return threads[shard->index].is_stopping;
}

static void on_op(struct shard *shard, const struct featherstar_ready *entry)
{
	if (shard_tag(entry) == TAG_STOP) {
		threads[shard->index].is_stopping = true;
		if (program->stop)
			program->stop(shard);
	} else if (shard_tag(entry) != program->sent_tag) {
		program->on_op(shard, shard_tag(entry), entry);
	}
}

static void on_message(struct shard *shard, const struct featherstar_ready *entry)
{
	struct featherstar_message *message = shard_message(shard, entry);

	program->on_mail(shard, entry->index, message);
	if (message->payload)
		featherstar_arenaRelease(&shard->core, message->payload);
	/* The core shows messages to a peer before the turn ends. A peer that sleeps can begin with them, too. */
	if (++threads[shard->index].mail_count % MAIL_BATCH == 0 && shard->control->submit_count)
		shard_submit(shard);
}

static void on_entry(struct shard *shard, const struct featherstar_ready *entry)
{
	switch (entry->kind & 255) {
	case FEATHERSTAR_READY_KIND_OP:
		on_op(shard, entry);
		break;
	case FEATHERSTAR_READY_KIND_TIMER:
		program->on_timer(shard, shard_tag(entry), entry->index);
		break;
	case FEATHERSTAR_READY_KIND_MAIL:
		on_message(shard, entry);
		break;
	case FEATHERSTAR_READY_KIND_ROOM:
		program->on_room(shard, entry->index);
		break;
	}
}

/* The sends that have ended in this turn. */
static void drain_sent(struct shard *shard)
{
	const struct featherstar_ready *entries = shard_at(shard, shard->base + shard->header->ready_offset);
	uint32_t mask = shard->header->ready_slots - 1;

	for (uint32_t i = shard->control->ready_head; i != shard->control->ready_tail; i++) {
		const struct featherstar_ready *entry = &entries[i & mask];

		if (entry->kind == (program->sent_tag << 8 | FEATHERSTAR_READY_KIND_OP))
			program->on_sent(shard, entry);
	}
}

static void turns(struct thread *thread)
{
	struct shard *shard = &thread->shard;
	const struct featherstar_ready *entry;

	while (!thread->is_stopping || featherstar_openOps(&shard->core) > 0) {
		if (!shard_turn(shard))
			continue;
		if (program->on_sent)
			drain_sent(shard);
		while ((entry = shard_next(shard)) != NULL)
			on_entry(shard, entry);
		featherstar_flush(&shard->core);
	}
}

static void *run_thread(void *argument)
{
	struct thread *thread = argument;
	struct shard *shard = &thread->shard;
	unsigned index = (unsigned)(thread - threads);
	const char *what = "";
	cpu_set_t cpu;
	int error, slot;

	/* Only a wish: the processor may not be among those that the process was given (taskset, a container). */
	if (sched_getaffinity(0, sizeof cpu, &cpu) == 0 && CPU_ISSET(index, &cpu)) {
		CPU_ZERO(&cpu);
		CPU_SET(index, &cpu);
		sched_setaffinity(0, sizeof cpu, &cpu);
	}
	error = shard_open(shard, memory, index, &what);
	if (error < 0)
		die(what, -error);
	pthread_barrier_wait(&all_here);
	for (unsigned peer = 0; peer < shard_count; peer++) {
		error = peer == index ? 0 : ring_set_peer(&shard->ring, peer, threads[peer].shard.ring.fd);
		if (error < 0)
			die("the doorbell of a peer", -error);
	}
	slot = ring_grant(&shard->ring, thread->stop_fd);
	if (slot < 0)
		die("ring_grant", -slot);
	featherstar_submit(&shard->core, IORING_OP_POLL_ADD, IOSQE_FIXED_FILE, 0, slot, 0, 0, 0, POLLIN, 0, 1, TAG_STOP, 0);
	program->start(shard);
	turns(thread);
	featherstar_stop(&shard->core);
	pthread_barrier_wait(&all_here); /* a peer may still have rung this ring until here */
	shard_close(shard, CANCEL_NS);
	if (program->end)
		program->end(shard);
	return NULL;
}

void host_start(const struct featherstar_header *limits, const struct program *with)
{
	shard_count = limits->shard_count;
	program = with;
	memory = shard_memory(limits);
	if (memory.at == NULL)
		die("there is no memory, or the limits need more than 4 GiB", 0);
	pthread_barrier_init(&all_here, NULL, shard_count);
	for (unsigned i = 0; i < shard_count; i++) {
		int error;

		threads[i].stop_fd = eventfd(0, EFD_CLOEXEC);
		if (threads[i].stop_fd < 0)
			die("eventfd", errno);
		error = pthread_create(&threads[i].id, NULL, run_thread, &threads[i]);
		if (error)
			die("pthread_create", error);
	}
}

void host_stop(void)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < shard_count; i++)
		if (write(threads[i].stop_fd, &one, sizeof one) < 0)
			die("eventfd", errno);
}

void host_join(void)
{
	for (unsigned i = 0; i < shard_count; i++) {
		pthread_join(threads[i].id, NULL);
		close(threads[i].stop_fd);
	}
	pthread_barrier_destroy(&all_here);
	featherstar_memory_release(memory);
}
