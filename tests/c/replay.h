/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Between replay.c, dispatch.c, and the imports that replayer.js writes for a module. */
#pragma once

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct featherstar_core;
struct featherstar_imports;

/* In replay.c, for the imports of a module: import `index` was called. */
uint32_t replay_import(void *context, uint32_t index, uint32_t count, const uint32_t *values);
extern const struct featherstar_imports replay_imports;

/* FEATHERSTAR_TRAP: ends the call that runs. */
__attribute__((noreturn)) void replay_trap(const char *what);

/* Calls export `index`. Returns the bits of its result. */
uint64_t replay_export(struct featherstar_core *core, uint32_t index, const uint64_t *values);
/* Whether a value of the trace is what export `index` returned. */
bool replay_is_result(uint32_t index, uint64_t value, uint64_t result);

static inline double replay_f64(uint64_t value)
{
	double number;

	memcpy(&number, &value, sizeof number);
	return number;
}

/* As JavaScript passes a number to an i32. */
static inline uint32_t replay_u32(uint64_t value)
{
	double number = replay_f64(value);

	return isfinite(number) ? (uint32_t)(int64_t)number : 0;
}
