/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#pragma once

#include "sys.h"

/* host/hosts/uring.ts has the same */
#define LISTEN_REUSE_PORT 1
#define LISTEN_V6_ONLY 2
#define LISTEN_FIRST 4 /* no other listener may be there yet; SO_REUSEPORT alone would admit any process of this user */
#define LISTEN_DATAGRAMS 8 /* UDP: bound, nothing to listen for */
#define LISTEN_GIVEN 16 /* *port is a descriptor that listens already, and the address counts for nothing */
#define LISTEN_LOOK 32 /* of a descriptor that was given: only says where it listens */

#define LISTEN_ADDRESS_MAX 256 /* bytes of an address as text */

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Returns a descriptor, and in *port which port it has got; or -errno, and in *what the call that failed. A descriptor
 * that was given stays open: what is returned is its duplicate. The kernel gives up a peer that confirms nothing for
 * unreachable_ms; 0: when it likes.
 */
int listen_open(const char *address, int *port, int backlog, unsigned flags, int unreachable_ms, const char **what);

/*
 * The kernel begins no more connections for a listener; those that it has begun can still be accepted. A client that
 * knocks at a port meanwhile gets no answer and knocks again, after a second; at a path it is refused. 0 or -errno.
 */
int listen_end_handshakes(int fd);

/*
 * A second way to the same, for kernels where the first one needs CAP_NET_ADMIN (-EPERM). The kernel drops packets that
 * may make fewer than `hops` hops. Systems send with 64 or 128, and 255 is the most. It looks at this for a packet that
 * begins a connection, and not for one that ends a handshake. Connections that come now inherit it, and hear nothing
 * until it is 0 for them, too. 0 or -errno.
 */
#define HOPS_MAX 255
int listen_min_hops(int fd, int hops);

/* Where a socket listens: a numeric address, or `unix:` and a path; `text` has room for LISTEN_ADDRESS_MAX bytes. */
void listen_address(int fd, char *text);

#ifdef __cplusplus
}
#endif
