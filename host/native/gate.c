// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The gate: decides about one submission. `in` is a private copy of what Wasm wrote; `out` begins as zeros and gets
// only the fields that its operation uses, each checked. The kernel cannot be asked for anything that is not listed
// here:
//
//   operations   those of the switch below, everything else -EPERM
//   memory       [addr, addr + len) inside one of two regions, -EFAULT; offsets become addresses here
//                bytes of JavaScript's own only for what is over before JavaScript runs again (admit_lent,
//                admit_target)
//   files        slots of this ring's own table, -EBADF: IOSQE_FIXED_FILE is forced, so a plain descriptor has no name;
//                paths only beneath a directory that was granted (directory.c)
//   peers        addresses of the Internet; of Unix sockets those that were granted (address.c)
//   flags        no links, no io-wq, no drain, no personality, -EINVAL or -EPERM; user_data's top bit is ours
//
// Between rings of one process two things travel: a bell, and a file that one hands to another. Their destinations are
// in a table that Wasm cannot write.
//
// The regions are linear memory and the memory of blocks (assembly/layout.ts). The kernel reads them itself when it
// executes a WRITE or SEND; that is what was asked for. Bytes that it reads in order to decide (a sockaddr) are copied
// first.
//
// Next: address.c.
#include "ring.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#define SQE_FLAGS (IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS)
#define SEND_FLAGS (MSG_WAITALL | MSG_MORE | MSG_DONTWAIT)
#define RECV_FLAGS (MSG_PEEK | MSG_WAITALL | MSG_DONTWAIT)

// Where `addr` lies, and in *room how many bytes its region has from there on. NULL: in no region. A region is smaller
// than 4 GiB (addon.c). So its number and the offset in it are halves of the address, and no sum can wrap.
uint8_t *gate_find(const struct ring *ring, uint64_t addr, uint64_t *room)
{
	uint64_t number = addr >> 32, offset = addr & UINT32_MAX;

	if (number >= REGIONS || offset > ring->regions[number].bytes)
		return NULL;
	*room = ring->regions[number].bytes - offset;
	return ring->regions[number].at + offset;
}

// The bytes [addr, addr + len), or NULL.
uint8_t *gate_bytes(const struct ring *ring, uint64_t addr, uint64_t len)
{
	uint64_t room;
	uint8_t *at = gate_find(ring, addr, &room);

	return at && len <= room ? at : NULL;
}

static int use_file(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	if ((unsigned)in->fd >= ring->file_slots)
		return -EBADF;
	out->fd = in->fd;
	out->flags |= IOSQE_FIXED_FILE;
	return 0;
}

static int use_buffer(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	uint8_t *at = gate_bytes(ring, in->addr, in->len);

	if (!at)
		return -EFAULT;
	out->addr = (uint64_t)(uintptr_t)at;
	out->len = in->len;
	return 0;
}

// A buffer of the caller's, or one that the kernel picks from a group.
static int use_target(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	uint32_t bytes;

	if (!(in->flags & IOSQE_BUFFER_SELECT))
		return use_buffer(ring, in, out);
	if (in->buf_group >= BUFFER_GROUPS || in->addr != 0)
		return -EINVAL;
	if (in->flags & IOSQE_CQE_SKIP_SUCCESS) // its buffer would stay unknown
		return -EINVAL;
	bytes = ring->buffers[in->buf_group].bytes;
	out->flags |= IOSQE_BUFFER_SELECT;
	out->buf_group = in->buf_group;
	out->len = in->len > bytes ? bytes : in->len;
	return 0;
}

static int admit_rw(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	if (in->rw_flags || in->ioprio)
		return -EINVAL;
	out->off = in->off;
	if (in->opcode == IORING_OP_WRITE)
		return in->flags & IOSQE_BUFFER_SELECT ? -EINVAL : use_buffer(ring, in, out);
	return use_target(ring, in, out);
}

static int admit_recv(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	bool multishot = in->ioprio & RECV_MULTISHOT;

	if (in->ioprio & ~(RECVSEND_POLL_FIRST | RECV_MULTISHOT) || in->msg_flags & ~RECV_FLAGS)
		return -EINVAL;
	if (multishot && (!(in->flags & IOSQE_BUFFER_SELECT) || in->len || in->msg_flags & MSG_WAITALL))
		return -EINVAL;
	out->ioprio = in->ioprio;
	out->msg_flags = in->msg_flags;
	return use_target(ring, in, out);
}

