/* SPDX-License-Identifier: MIT OR Apache-2.0 */
// One shard, which greets every client on a port: cc -I DIST greet.c DIST/*.c, where DIST is dist/c.
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "listen.h"
#include "shard.h"

enum { ACCEPTED = 1, SENT = 2 };
static const char GREETING[] = "Hello, World!\n";

int main(int argc, char **argv)
{
	static struct shard shard;
	struct featherstar_header limits = shard_limits(1);
	const char *what;
	int port = argc > 1 ? atoi(argv[1]) : 7000;
	int error = shard_open(&shard, shard_memory(&limits), 0, &what);
	int fd = error ? error : listen_open("127.0.0.1", &port, 64, 0, 0, &what);

	if (fd < 0)
		errx(1, "%s: %s", what, strerror(-fd));
	printf("port %d\n", port);
	fflush(stdout);
	uint32_t text = shard.base + shard.header->scratch_offset; /* the kernel may read the memory of the core only */
	memcpy(shard_at(&shard, text), GREETING, strlen(GREETING));
	featherstar_submit(&shard.core, IORING_OP_ACCEPT, IOSQE_FIXED_FILE, ACCEPT_MULTISHOT, ring_grant(&shard.ring, fd),
		0, 0, 0, 0, FILE_INDEX_ALLOC, 1, ACCEPTED, 0);
	for (;;) {
		shard_turn(&shard);
		for (const struct featherstar_ready *event; (event = shard_next(&shard)) != NULL;)
			if (shard_tag(event) == SENT)
				featherstar_closeFile(&shard.core, event->index);
			else if (event->result >= 0) /* the file of a client */
				featherstar_submit(&shard.core, IORING_OP_SEND, IOSQE_FIXED_FILE, 0, event->result,
					0, text, strlen(GREETING), 0, 0, event->result, SENT, 0);
		featherstar_flush(&shard.core);
	}
}
