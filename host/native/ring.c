// SPDX-License-Identifier: MIT OR Apache-2.0
//
// One ring's life: set up, stage, enter, reap, tear down. The kernel side follows io_uring(7); atomics on the rings'
// indices are acquire and release, as liburing has them.
//
// Next: loop.c.
#include "ring.h"
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define TIMEOUT_MAX_NS 1e18 /* 31 years: a deadline is Wasm's to choose, and may not overflow a timespec */

// From what is wanted to what a 6.1 kernel, or an older one, may still take.
static const unsigned setup_ladder[] = {
	SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG | SETUP_SUBMIT_ALL,
	SETUP_SINGLE_ISSUER | SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG | SETUP_SUBMIT_ALL,
	SETUP_COOP_TASKRUN | SETUP_TASKRUN_FLAG | SETUP_SUBMIT_ALL,
};

// The second wall: what the gate may ask of the kernel, said to the kernel itself too, which refuses the rest with
// -EACCES. It knows operations, flags and registrations; the other fields are the gate's alone. Plain descriptors
// cannot be ruled out here, because POLL_ADD watches libuv's.
static const uint8_t allowed_operations[] = {
	IORING_OP_NOP, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_RECV, IORING_OP_RECVMSG, IORING_OP_SEND,
	IORING_OP_SENDMSG, IORING_OP_CONNECT, IORING_OP_ACCEPT, IORING_OP_FSYNC, IORING_OP_SHUTDOWN,
	IORING_OP_POLL_ADD, OP_URING_CMD, OP_FTRUNCATE, IORING_OP_OPENAT2, IORING_OP_STATX, IORING_OP_RENAMEAT,
	IORING_OP_UNLINKAT, IORING_OP_MKDIRAT, OP_SOCKET, IORING_OP_CLOSE, IORING_OP_ASYNC_CANCEL,
	IORING_OP_MSG_RING, OP_FIXED_FD_INSTALL,
};
static const uint8_t allowed_registrations[] = { // for grants, and for the end
	IORING_REGISTER_FILES_UPDATE, REGISTER_SYNC_CANCEL_OP, IORING_UNREGISTER_FILES, UNREGISTER_PBUF,
	IORING_UNREGISTER_RING_FDS,
};

