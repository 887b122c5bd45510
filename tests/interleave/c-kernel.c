// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The kernel behind ring.c, as far as two shards need it that only ring each other: the system call io_uring_enter, and
// the words that the kernel shares with the program. c-host.c includes it.
//
//   a doorbell arrives as deferred work (IORING_SETUP_DEFER_TASKRUN): the kernel sets SQ_TASKRUN, and a wait ends
//   an enter of the receiver does the work: it puts a completion into the queue
//
// Whether work has been deferred is the word BELL of machine.js, because another shard decides it. A look at sq_flags
// is a step of its own for that reason. The other words change only in the shard's own enters.
//
// Queues that are empty begin at 0 again, or equal states would differ by how much went through them.
//
// Next: c-host.c.

#define ENTRIES 8
#define PEER_FD 100 // of the ring of shard 0

static struct kernel {
	unsigned sq_head, sq_tail, sq_flags, cq_head, cq_tail, cq_overflow;
	struct io_uring_sqe sqes[ENTRIES];
	struct io_uring_cqe cqes[ENTRIES]; // all of them are doorbells
} kernels[SHARDS];

static bool is_of_ring(const volatile void *word)
{
	return (uintptr_t)word >= (uintptr_t)kernels && (uintptr_t)word < (uintptr_t)(kernels + SHARDS);
}

static uint64_t on_ring_access(const volatile void *word, bool is_store, uint64_t value)
{
	volatile unsigned *at = (volatile unsigned *)(uintptr_t)word;

	if (at == &kernels[current].sq_flags)
		return hand_over(LOOK, 0) != 0 ? SQ_TASKRUN : 0;
	if (is_store)
		*at = (unsigned)value;
	return *at;
}

static int model_enter(int fd, unsigned submit, unsigned wait, unsigned flags, const void *arg, size_t bytes)
{
	struct kernel *kernel = &kernels[current];
	unsigned bells = 0;

	(void)fd;
	(void)arg;
	(void)bytes;
	if (kernel->cq_head == kernel->cq_tail)
		kernel->cq_head = kernel->cq_tail = 0;
	for (unsigned i = 0; i < submit; i++) {
		const struct io_uring_sqe *sqe = &kernel->sqes[kernel->sq_head++ % ENTRIES];
		unsigned peer = (unsigned)sqe->fd - PEER_FD;

		if (sqe->opcode != IORING_OP_MSG_RING || sqe->off != TAG_DOORBELL || !(sqe->flags & IOSQE_CQE_SKIP_SUCCESS))
			die("an operation that is no doorbell", 0);
		if (peer < SHARDS)
			bells |= 1u << peer;
	}
	if (kernel->sq_head == kernel->sq_tail)
		kernel->sq_head = kernel->sq_tail = 0;
	hand_over(ENTER, bells);
	if (!(flags & IORING_ENTER_GETEVENTS))
		return (int)submit;
	bool came = wait && kernel->cq_head == kernel->cq_tail ? hand_over(SLEEP, 0) != 0 : hand_over(TAKE, 0) != 0;
	if (came)
		kernel->cqes[kernel->cq_tail++ % ENTRIES].user_data = TAG_DOORBELL;
	return (int)submit;
}

// Does the work of ring_open().
static void open_model_ring(struct shard *shard)
{
	const struct featherstar_header *header = shard->header;
	struct kernel *kernel = &kernels[shard->index];
	struct ring *ring = &shard->ring;

	memset(kernel, 0, sizeof *kernel);
	memset(ring->peers, 0xff, sizeof ring->peers);
	ring->peers[1 - shard->index] = PEER_FD + (int)(1 - shard->index);
	ring->sq_head = &kernel->sq_head;
	ring->sq_tail = &kernel->sq_tail;
	ring->sq_flags = &kernel->sq_flags;
	ring->cq_head = &kernel->cq_head;
	ring->cq_tail = &kernel->cq_tail;
	ring->cq_overflow = &kernel->cq_overflow;
	ring->sqes = kernel->sqes;
	ring->cqes = kernel->cqes;
	ring->sq_entries = ENTRIES;
	ring->sq_mask = ring->cq_mask = ENTRIES - 1;
	ring->control = shard->control;
	ring->window_sqes = shard_at(shard, shard->base + header->sqe_offset);
	ring->window_sqe_slots = header->sqe_slots;
	ring->window_cqes = shard_at(shard, shard->base + header->cqe_offset);
	ring->window_cqe_slots = header->cqe_slots;
	for (unsigned i = 0; i < ENTRIES; i++)
		kernel->cqes[i].user_data = TAG_DOORBELL;
}
