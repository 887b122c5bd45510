// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The fuzzer's auditor: looks at each submission that the gate has admitted, before the kernel does. Written from what
// may happen, not from how the gate decides it.
//
// Next: fuzz_files.c.
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include "fuzz.h"

bool fuzz_is_inside(const struct fuzz *fuzz, uint64_t address, uint64_t bytes)
{
	uint64_t arena = (uint64_t)(uintptr_t)fuzz->arena, blocks = (uint64_t)(uintptr_t)fuzz->blocks;

	return (address >= arena && bytes <= ARENA_BYTES && address - arena <= ARENA_BYTES - bytes) ||
	       (address >= blocks && bytes <= BLOCKS_BYTES && address - blocks <= BLOCKS_BYTES - bytes);
}

static const char *audit_datagrams(const struct fuzz *fuzz, const struct io_uring_sqe *sqe)
{
	const struct msghdr *header = (const struct msghdr *)(uintptr_t)sqe->addr;

	if (sqe->ioprio != RECV_MULTISHOT || sqe->buf_group || sqe->off || sqe->msg_flags || sqe->file_index)
		return "datagrams";
	if (fuzz_is_inside(fuzz, sqe->addr, 1) || sqe->flags & IOSQE_CQE_SKIP_SUCCESS)
		return "datagrams";
	if (header->msg_name || header->msg_namelen != 28 || header->msg_iov || header->msg_iovlen || header->msg_control ||
	    header->msg_controllen)
		return "a msghdr";
	return NULL;
}

// Written out once more in may_reach(), in other words.
const struct address_rule fuzz_rules[FUZZ_RULES] = {
	{ { [10] = 0xff, 0xff, 127, 0, 0, 1 }, 0, 65535, 32, 1, { 0 } }, // 127.0.0.1:*
	{ { [10] = 0xff, 0xff, 10, 32, 0, 0 }, 80, 443, 11, 1, { 0 } }, // 10.32.0.0/11:80-443
	{ { 0 }, 53, 53, 1, 0, { 0 } }, // [::/1]:53, which is no IPv4 address's
};

static bool may_reach_v4(const uint8_t *a, unsigned port)
{
	if (a[0] == 127)
		return a[1] == 0 && a[2] == 0 && a[3] == 1;
	return a[0] == 10 && a[1] >= 32 && a[1] <= 63 && port >= 80 && port <= 443;
}

static bool may_reach(const uint8_t *address, sa_family_t family)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
	unsigned port = ntohs(v6->sin6_port); // where it is in both

	if (family == AF_INET)
		return may_reach_v4(address + 4, port);
	if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		return may_reach_v4(v6->sin6_addr.s6_addr + 12, port);
	return port == 53 && v6->sin6_addr.s6_addr[0] < 0x80;
}

// None, or the copy that is ours, of the one or the other family.
static bool is_destination(const struct io_uring_sqe *sqe, const uint8_t *address)
{
	sa_family_t family;

	if (!sqe->addr2 && !sqe->file_index)
		return true;
	memcpy(&family, address, sizeof(family));
	if (sqe->addr2 != (uint64_t)(uintptr_t)address || !may_reach(address, family))
		return false;
	return (sqe->file_index == 16 && family == AF_INET) || (sqe->file_index == 28 && family == AF_INET6);
}

bool fuzz_is_path(const struct fuzz *fuzz, const uint8_t *address, const char *name)
{
	const struct sockaddr_un *un = (const struct sockaddr_un *)address;
	char path[128];

	fuzz_files_path(fuzz, name, path, sizeof(path));
	return un->sun_family == AF_UNIX && !strncmp(un->sun_path, path, sizeof(un->sun_path));
}

// A copy that is ours, of an address or of the one path that was granted.
static bool is_peer(const struct fuzz *fuzz, const struct io_uring_sqe *sqe, const uint8_t *address)
{
	sa_family_t family;

	memcpy(&family, address, sizeof(family));
	if (sqe->addr != (uint64_t)(uintptr_t)address)
		return false;
	if ((sqe->off == 16 && family == AF_INET) || (sqe->off == 28 && family == AF_INET6))
		return may_reach(address, family);
	return sqe->off <= sizeof(struct sockaddr_un) && fuzz_is_path(fuzz, address, "door");
}

// Pieces of what was lent, in memory of ours, by a send that is over before anything else can happen.
static const char *audit_lent(const struct fuzz *fuzz, const struct io_uring_sqe *sqe,
			      const struct lent_message *message)
{
	const struct msghdr *header = &message->header;

	if (sqe->addr != (uint64_t)(uintptr_t)header || sqe->msg_flags != (MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL) ||
	    sqe->ioprio || sqe->off)
		return "a send of lent bytes";
	if (header->msg_name || header->msg_namelen || header->msg_control || header->msg_controllen || header->msg_flags ||
	    header->msg_iov != message->parts || !header->msg_iovlen || header->msg_iovlen > PIECES_MAX + 1)
		return "a msghdr of lent bytes";
	for (size_t i = 0; i < header->msg_iovlen; i++) {
		const struct iovec *piece = header->msg_iov + i;

		if (!piece->iov_len || !fuzz_is_inside(fuzz, (uint64_t)(uintptr_t)piece->iov_base, piece->iov_len))
			return "bytes that were not lent";
	}
	return NULL;
}

