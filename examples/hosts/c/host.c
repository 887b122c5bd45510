/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host: what docs/abi.md asks for, with the gate of featherstar (ring.c, gate.c) to talk to io_uring.
 *
 * Next: http.c, a server.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "host.h"
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include "park.h"

#define TAG_STOP 0xffffff
#define QUOTA_NS 500e3
#define CANCEL_NS 1e9 /* so long may the kernel take for the operations that are left at the end */

struct shard *shards;
unsigned shard_count;
struct featherstar_header *header;

static struct featherstar_memory memory;
static const struct program *program;
static pthread_barrier_t all_booted;

void die(const char *what, int error)
{
	fprintf(stderr, "%s%s%s\n", what, error ? ": " : "", error ? strerror(error) : "");
	exit(1);
}

/* The core's window is full in the middle of a turn: hand it over, and take nothing back. */
static void on_enter(void *context)
{
	struct shard *shard = context;

	ring_stage(&shard->ring);
	ring_enter(&shard->ring, 0, 0);
}

static uint32_t on_thread_spawn(void *context, uint32_t shard)
{
	(void)context;
	(void)shard;
	return (uint32_t)-1; /* this host starts its threads itself */
}

static const struct featherstar_imports imports = { .wasi_thread_spawn = on_thread_spawn, .uring_enter = on_enter };

/* --- memory ------------------------------------------------------------------------------------------------------- */

static uint32_t write_limits_and_plan(void)
{
	struct featherstar_core planner;

	header = (struct featherstar_header *)(memory.at + FEATHERSTAR_HEADER);
	*header = (struct featherstar_header){
		.shard_count = shard_count,
		.ring_slots = 1024,
		.credit_count = 256,
		.sqe_slots = 256,
		.cqe_slots = 1024,
		.ready_slots = 4096,
		.op_slots = 16384,
		.timer_slots = 4096,
		.task_slots = 4096,
		.connection_slots = 4096,
		.recv_buffer_count = 256,
		.recv_buffer_bytes = 4096,
		.large_recv_buffer_count = 1,
		.large_recv_buffer_bytes = 4096,
		.send_buffer_count = 8192, /* two for each connection; what is not touched costs nothing */
		.send_buffer_bytes = 16384,
		.arena_bytes = 1 << 20,
		.scratch_bytes = 64 << 20, /* 16 KiB for each connection */
		.call_slots = 1,
	};
	featherstar_instantiate(&planner, memory, &imports, NULL);
	return featherstar_plan(&planner);
}

/* In two steps, because the core knows how large it must be. */
static void make_memory(void)
{
	uint32_t pages;

	memory = featherstar_memory_reserve(1);
	if (memory.at == NULL)
		die("no memory", 0);
	pages = write_limits_and_plan();
	featherstar_memory_release(memory);
	if (pages == 0)
		die("the limits need more than 4 GiB", 0);
	memory = featherstar_memory_reserve(pages);
	if (memory.at == NULL)
		die("no memory", 0);
	write_limits_and_plan();
	if (header->magic != FEATHERSTAR_MAGIC || header->abi_version != FEATHERSTAR_ABI_VERSION)
		die("featherstar.h and featherstar_core.c do not fit", 0);
}

static void open_ring(struct shard *shard)
{
	const char *what = "";
	struct ring_options options = {
		.regions = { { memory.at, memory.bytes } },
		.control = shard->base,
		.sqes = shard->base + header->sqe_offset,
		.sqe_slots = header->sqe_slots,
		.cqes = shard->base + header->cqe_offset,
		.cqe_slots = header->cqe_slots,
		.recycle = shard->base + header->recycle_offset,
		.buffers = shard->base + header->recv_offset,
		.buffer_count = { header->recv_buffer_count, header->large_recv_buffer_count },
		.buffer_bytes = { header->recv_buffer_bytes, header->large_recv_buffer_bytes },
		.file_slots = header->connection_slots,
		.grant_slots = 8,
	};
	int error = ring_open(&shard->ring, &options, &what);

	if (error < 0)
		die(what, -error);
}

/* --- the loop of a shard ------------------------------------------------------------------------------------------ */

/* Hands over what is staged, takes what has completed, and sleeps in between if there is nothing to do. */
static void enter(struct shard *shard)
{
	struct ring *ring = &shard->ring;
	volatile struct featherstar_control *control = shard->control;
	double left_ns = control->next_deadline_ns - monotonic_ns();

	ring_stage(ring);
	if (!control->submit_count && left_ns > 0 && !ring_has_completions(ring) && park_try_sleep(control)) {
		/* park.h: a peer that posts from now on rings, and that ends the wait, also one that has not begun */
		ring_enter(ring, 1, left_ns < 1e18 ? left_ns : -1);
		park_awake(control);
	} else if (ring_wants_enter(ring)) {
		ring_enter(ring, 0, 0);
	}
	if (!control->completion_count)
		control->submit_only = 0;
	ring_reap(ring);
	control->now_ns = monotonic_ns();
}