// Datagrams, many from one submission. Each comes into a buffer that the kernel picks, behind a header (struct
// io_uring_recvmsg_out) and the sender's address. The msghdr is ours: Wasm has no say in it.
static int admit_datagrams(const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	static const struct msghdr header = { .msg_namelen = sizeof(struct sockaddr_in6) };

	if (in->ioprio != RECV_MULTISHOT || in->flags & IOSQE_CQE_SKIP_SUCCESS)
		return -EINVAL;
	if (in->buf_group || in->addr || in->off || in->len || in->msg_flags || in->file_index)
		return -EINVAL;
	out->flags |= IOSQE_BUFFER_SELECT;
	out->ioprio = in->ioprio; // only so does the kernel write nothing back to the msghdr
	out->addr = (uint64_t)(uintptr_t)&header;
	out->len = 1;
	return 0;
}

// Where a datagram goes, if it is said: an address of the Internet's.
static int use_destination(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out,
			   unsigned sq_index)
{
	uint8_t *copy = ring->addresses + (size_t)sq_index * ADDRESS_BYTES;
	int bytes;

	if (in->file_index == 0) // addr_len
		return in->addr2 ? -EINVAL : 0;
	bytes = address_use_internet(ring, in->addr2, in->file_index, copy);
	if (bytes < 0)
		return bytes;
	out->addr2 = (uint64_t)(uintptr_t)copy; // the kernel copies it while it takes the submission
	out->addr_len = (uint16_t)bytes;
	return 0;
}

static int admit_send(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index)
{
	int error = use_destination(ring, in, out, sq_index);

	if (error)
		return error;
	if (in->ioprio & ~RECVSEND_POLL_FIRST || in->msg_flags & ~SEND_FLAGS || in->flags & IOSQE_BUFFER_SELECT)
		return -EINVAL;
	out->ioprio = in->ioprio;
	out->msg_flags = in->msg_flags | MSG_NOSIGNAL; // a closed peer is an error code, not a dead process
	return use_buffer(ring, in, out);
}

static int find_lent(const struct lender *lender, int file, struct region *pieces)
{
	return lender->find ? lender->find(lender->context, (uint32_t)file, pieces) : -EFAULT;
}

// Sends bytes that JavaScript has lent, from where they lie. They are the pieces that the table has for this file slot,
// from `off` in the first one on. `file_index` bytes of a region go before them; `len` is for all of them together. The
// kernel must be done with lent bytes when the enter is over, because JavaScript may do anything with them then. So
// the send takes what the socket has room for at once, and nothing else of it can be chosen.
static int admit_lent(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index)
{
	struct lent_message *message = ring->lent_messages + sq_index;
	struct region pieces[PIECES_MAX];
	uint64_t head_bytes = in->file_index, skip = in->off, left = in->len - head_bytes;
	uint8_t *head = gate_bytes(ring, in->addr, head_bytes);
	int count, parts = 0;

	if (in->ioprio || in->msg_flags != (MSG_WAITALL | MSG_DONTWAIT) || in->len <= head_bytes ||
	    (!head_bytes && in->addr) || in->flags & IOSQE_BUFFER_SELECT)
		return -EINVAL;
	if (!head)
		return -EFAULT;
	if (head_bytes)
		message->parts[parts++] = (struct iovec){ head, head_bytes };
	count = find_lent(&ring->senders, in->fd, pieces);
	for (int i = 0; i < count && left; i++, skip = 0) {
		uint64_t bytes = pieces[i].bytes;

		if (bytes <= skip) // detached, transferred or shrunk since it was lent
			return -EFAULT;
		bytes = bytes - skip < left ? bytes - skip : left;
		message->parts[parts++] = (struct iovec){ pieces[i].at + skip, bytes };
		left -= bytes;
	}
	if (left)
		return -EFAULT;
	message->header = (struct msghdr){ .msg_iov = message->parts, .msg_iovlen = (size_t)parts };
	out->addr = (uint64_t)(uintptr_t)&message->header;
	out->len = 1;
	out->msg_flags = in->msg_flags | MSG_NOSIGNAL;
	return 0;
}

