// SPDX-License-Identifier: MIT OR Apache-2.0
//
// One shard of a program in C: the steps of docs/abi.md that are the same in every program.
//
// Next: examples/hosts/c/greet.c, the smallest program over it; then host.c there, with a thread for each shard.
#include "shard.h"
#include "park.h"

#define QUOTA_NS 500e3

void shard_submit(struct shard *shard)
{
	ring_stage(&shard->ring);
	ring_enter(&shard->ring, 0, 0);
}

// The core's window is full in the middle of a turn.
static void on_enter(void *context)
{
	shard_submit(context);
}

static uint32_t on_thread_spawn(void *context, uint32_t shard)
{
	(void)context;
	(void)shard;
	return (uint32_t)-1; // the program starts its threads itself
}

static const struct featherstar_imports imports = { .wasi_thread_spawn = on_thread_spawn, .uring_enter = on_enter };

struct featherstar_header shard_limits(unsigned shard_count)
{
	return (struct featherstar_header){
		.shard_count = shard_count,
		.ring_slots = 1024,
		.credit_count = 256,
		.sqe_slots = 256,
		.cqe_slots = 1024,
		.ready_slots = 4096,
		.op_slots = 4096,
		.timer_slots = 4096,
		.task_slots = 4096,
		.connection_slots = 1024,
		.recv_buffer_count = 256,
		.recv_buffer_bytes = 4096,
		.large_recv_buffer_count = 1,
		.large_recv_buffer_bytes = 4096,
		.send_buffer_count = 1024,
		.send_buffer_bytes = 4096,
		.arena_bytes = 1 << 20,
		.scratch_bytes = 1 << 20,
		.call_slots = 1,
	};
}

static struct featherstar_header *header_of(struct featherstar_memory memory)
{
	return (struct featherstar_header *)(memory.at + FEATHERSTAR_HEADER);
}

// Reserves pages, and lets the core plan there. Returns how many pages it needs: 0 is too many.
static uint32_t plan(struct featherstar_memory *memory, uint32_t pages, const struct featherstar_header *limits)
{
	struct featherstar_core planner;

	*memory = featherstar_memory_reserve(pages);
	if (!memory->at)
		return 0;
	*header_of(*memory) = *limits;
	featherstar_instantiate(&planner, *memory, &imports, NULL);
	return featherstar_plan(&planner);
}

// In two steps, because the core knows how large it must be.
struct featherstar_memory shard_memory(const struct featherstar_header *limits)
{
	struct featherstar_memory memory;
	uint32_t pages = plan(&memory, 1, limits);

	if (memory.at)
		featherstar_memory_release(memory);
	if (pages)
		pages = plan(&memory, pages, limits);
	return pages ? memory : (struct featherstar_memory){ 0 };
}

static int open_ring(struct shard *shard, const char **what)
{
	const struct featherstar_header *header = shard->header;
	struct ring_options options = {
		.regions = { { shard->core.memory.at, shard->core.memory.bytes } },
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
		.grant_slots = SHARD_GRANTS,
	};

	return ring_open(&shard->ring, &options, what);
}

int shard_open(struct shard *shard, struct featherstar_memory memory, unsigned index, const char **what)
{
	*what = "the memory of the shards";
	if (!memory.at)
		return -ENOMEM;
	shard->header = header_of(memory);
	shard->index = index;
	shard->base = shard->header->shards_offset + index * shard->header->shard_bytes;
	*what = "the version of featherstar.h";
	if (shard->header->magic != FEATHERSTAR_MAGIC || shard->header->abi_version != FEATHERSTAR_ABI_VERSION)
		return -EPROTO;
	*what = "connection_slots, which must be more than SHARD_GRANTS";
	if (shard->header->connection_slots <= SHARD_GRANTS)
		return -EINVAL;
	featherstar_instantiate(&shard->core, memory, &imports, shard);
	shard->control = shard_at(shard, shard->base);
	shard->control->quota_ns = QUOTA_NS;
	featherstar_boot(&shard->core, index, monotonic_ns());
	return open_ring(shard, what);
}

void shard_close(struct shard *shard, double timeout_ns)
{
	ring_cancel(&shard->ring, timeout_ns);
	ring_close(&shard->ring);
}

// Hands over what is staged, takes what has completed, and sleeps in between if there is nothing to do.
static void enter(struct shard *shard)
{
	struct ring *ring = &shard->ring;
	volatile struct featherstar_control *control = shard->control;
	double left_ns = control->next_deadline_ns - monotonic_ns();

	ring_stage(ring);
	if (!control->submit_count && left_ns > 0 && !ring_has_completions(ring) && park_try_sleep(control)) {
		// park.h: a peer that posts from now on rings, and that ends the wait, also one that has not begun
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

bool shard_turn(struct shard *shard)
{
	enter(shard);
	if (!featherstar_wantsTurn(&shard->core))
		return false;
	featherstar_turn(&shard->core);
	return true;
}

const struct featherstar_ready *shard_next(struct shard *shard)
{
	volatile struct featherstar_control *control = shard->control;
	struct featherstar_ready *entries = shard_at(shard, shard->base + shard->header->ready_offset);

	if (control->ready_head == control->ready_tail)
		return NULL;
	return &entries[control->ready_head++ & (shard->header->ready_slots - 1)];
}