// Written from what may happen, not from how gate.c decides it.
const char *fuzz_audit(const struct fuzz *fuzz, const struct io_uring_sqe *sqe, const uint8_t *address,
		       const struct path_copies *copies, const struct lent_message *message)
{
	bool fixed = sqe->flags & IOSQE_FIXED_FILE;
	bool selects = sqe->flags & IOSQE_BUFFER_SELECT;

	if (sqe->flags & ~(IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS))
		return "a flag of the submission";
	if (sqe->personality || sqe->user_data & TAG)
		return "personality or tag";
	if ((sqe->addr3 && sqe->opcode != IORING_OP_MSG_RING && sqe->opcode != OP_URING_CMD) || sqe->__pad2[0] ||
	    (sqe->buf_group && !selects))
		return "a field that no operation uses";
	if (sqe->file_index && sqe->opcode != IORING_OP_ACCEPT && sqe->opcode != IORING_OP_SEND && sqe->opcode != OP_SOCKET &&
	    sqe->opcode != IORING_OP_CLOSE && sqe->opcode != IORING_OP_MSG_RING && sqe->opcode != OP_URING_CMD &&
	    sqe->opcode != IORING_OP_OPENAT2)
		return "a second file";
	switch (sqe->opcode) {
	case IORING_OP_NOP:
		return sqe->rw_flags ? "a NOP with a result of its own" : NULL;
	case IORING_OP_READ:
	case IORING_OP_RECV:
		if (selects)
			return fixed && !sqe->addr && sqe->buf_group < 2 ? NULL : "a pool of buffers"; // or lent bytes, in our memory, too
		return fixed && fuzz_is_inside(fuzz, sqe->addr, sqe->len) ? NULL : "a read";
	case IORING_OP_WRITE:
		return fixed && !selects && fuzz_is_inside(fuzz, sqe->addr, sqe->len) ? NULL : "a write";
	case IORING_OP_RECVMSG:
		return fixed && selects ? audit_datagrams(fuzz, sqe) : "datagrams";
	case IORING_OP_SEND:
		if (!(sqe->msg_flags & MSG_NOSIGNAL) || !is_destination(sqe, address))
			return "a send";
		return fixed && !selects && fuzz_is_inside(fuzz, sqe->addr, sqe->len) ? NULL : "a send";
	case IORING_OP_SENDMSG:
		return fixed && !selects ? audit_lent(fuzz, sqe, message) : "a send of lent bytes";
	case IORING_OP_CONNECT:
		return fixed && is_peer(fuzz, sqe, address) ? NULL : "a connect";
	case IORING_OP_ACCEPT:
		return fixed && !sqe->addr && !sqe->addr2 && sqe->file_index == FILE_INDEX_ALLOC ? NULL : "an accept";
	case IORING_OP_FSYNC:
	case IORING_OP_SHUTDOWN:
	case IORING_OP_POLL_ADD:
		return fixed ? NULL : "a plain descriptor";
	case OP_FTRUNCATE:
		return fixed && !sqe->addr && !sqe->len && !sqe->rw_flags ? NULL : "a truncate";
	case IORING_OP_OPENAT2:
	case IORING_OP_STATX:
	case IORING_OP_RENAMEAT:
	case IORING_OP_UNLINKAT:
	case IORING_OP_MKDIRAT:
		return fuzz_files_audit(fuzz, sqe, copies);
	case OP_SOCKET:
		return sqe->file_index == FILE_INDEX_ALLOC ? NULL : "a socket";
	case IORING_OP_CLOSE:
		return sqe->file_index && sqe->fd == 0 ? NULL : "a close";
	case IORING_OP_ASYNC_CANCEL:
		if (sqe->cancel_flags & CANCEL_ANY || sqe->addr & TAG)
			return "a cancel";
		return !(sqe->cancel_flags & CANCEL_FD) || sqe->cancel_flags & CANCEL_FD_FIXED ? NULL : "a cancel by descriptor";
	case IORING_OP_MSG_RING:
		if ((sqe->fd != fuzz->ring.peers[0] && sqe->fd != fuzz->ring.peers[1]) || sqe->len)
			return "a message";
		if (sqe->addr == 0)
			return sqe->off == TAG_DOORBELL && !sqe->msg_ring_flags && !sqe->addr3 && !sqe->file_index ? NULL : "a doorbell";
		if (sqe->addr != MSG_SEND_FD || sqe->off || sqe->msg_ring_flags != MSG_NO_CQE ||
		    sqe->flags & IOSQE_CQE_SKIP_SUCCESS || sqe->file_index != FILE_INDEX_ALLOC)
			return "a file for a peer";
		return sqe->addr3 >= GRANT_SLOTS && sqe->addr3 < FILE_SLOTS ? NULL : "a file for a peer";
	case OP_URING_CMD:
		if (!fixed || sqe->off != CMD_SETSOCKOPT || sqe->addr != ((uint64_t)1 << 32 | 6) || sqe->file_index != sizeof(int))
			return "a command";
		return fuzz_is_inside(fuzz, sqe->addr3, 1) || *(const int *)(uintptr_t)sqe->addr3 != 1 ? "a command" : NULL;
	default:
		return "an opcode";
	}
}