// Receives into bytes that JavaScript has lent: the first `len` of the one piece that the table has for this file slot.
// As with admit_lent(), the kernel must be done with them when the enter is over. So the receive takes what has come,
// or fails with -EAGAIN.
static int admit_target(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	struct region pieces[PIECES_MAX];

	if (in->ioprio || in->off || in->addr || !in->len || in->msg_flags != MSG_DONTWAIT || in->file_index ||
	    in->flags & IOSQE_CQE_SKIP_SUCCESS)
		return -EINVAL;
	if (find_lent(&ring->receivers, in->fd, pieces) != 1 || pieces[0].bytes < in->len)
		return -EFAULT;
	out->opcode = IORING_OP_RECV;
	out->addr = (uint64_t)(uintptr_t)pieces[0].at;
	out->len = in->len;
	out->msg_flags = MSG_DONTWAIT;
	return 0;
}

// Lent bytes may be gone when JavaScript has run, and it runs before the next enter. The kernel takes all submissions
// unless it has no memory. A send of lent bytes that it has not taken is changed here: it names no bytes, so that it
// fails with -EFAULT. So does a receive that does not wait, as those into lent bytes do.
void gate_forget_lent(struct io_uring_sqe *sqe)
{
	bool receives = sqe->opcode == IORING_OP_RECV && sqe->msg_flags & MSG_DONTWAIT && !(sqe->flags & IOSQE_BUFFER_SELECT);

	if (sqe->opcode != IORING_OP_SENDMSG && !receives)
		return;
	sqe->opcode = receives ? IORING_OP_RECV : IORING_OP_SEND;
	sqe->addr = 0;
	sqe->len = 1;
}

// To an address of the Internet's, or to the path of a Unix socket that JavaScript has put into the table.
static int admit_connect(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index)
{
	uint8_t *copy = ring->addresses + (size_t)sq_index * ADDRESS_BYTES;
	int bytes = in->off ? address_use_internet(ring, in->addr, in->off, copy) : address_use_path(ring, in->addr, copy);

	if (bytes < 0)
		return bytes;
	out->addr = (uint64_t)(uintptr_t)copy; // the kernel copies it while it takes the submission
	out->off = (uint64_t)bytes;
	return 0;
}

static int admit_socket(const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	if (in->fd != AF_INET && in->fd != AF_INET6 && in->fd != AF_UNIX)
		return -EPERM;
	if (in->off != SOCK_STREAM && in->off != SOCK_DGRAM)
		return -EPERM;
	if (in->len || in->rw_flags)
		return -EINVAL;
	out->fd = in->fd;
	out->off = in->off;
	out->file_index = FILE_INDEX_ALLOC; // never a plain descriptor
	return 0;
}

static int admit_cancel(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	if (in->cancel_flags & ~(CANCEL_ALL | CANCEL_FD))
		return -EINVAL;
	out->cancel_flags = in->cancel_flags;
	if (!(in->cancel_flags & CANCEL_FD)) {
		if (in->addr & TAG)
			return -EINVAL;
		out->addr = in->addr;
		return 0;
	}
	if ((unsigned)in->fd >= ring->file_slots)
		return -EBADF;
	out->fd = in->fd;
	out->cancel_flags |= CANCEL_FD_FIXED;
	return 0;
}

// The peer that a message goes to, and the fields that both kinds of message leave alone.
static int use_peer(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	if ((unsigned)in->fd >= PEERS_MAX || ring->peers[in->fd] < 0)
		return -EBADF;
	if (in->len || in->off || in->msg_ring_flags)
		return -EINVAL;
	out->fd = ring->peers[in->fd];
	return 0;
}

static int admit_doorbell(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	int error = use_peer(ring, in, out);

	if (error)
		return error;
	if (in->addr)
		return -EINVAL;
	out->off = TAG_DOORBELL; // all that a shard can put into a peer's ring
	return 0;
}

// Hands a file of ours to a peer, which gets it in a slot that the kernel picks there and returns here. The peer learns
// of it from us, by a message of the mesh. Grants stay: they are this ring's own.
static int admit_hand_over(const struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	int error = use_peer(ring, in, out);

	if (error)
		return error;
	if (in->file_index <= ring->grant_slots || in->file_index > ring->file_slots)
		return -EBADF;
	if (in->flags & IOSQE_CQE_SKIP_SUCCESS) // its slot would stay unknown
		return -EINVAL;
	out->addr = MSG_SEND_FD;
	out->addr3 = in->file_index - 1;
	out->file_index = FILE_INDEX_ALLOC;
	out->msg_ring_flags = MSG_NO_CQE; // a shard puts nothing of its choice into a peer's ring
	return 0;
}

