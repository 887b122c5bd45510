// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Sockets that are bound to an address: those that listen, and those that take datagrams. They are made in ordinary
// system calls when a server starts; from then on the ring has them, in one of its grants. A socket that listens can
// also be given, by the program that started this one.
//
// Next: addon.c, which calls this.
#include "listen.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

// A numeric address or unix:/path. Returns its length, or 0.
static socklen_t parse_address(const char *text, int port, union address *address)
{
	memset(address, 0, sizeof(*address));
	if (port < 0 || port > UINT16_MAX)
		return 0;
	if (!strncmp(text, "unix:", 5)) {
		if (strlen(text + 5) >= sizeof(address->un.sun_path) || !text[5])
			return 0;
		address->un.sun_family = AF_UNIX;
		strcpy(address->un.sun_path, text + 5);
		return sizeof(address->un);
	}
	if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
		address->v4.sin_family = AF_INET;
		address->v4.sin_port = htons((uint16_t)port);
		return sizeof(address->v4);
	}
	if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
		address->v6.sin6_family = AF_INET6;
		address->v6.sin6_port = htons((uint16_t)port);
		return sizeof(address->v6);
	}
	return 0;
}

#define KEEPALIVE_MAX 32767 /* seconds; include/net/tcp.h, MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL */

static int clamp_seconds(int ms)
{
	int seconds = ms / 1000;

	return seconds < 1 ? 1 : seconds > KEEPALIVE_MAX ? KEEPALIVE_MAX : seconds;
}

// Accepted sockets inherit it. An idle peer is probed from half of the time on. The user timeout says when it is over.
// It holds for probes, for unconfirmed bytes, and for a peer that confirms them but never has room for more.
static int limit_silence(int fd, int unreachable_ms)
{
	int on = 1, idle = clamp_seconds(unreachable_ms / 2), interval = clamp_seconds(unreachable_ms / 8);
	unsigned timeout_ms = (unsigned)unreachable_ms;

	if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval)))
		return -1;
	return setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

// What accepted sockets inherit.
static int set_inherited(int fd, int unreachable_ms)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		return -1;
	return unreachable_ms > 0 ? limit_silence(fd, unreachable_ms) : 0;
}

static int set_options(int fd, sa_family_t family, unsigned flags, int unreachable_ms)
{
	int on = 1, only_v6 = (flags & LISTEN_V6_ONLY) != 0;
	bool is_stream = !(flags & LISTEN_DATAGRAMS);

	if (is_stream && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on))) // for UDP it would let any process join in
		return -1;
	if (flags & LISTEN_REUSE_PORT && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)))
		return -1;
	if (is_stream && set_inherited(fd, unreachable_ms))
		return -1;
	return family == AF_INET6 ? setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) : 0;
}

// A socket's descriptor that listens, or takes datagrams; or -errno and in *what the call that failed.
static int open_socket(const union address *address, socklen_t bytes, int backlog, unsigned flags,
		       int unreachable_ms, const char **what)
{
	int type = flags & LISTEN_DATAGRAMS ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(address->any.sa_family, type | SOCK_CLOEXEC, 0);

	*what = "socket";
	if (fd < 0)
		return -errno;
	*what = "setsockopt";
	if (address->any.sa_family != AF_UNIX && set_options(fd, address->any.sa_family, flags, unreachable_ms))
		goto fail;
	*what = "bind";
	if (bind(fd, &address->any, bytes))
		goto fail;
	*what = "listen";
	if (type == SOCK_STREAM && listen(fd, backlog))
		goto fail;
	return fd;
fail:;
	int error = -errno;

	close(fd);
	return error;
}

static int port_of(int fd)
{
	union address address;
	socklen_t bytes = sizeof(address);

	if (getsockname(fd, &address.any, &bytes))
		return -errno;
	if (address.any.sa_family == AF_INET)
		return ntohs(address.v4.sin_port);
	return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

static int int_option(int fd, int name)
{
	int value;
	socklen_t bytes = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &bytes) ? -errno : value;
}

