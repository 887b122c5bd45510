/* SPDX-License-Identifier: MIT OR Apache-2.0 */
// One shard, which greets every client on a port: cc -D_GNU_SOURCE -I DIST greet.c DIST/*.c, where DIST is dist/c.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "featherstar_core.h"
#include "listen.h"
#include "ring.h"

static uint32_t spawn(void *ring, uint32_t shard) { return (void)ring, (void)shard, (uint32_t)-1; }
static void enter(void *ring) { ring_stage(ring), ring_enter(ring, 0, 0); }
static const struct featherstar_imports imports = { .wasi_thread_spawn = spawn, .uring_enter = enter };

int main(int argc, char **argv)
{
	static struct ring ring;
	struct featherstar_core core;
	struct featherstar_memory m = featherstar_memory_reserve(64); /* 4 MiB: more than these limits need */
	struct featherstar_header *h = (struct featherstar_header *)(m.at + FEATHERSTAR_HEADER);
	const char *what = "no memory";
	int port = argc > 1 ? atoi(argv[1]) : 7000, fd, error;

	uint32_t limits[] = { 1, 2, 1, 64, 64, 256, 256, 8, 8, 64, 1, 64, 1, 64, 1, 64, 64, 64 }; /* docs/abi.md */
	memcpy(&h->shard_count, limits, sizeof limits);
	featherstar_instantiate(&core, m, &imports, &ring);
	if (featherstar_plan(&core) == 0 || h->total_pages > 64)
		return puts(what), 1;
	featherstar_boot(&core, 0, monotonic_ns());
	uint32_t base = h->shards_offset, hello = base + h->scratch_offset; /* a shard's own memory, for the text */
	volatile struct featherstar_control *control = (struct featherstar_control *)(m.at + base);
	struct featherstar_ready *ready = (struct featherstar_ready *)(m.at + base + h->ready_offset);
	struct ring_options options = { .regions = { { m.at, m.bytes } }, .control = base, .sqes = base + h->sqe_offset,
		.sqe_slots = 64, .cqes = base + h->cqe_offset, .cqe_slots = 64, .recycle = base + h->recycle_offset,
		.buffers = base + h->recv_offset, .buffer_count = { 1, 1 }, .buffer_bytes = { 64, 64 },
		.file_slots = 64, .grant_slots = 1 };
	fd = listen_open("127.0.0.1", &port, 64, 0, 0, &what);
	error = fd < 0 ? fd : ring_open(&ring, &options, &what);
	if (error < 0)
		return fprintf(stderr, "%s: %s\n", what, strerror(-error)), 1;
	memcpy(m.at + hello, "Hello, World!\n", 14);
	featherstar_submit(&core, IORING_OP_ACCEPT, 1, 1, ring_grant(&ring, fd), 0, 0, 0, 0, ~0u, 1, 1, 0);
	for (printf("port %d\n", port), fflush(stdout);;) {
		ring_stage(&ring), ring_enter(&ring, 1, -1), ring_reap(&ring); /* one shard: no peer could wake it */
		control->now_ns = monotonic_ns();
		for (featherstar_turn(&core); control->ready_head != control->ready_tail; control->ready_head++) {
			struct featherstar_ready *e = &ready[control->ready_head & 255];
			if (e->kind >> 8 == 1 && e->result >= 0) /* accepted: send, and close when that has ended */
				featherstar_submit(&core, IORING_OP_SEND, 1, 0, e->result, 0, hello, 14, 0, 0, e->result + 1, 2, 0);
			else if (e->kind >> 8 == 2)
				featherstar_closeFile(&core, e->index - 1);
		}
		featherstar_flush(&core);
	}
}