// A command has one form, and it has no fields: small writes on this socket go out at once (TCP_NODELAY).
static int admit_command(const struct io_uring_sqe *in, struct io_uring_sqe *out)
{
	static const int on = 1;

	if (in->ioprio || in->off || in->addr || in->len || in->rw_flags || in->file_index || in->addr3)
		return -EINVAL;
	out->off = CMD_SETSOCKOPT; // cmd_op
	out->addr = (uint64_t)TCP_NODELAY << 32 | IPPROTO_TCP; // optname, level
	out->file_index = sizeof(on); // optlen
	out->addr3 = (uint64_t)(uintptr_t)&on; // optval; the kernel only reads it
	return 0;
}

static int admit_on_file(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index)
{
	int error = use_file(ring, in, out);

	if (error)
		return error;
	switch (in->opcode) {
	case IORING_OP_READ:
	case IORING_OP_WRITE:
		return admit_rw(ring, in, out);
	case IORING_OP_RECV:
		return admit_recv(ring, in, out);
	case IORING_OP_SEND:
		return admit_send(ring, in, out, sq_index);
	case IORING_OP_SENDMSG:
		return admit_lent(ring, in, out, sq_index);
	case IORING_OP_RECVMSG:
		return in->flags & IOSQE_BUFFER_SELECT ? admit_datagrams(in, out) : admit_target(ring, in, out);
	case IORING_OP_CONNECT:
		return admit_connect(ring, in, out, sq_index);
	case IORING_OP_ACCEPT:
		if (in->ioprio & ~ACCEPT_MULTISHOT || in->addr || in->addr2 || in->accept_flags)
			return -EINVAL;
		out->ioprio = in->ioprio;
		out->file_index = FILE_INDEX_ALLOC;
		return 0;
	case IORING_OP_FSYNC:
		if (in->fsync_flags & ~IORING_FSYNC_DATASYNC || in->addr || in->ioprio)
			return -EINVAL;
		out->off = in->off;
		out->len = in->len;
		out->fsync_flags = in->fsync_flags;
		return 0;
	case OP_URING_CMD:
		return admit_command(in, out);
	case IORING_OP_SHUTDOWN:
		if (in->len > SHUT_RDWR)
			return -EINVAL;
		out->len = in->len;
		return 0;
	case OP_FTRUNCATE:
		if (in->ioprio || in->addr || in->len || in->rw_flags || in->file_index)
			return -EINVAL;
		out->off = in->off;
		return 0;
	default: /* IORING_OP_POLL_ADD */
		if (in->len & ~IORING_POLL_ADD_MULTI || in->poll32_events & ~0xffffu)
			return -EINVAL;
		out->len = in->len;
		out->poll32_events = in->poll32_events;
		return 0;
	}
}

int gate_admit(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index)
{
	memset(out, 0, sizeof(*out));
	if (in->user_data & TAG || in->flags & ~SQE_FLAGS)
		return -EINVAL;
	if (in->personality)
		return -EPERM;
	out->opcode = in->opcode;
	out->flags = in->flags & IOSQE_CQE_SKIP_SUCCESS;
	out->user_data = in->user_data;
	switch (in->opcode) {
	case IORING_OP_NOP:
		return 0;
	case IORING_OP_READ:
	case IORING_OP_WRITE:
	case IORING_OP_RECV:
	case IORING_OP_RECVMSG:
	case IORING_OP_SEND:
	case IORING_OP_SENDMSG:
	case IORING_OP_CONNECT:
	case IORING_OP_ACCEPT:
	case IORING_OP_FSYNC:
	case IORING_OP_SHUTDOWN:
	case IORING_OP_POLL_ADD:
	case OP_URING_CMD:
	case OP_FTRUNCATE:
		return admit_on_file(ring, in, out, sq_index);
	case IORING_OP_OPENAT2:
	case IORING_OP_STATX:
	case IORING_OP_RENAMEAT:
	case IORING_OP_UNLINKAT:
	case IORING_OP_MKDIRAT:
		return gate_admit_path(ring, in, out, sq_index);
	case OP_SOCKET:
		return admit_socket(in, out);
	case IORING_OP_CLOSE:
		if (in->fd || in->file_index == 0 || in->file_index > ring->file_slots)
			return -EBADF;
		out->file_index = in->file_index;
		return 0;
	case IORING_OP_ASYNC_CANCEL:
		return admit_cancel(ring, in, out);
	case IORING_OP_MSG_RING:
		return in->addr == MSG_SEND_FD ? admit_hand_over(ring, in, out) : admit_doorbell(ring, in, out);
	default:
		return -EPERM;
	}
}
