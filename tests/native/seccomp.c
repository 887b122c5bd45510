// SPDX-License-Identifier: MIT OR Apache-2.0
//
// deny-uring EPERM|ENOSYS COMMAND ARGUMENTS...: runs a command for which io_uring's three system calls (425 to 427 on
// every architecture) answer that errno, as under a container's seccomp profile (EPERM) or an old kernel (ENOSYS).
// A real filter of the kernel, which children inherit; by hand, so that no library is needed.
//
// Next: ../support/deny.js.
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define FIRST 425 /* io_uring_setup */
#define LAST 427  /* io_uring_register */

int main(int argc, char **argv)
{
	int error = argc > 2 && !strcmp(argv[1], "EPERM") ? EPERM : argc > 2 && !strcmp(argv[1], "ENOSYS") ? ENOSYS : 0;
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, FIRST, 0, 2),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, LAST, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = sizeof(filter) / sizeof(filter[0]), .filter = filter };

	if (!error) {
		fprintf(stderr, "usage: deny-uring EPERM|ENOSYS COMMAND ARGUMENTS...\n");
		return 2;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
		perror("prctl");
		return 3;
	}
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 4;
}
