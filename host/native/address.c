// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The gate's part for addresses: where CONNECT and SEND may go. An address of the Internet is copied and looked at. The
// path of a Unix socket is never taken from memory, for a path names anything on this machine: JavaScript puts it into
// the table of this ring, and CONNECT names its index.
//
//   CONNECT off=16 addr=sockaddr_in      SEND addr_len=16 addr2=sockaddr_in      copied, checked
//   CONNECT off=0  addr=index            a path that JavaScript has put there    copied from the table
//
// Next: directory.c.
#include <netinet/in.h>
#include <string.h>
#include "ring.h"

// --- the table -------------------------------------------------------------------------------------------------------

// `path` NULL: takes it back. What was admitted by then has its own copy.
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

// --- the gate --------------------------------------------------------------------------------------------------------

// Copies the path that an index names to `copy`. Answers its length, or -errno.
int address_use_path(const struct ring *ring, uint64_t index, uint8_t *copy)
{
	const struct sockaddr_un *address;

	if (index >= SOCKET_PATHS_MAX || ring->socket_paths[index].sun_family != AF_UNIX)
		return -EBADF;
	address = &ring->socket_paths[index];
	memcpy(copy, address, sizeof(*address));
	return (int)(offsetof(struct sockaddr_un, sun_path) + strlen(address->sun_path) + 1);
}

// Copies a sockaddr in memory to `copy`, and looks at the copy. Answers its length, or -errno.
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
	return family == (bytes == sizeof(struct sockaddr_in) ? AF_INET : AF_INET6) ? (int)bytes : -EPERM;
}
