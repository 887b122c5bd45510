// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Only in test builds (build.mjs --test, --sanitize): a million submissions a second, most of them harmful, go through
// the real gate into the real kernel. Canaries surround everything that they must not reach.
//
//   fuzz({ seed, count, race, audit }) -> { staged, refused, admitted, completions, violation }
//
//   canary page | arena: windows, buffers, data | canary page | blocks | canary page
//                                                                  a canary is never read by the kernel, never written
//   a file, a pipe, a socket pair, an eventfd                      never read, written, moved, shut or closed
//   a folder with a file in it, around the directories that were granted       likewise (fuzz_files.c)
//
// Three judges. The auditor checks each translated SQE before the kernel gets it. The canaries show what really
// happened. All sent bytes arrive in the sink, which checks what was read. Without `audit` the last two are alone. With
// `race`, a second thread rewrites the window while the gate reads it. Invariant: ring_stage() never enters by itself
// here, because the SQ is empty when it begins.
//
// Next: fuzz_audit.c, fuzz_files.c, fuzz_input.c, tests/native/fuzz.test.js.
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "fuzz.h"

#define VIOLATION FUZZ_VIOLATION
#define MAP_BYTES (ARENA_BYTES + BLOCKS_BYTES + 3 * CANARY_BYTES)

// --- batches, and what the auditor says of them ----------------------------------------------------------------------

// The fuzzer knocks at no strangers' doors: whatever is to be connected or sent to becomes its own socket.
static void tame(const struct fuzz *fuzz, struct io_uring_sqe *sqe, uint8_t *address)
{
	bool sends = sqe->opcode == IORING_OP_SEND;
	struct sockaddr_in own = { .sin_family = AF_INET, .sin_port = sends ? fuzz->datagram_port : fuzz->port };

	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (sends ? !sqe->addr_len : fuzz_is_path(fuzz, address, "door") || fuzz_is_path(fuzz, address, "shut"))
		return;
	memcpy(address, &own, sizeof(own));
	if (sends)
		sqe->addr_len = sizeof(own);
	else
		sqe->off = sizeof(own);
}

static bool audit_batch(struct fuzz *fuzz)
{
	struct ring *ring = &fuzz->ring;

	for (unsigned i = *ring->sq_head; i != *ring->sq_tail; i++) {
		struct io_uring_sqe *sqe = &ring->sqes[i & ring->sq_mask];
		uint8_t *address = ring->addresses + (size_t)(i & ring->sq_mask) * ADDRESS_BYTES;
		struct path_copies *copies = &ring->paths[i & ring->sq_mask];
		struct lent_message *message = &ring->lent_messages[i & ring->sq_mask];
		const char *what = fuzz->has_auditor ? fuzz_audit(fuzz, sqe, address, copies, message) : NULL;

		if (what) {
			VIOLATION(fuzz, "admitted: %s (opcode %u, flags %u, fd %d, addr %llx, len %u)", what, sqe->opcode, sqe->flags,
				  sqe->fd, (unsigned long long)sqe->addr, sqe->len);
			return false;
		}
		if (sqe->opcode == IORING_OP_CONNECT || sqe->opcode == IORING_OP_SEND)
			tame(fuzz, sqe, address);
		fuzz_files_tame(fuzz, sqe, copies);
		fuzz->admitted++;
	}
	return true;
}

// --- the canaries ----------------------------------------------------------------------------------------------------

static bool open_canaries(struct fuzz *fuzz)
{
	int *c = fuzz->canaries;

	c[FILE_CANARY] = memfd_create("featherstar-canary", MFD_CLOEXEC);
	if (c[FILE_CANARY] < 0 || write(c[FILE_CANARY], "canary", 6) != 6 || lseek(c[FILE_CANARY], 3, SEEK_SET) != 3)
		return false;
	if (pipe2(&c[PIPE_OUT], O_CLOEXEC) || write(c[PIPE_IN], "pipe", 4) != 4)
		return false;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, &c[PAIR_A]) || write(c[PAIR_A], "pair", 4) != 4)
		return false;
	c[EVENT] = eventfd(7, EFD_CLOEXEC);
	c[EVENT_2] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	for (int i = 0; i < CANARIES; i++) {
		if (c[i] < 0 || fstat(c[i], &fuzz->canary_stats[i]))
			return false;
	}
	return true;
}