// A duplicate of a descriptor that was given, or -errno. Every process that has the socket sees the options that are
// set here. Nothing else of it changes, and no other kind of file is touched.
static int open_given(int given, unsigned flags, int unreachable_ms, const char **what)
{
	int type = int_option(given, SO_TYPE), listens = int_option(given, SO_ACCEPTCONN);
	int family = int_option(given, SO_DOMAIN), fd;

	*what = "getsockopt";
	if (type < 0)
		return type;
	if (type != SOCK_STREAM || listens != 1)
		return -EINVAL;
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return -EAFNOSUPPORT;
	*what = "setsockopt";
	if (family != AF_UNIX && !(flags & LISTEN_LOOK) && set_inherited(given, unreachable_ms))
		return -errno;
	*what = "dup";
	fd = fcntl(given, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

#define TCP_FLAGS_AT 13 /* bytes into a TCP header */
#define SYN 0x02
#define ACK 0x10

// A filter of a socket sees a segment from its TCP header on. It drops those that ask for a connection (SYN without
// ACK). Others are the last of a handshake, or carry a cookie that was sent in the place of one.
int listen_end_handshakes(int fd)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, TCP_FLAGS_AT),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, SYN | ACK),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYN, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	const struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	int family = int_option(fd, SO_DOMAIN);

	if (family < 0)
		return family;
	if (family == AF_UNIX)
		return shutdown(fd, SHUT_RD) ? -errno : 0;
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) ? -errno : 0;
}

int listen_min_hops(int fd, int hops)
{
	int family = int_option(fd, SO_DOMAIN);

	if (family < 0)
		return family;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, &hops, sizeof(hops)))
		return -errno;
	return setsockopt(fd, IPPROTO_IP, IP_MINTTL, &hops, sizeof(hops)) ? -errno : 0; // an IPv6 socket takes IPv4, too
}

void listen_address(int fd, char *text)
{
	union address address;
	socklen_t bytes = sizeof(address);
	const size_t name_at = offsetof(struct sockaddr_un, sun_path);

	memset(text, 0, LISTEN_ADDRESS_MAX);
	if (getsockname(fd, &address.any, &bytes))
		return;
	if (address.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &address.v4.sin_addr, text, LISTEN_ADDRESS_MAX);
	if (address.any.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &address.v6.sin6_addr, text, LISTEN_ADDRESS_MAX);
	if (address.any.sa_family != AF_UNIX || bytes <= name_at)
		return;
	strcpy(text, "unix:");
	memcpy(text + strlen(text), address.un.sun_path, bytes - name_at); // what follows in `text` is zeros
	if (!text[strlen("unix:")]) // an abstract name begins with a zero; ss(8) shows it as @
		text[strlen("unix:")] = '@';
}

int listen_open(const char *text, int *port, int backlog, unsigned flags, int unreachable_ms, const char **what)
{
	union address address;
	socklen_t bytes = parse_address(text, *port, &address);
	int fd;

	if (flags & LISTEN_GIVEN) {
		fd = open_given(*port, flags, unreachable_ms, what);
		if (fd >= 0)
			*port = port_of(fd);
		return fd;
	}
	*what = "inet_pton";
	if (!bytes || (flags & LISTEN_DATAGRAMS && address.any.sa_family == AF_UNIX))
		return -EINVAL;
	if (flags & LISTEN_FIRST && flags & LISTEN_REUSE_PORT) {
		fd = open_socket(&address, bytes, 1, flags & ~LISTEN_REUSE_PORT, unreachable_ms, what);
		if (fd < 0)
			return fd;
		close(fd);
	}
	fd = open_socket(&address, bytes, backlog, flags, unreachable_ms, what);
	if (fd >= 0)
		*port = port_of(fd);
	return fd;
}
