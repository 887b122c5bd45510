/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sleeping and waking: the receiver's half of assembly/park.ts, which has the argument, in C.
 *
 * Each function makes the accesses of the core's export of the same name. A test (tests/interleave/park.c) runs them,
 * stopped before each access, beside a sender that is the core. No other C touches `sleeping` and `dirty`.
 *
 * Next: loop.c, which sleeps between park_try_sleep() and park_awake().
 */
#pragma once

#include <stdbool.h>
#include "featherstar.h"

static inline bool park_is_dirty(const volatile struct featherstar_control *control)
{
	return __atomic_load_n(&control->dirty, __ATOMIC_SEQ_CST) != 0;
}

/* Only looks. */
static inline bool park_has_work(const volatile struct featherstar_control *control)
{
	return control->completion_count || control->more_work || control->ready_tail != control->ready_head ||
	       park_is_dirty(control);
}

/* Whether the core's turn should run now. */
static inline bool park_wants_turn(const volatile struct featherstar_control *control)
{
	return control->now_ns >= control->next_deadline_ns || park_has_work(control);
}

/* R1 and R2. True: the caller may sleep in the kernel, and then calls park_awake(). */
__attribute__((warn_unused_result))
static inline bool park_try_sleep(volatile struct featherstar_control *control)
{
	if (park_has_work(control))
		return false;
	__atomic_store_n(&control->sleeping, 1, __ATOMIC_SEQ_CST);
	if (!park_is_dirty(control))
		return true;
	__atomic_store_n(&control->sleeping, 0, __ATOMIC_SEQ_CST);
	return false;
}

/* R4. */
static inline void park_awake(volatile struct featherstar_control *control)
{
	__atomic_store_n(&control->sleeping, 0, __ATOMIC_SEQ_CST);
}
