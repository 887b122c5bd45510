// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The fuzzer's input for the gate: submissions that are nearly right, harmful ones, and rubbish. A thread rewrites them
// while they are read. Everything follows from one seed, but for the thread's timing.
//
// Next: fuzz.c.
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include "fuzz.h"

static uint64_t some_block_address(uint64_t *r)
{
	switch (below(r, 6)) {
	case 0:
		return BLOCK_SPACE + BLOCKS_BYTES - below(r, 64) + 2; // near the end, and past it
	case 1:
		return BLOCK_SPACE + below(r, ARENA_BYTES); // where the arena would still have bytes
	case 2:
		return ((uint64_t)(2 + below(r, 3)) << 32) + below(r, BLOCKS_BYTES); // a region that is none
	case 3:
		return 2 * BLOCK_SPACE - below(r, 4096);
	default:
		return BLOCK_SPACE + below(r, BLOCKS_BYTES);
	}
}

static uint64_t some_address(const struct fuzz *fuzz, uint64_t *r)
{
	switch (below(r, 14)) {
	case 10:
	case 11:
	case 12:
	case 13:
		return some_block_address(r);
	case 0:
		return (uint64_t)(uintptr_t)fuzz->arena - below(r, 64); // real addresses of the canaries
	case 1:
		return (uint64_t)(uintptr_t)fuzz->arena + ARENA_BYTES + below(r, 64);
	case 2:
		return 0ull - below(r, 4096);
	case 3:
		return next(r);
	case 4:
		return (1ull << (below(r, 34) + 30)) + below(r, 64) - 32;
	case 5:
	case 6:
		return ARENA_BYTES - below(r, 64) + 2; // near the end, and past it
	case 7:
		return 0;
	default:
		return DATA_AT + below(r, ARENA_BYTES - DATA_AT);
	}
}

static uint32_t some_length(uint64_t *r)
{
	switch (below(r, 8)) {
	case 0:
		return (uint32_t)next(r);
	case 1:
		return (below(r, 2) ? ARENA_BYTES : BLOCKS_BYTES) + below(r, 3) - 1;
	case 2:
		return 0xffffffffu - below(r, 64);
	case 3:
		return below(r, 4096);
	default:
		return below(r, 70);
	}
}

static int some_file(const struct fuzz *fuzz, uint64_t *r)
{
	switch (below(r, 6)) {
	case 0:
		return fuzz->canaries[below(r, CANARIES)];
	case 1:
		return (int)next(r);
	case 2:
		return (int)FILE_SLOTS - 1 + (int)below(r, 3);
	case 3:
		return (int)below(r, FILE_SLOTS);
	default:
		return (int)below(r, GRANT_SLOTS);
	}
}

static uint8_t some_opcode(uint64_t *r)
{
	static const uint8_t listed[] = {
		IORING_OP_NOP, IORING_OP_READ, IORING_OP_READ, IORING_OP_WRITE, IORING_OP_WRITE, IORING_OP_RECV, IORING_OP_RECV,
		IORING_OP_RECVMSG, IORING_OP_SENDMSG, IORING_OP_SENDMSG,
		IORING_OP_SEND, IORING_OP_SEND, IORING_OP_CONNECT, IORING_OP_ACCEPT, IORING_OP_FSYNC, IORING_OP_SHUTDOWN,
		IORING_OP_POLL_ADD, OP_SOCKET, IORING_OP_CLOSE, IORING_OP_ASYNC_CANCEL, IORING_OP_MSG_RING, OP_URING_CMD,
		IORING_OP_OPENAT2, IORING_OP_OPENAT2, IORING_OP_OPENAT2, IORING_OP_STATX, IORING_OP_RENAMEAT, IORING_OP_UNLINKAT,
		IORING_OP_MKDIRAT, OP_FTRUNCATE,
	};

	return below(r, 8) ? listed[below(r, sizeof(listed))] : (uint8_t)next(r);
}

