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
// Next: directory.c.
#include <netinet/in.h>
#include <string.h>
#include "ring.h"

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
