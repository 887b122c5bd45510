/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The memory that the gate shares with the core: a shard's control block and windows in linear memory (drawn in
 * assembly/layout.ts). Other threads can write there at any time. So every number is read once, into a local, and
 * checked there. Nothing that was checked is read again.
 *
 * Next: ring.h.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct control {
	/* line 0: written by the core */
	uint32_t submit_count;
	uint32_t recycle_count;
	uint32_t more_work;
	uint32_t submit_only;
	double next_deadline_ns;
	uint8_t unused0[40];
	/* line 1: written here */
	uint32_t completion_count;
	int32_t enter_result;
	double now_ns;
	uint32_t refused_count;
	uint32_t overflow_count;
	double idle_poll_ns; /* the host's option */
	double quota_ns;
	double enter_count;
	double sleep_count;
	double poll_count;
	/* lines 2 and 3: atomics, see assembly/park.ts */
	uint32_t sleeping;
	uint8_t unused1[60];
	uint64_t dirty;
	uint8_t unused2[56];
	/* line 4 */
	uint32_t ready_tail;
	uint32_t ready_head;
	uint8_t unused3[56];
	/* line 5: the host's (HostControl in host/core/layout.ts) */
	uint8_t unused4[12];
	uint32_t open_calls; /* JavaScript's */
	double idle_ns; /* written here: see loop.c, count_idle() */
};

_Static_assert(offsetof(struct control, next_deadline_ns) == 16, "layout.ts");
_Static_assert(offsetof(struct control, open_calls) == 332, "layout.ts");
_Static_assert(offsetof(struct control, completion_count) == 64, "layout.ts");
_Static_assert(offsetof(struct control, now_ns) == 72, "layout.ts");
_Static_assert(offsetof(struct control, idle_poll_ns) == 88, "layout.ts");
_Static_assert(offsetof(struct control, poll_count) == 120, "layout.ts");
_Static_assert(offsetof(struct control, sleeping) == 128, "layout.ts");
_Static_assert(offsetof(struct control, dirty) == 192, "layout.ts");
_Static_assert(offsetof(struct control, ready_head) == 260, "layout.ts");
_Static_assert(offsetof(struct control, idle_ns) == 336, "layout.ts");