static int queued(int fd)
{
	int bytes = -1;

	return ioctl(fd, FIONREAD, &bytes) ? -1 : bytes;
}

static bool bytes_are(const uint8_t *at, size_t bytes, uint8_t value)
{
	return at[0] == value && !memcmp(at, at + 1, bytes - 1);
}

static bool memory_is_whole(const struct fuzz *fuzz)
{
	return bytes_are(fuzz->map, CANARY_BYTES, CANARY_BYTE) &&
	       bytes_are(fuzz->arena + ARENA_BYTES, CANARY_BYTES, CANARY_BYTE) &&
	       bytes_are(fuzz->blocks + BLOCKS_BYTES, CANARY_BYTES, CANARY_BYTE);
}

static bool descriptors_are_whole(struct fuzz *fuzz)
{
	static const short events[CANARIES] = { POLLIN | POLLOUT, POLLIN, POLLOUT, POLLOUT, POLLIN | POLLOUT, POLLIN | POLLOUT,
						POLLOUT };
	const int *c = fuzz->canaries;
	char text[8] = "";

	for (int i = 0; i < CANARIES; i++) {
		struct pollfd now = { .fd = c[i], .events = POLLIN | POLLOUT | POLLRDHUP };
		struct stat stat;

		if (fstat(c[i], &stat) || stat.st_ino != fuzz->canary_stats[i].st_ino ||
		    stat.st_dev != fuzz->canary_stats[i].st_dev)
			return VIOLATION(fuzz, "canary %d was closed", i), false;
		if (stat.st_size != fuzz->canary_stats[i].st_size || fcntl(c[i], F_GETFD) != FD_CLOEXEC)
			return VIOLATION(fuzz, "canary %d has another size or flags", i), false;
		if (poll(&now, 1, 0) < 0 || now.revents != events[i])
			return VIOLATION(fuzz, "canary %d was shut, read or written: %x", i, (unsigned)now.revents), false;
	}
	if (lseek(c[FILE_CANARY], 0, SEEK_CUR) != 3 || pread(c[FILE_CANARY], text, 7, 0) != 6 || strcmp(text, "canary"))
		return VIOLATION(fuzz, "the canary file was read or written"), false;
	if (queued(c[PIPE_OUT]) != 4 || queued(c[PAIR_B]) != 4 || queued(c[PAIR_A]) != 0)
		return VIOLATION(fuzz, "a canary pipe or socket was read or written"), false;
	return true;
}

// Checks that need reading; once, at the end.
static bool contents_are_whole(struct fuzz *fuzz)
{
	const int *c = fuzz->canaries;
	char text[8] = "";
	uint64_t count = 0;

	if (read(c[PIPE_OUT], text, 8) != 4 || memcmp(text, "pipe", 4) || read(c[PAIR_B], text, 8) != 4 ||
	    memcmp(text, "pair", 4) || read(c[EVENT], &count, 8) != 8 || count != 7)
		return VIOLATION(fuzz, "a canary's content has changed"), false;
	return true;
}

// Everything that was sent arrives here. A run of canary bytes can only come from outside: no operation writes one
// inside.
static bool sink_is_clean(struct fuzz *fuzz)
{
	static const uint8_t canary[16] = { [0 ... 15] = CANARY_BYTE };
	static __thread uint8_t bytes[65536];
	const int sinks[] = { fuzz->sink[1], fuzz->datagrams };
	ssize_t n;

	for (int i = 0; i < 2; i++) {
		while ((n = recv(sinks[i], bytes, sizeof(bytes), MSG_DONTWAIT)) > 0) {
			if (memmem(bytes, (size_t)n, canary, sizeof(canary)))
				return VIOLATION(fuzz, "bytes from outside were sent"), false;
		}
	}
	return true;
}

// --- the run ---------------------------------------------------------------------------------------------------------

// A socket that datagrams come to, from itself.
static int open_datagrams(uint16_t *port)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(any);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, bytes) || getsockname(fd, (struct sockaddr *)&any, &bytes))
		return -1;
	*port = any.sin_port;
	return fd;
}

