// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The functions of host/native/park.h, stopped before each of their atomic accesses. The file itself is compiled, as it
// is: here its two atomic builtins are macros, which hand over to access().
//
// A call is begun anew at each step. The results of the accesses that it has made are in the log, and access() returns
// them again; at the first access that is not in the log it leaves by longjmp(). The caller makes that access, appends
// its result to the log, and calls again. So C needs no stack that can be put away.
//
// Next: c-park.js, which compiles and calls this.
#include <node_api.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

enum { OUT_STOPPED, OUT_VALUE, OUT_AT, OUT_BYTES, OUT_IS_STORE, OUT_ORDER };

static struct {
	jmp_buf stop;
	const uint8_t *memory;
	const int32_t *log;
	double *out;
	uint32_t logged, next;
} run;

static uint64_t access(const volatile void *word, unsigned bytes, bool is_store, uint64_t value, int order)
{
	if (run.next < run.logged)
		return (uint32_t)run.log[run.next++];
	run.out[OUT_STOPPED] = 1;
	run.out[OUT_VALUE] = (double)value;
	run.out[OUT_AT] = (double)((const uint8_t *)word - run.memory);
	run.out[OUT_BYTES] = bytes;
	run.out[OUT_IS_STORE] = is_store;
	run.out[OUT_ORDER] = order;
	longjmp(run.stop, 1);
}

#define __atomic_load_n(word, order) access(word, sizeof(*(word)), false, 0, order)
#define __atomic_store_n(word, value, order) (void)access(word, sizeof(*(word)), true, value, order)
#include "park.h"

static int call(unsigned function, volatile struct featherstar_control *control)
{
	if (function == 0)
		return park_wants_turn(control);
	if (function == 1)
		return park_try_sleep(control);
	park_awake(control);
	return 0;
}

// step(memory, control block's offset, function, log: Int32Array, entries of the log, out: Float64Array)
static napi_value step(napi_env env, napi_callback_info info)
{
	napi_value args[6];
	size_t count = 6;
	uint32_t base, function;
	void *memory, *log, *out;
	int result;

	napi_get_cb_info(env, info, &count, args, NULL, NULL);
	napi_get_typedarray_info(env, args[0], NULL, NULL, &memory, NULL, NULL);
	napi_get_value_uint32(env, args[1], &base);
	napi_get_value_uint32(env, args[2], &function);
	napi_get_typedarray_info(env, args[3], NULL, NULL, &log, NULL, NULL);
	napi_get_value_uint32(env, args[4], &run.logged);
	napi_get_typedarray_info(env, args[5], NULL, NULL, &out, NULL, NULL);
	run.memory = memory;
	run.log = log;
	run.out = out;
	run.next = 0;
	if (setjmp(run.stop) == 0) {
		result = call(function, (volatile struct featherstar_control *)((uint8_t *)memory + base));
		run.out[OUT_STOPPED] = 0;
		run.out[OUT_VALUE] = result;
	}
	return NULL;
}

NAPI_MODULE_INIT()
{
	napi_value function;

	napi_create_function(env, "step", NAPI_AUTO_LENGTH, step, NULL, &function);
	napi_set_named_property(env, exports, "step", function);
	return exports;
}