// Where something can be put for the gate to find at `address`: behind the windows of the arena, or in the blocks.
static uint8_t *place_for(const struct fuzz *fuzz, uint64_t address, uint64_t bytes)
{
	if (address >= BLOCK_SPACE && address <= BLOCK_SPACE + BLOCKS_BYTES - bytes)
		return fuzz->blocks + (address - BLOCK_SPACE);
	return address >= DATA_AT && address <= ARENA_BYTES - bytes ? fuzz->arena + address : NULL;
}

// Most destinations in the data have the family that goes with their length, and an address that a rule is about.
// Values, not the submission: another thread may be rewriting that.
static void plant_address(const struct fuzz *fuzz, uint64_t *r, uint64_t address, uint32_t bytes)
{
	static const uint8_t v4[][4] = { { 127, 0, 0, 1 }, { 127, 0, 0, 2 }, { 10, 32, 0, 0 }, { 10, 63, 255, 255 },
					 { 10, 64, 0, 0 }, { 0, 0, 0, 0 } };
	static const uint16_t ports[] = { 53, 79, 80, 443, 444, 8080 };
	uint8_t *at = place_for(fuzz, address, 28), *ip = bytes == 28 ? at + 20 : at + 4;
	uint16_t port = htons(ports[below(r, 6)]);

	if (!at || !below(r, 8))
		return;
	at[0] = bytes == 28 ? AF_INET6 : AF_INET;
	at[1] = 0;
	if (!below(r, 8))
		return;
	memcpy(at + 2, &port, sizeof(port));
	memset(at + 8, 0, bytes == 28 ? 16 : 0);
	memcpy(ip, v4[below(r, 6)], 4);
	if (bytes == 28 && below(r, 2))
		at[18] = at[19] = 0xff; // an IPv4 address, as an IPv6 socket has it
	else if (bytes == 28)
		at[8] = below(r, 2) ? 0x7f : 0x80;
}

// To an address, to a path of the table, or to a path that is not in the table.
static void make_connect(const struct fuzz *fuzz, uint64_t *r, struct io_uring_sqe *sqe)
{
	struct sockaddr_un shut = { .sun_family = AF_UNIX };

	sqe->fd = below(r, 2) ? (int)(GRANT_SLOTS + below(r, FILE_SLOTS - GRANT_SLOTS)) : sqe->fd;
	switch (below(r, 6)) {
	case 0:
		sqe->off = 0;
		sqe->addr = below(r, 4) ? below(r, SOCKET_PATHS_MAX + 2) : sqe->addr;
		sqe->addr = below(r, 2) ? DOOR_INDEX : sqe->addr;
		break;
	case 1:
		fuzz_files_path(fuzz, "shut", shut.sun_path, sizeof(shut.sun_path));
		sqe->off = below(r, 2) ? sizeof(shut) : below(r, 2) ? 16 : 28;
		sqe->addr = DATA_AT + below(r, ARENA_BYTES - DATA_AT - sizeof(shut));
		memcpy(fuzz->arena + sqe->addr, &shut, sizeof(shut));
		break;
	default:
		sqe->off = below(r, 4) ? 16 : below(r, 2) ? 28 : some_length(r);
		plant_address(fuzz, r, sqe->addr, (uint32_t)sqe->off);
	}
}

// --- names -----------------------------------------------------------------------------------------------------------

static int some_directory(const struct fuzz *fuzz, uint64_t *r)
{
	switch (below(r, 12)) {
	case 0:
		return fuzz->canaries[below(r, CANARIES)];
	case 1:
		return fuzz->ring.directories[below(r, DIRECTORIES)]; // its real number
	case 2:
		return AT_FDCWD;
	case 3:
		return below(r, 2) ? (int)next(r) : DIRECTORIES_MAX - 1 + (int)below(r, 3);
	default:
		return (int)below(r, DIRECTORIES);
	}
}

static void plant_text(const struct fuzz *fuzz, uint64_t *r, uint64_t address)
{
	uint8_t *at = place_for(fuzz, address, TEXT_BYTES);

	if (at)
		fuzz_files_text(fuzz, r, at);
}

