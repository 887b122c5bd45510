/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A million calls from shard 0 to shard 1 and back: `calls [COUNT [OPEN]]`. Each sends a number, and the reply is one
 * more.
 *
 * OPEN calls are open at a time, 64 if nothing is said. A call that the core refuses, for want of credit or room, waits
 * for ROOM.
 *
 * Next: docs/abi.md, "Messages".
 */
#include "host.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPLIES_MAX 1024 /* more than a peer can have open */
#define TIMERS 1000

enum { REQUEST = 1, REPLY = 2 };

static uint64_t wanted, open_max, sent, replied, timers_fired;
static double began_ns;

/* Replies of shard 1 that found no room. */
static struct featherstar_message waiting[REPLIES_MAX];
static unsigned waiting_count;

static struct featherstar_message *outgoing(struct shard *shard)
{
	return shard_at(shard, shard->base + shard->header->outgoing_offset);
}

static void *inline_data(struct featherstar_message *message)
{
	return (uint8_t *)message + FEATHERSTAR_MESSAGE_INLINE;
}

static void call_more(struct shard *shard)
{
	while (sent < wanted && sent - replied < open_max) {
		struct featherstar_message *message = outgoing(shard);

		memset(message, 0, sizeof *message);
		message->kind = REQUEST;
		message->number = (uint32_t)sent;
		message->payload_bytes = sizeof sent;
		memcpy(inline_data(message), &sent, sizeof sent);
		if ((int32_t)featherstar_post(&shard->core, 1) != FEATHERSTAR_CODE_OK)
			return; /* on_room() goes on */
		sent++;
	}
}

static void start(struct shard *shard)
{
	if (shard->index != 0)
		return;
	began_ns = monotonic_ns();
	for (uint32_t i = 0; i < TIMERS; i++)
		if ((int32_t)featherstar_armTimer(&shard->core, began_ns + 1e6 * (1 + i % 50), 1, i + 1) < 0)
			die("no timer is free", 0);
	call_more(shard);
	featherstar_flush(&shard->core);
}

static void end_if_done(void)
{
	double ns = monotonic_ns() - began_ns;

	if (replied < wanted || timers_fired < TIMERS)
		return;
	printf("%" PRIu64 " calls there and back, %.0f ns each; %d timers fired\n", replied, ns / (double)replied, TIMERS);
	host_stop();
}

static void on_mail(struct shard *shard, uint32_t peer, struct featherstar_message *message)
{
	uint64_t value;

	memcpy(&value, inline_data(message), sizeof value);
	if (message->kind == REPLY) {
		if (value != message->number + UINT64_C(1))
			die("a reply is wrong", 0);
		replied++;
		call_more(shard);
		if (replied == wanted)
			end_if_done();
		return;
	}
	value++;
	message->kind = REPLY;
	memcpy(inline_data(message), &value, sizeof value);
	memcpy(outgoing(shard), message, sizeof *message);
	if (waiting_count == 0 && (int32_t)featherstar_post(&shard->core, peer) == FEATHERSTAR_CODE_OK)
		return;
	featherstar_holdRequest(&shard->core, peer); /* so that the peer sends no more than there is room for here */
	if (waiting_count == REPLIES_MAX)
		die("more requests than credit", 0);
	waiting[waiting_count++] = *message;
}

static void on_room(struct shard *shard, uint32_t peer)
{
	unsigned done = 0;

	if (shard->index == 0) {
		call_more(shard);
		return;
	}
	while (done < waiting_count) {
		*outgoing(shard) = waiting[done];
		if ((int32_t)featherstar_post(&shard->core, peer) != FEATHERSTAR_CODE_OK)
			break;
		featherstar_beginRequest(&shard->core, peer);
		done++;
	}
	waiting_count -= done;
	memmove(waiting, waiting + done, waiting_count * sizeof *waiting);
}

static void on_timer(struct shard *shard, uint32_t tag, uint32_t owner)
{
	(void)shard;
	(void)tag;
	(void)owner;
	timers_fired++;
	end_if_done();
}

int main(int argc, char **argv)
{
	static const struct program program = {
		.start = start, .on_timer = on_timer, .on_mail = on_mail, .on_room = on_room,
	};

	struct featherstar_header limits = shard_limits(2);

	wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
	open_max = argc > 2 ? strtoull(argv[2], NULL, 10) : 64;
	if (wanted == 0 || open_max == 0)
		die("usage: calls [COUNT [OPEN]]", 0);
	host_start(&limits, &program);
	host_join();
	return 0;
}