// Restricts the ring and lets it run: until then it was disabled. 0 or -errno.
static int restrict_ring(int fd)
{
	struct io_uring_restriction rules[sizeof(allowed_operations) + sizeof(allowed_registrations) + 1] = { 0 };
	struct io_uring_probe probe = { 0 }; // for the last operation that this kernel knows: no rule may name a later one
	unsigned count = 0;
	int error = sys_register(fd, IORING_REGISTER_PROBE, &probe, 0);

	if (error)
		return error;
	for (size_t i = 0; i < sizeof(allowed_operations); i++) {
		if (allowed_operations[i] > probe.last_op)
			continue;
		rules[count].opcode = IORING_RESTRICTION_SQE_OP;
		rules[count++].sqe_op = allowed_operations[i];
	}
	for (size_t i = 0; i < sizeof(allowed_registrations); i++) {
		rules[count].opcode = IORING_RESTRICTION_REGISTER_OP;
		rules[count++].register_op = allowed_registrations[i];
	}
	rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	rules[count++].sqe_flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS;
	error = sys_register(fd, IORING_REGISTER_RESTRICTIONS, rules, count);
	return error ? error : sys_register(fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static int setup(unsigned sq_entries, unsigned cq_entries, struct io_uring_params *params)
{
	int fd = -EINVAL;

	for (size_t i = 0; i < sizeof(setup_ladder) / sizeof(setup_ladder[0]) && fd == -EINVAL; i++) {
		memset(params, 0, sizeof(*params));
		params->flags = setup_ladder[i] | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED;
		params->cq_entries = cq_entries > sq_entries ? cq_entries : sq_entries; /* or the kernel refuses */
		fd = sys_setup(sq_entries, params);
	}
	return fd;
}

static int map_rings(struct ring *ring, const struct io_uring_params *params)
{
	size_t sq = params->sq_off.array + params->sq_entries * sizeof(unsigned);
	size_t cq = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
	uint8_t *at;

	ring->ring_bytes = sq > cq ? sq : cq; // IORING_FEAT_SINGLE_MMAP, 5.4
	ring->sqe_bytes = params->sq_entries * sizeof(struct io_uring_sqe);
	ring->ring_map = mmap(NULL, ring->ring_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			      IORING_OFF_SQ_RING);
	if (ring->ring_map == MAP_FAILED)
		return -errno;
	ring->sqe_map = mmap(NULL, ring->sqe_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring->fd,
			     IORING_OFF_SQES);
	if (ring->sqe_map == MAP_FAILED)
		return -errno;
	at = ring->ring_map;
	ring->sq_head = (unsigned *)(at + params->sq_off.head);
	ring->sq_tail = (unsigned *)(at + params->sq_off.tail);
	ring->sq_flags = (unsigned *)(at + params->sq_off.flags);
	ring->sq_mask = *(unsigned *)(at + params->sq_off.ring_mask);
	ring->sq_entries = params->sq_entries;
	ring->sqes = ring->sqe_map;
	for (unsigned i = 0; i < params->sq_entries; i++)
		((unsigned *)(at + params->sq_off.array))[i] = i;
	ring->cq_head = (unsigned *)(at + params->cq_off.head);
	ring->cq_tail = (unsigned *)(at + params->cq_off.tail);
	ring->cq_overflow = (unsigned *)(at + params->cq_off.overflow);
	ring->cq_mask = *(unsigned *)(at + params->cq_off.ring_mask);
	ring->cqes = (struct io_uring_cqe *)(at + params->cq_off.cqes);
	return 0;
}

// A registered ring descriptor saves a lookup per enter; where there is none, the plain one does.
static void register_ring_fd(struct ring *ring)
{
	struct io_uring_rsrc_update update = { .offset = ~0u, .data = (uint64_t)ring->fd };

	ring->enter_fd = ring->fd;
	if (sys_register(ring->fd, IORING_REGISTER_RING_FDS, &update, 1) != 1)
		return;
	ring->enter_fd = (int)update.offset;
	ring->enter_flags = IORING_ENTER_REGISTERED_RING;
}

static int register_files(struct ring *ring, unsigned wanted)
{
	struct io_uring_rsrc_register files = { .flags = IORING_RSRC_REGISTER_SPARSE };
	struct io_uring_file_index_range range;
	struct rlimit limit;
	int error;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && wanted > limit.rlim_cur)
		wanted = (unsigned)limit.rlim_cur;
	if (wanted <= ring->grant_slots)
		return -EMFILE;
	files.nr = wanted;
	error = sys_register(ring->fd, IORING_REGISTER_FILES2, &files, sizeof(files));
	if (error)
		return error;
	ring->file_slots = wanted;
	range = (struct io_uring_file_index_range){ .off = ring->grant_slots, .len = wanted - ring->grant_slots };
	return sys_register(ring->fd, REGISTER_ALLOC_RANGE, &range, 0);
}

// 0, or -errno with everything given back, and in *what the call that failed.
int ring_open(struct ring *ring, const struct ring_options *options, const char **what)
{
	uint8_t *memory = options->regions[LINEAR].at;
	struct io_uring_params params;
	int error;

	memset(ring, 0, sizeof(*ring));
	memset(ring->peers, 0xff, sizeof(ring->peers));
	memset(ring->listeners, 0xff, sizeof(ring->listeners));
	memset(ring->directories, 0xff, sizeof(ring->directories));
	memcpy(ring->regions, options->regions, sizeof(ring->regions));
	ring->control = (volatile struct featherstar_control *)(memory + options->control);
	ring->window_sqes = (struct io_uring_sqe *)(memory + options->sqes);
	ring->window_sqe_slots = options->sqe_slots;
	ring->window_cqes = (struct io_uring_cqe *)(memory + options->cqes);
	ring->window_cqe_slots = options->cqe_slots;
	ring->window_recycle = (const volatile uint32_t *)(memory + options->recycle);
	buffers_plan(ring, options);
	ring->grant_slots = options->grant_slots;
	ring->senders = options->senders;
	ring->receivers = options->receivers;
	if (options->rules) {
		ring->is_narrowed = true;
		ring->rule_count = options->rule_count;
		memcpy(ring->rules, options->rules, options->rule_count * sizeof(*options->rules));
	}
	*what = "io_uring_setup";
	ring->fd = setup(options->sqe_slots, options->cqe_slots, &params);
	if (ring->fd < 0)
		return ring->fd;
	ring->setup_flags = params.flags;
	ring->features = params.features;
	*what = "mmap";
	ring->lent = calloc(ring->buffer_count, 1);
	ring->addresses = calloc(params.sq_entries, ADDRESS_BYTES);
	ring->paths = calloc(params.sq_entries, sizeof(*ring->paths));
	ring->lent_messages = calloc(params.sq_entries, sizeof(*ring->lent_messages));
	ring->refusal_room = options->sqe_slots + options->cqe_slots;
	ring->refusals = calloc(ring->refusal_room, sizeof(*ring->refusals));
	error = -ENOMEM;
	if (ring->lent && ring->addresses && ring->paths && ring->lent_messages && ring->refusals)
		error = map_rings(ring, &params);
	*what = "io_uring_register";
	if (!error) {
		register_ring_fd(ring);
		error = register_files(ring, options->file_slots);
	}
	if (!error)
		error = buffers_register(ring);
	if (!error)
		error = restrict_ring(ring->fd);
	if (error)
		ring_close(ring);
	return error;
}

// The features that the kernel has here, or -errno. Opens a small ring, with all that a ring needs, and closes it. A
// kernel before 6.0 may have io_uring_setup and lack the later registrations.
int ring_probe(void)
{
	enum { BYTES = 8192 };
	struct ring_options options = {
		.sqes = 512,
		.sqe_slots = 4,
		.cqes = 1024,
		.cqe_slots = 8,
		.recycle = 2048,
		.buffers = 4096,
		.buffer_count = { 4, 2 },
		.buffer_bytes = { 64, 128 },
		.file_slots = 4,
		.grant_slots = 1,
	};
	const char *what;
	struct ring ring;
	int result;

	options.regions[LINEAR] = (struct region){ aligned_alloc(64, BYTES), BYTES };
	if (!options.regions[LINEAR].at)
		return -ENOMEM;
	result = ring_open(&ring, &options, &what);
	if (!result) {
		result = (int)(ring.setup_flags & ~(IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_R_DISABLED));
		ring_close(&ring);
	}
	free(options.regions[LINEAR].at);
	return result;
}

static int sync_cancel(struct ring *ring, unsigned flags, uint8_t opcode)
{
	struct io_uring_sync_cancel_reg cancel = { .fd = -1, .flags = flags };
	int result;

	cancel.pad[0] = opcode; // a field of its own since 6.6; and it waits for nothing: its timeout is 0
	result = sys_register(ring->fd, REGISTER_SYNC_CANCEL_OP, &cancel, 1);
	ring_enter(ring, 0, 0); // late completions run here, in this thread, and are thrown away
	store_release(ring->cq_head, load_acquire(ring->cq_tail));
	return result;
}

// Whether an operation of this kind runs on although it was cancelled. Only a search by opcode tells: of one that is
// running it says so, and does not count it among those that it has cancelled. Before 6.6 there is none (-EINVAL).
static bool runs_on(struct ring *ring, uint8_t opcode)
{
	int result;

	do
		result = sync_cancel(ring, CANCEL_BY_OPCODE, opcode);
	while (result == 0); // one was found, and is cancelled: there may be more
	return result == -ETIME || result == -EINTR;
}

// Cancels all that runs, and waits at most timeout_ns for it to end. True: something runs on. A thread of the kernel's
// is in it and cannot be interrupted, because a disk does not answer. It has an address of Wasm's, so the memory has to
// stay. So has this thread. Its end would wait for that, and so would every thread that waits for this one.
bool ring_cancel(struct ring *ring, double timeout_ns)
{
	double end = monotonic_ns() + timeout_ns;
	size_t i = 0;

	if (ring->fd < 0 || !ring->sqe_map || ring->sqe_map == MAP_FAILED)
		return false;
	store_release(ring->sq_tail, load_acquire(ring->sq_head)); // what no enter has taken is not begun now
	ring_enter(ring, 0, 0);
	sync_cancel(ring, CANCEL_ANY | CANCEL_ALL, 0);
	while (i < sizeof(allowed_operations)) {
		if (!runs_on(ring, allowed_operations[i]))
			i++;
		else if (monotonic_ns() >= end)
			return true;
		else
			ring_enter(ring, 1, 1e6);
	}
	return false;
}

static void forget_listeners(struct ring *ring)
{
	for (unsigned slot = 0; slot < GRANTS_MAX; slot++)
		ring_keep_listener(ring, slot, -1);
}

// Takes the files out of a ring that cannot be closed yet: sockets and listeners close, and their peers are told.
void ring_drop_files(struct ring *ring)
{
	int *none = malloc(ring->file_slots * sizeof(int));
	struct io_uring_files_update update = { .fds = (uint64_t)(uintptr_t)none };

	if (!none)
		return; // then they close with the ring
	memset(none, 0xff, ring->file_slots * sizeof(int));
	sys_register(ring->fd, IORING_REGISTER_FILES_UPDATE, &update, ring->file_slots);
	free(none);
	forget_listeners(ring);
}

// Nothing runs any more (ring_cancel). Order: files (sockets close here: our mappings would keep the ring, and with it
// them, alive), then buffers, then the ring itself.
void ring_close(struct ring *ring)
{
	struct io_uring_rsrc_update update = { .offset = (uint32_t)ring->enter_fd };

	if (ring->fd < 0)
		return;
	sys_register(ring->fd, IORING_UNREGISTER_FILES, NULL, 0);
	forget_listeners(ring);
	buffers_close(ring);
	if (ring->enter_flags)
		sys_register(ring->fd, IORING_UNREGISTER_RING_FDS, &update, 1);
	if (ring->ring_map && ring->ring_map != MAP_FAILED)
		munmap(ring->ring_map, ring->ring_bytes);
	if (ring->sqe_map && ring->sqe_map != MAP_FAILED)
		munmap(ring->sqe_map, ring->sqe_bytes);
	for (int i = 0; i < PEERS_MAX; i++)
		ring_set_peer(ring, (unsigned)i, -1);
	directories_close(ring);
	close(ring->fd);
	free(ring->lent);
	free(ring->addresses);
	free(ring->paths);
	free(ring->lent_messages);
	free(ring->refusals);
	ring->fd = -1;
}

// --- staging ---------------------------------------------------------------------------------------------------------

// Submissions in the private SQ that the kernel has not taken.
static unsigned staged(const struct ring *ring)
{
	return *ring->sq_tail - load_acquire(ring->sq_head);
}

// The next entry of the private SQ, or NULL when it is full. Counts at once: fill it before the next enter.
struct io_uring_sqe *ring_next_sqe(struct ring *ring)
{
	unsigned tail = *ring->sq_tail;

	if (staged(ring) == ring->sq_entries)
		return NULL;
	store_release(ring->sq_tail, tail + 1);
	return &ring->sqes[tail & ring->sq_mask];
}

// False: no room for the answer, because the core stages on and on and takes no completions.
static bool refuse(struct ring *ring, uint64_t user_data, int error)
{
	if (ring->refusal_count == ring->refusal_room)
		return false;
	ring->refusals[ring->refusal_count++] = (struct refusal){ user_data & ~TAG, error };
	ring->refused_count++;
	return true;
}

static void forget_grant(struct ring *ring, const struct io_uring_sqe *sqe)
{
	if (sqe->opcode != IORING_OP_CLOSE || sqe->file_index > ring->grant_slots)
		return;
	ring->granted[sqe->file_index - 1] = 0;
	ring_keep_listener(ring, sqe->file_index - 1, -1);
}

// Moves what is staged in the window into the private SQ, through the gate. Submits in between if the SQ is full; what
// the kernel does not take even then stays in the window.
void ring_stage(struct ring *ring)
{
	volatile struct featherstar_control *control = ring->control;
	uint32_t count = control->submit_count;
	uint32_t done = 0;

	buffers_recycle(ring);
	if (count > ring->window_sqe_slots)
		count = ring->window_sqe_slots;
	for (; done < count; done++) {
		struct io_uring_sqe in;
		unsigned index = *ring->sq_tail & ring->sq_mask;
		int error;

		if (staged(ring) == ring->sq_entries) {
			ring_enter(ring, 0, 0);
			if (staged(ring) == ring->sq_entries)
				break;
		}
		// Private: the window may change under our eyes, so not even the compiler may read it there again.
		memcpy(&in, &ring->window_sqes[done], sizeof(in));
		__asm__ volatile("" ::: "memory");
		error = gate_admit(ring, &in, &ring->sqes[index], index);
		if (error == 0) {
			forget_grant(ring, &in);
			ring->rang |= in.opcode == IORING_OP_MSG_RING && in.addr != MSG_SEND_FD;
			store_release(ring->sq_tail, *ring->sq_tail + 1);
		} else if (!refuse(ring, in.user_data, error)) {
			break; // it stays where it is
		}
	}
	if (done < count)
		memmove(ring->window_sqes, ring->window_sqes + done, (count - done) * sizeof(struct io_uring_sqe));
	if (count)
		control->submit_count = count - done;
}

// --- kernel ----------------------------------------------------------------------------------------------------------

// Submits what is in the private SQ; waits for `wait` completions, at most timeout_ns (< 0: for ever).
int ring_enter(struct ring *ring, unsigned wait, double timeout_ns)
{
	struct __kernel_timespec time = { 0 };
	struct io_uring_getevents_arg arg = { 0 };
	unsigned submit = staged(ring);
	unsigned flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG | ring->enter_flags;
	int result;

	if (wait && timeout_ns >= 0) {
		if (timeout_ns > TIMEOUT_MAX_NS)
			timeout_ns = TIMEOUT_MAX_NS;
		time.tv_sec = (long long)(timeout_ns / 1e9);
		time.tv_nsec = (long long)(timeout_ns - (double)time.tv_sec * 1e9);
		arg.ts = (uint64_t)(uintptr_t)&time;
	}
	result = sys_enter(ring->enter_fd, submit, wait, flags, &arg, sizeof(arg));
	for (unsigned i = load_acquire(ring->sq_head); i != *ring->sq_tail; i++)
		gate_forget_lent(&ring->sqes[i & ring->sq_mask]);
	return result;
}

// Whether an enter that does not wait would do anything: submit, or run what the kernel has deferred until we come.
bool ring_wants_enter(const struct ring *ring)
{
	return staged(ring) || load_acquire(ring->sq_flags) & (SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

bool ring_has_completions(const struct ring *ring)
{
	return ring->refusal_count || *ring->cq_head != load_acquire(ring->cq_tail);
}

static unsigned reap_refusals(struct ring *ring)
{
	unsigned count = ring->refusal_count;

	if (count == 0)
		return 0;
	if (count > ring->window_cqe_slots)
		count = ring->window_cqe_slots;
	for (unsigned i = 0; i < count; i++) {
		struct io_uring_cqe cqe = { .user_data = ring->refusals[i].user_data, .res = ring->refusals[i].result };

		memcpy(&ring->window_cqes[i], &cqe, sizeof(cqe));
	}
	ring->refusal_count -= count;
	memmove(ring->refusals, ring->refusals + count, ring->refusal_count * sizeof(struct refusal));
	return count;
}

// Moves completions into the window, unless the core has not taken the last ones. The completions that do not fit stay.
void ring_reap(struct ring *ring)
{
	volatile struct featherstar_control *control = ring->control;
	unsigned head = *ring->cq_head;
	unsigned tail = load_acquire(ring->cq_tail);
	unsigned count;

	// The kernel keeps what its queue has no room for (NODROP), and says so; a count of its own is of lost ones.
	if (__atomic_load_n(ring->sq_flags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW)
		ring->overflow_count++;
	control->refused_count = ring->refused_count;
	control->overflow_count = ring->overflow_count + *ring->cq_overflow;
	if (control->submit_only || control->completion_count)
		return;
	count = reap_refusals(ring);
	for (; head != tail && count < ring->window_cqe_slots; head++) {
		const struct io_uring_cqe *cqe = &ring->cqes[head & ring->cq_mask];

		if (cqe->user_data & TAG) {
			if (cqe->user_data == TAG_UV_POLL) // a doorbell has done its work: the enter has returned
				ring->uv_poll_fired = true;
			else if ((cqe->user_data & (TAG | 0xff)) == TAG_INSTALLED && cqe->res >= 0)
				close(cqe->res); // address_of_local() did not see it, because the queue was full
			continue;
		}
		if (cqe->flags & IORING_CQE_F_BUFFER)
			ring->lent[cqe->flags >> IORING_CQE_BUFFER_SHIFT] = 1; // the kernel has the number from lend()
		memcpy(&ring->window_cqes[count++], cqe, sizeof(*cqe));
	}
	store_release(ring->cq_head, head);
	control->completion_count = count;
}

// --- capabilities ----------------------------------------------------------------------------------------------------

// The descriptor of a listener in a grant slot, which is closed with the slot. -1: none any more.
void ring_keep_listener(struct ring *ring, unsigned slot, int fd)
{
	if (ring->listeners[slot] >= 0)
		close(ring->listeners[slot]);
	ring->listeners[slot] = fd;
}

// Puts a descriptor into a free grant slot; it belongs to the ring then and the caller closes its own. Slot or -errno.
int ring_grant(struct ring *ring, int fd)
{
	if (staged(ring)) // a CLOSE of the slot that is to be given could be among them
		ring_enter(ring, 0, 0);
	if (staged(ring))
		return -EAGAIN;
	for (unsigned slot = 0; slot < ring->grant_slots; slot++) {
		struct io_uring_files_update update = { .offset = slot, .fds = (uint64_t)(uintptr_t)&fd };
		int n;

		if (ring->granted[slot])
			continue;
		n = sys_register(ring->fd, IORING_REGISTER_FILES_UPDATE, &update, 1);
		if (n < 0)
			return n;
		ring->granted[slot] = 1;
		return (int)slot;
	}
	return -EMFILE;
}

// How this ring rings a peer's doorbell: a duplicate, so that a number that was closed and given out again is not hit.
int ring_set_peer(struct ring *ring, unsigned peer, int fd)
{
	int copy = -1;

	if (peer >= PEERS_MAX)
		return -EINVAL;
	if (fd >= 0) {
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (copy < 0)
			return -errno;
	}
	if (ring->peers[peer] >= 0)
		close(ring->peers[peer]);
	ring->peers[peer] = copy;
	return 0;
}