static void plant_how(const struct fuzz *fuzz, uint64_t *r, uint64_t address)
{
	static const unsigned flags[] = {
		O_RDONLY, O_RDWR | O_CREAT, O_WRONLY | O_CREAT | O_TRUNC, O_WRONLY | O_CREAT | O_EXCL, O_RDWR,
		O_WRONLY | O_CREAT | O_APPEND, O_DIRECTORY, O_PATH,
	};
	struct open_how how = { .flags = flags[below(r, 8)] };
	uint8_t *at = place_for(fuzz, address, sizeof(how));

	if (!at)
		return;
	if (how.flags & O_CREAT)
		how.mode = 0600;
	if (!below(r, 16))
		how.flags = next(r) >> below(r, 64);
	if (!below(r, 16))
		how.mode = next(r) >> below(r, 64);
	if (!below(r, 16))
		how.resolve = below(r, 2) ? 1u << below(r, 6) : next(r);
	memcpy(at, &how, sizeof(how));
}

// An address, mostly with a text behind it.
static uint64_t some_text(const struct fuzz *fuzz, uint64_t *r)
{
	uint64_t at = below(r, 8) ? DATA_AT + below(r, ARENA_BYTES - DATA_AT) : some_address(fuzz, r);

	plant_text(fuzz, r, at);
	return at;
}

static void make_path(const struct fuzz *fuzz, uint64_t *r, struct io_uring_sqe *sqe)
{
	bool is_open = sqe->opcode == IORING_OP_OPENAT2;

	sqe->fd = some_directory(fuzz, r);
	sqe->addr = some_text(fuzz, r);
	sqe->file_index = below(r, 16) ? (is_open ? FILE_INDEX_ALLOC : 0) : below(r, FILE_SLOTS);
	switch (sqe->opcode) {
	case IORING_OP_OPENAT2:
		sqe->off = below(r, 8) ? DATA_AT + below(r, ARENA_BYTES - DATA_AT) : some_address(fuzz, r);
		sqe->len = below(r, 16) ? sizeof(struct open_how) : some_length(r);
		plant_how(fuzz, r, sqe->off);
		break;
	case IORING_OP_STATX:
		sqe->off = below(r, 4) ? DATA_AT + below(r, ARENA_BYTES - DATA_AT) : some_address(fuzz, r);
		break;
	case IORING_OP_RENAMEAT:
		sqe->off = some_text(fuzz, r);
		sqe->len = (uint32_t)some_directory(fuzz, r);
		break;
	case IORING_OP_UNLINKAT:
		sqe->off = sqe->len = 0;
		sqe->unlink_flags = below(r, 3) ? 0 : AT_REMOVEDIR;
		break;
	case IORING_OP_MKDIRAT:
		sqe->len = below(r, 8) ? 0700 : some_length(r);
		break;
	}
}

// Lends up to PIECES_MAX pieces, in the place of JavaScript. Each is at the end of a region or inside of one. Some were
// detached, and some rows are none.
int fuzz_lend(void *context, uint32_t slot, struct region *pieces)
{
	struct fuzz *fuzz = context;
	uint64_t *r = &fuzz->random;
	int count = (int)below(r, PIECES_MAX + 1);

	(void)slot;
	if (!below(r, 16))
		return -EFAULT;
	for (int i = 0; i < count; i++) {
		uint64_t bytes = below(r, 8) ? 1 + below(r, 100) : below(r, BLOCKS_BYTES - 100);
		uint8_t *end = below(r, 2) ? fuzz->arena + ARENA_BYTES : fuzz->blocks + BLOCKS_BYTES;

		if (!below(r, 32))
			pieces[i] = (struct region){ NULL, 0 };
		else
			pieces[i] = (struct region){ end - bytes - (below(r, 2) ? 0 : below(r, 100)), bytes };
	}
	return count;
}

// Mostly one piece, as a receive needs it.
int fuzz_lend_target(void *context, uint32_t slot, struct region *pieces)
{
	struct fuzz *fuzz = context;
	int count = fuzz_lend(context, slot, pieces);

	return count > 0 && below(&fuzz->random, 8) ? 1 : count;
}