static bool open_targets(struct fuzz *fuzz)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(any);

	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fuzz->zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	fuzz->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fuzz->zero < 0 || fuzz->listener < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fuzz->sink) ||
	    bind(fuzz->listener, (struct sockaddr *)&any, bytes) || listen(fuzz->listener, 16) ||
	    getsockname(fuzz->listener, (struct sockaddr *)&any, &bytes))
		return false;
	fuzz->port = any.sin_port;
	fuzz->datagrams = open_datagrams(&fuzz->datagram_port);
	return fuzz->datagrams >= 0;
}

// Replaces the files that CLOSE took: one to read without end, one to send to, a listener to connect to.
static bool grant_targets(struct fuzz *fuzz)
{
	const int targets[GRANT_SLOTS] = { fuzz->zero,	   fuzz->sink[0], fuzz->zero, fuzz->sink[0],
					   fuzz->listener, fuzz->zero,	  fuzz->datagrams, fuzz->sink[0] };

	for (unsigned slot = 0; slot < GRANT_SLOTS; slot++) {
		if (!fuzz->ring.granted[slot] && ring_grant(&fuzz->ring, targets[slot]) != (int)slot)
			return VIOLATION(fuzz, "a free grant slot could not be granted"), false;
	}
	return true;
}

// A shut end of the sink would make every later send fail: a new one, in the same grants.
static bool renew_sink(struct fuzz *fuzz)
{
	int fresh[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fresh))
		return false;
	for (int i = 0; i < 2; i++) {
		dup3(fresh[i], fuzz->sink[i], O_CLOEXEC);
		close(fresh[i]);
	}
	fresh[0] = open_datagrams(&fuzz->datagram_port);
	if (fresh[0] < 0)
		return false;
	dup3(fresh[0], fuzz->datagrams, O_CLOEXEC);
	close(fresh[0]);
	for (unsigned slot = 0; slot < GRANT_SLOTS; slot++) {
		struct io_uring_files_update update = { .offset = slot };
		int none = -1;

		update.fds = (uint64_t)(uintptr_t)&none;
		sys_register(fuzz->ring.fd, IORING_REGISTER_FILES_UPDATE, &update, 1);
		fuzz->ring.granted[slot] = 0;
	}
	return grant_targets(fuzz);
}

// Operations that block are cancelled. Otherwise millions of receives and polls would pile up in the kernel.
static bool sweep(struct fuzz *fuzz)
{
	struct io_uring_sync_cancel_reg cancel = { .fd = -1, .flags = CANCEL_ANY | CANCEL_ALL, .timeout = { .tv_sec = 5 } };

	sys_register(fuzz->ring.fd, REGISTER_SYNC_CANCEL_OP, &cancel, 1);
	ring_enter(&fuzz->ring, 0, 0);
	return sink_is_clean(fuzz) && descriptors_are_whole(fuzz) && fuzz_files_are_whole(fuzz) && renew_sink(fuzz) &&
	       fuzz_files_renew(fuzz);
}

static bool take(struct fuzz *fuzz)
{
	struct ring *ring = &fuzz->ring;

	for (;;) {
		unsigned count;

		ring->control->submit_only = 0; // a READ may have written there
		ring->control->completion_count = 0;
		ring_reap(ring);
		count = ring->control->completion_count;
		if (count > CQE_SLOTS)
			return VIOLATION(fuzz, "%u completions in a window of %u", count, CQE_SLOTS), false;
		for (unsigned i = 0; i < count; i++) {
			if (ring->window_cqes[i].user_data & TAG)
				return VIOLATION(fuzz, "a completion of the addon's own was shown"), false;
		}
		fuzz->completions += count;
		if (count < CQE_SLOTS)
			return true;
	}
}

