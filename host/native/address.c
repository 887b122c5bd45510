// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The gate's part for addresses: where CONNECT and SEND may go. An address of the Internet is copied and looked at. The
// path of a Unix socket is never taken from memory, for a path names anything on this machine: JavaScript puts it into
// the table of this ring, and CONNECT names its index.
//
//   CONNECT off=16 addr=sockaddr_in      SEND addr_len=16 addr2=sockaddr_in      copied, checked
//   CONNECT off=0  addr=index            a path that JavaScript has put there    copied from the table
//
// JavaScript may narrow what addresses a ring reaches when it opens the ring. Nothing changes these rules later.
//
// The other direction: JavaScript may ask which address a socket's peer has. The socket is in a slot and has no
// descriptor, so the ring asks the kernel. And it may say whether TCP probes a silent peer.
//
// Next: directory.c.
#include "ring.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include "listen.h"

// --- the table -------------------------------------------------------------------------------------------------------

// `path` NULL: takes it back. A submission that was admitted by then has its own copy.
int address_set_path(struct ring *ring, unsigned index, const char *path)
{
	struct sockaddr_un *address = &ring->socket_paths[index < SOCKET_PATHS_MAX ? index : 0];
	size_t bytes = path ? strlen(path) : 0;

	if (index >= SOCKET_PATHS_MAX || (path && !bytes) || bytes >= sizeof(address->sun_path))
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	if (path) {
		address->sun_family = AF_UNIX;
		memcpy(address->sun_path, path, bytes);
	}
	return 0;
}

// --- the rules -------------------------------------------------------------------------------------------------------

static bool has_prefix(const uint8_t *address, const struct address_rule *rule)
{
	unsigned bits = rule->is_v4 ? rule->bits + 96u : rule->bits, bytes = bits / 8;

	if (bits > 128 || memcmp(address, rule->address, bytes))
		return false;
	return bits % 8 == 0 || !((address[bytes] ^ rule->address[bytes]) & (0xff00 >> bits % 8) & 0xff);
}

// Whether JavaScript lets this ring reach an address: 0 or -EACCES. `copy`: a whole sockaddr, of one of two families.
static int check_rules(const struct ring *ring, const uint8_t *copy, sa_family_t family)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned port = (unsigned)copy[2] << 8 | copy[3];
	uint8_t address[16];
	bool is_v4;

	memcpy(address, mapped, sizeof(mapped));
	if (family == AF_INET)
		memcpy(address + sizeof(mapped), copy + offsetof(struct sockaddr_in, sin_addr), 4);
	else
		memcpy(address, copy + offsetof(struct sockaddr_in6, sin6_addr), sizeof(address));
	is_v4 = !memcmp(address, mapped, sizeof(mapped)); // also of an IPv6 socket
	for (unsigned i = 0; i < ring->rule_count; i++) {
		const struct address_rule *rule = &ring->rules[i];

		if ((rule->is_v4 != 0) == is_v4 && port >= rule->first_port && port <= rule->last_port && has_prefix(address, rule))
			return 0;
	}
	return -EACCES;
}

// --- the gate --------------------------------------------------------------------------------------------------------

// Copies the path that an index names to `copy`. Returns its length, or -errno.
int address_use_path(const struct ring *ring, uint64_t index, uint8_t *copy)
{
	const struct sockaddr_un *address;

	if (index >= SOCKET_PATHS_MAX || ring->socket_paths[index].sun_family != AF_UNIX)
		return -EBADF;
	address = &ring->socket_paths[index];
	memcpy(copy, address, sizeof(*address));
	return (int)(offsetof(struct sockaddr_un, sun_path) + strlen(address->sun_path) + 1);
}

// Copies a sockaddr in memory to `copy`, and looks at the copy. Returns its length, or -errno.
int address_use_internet(const struct ring *ring, uint64_t at, uint64_t bytes, uint8_t *copy)
{
	const uint8_t *from = gate_bytes(ring, at, bytes);
	sa_family_t family;

	if (bytes != sizeof(struct sockaddr_in) && bytes != sizeof(struct sockaddr_in6))
		return -EINVAL;
	if (!from)
		return -EFAULT;
	memcpy(copy, from, bytes);
	__asm__ volatile("" ::: "memory"); // private: what is checked is the copy, not what lies there by now
	memcpy(&family, copy, sizeof(family));
	if (family != (bytes == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6))
		return -EPERM;
	if (ring->is_narrowed && check_rules(ring, copy, family))
		return -EACCES;
	return (int)bytes;
}

// --- the addresses of a connection -----------------------------------------------------------------------------------