// --- submissions -----------------------------------------------------------------------------------------------------

static void make_receive(uint64_t *r, struct io_uring_sqe *sqe)
{
	sqe->flags &= ~IOSQE_BUFFER_SELECT;
	sqe->ioprio = below(r, 8) ? 0 : sqe->ioprio;
	sqe->len = below(r, 4) ? 1 + below(r, 200) : some_length(r);
	sqe->msg_flags = below(r, 8) ? MSG_DONTWAIT : (uint32_t)next(r);
}

// Fields that are right three times in four, so that much gets past the first check and meets the next one.
void fuzz_make(const struct fuzz *fuzz, uint64_t *r, struct io_uring_sqe *sqe)
{
	memset(sqe, 0, sizeof(*sqe));
	if (!below(r, 8)) { // rubbish in every field, also in those that its operation does not use
		for (size_t i = 0; i < sizeof(*sqe) / 8; i++)
			((uint64_t *)sqe)[i] = next(r);
	}
	sqe->opcode = some_opcode(r);
	sqe->fd = some_file(fuzz, r);
	sqe->addr = some_address(fuzz, r);
	sqe->len = some_length(r);
	sqe->user_data = below(r, 32) ? below(r, 64) : next(r);
	if (!below(r, 4))
		sqe->flags = (uint8_t)(below(r, 3) ? next(r) & (1 | 32 | 64) : next(r));
	if (!below(r, 6))
		sqe->ioprio = (uint16_t)(below(r, 3) ? below(r, 4) : next(r));
	if (!below(r, 12))
		sqe->rw_flags = (int)(below(r, 2) ? MSG_DONTWAIT : next(r));
	if (!below(r, 32))
		sqe->personality = (uint16_t)next(r);
	if (!below(r, 16))
		sqe->buf_group = (uint16_t)next(r);
	else if (sqe->flags & IOSQE_BUFFER_SELECT)
		sqe->buf_group = (uint16_t)below(r, 3);
	if (sqe->flags & IOSQE_BUFFER_SELECT && below(r, 4))
		sqe->addr = 0;
	switch (sqe->opcode) {
	case IORING_OP_ACCEPT:
	case IORING_OP_FSYNC:
		sqe->addr = below(r, 8) ? 0 : sqe->addr;
		break;
	case IORING_OP_MSG_RING:
		sqe->addr = below(r, 4) ? below(r, 2) : sqe->addr;
		sqe->len = 0;
		sqe->fd = below(r, 4) ? (int)below(r, 3) : sqe->fd;
		sqe->file_index = below(r, 4) ? below(r, FILE_SLOTS + 3) : (uint32_t)next(r);
		break;
	case OP_URING_CMD:
		sqe->addr = below(r, 4) ? 0 : sqe->addr;
		sqe->len = below(r, 4) ? 0 : sqe->len;
		break;
	case IORING_OP_SEND:
		sqe->addr2 = below(r, 2) ? some_address(fuzz, r) : 0;
		if (sqe->addr2)
			sqe->file_index = below(r, 8) ? (below(r, 4) ? 16 : 28) : below(r, 2) ? below(r, 200) : (uint32_t)next(r);
		else if (below(r, 8))
			sqe->file_index = 0;
		plant_address(fuzz, r, sqe->addr2, sqe->file_index);
		break;
	case IORING_OP_SENDMSG:
		sqe->file_index = below(r, 2) ? 0 : below(r, 8) ? below(r, 70) : some_length(r);
		sqe->addr = sqe->file_index == 0 && below(r, 8) ? 0 : sqe->addr;
		sqe->len = below(r, 4) ? sqe->file_index + below(r, 200) : sqe->len;
		sqe->off = below(r, 2) ? 0 : below(r, 4) ? below(r, 200) : some_length(r);
		sqe->msg_flags = below(r, 8) ? MSG_DONTWAIT | MSG_WAITALL : (uint32_t)sqe->msg_flags;
		sqe->ioprio = below(r, 8) ? 0 : sqe->ioprio;
		break;
	case IORING_OP_RECVMSG:
		sqe->flags = below(r, 6) ? IOSQE_BUFFER_SELECT : (uint8_t)(next(r) & (1 | 32 | 64));
		sqe->ioprio = below(r, 8) ? RECV_MULTISHOT : (uint16_t)next(r);
		sqe->addr = below(r, 8) ? 0 : sqe->addr;
		sqe->len = below(r, 8) ? 0 : sqe->len;
		sqe->off = below(r, 8) ? 0 : sqe->off;
		sqe->file_index = below(r, 8) ? 0 : sqe->file_index;
		sqe->buf_group = below(r, 16) ? 0 : sqe->buf_group;
		sqe->fd = below(r, 2) ? 6 : sqe->fd;
		if (!below(r, 3)) // into lent bytes
			make_receive(r, sqe);
		break;
	case IORING_OP_SHUTDOWN:
	case IORING_OP_POLL_ADD:
		sqe->len = below(r, 4);
		break;
	case IORING_OP_CONNECT:
		make_connect(fuzz, r, sqe);
		break;
	case OP_SOCKET:
		sqe->fd = below(r, 8) ? (below(r, 3) ? AF_INET : AF_UNIX) : (int)below(r, 20);
		sqe->off = below(r, 8) ? 1 + below(r, 2) : next(r);
		sqe->len = below(r, 8) ? 0 : 1;
		break;
	case IORING_OP_OPENAT2:
	case IORING_OP_STATX:
	case IORING_OP_RENAMEAT:
	case IORING_OP_UNLINKAT:
	case IORING_OP_MKDIRAT:
		make_path(fuzz, r, sqe);
		break;
	case OP_FTRUNCATE:
		sqe->addr = below(r, 8) ? 0 : sqe->addr;
		sqe->len = below(r, 8) ? 0 : sqe->len;
		break;
	case IORING_OP_CLOSE:
		sqe->fd = below(r, 4) ? 0 : sqe->fd;
		sqe->file_index = below(r, 4) ? below(r, FILE_SLOTS + 3) : (uint32_t)next(r);
		break;
	}
}