static bool run_batch(struct fuzz *fuzz, unsigned count)
{
	struct ring *ring = &fuzz->ring;
	struct io_uring_sqe *window = (struct io_uring_sqe *)(fuzz->arena + SQES_AT);
	uint32_t *recycle = (uint32_t *)(fuzz->arena + RECYCLE_AT);
	uint64_t *r = &fuzz->random, admitted = fuzz->admitted;
	uint32_t refused = ring->refused_count, now_refused;

	for (unsigned i = 0; i < count; i++)
		fuzz_make(fuzz, r, &window[i]);
	for (unsigned i = 0; i < BUFFERS; i++)
		recycle[i] = below(r, 4) ? below(r, BUFFERS + 2) : (uint32_t)next(r);
	ring->control->recycle_count = below(r, 8) ? BUFFERS : (uint32_t)next(r);
	ring->control->submit_count = count;
	ring_stage(ring);
	if (ring->control->submit_count)
		return VIOLATION(fuzz, "%u submissions were not taken", ring->control->submit_count), false;
	if (!audit_batch(fuzz))
		return false;
	now_refused = ring->refused_count - refused;
	if (now_refused + (fuzz->admitted - admitted) != count)
		return VIOLATION(fuzz, "of %u, %u were refused and others lost", count, now_refused), false;
	fuzz->refused += now_refused;
	fuzz->staged += count;
	ring_enter(ring, 0, 0);
	if (*ring->sq_head != *ring->sq_tail)
		return VIOLATION(fuzz, "the kernel did not take everything"), false;
	if (!take(fuzz))
		return false;
	return memory_is_whole(fuzz) || (VIOLATION(fuzz, "memory outside was written"), false);
}