static void stop_shard(struct shard *shard)
{
	shard->is_stopping = true;
	if (program->stop)
		program->stop(shard);
}

static void handle(struct shard *shard, const struct featherstar_ready *entry, struct featherstar_message *message)
{
	switch (entry->kind & 255) {
	case FEATHERSTAR_READY_KIND_OP:
		if (entry->kind >> 8 == TAG_STOP)
			stop_shard(shard);
		else if (entry->kind >> 8 != program->sent_tag)
			program->on_op(shard, entry->kind >> 8, entry);
		break;
	case FEATHERSTAR_READY_KIND_TIMER:
		program->on_timer(shard, entry->kind >> 8, entry->index);
		break;
	case FEATHERSTAR_READY_KIND_MAIL:
		program->on_mail(shard, entry->index, message);
		if (message->payload)
			featherstar_arenaRelease(&shard->core, message->payload);
		break;
	case FEATHERSTAR_READY_KIND_ROOM:
		program->on_room(shard, entry->index);
		break;
	}
}

static void drain(struct shard *shard)
{
	volatile struct featherstar_control *control = shard->control;
	uint32_t mask = header->ready_slots - 1;
	struct featherstar_ready *entries = at(shard, shard->base + header->ready_offset);
	struct featherstar_message *inbox = at(shard, shard->base + header->inbox_offset);

	for (uint32_t i = control->ready_head; program->on_sent && i != control->ready_tail; i++) {
		const struct featherstar_ready *entry = &entries[i & mask];

		if (entry->kind == (program->sent_tag << 8 | FEATHERSTAR_READY_KIND_OP))
			program->on_sent(shard, entry);
	}
	while (control->ready_head != control->ready_tail) {
		uint32_t slot = control->ready_head++ & mask;

		handle(shard, &entries[slot], &inbox[slot]);
	}
}

static void turns(struct shard *shard)
{
	while (!shard->is_stopping || featherstar_openOps(&shard->core) > 0) {
		enter(shard);
		if (!featherstar_wantsTurn(&shard->core))
			continue;
		featherstar_turn(&shard->core);
		drain(shard);
		featherstar_flush(&shard->core);
	}
}

static void *run_shard(void *argument)
{
	struct shard *shard = argument;
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(shard->index, &cpu);
	sched_setaffinity(0, sizeof cpu, &cpu); /* only a wish: in a container, this processor may be another's */
	featherstar_instantiate(&shard->core, memory, &imports, shard);
	shard->base = header->shards_offset + shard->index * header->shard_bytes;
	shard->control = at(shard, shard->base);
	shard->control->quota_ns = QUOTA_NS;
	featherstar_boot(&shard->core, shard->index, monotonic_ns());
	open_ring(shard);
	pthread_barrier_wait(&all_booted);
	for (unsigned peer = 0; peer < shard_count; peer++)
		if (peer != shard->index && ring_set_peer(&shard->ring, peer, shards[peer].ring.fd) < 0)
			die("no doorbell of a peer", 0);
	int slot = ring_grant(&shard->ring, shard->stop_fd);
	if (slot < 0)
		die("ring_grant", -slot);
	featherstar_submit(&shard->core, IORING_OP_POLL_ADD, IOSQE_FIXED_FILE, 0, slot, 0, 0, 0, POLLIN, 0, 1, TAG_STOP, 0);
	program->start(shard);
	turns(shard);
	featherstar_stop(&shard->core);
	pthread_barrier_wait(&all_booted); /* a peer may still have rung this ring until here */
	ring_cancel(&shard->ring, CANCEL_NS);
	ring_close(&shard->ring);
	if (program->end)
		program->end(shard);
	return NULL;
}

void host_start(unsigned count, const struct program *with)
{
	shard_count = count;
	program = with;
	make_memory();
	pthread_barrier_init(&all_booted, NULL, count);
	shards = calloc(count, sizeof *shards);
	if (shards == NULL)
		die("no memory", 0);
	for (unsigned i = 0; i < count; i++) {
		shards[i].index = i;
		shards[i].stop_fd = eventfd(0, EFD_CLOEXEC);
		if (shards[i].stop_fd < 0)
			die("eventfd", errno);
	}
	for (unsigned i = 0; i < count; i++) {
		int error = pthread_create(&shards[i].thread, NULL, run_shard, &shards[i]);

		if (error)
			die("pthread_create", error);
	}
}

void host_stop(void)
{
	uint64_t one = 1;

	for (unsigned i = 0; i < shard_count; i++)
		if (write(shards[i].stop_fd, &one, sizeof one) < 0)
			die("eventfd", errno);
}

void host_join(void)
{
	for (unsigned i = 0; i < shard_count; i++) {
		pthread_join(shards[i].thread, NULL);
		close(shards[i].stop_fd);
	}
	pthread_barrier_destroy(&all_booted);
	free(shards);
	featherstar_memory_release(memory);
}