// One field of a submission becomes another one: mostly what a check must not let pass.
static void disturb(const struct fuzz *fuzz, uint64_t *r, volatile struct io_uring_sqe *sqe)
{
	switch (below(r, 9)) {
	case 8:
		sqe->off = some_address(fuzz, r);
		break;
	case 0:
	case 1:
		sqe->addr = some_address(fuzz, r);
		break;
	case 2:
	case 3:
		sqe->len = below(r, 2) ? 0xffffffffu : some_length(r);
		break;
	case 4:
		sqe->fd = some_file(fuzz, r);
		break;
	case 5:
		sqe->opcode = some_opcode(r);
		break;
	case 6:
		sqe->flags = (uint8_t)next(r);
		break;
	default:
		sqe->off = sqe->user_data = next(r);
		sqe->file_index = (uint32_t)next(r);
	}
}

// Changes every submission of the window, puts every one back, and so on. Code that reads one twice may read two
// versions. At any time many are as they were made.
void *fuzz_race(void *data)
{
	struct fuzz *fuzz = data;
	volatile struct io_uring_sqe *window = (struct io_uring_sqe *)(fuzz->arena + SQES_AT);
	struct io_uring_sqe before[SQE_SLOTS];
	uint64_t r = fuzz->random ^ 0x9e3779b97f4a7c15ull;

	while (__atomic_load_n(&fuzz->racing, __ATOMIC_RELAXED)) {
		for (unsigned slot = 0; slot < SQE_SLOTS; slot++) {
			before[slot] = window[slot];
			if (before[slot].opcode == IORING_OP_OPENAT2)
				plant_how(fuzz, &r, before[slot].off);
			if (!below(&r, 4)) // a path, if it is one, changes while it is read
				plant_text(fuzz, &r, before[slot].addr);
			disturb(fuzz, &r, &window[slot]);
		}
		for (unsigned slot = 0; slot < SQE_SLOTS; slot++)
			window[slot] = before[slot];
	}
	return NULL;
}
