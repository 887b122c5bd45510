/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rust does not read the headers of featherstar/c. So this file gives it sizes, and functions with plain arguments. */
#include "shard.h" /* first: it asks the system's headers for all of Linux */
#include <sched.h>
#include <signal.h>
#include "listen.h"

const size_t host_core_bytes = sizeof(struct featherstar_core);
const size_t host_shard_bytes = sizeof(struct shard);

int host_grant(struct shard *shard, int fd)
{
	return ring_grant(&shard->ring, fd);
}

/* So many files can be open, besides those that were granted. */
uint32_t host_files_max(const struct shard *shard)
{
	return shard->ring.file_slots - SHARD_GRANTS;
}

int host_listen(const char *address, int *port, int backlog, const char **what)
{
	return listen_open(address, port, backlog, LISTEN_REUSE_PORT, 0, what);
}

/* Only a wish: the processor may not be among those that the process was given (taskset, a container). */
void host_bind(unsigned processor)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) || !CPU_ISSET(processor, &set))
		return;
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	sched_setaffinity(0, sizeof set, &set);
}

static sigset_t signals_to_end(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	return signals;
}

/* In the first thread, before it starts others: they do not get the signals either. */
void host_block_signals(void)
{
	sigset_t signals = signals_to_end();

	pthread_sigmask(SIG_BLOCK, &signals, NULL);
}

void host_wait_for_signal(void)
{
	sigset_t signals = signals_to_end();
	int taken;

	sigwait(&signals, &taken);
}
