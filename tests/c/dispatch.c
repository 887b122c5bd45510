/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Calls an export by its number, which is its place in the module. */
#include <stdlib.h>
#include "featherstar_core.h"
#include "replay.h"

/* For each export: a function that calls it. */
#define TAKE_I32(n) , replay_u32(values[n])
#define TAKE_I64(n) , values[n]
#define TAKE_F64(n) , replay_f64(values[n])
#define CALL_void(call) (call, 0)
#define CALL_uint32_t(call) (call)
#define CALL_uint64_t(call) (call)
#define DEFINE(name, parameters, result)                                                                               \
	static uint64_t call_##name(struct featherstar_core *core, const uint64_t *values)                             \
	{                                                                                                              \
		(void)values;                                                                                          \
		return CALL_##result(featherstar_##name(core parameters));                                             \
	}
FEATHERSTAR_EXPORTS(DEFINE, TAKE_I32, TAKE_I64, TAKE_F64)

/* And one that compares a value of the trace with its result. */
#define IS_void(value, result) ((void)(value), (void)(result), true)
#define IS_uint32_t(value, result) (replay_u32(value) == (uint32_t)(result))
#define IS_uint64_t(value, result) ((value) == (result))
#define DEFINE_IS(name, parameters, type)                                                                              \
	static bool is_result_##name(uint64_t value, uint64_t result)                                                  \
	{                                                                                                              \
		return IS_##type(value, result);                                                                       \
	}
FEATHERSTAR_EXPORTS(DEFINE_IS, TAKE_I32, TAKE_I64, TAKE_F64)

#define ROW(name, parameters, result) { call_##name, is_result_##name },
static const struct {
	uint64_t (*call)(struct featherstar_core *core, const uint64_t *values);
	bool (*is_result)(uint64_t value, uint64_t result);
} EXPORTED[] = { FEATHERSTAR_EXPORTS(ROW, TAKE_I32, TAKE_I64, TAKE_F64) };

static void check(uint32_t index)
{
	if (index >= sizeof EXPORTED / sizeof EXPORTED[0])
		abort();
}

uint64_t replay_export(struct featherstar_core *core, uint32_t index, const uint64_t *values)
{
	check(index);
	return EXPORTED[index].call(core, values);
}

bool replay_is_result(uint32_t index, uint64_t value, uint64_t result)
{
	check(index);
	return EXPORTED[index].is_result(value, result);
}