static void run(struct fuzz *fuzz, double count, bool with_race)
{
	pthread_t thread;
	bool ok = grant_targets(fuzz);

	if (with_race) {
		fuzz->racing = true;
		if (pthread_create(&thread, NULL, fuzz_race, fuzz)) {
			VIOLATION(fuzz, "no second thread");
			return;
		}
	}
	for (uint64_t batch = 0; ok && (double)fuzz->staged < count; batch++) {
		double left = count - (double)fuzz->staged;

		ok = run_batch(fuzz, left < SQE_SLOTS ? (unsigned)left : SQE_SLOTS) && grant_targets(fuzz);
		if (ok && batch % SWEEP_BATCHES == SWEEP_BATCHES - 1)
			ok = sweep(fuzz);
	}
	if (with_race) {
		__atomic_store_n(&fuzz->racing, false, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
	}
}

// A ring that takes what it is handed, until its few slots are full.
static bool open_peer(struct fuzz *fuzz)
{
	struct io_uring_rsrc_register files = { .flags = IORING_RSRC_REGISTER_SPARSE, .nr = PEER_SLOTS };
	struct io_uring_params params = { 0 };
	int fd = sys_setup(4, &params);
	bool ok = fd >= 0 && !sys_register(fd, IORING_REGISTER_FILES2, &files, sizeof(files)) &&
		  !ring_set_peer(&fuzz->ring, 1, fd);

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool set_up(struct fuzz *fuzz)
{
	const char *what;
	struct ring_options options = {
		.sqes = SQES_AT,
		.sqe_slots = SQE_SLOTS,
		.cqes = CQES_AT,
		.cqe_slots = CQE_SLOTS,
		.recycle = RECYCLE_AT,
		.buffers = BUFFERS_AT,
		.buffer_count = { BUFFER_COUNT, LARGE_COUNT },
		.buffer_bytes = { BUFFER_BYTES, LARGE_BYTES },
		.file_slots = FILE_SLOTS,
		.grant_slots = GRANT_SLOTS,
		.rules = fuzz_rules,
		.rule_count = FUZZ_RULES,
		.senders = { fuzz_lend, fuzz },
		.receivers = { fuzz_lend_target, fuzz },
	};

	fuzz->map = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fuzz->map == MAP_FAILED || !open_canaries(fuzz) || !open_targets(fuzz))
		return false;
	fuzz->arena = fuzz->map + CANARY_BYTES;
	fuzz->blocks = fuzz->arena + ARENA_BYTES + CANARY_BYTES;
	memset(fuzz->map, CANARY_BYTE, CANARY_BYTES);
	memset(fuzz->arena + ARENA_BYTES, CANARY_BYTE, CANARY_BYTES);
	memset(fuzz->blocks + BLOCKS_BYTES, CANARY_BYTE, CANARY_BYTES);
	options.regions[LINEAR] = (struct region){ fuzz->arena, ARENA_BYTES };
	options.regions[BLOCKS] = (struct region){ fuzz->blocks, BLOCKS_BYTES };
	return !ring_open(&fuzz->ring, &options, &what) && !ring_set_peer(&fuzz->ring, 0, fuzz->ring.fd) && open_peer(fuzz) &&
	       fuzz_files_open(fuzz);
}

// The ring is closed; nothing of it may write any more.
static void tear_down(struct fuzz *fuzz)
{
	while (ring_cancel(&fuzz->ring, 1e9))
		;
	ring_close(&fuzz->ring);
	memset(fuzz->arena, 0x11, ARENA_BYTES);
	memset(fuzz->blocks, 0x11, BLOCKS_BYTES);
	poll(NULL, 0, 50);
	if (!fuzz->violation[0] &&
	    (!bytes_are(fuzz->arena, ARENA_BYTES, 0x11) || !bytes_are(fuzz->blocks, BLOCKS_BYTES, 0x11)))
		VIOLATION(fuzz, "memory was written after the ring was closed");
	if (!fuzz->violation[0] && !memory_is_whole(fuzz))
		VIOLATION(fuzz, "memory outside was written");
	if (!fuzz->violation[0] && sink_is_clean(fuzz) && fuzz_files_are_whole(fuzz) && descriptors_are_whole(fuzz))
		contents_are_whole(fuzz);
	fuzz_files_close(fuzz);
	for (int i = 0; i < CANARIES; i++)
		close(fuzz->canaries[i]);
	close(fuzz->zero);
	close(fuzz->listener);
	close(fuzz->datagrams);
	close(fuzz->sink[0]);
	close(fuzz->sink[1]);
	munmap(fuzz->map, MAP_BYTES);
}

// --- towards JavaScript ----------------------------------------------------------------------------------------------

static double number_of(napi_env env, napi_value object, const char *name)
{
	napi_value value;
	double number = 0;

	if (napi_get_named_property(env, object, name, &value) == napi_ok)
		napi_get_value_double(env, value, &number);
	return number;
}

static void put(napi_env env, napi_value object, const char *name, double number)
{
	napi_value value;

	napi_create_double(env, number, &value);
	napi_set_named_property(env, object, name, value);
}

static napi_value Fuzz(napi_env env, napi_callback_info info)
{
	struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
	napi_value options, result, text;
	size_t argc = 1;

	napi_get_cb_info(env, info, &argc, &options, NULL, NULL);
	if (!fuzz || argc < 1)
		return free(fuzz), napi_throw_type_error(env, NULL, "fuzz({ seed, count, race, audit })"), NULL;
	fuzz->random = ((uint64_t)number_of(env, options, "seed") + 1) * 0x2545f4914f6cdd1dull;
	fuzz->has_auditor = number_of(env, options, "audit") != 0;
	if (set_up(fuzz)) {
		run(fuzz, number_of(env, options, "count"), number_of(env, options, "race") != 0);
		tear_down(fuzz);
	} else {
		VIOLATION(fuzz, "could not be set up");
	}
	napi_create_object(env, &result);
	put(env, result, "staged", (double)fuzz->staged);
	put(env, result, "refused", (double)fuzz->refused);
	put(env, result, "admitted", (double)fuzz->admitted);
	put(env, result, "completions", (double)fuzz->completions);
	napi_create_string_utf8(env, fuzz->violation, NAPI_AUTO_LENGTH, &text);
	napi_set_named_property(env, result, "violation", text);
	free(fuzz);
	return result;
}

// register(ring's descriptor, opcode): the result of io_uring_register, which JavaScript cannot call in another way.
static napi_value Register(napi_env env, napi_callback_info info)
{
	size_t argc = 2;
	napi_value argv[2], result;
	int32_t fd = -1, opcode = -1;

	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	napi_get_value_int32(env, argv[0], &fd);
	napi_get_value_int32(env, argv[1], &opcode);
	napi_create_int32(env, sys_register(fd, (unsigned)opcode, NULL, 0), &result);
	return result;
}

void fuzz_export(napi_env env, napi_value exports)
{
	napi_value function;

	napi_create_function(env, "register", NAPI_AUTO_LENGTH, Register, NULL, &function);
	napi_set_named_property(env, exports, "register", function);
	napi_create_function(env, "fuzz", NAPI_AUTO_LENGTH, Fuzz, NULL, &function);
	napi_set_named_property(env, exports, "fuzz", function);
}
