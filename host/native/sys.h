/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The three system calls, and what a 6.1 header lacks of the kernel's ABI. */
#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Values are the kernel's and never change; names that this header's age may not have. */
enum {
	SETUP_COOP_TASKRUN = 1u << 8,
	SETUP_TASKRUN_FLAG = 1u << 9,
	SETUP_SUBMIT_ALL = 1u << 7,
	SETUP_SINGLE_ISSUER = 1u << 12,
	SETUP_DEFER_TASKRUN = 1u << 13,
	SQ_TASKRUN = 1u << 2,
	RECV_MULTISHOT = 1u << 1,
	RECVSEND_POLL_FIRST = 1u << 0,
	ACCEPT_MULTISHOT = 1u << 0,
	OP_SOCKET = 45,
	OP_URING_CMD = 46,
	OP_FIXED_FD_INSTALL = 54, /* 6.8; older kernels say -EINVAL */
	OP_FTRUNCATE = 55, /* 6.9; older kernels say -EINVAL */
	CMD_GETSOCKOPT = 2, /* SOCKET_URING_OP_GETSOCKOPT, 6.7; older kernels say -EOPNOTSUPP */
	CMD_SETSOCKOPT = 3, /* likewise */
	MSG_SEND_FD = 1,
	MSG_NO_CQE = 1u << 0,
	CANCEL_ALL = 1u << 0,
	CANCEL_FD = 1u << 1,
	CANCEL_ANY = 1u << 2,
	CANCEL_FD_FIXED = 1u << 3,
	CANCEL_BY_OPCODE = 1u << 5, /* 6.6 */
	REGISTER_PBUF = 22,
	UNREGISTER_PBUF = 23,
	REGISTER_SYNC_CANCEL_OP = 24,
	REGISTER_ALLOC_RANGE = 25,
};
#define FILE_INDEX_ALLOC (~0u)

static inline int sys_setup(unsigned entries, struct io_uring_params *params)
{
	int fd = (int)syscall(__NR_io_uring_setup, entries, params);

	return fd < 0 ? -errno : fd;
}

static inline int sys_enter(int fd, unsigned submit, unsigned wait, unsigned flags, const void *arg, size_t bytes)
{
	int n = (int)syscall(__NR_io_uring_enter, fd, submit, wait, flags, arg, bytes);

	return n < 0 ? -errno : n;
}

static inline int sys_register(int fd, unsigned op, const void *arg, unsigned count)
{
	int n = (int)syscall(__NR_io_uring_register, fd, op, arg, count);

	return n < 0 ? -errno : n;
}

static inline double clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline double monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}
