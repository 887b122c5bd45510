// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The options of a ring, from JavaScript: each is checked here, once, before ring_open() believes it.
//
// Next: ring.c.
#include "napi.h"
#include "options.h"

static bool option(napi_env env, napi_value object, const char *name, double max, uint32_t *value)
{
	napi_value property;
	double number = -1;

	if (napi_get_named_property(env, object, name, &property) != napi_ok ||
	    napi_get_value_double(env, property, &number) != napi_ok || !(number >= 0) || number > max ||
	    number != (double)(uint32_t)number) {
		napi_throw_range_error(env, "ERR_OUT_OF_RANGE", name);
		return false;
	}
	*value = (uint32_t)number;
	return true;
}

static bool power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

// Whether a window of `bytes` at `at` lies in memory, on a boundary of 64.
static bool window(const struct ring_options *options, uint64_t at, uint64_t bytes)
{
	return at % 64 == 0 && at <= options->regions[LINEAR].bytes && bytes <= options->regions[LINEAR].bytes - at;
}

// Where the windows lie, and how many of each there are. False, with an exception pending: something does not fit.
bool options_limits(napi_env env, napi_value object, struct ring_options *o)
{
	uint32_t base, max = UINT32_MAX;

	if (!option(env, object, "shardBase", max, &base) || !option(env, object, "sqeOffset", max - base, &o->sqes) ||
	    !option(env, object, "sqeSlots", 32768, &o->sqe_slots) ||
	    !option(env, object, "cqeOffset", max - base, &o->cqes) ||
	    !option(env, object, "cqeSlots", 65536, &o->cqe_slots) ||
	    !option(env, object, "recycleOffset", max - base, &o->recycle) ||
	    !option(env, object, "recvOffset", max - base, &o->buffers) ||
	    !option(env, object, "recvBufferCount", 32768, &o->buffer_count[SMALL_BUFFERS]) ||
	    !option(env, object, "recvBufferBytes", 1 << 24, &o->buffer_bytes[SMALL_BUFFERS]) ||
	    !option(env, object, "largeRecvBufferCount", 16384, &o->buffer_count[LARGE_BUFFERS]) ||
	    !option(env, object, "largeRecvBufferBytes", 1 << 24, &o->buffer_bytes[LARGE_BUFFERS]) ||
	    !option(env, object, "fileSlots", 1 << 20, &o->file_slots) ||
	    !option(env, object, "grantSlots", GRANTS_MAX, &o->grant_slots))
		return false;
	o->control = base;
	o->sqes += base;
	o->cqes += base;
	o->recycle += base;
	o->buffers += base;
	if (power_of_two(o->sqe_slots) && power_of_two(o->cqe_slots) && buffers_count(o) &&
	    window(o, base, sizeof(struct featherstar_control)) && window(o, o->sqes, 64ull * o->sqe_slots) &&
	    window(o, o->cqes, 16ull * o->cqe_slots) && window(o, o->recycle, 4 * buffers_count(o)) &&
	    window(o, o->buffers, buffers_bytes(o)))
		return true;
	napi_throw_range_error(env, "ERR_OUT_OF_RANGE", "a window is outside the memory or not aligned");
	return false;
}

// A Uint8Array over all of a region. False: it is none, not aligned, or too long to be one.
bool options_region(napi_env env, napi_value value, struct region *region)
{
	napi_typedarray_type type;
	size_t bytes = 0;
	void *at = NULL;

	if (napi_get_typedarray_info(env, value, &type, &bytes, &at, NULL, NULL) != napi_ok || type != napi_uint8_array)
		return false;
	*region = (struct region){ bytes ? at : NULL, bytes };
	return (uintptr_t)at % 64 == 0 && bytes <= REGION_MAX;
}

// Rules for addresses, as a Uint8Array of struct address_rule, or undefined. False: they are none.
bool options_rules(napi_env env, napi_value value, struct ring_options *options)
{
	napi_typedarray_type type;
	napi_valuetype kind;
	size_t bytes = 0;
	void *rules = NULL;
	static const struct address_rule none;

	if (napi_typeof(env, value, &kind) != napi_ok || kind == napi_undefined)
		return true;
	if (napi_get_typedarray_info(env, value, &type, &bytes, &rules, NULL, NULL) != napi_ok || type != napi_uint8_array ||
	    bytes % sizeof(none) || bytes / sizeof(none) > RULES_MAX)
		return false;
	options->rules = bytes ? rules : &none;
	options->rule_count = (uint32_t)(bytes / sizeof(none));
	return true;
}