// Takes the completion with this user_data out of the queue, if it is among those that have come since `tail`. Returns
// its result. The completions before it keep their order: each moves one place up.
static int take_result(struct ring *ring, unsigned tail, uint64_t user_data)
{
	unsigned end = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
	int result;

	while (tail != end && ring->cqes[tail & ring->cq_mask].user_data != user_data)
		tail++;
	if (tail == end)
		return -EAGAIN; // the submission or the completion queue is full
	result = ring->cqes[tail & ring->cq_mask].res;
	for (; tail != *ring->cq_head; tail--)
		ring->cqes[tail & ring->cq_mask] = ring->cqes[(tail - 1) & ring->cq_mask];
	__atomic_store_n(ring->cq_head, *ring->cq_head + 1, __ATOMIC_RELEASE);
	return result;
}

// Has the kernel write the first `bytes` of the peer's address into ring->asked, inside of the enter. Returns its
// family, or -errno. SO_PEERNAME works on a connection that was reset, too, and its level is the only one that a ring
// may ask for. Only a failure has a completion. The kernel writes late if it takes the operation late, so the place
// is the ring's own.
static int ask_for_peer(struct ring *ring, unsigned slot, unsigned bytes)
{
	unsigned tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
	uint64_t user_data = TAG_PEER | (uint64_t)++ring->question_count << 8;
	struct io_uring_sqe *sqe = ring_next_sqe(ring);
	sa_family_t family;

	if (!sqe)
		return -EAGAIN;
	memset(ring->asked, 0, sizeof(ring->asked));
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
	sqe->fd = (int)slot;
	sqe->off = CMD_GETSOCKOPT; // cmd_op
	sqe->addr = (uint64_t)SO_PEERNAME << 32 | SOL_SOCKET; // optname, level
	sqe->file_index = bytes; // optlen
	sqe->addr3 = (uint64_t)(uintptr_t)ring->asked; // optval
	sqe->user_data = user_data;
	ring_enter(ring, 0, 0);
	memcpy(&family, ring->asked, sizeof(family));
	return family ? family : take_result(ring, tail, user_data);
}

static int internet_bytes(int family)
{
	if (family == AF_INET)
		return sizeof(struct sockaddr_in);
	return family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0; // a Unix socket can have a path
}

// Writes the sockaddr of the socket's peer into ring->asked. Returns its length; 0 if it is no address of the Internet;
// or -errno. The kernel says -EINVAL if an address is shorter than what is asked for, and that of a Unix socket is.
int address_of_peer(struct ring *ring, unsigned slot)
{
	int family;

	if (slot >= ring->file_slots)
		return -EBADF;
	family = ask_for_peer(ring, slot, sizeof(struct sockaddr_in));
	if (family == AF_INET6)
		family = ask_for_peer(ring, slot, sizeof(struct sockaddr_in6));
	if (family < 0)
		return family == -EINVAL ? 0 : family;
	return internet_bytes(family);
}

// Gives the file of a slot a descriptor of its own, and returns that, or -errno. The caller closes it.
static int install(struct ring *ring, unsigned slot)
{
	unsigned tail = __atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE);
	uint64_t user_data = TAG_INSTALLED | (uint64_t)++ring->question_count << 8;
	struct io_uring_sqe *sqe;
	int result;

	if (slot >= ring->file_slots)
		return -EBADF;
	sqe = ring_next_sqe(ring);
	if (!sqe)
		return -EAGAIN;
	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = OP_FIXED_FD_INSTALL;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = (int)slot;
	sqe->user_data = user_data;
	ring_enter(ring, 0, 0);
	result = take_result(ring, tail, user_data);
	return result == -EINVAL ? -EOPNOTSUPP : result; // an older kernel
}

// Writes the sockaddr of the socket's own end into ring->asked. Returns its length; 0 if it is no address of the
// Internet; or -errno. No operation of a ring asks for it, so the file has a descriptor for as long as the question
// takes.
int address_of_local(struct ring *ring, unsigned slot)
{
	socklen_t bytes = sizeof(ring->asked);
	int fd, error;

	fd = install(ring, slot);
	if (fd < 0)
		return fd;
	error = getsockname(fd, (struct sockaddr *)ring->asked, &bytes) ? -errno : 0;
	close(fd);
	return error ? error : internet_bytes(((struct sockaddr *)ring->asked)->sa_family);
}

// The connection takes packets from any distance, see listen_min_hops(). 0 or -errno.
int address_hear_all(struct ring *ring, unsigned slot)
{
	int fd, error;

	fd = install(ring, slot);
	if (fd < 0)
		return fd;
	error = listen_min_hops(fd, 0);
	close(fd);
	return error;
}

// --- a silent peer ---------------------------------------------------------------------------------------------------

// Has TCP probe a peer that was silent for `idle_s` seconds; 0: after the system's time; below 0: never. The peer is
// given up after ten probes, a second apart: these are the numbers of libuv. Returns 0 or -errno.
int address_keep_alive(struct ring *ring, unsigned slot, int idle_s)
{
	int on = idle_s >= 0, interval_s = 1, probes = 10, fd, error;

	fd = install(ring, slot);
	if (fd < 0)
		return fd;
	error = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (!error && idle_s > 0)
		error = setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s)) ||
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s)) ||
			setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	error = error ? -errno : 0;
	close(fd);
	return error;
}
