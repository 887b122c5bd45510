/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Repeats a trace of record.js with the core in C: replay TRACE
 *
 * A trace is records of u32 numbers. Values of Wasm are 8 bytes: the bits of an i64, and a double for all others.
 *
 *   1 MEMORY    pages                            the next memory (they count from 0)
 *   2 INSTANCE  memory                           the next instance
 *   3 HOST      memory, count, count x { at, bytes, the bytes }     the host writes there
 *   4 CALL      instance, export, count, values  the host calls the core
 *   5 CORE      likewise 3                       the core must have written that since, and nothing else
 *   6 IMPORT    import, count, values            the core must call its host
 *   7 RESUME    value                            the host returns
 *   8 RESULT    value                            the core must return that
 *   9 TRAP                                       or it must trap
 *
 * Each memory has a copy, which has only what the trace says. After each call, the bytes that the core must have
 * written are compared with it. After every CALLS_BETWEEN calls, and at the end, all of both is compared. The exports
 * are called by dispatch.c.
 *
 * Next: replay.test.js.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "featherstar_core.h"
#include "replay.h"

#define CALLS_BETWEEN 32

enum { END, MEMORY, INSTANCE, HOST, CALL, CORE, IMPORT, RESUME, RESULT, TRAP };

struct replayed {
	struct featherstar_memory memory;
	uint8_t *copy;
};

struct instance {
	struct featherstar_core core;
	struct replayed *replayed;
};

static FILE *trace;
static struct replayed **memories;
static struct instance **instances;
static uint32_t memory_count, instance_count;
static uint64_t call_count, import_count, trap_count;
static jmp_buf *call_end; /* where a trap of the call that runs goes */

__attribute__((noreturn)) static void fail(const char *what)
{
	printf("call %" PRIu64 ": %s\n", call_count, what);
	exit(1);
}

static void take(void *to, size_t bytes)
{
	if (fread(to, 1, bytes, trace) != bytes)
		fail("the trace ends too early");
}

static uint32_t take_u32(void)
{
	uint32_t number;

	take(&number, sizeof number);
	return number;
}

static uint64_t take_value(void)
{
	uint64_t value;

	take(&value, sizeof value);
	return value;
}

static void expect(uint32_t kind, const char *what)
{
	uint32_t found = take_u32();

	if (found != kind) {
		printf("record %" PRIu32 " instead of %" PRIu32 ": ", found, kind);
		fail(what);
	}
}

static void differ(const struct replayed *replayed)
{
	const uint8_t *is = replayed->memory.at, *should = replayed->copy;

	for (uint64_t at = 0; at < replayed->memory.bytes; at++)
		if (is[at] != should[at]) {
			printf("byte %" PRIu64 " is %u, should be %u: ", at, is[at], should[at]);
			break;
		}
	fail("the memory differs");
}

static void compare(const struct replayed *replayed)
{
	if (memcmp(replayed->memory.at, replayed->copy, replayed->memory.bytes) != 0)
		differ(replayed);
}

/* The runs of a HOST or a CORE record: into the copy. The host's go into the memory too; the core's are there. */
static struct replayed *take_runs(bool is_host)
{
	struct replayed *replayed = memories[take_u32()];

	for (uint32_t count = take_u32(); count > 0; count--) {
		uint32_t at = take_u32(), bytes = take_u32();

		if ((uint64_t)at + bytes > replayed->memory.bytes)
			fail("a run outside of the memory");
		take(replayed->copy + at, bytes);
		if (is_host)
			memcpy(replayed->memory.at + at, replayed->copy + at, bytes);
		else if (memcmp(replayed->memory.at + at, replayed->copy + at, bytes) != 0)
			differ(replayed);
	}
	return replayed;
}

/* The core must have written until here what the trace says. */
static void check_core(struct instance *instance)
{
	struct replayed *replayed;

	expect(CORE, "the core stopped where the module goes on, which differs");
	replayed = take_runs(false);
	if (replayed != instance->replayed)
		fail("another memory");
	if (call_count % CALLS_BETWEEN == 0)
		compare(replayed);
}

static void run_call(void);

/* The core calls its host. The trace has all that happens until it returns, calls of other instances too. */
uint32_t replay_import(void *context, uint32_t index, uint32_t count, const uint32_t *values)
{
	struct instance *instance = context;

	check_core(instance);
	expect(IMPORT, "the module does not call an import here");
	if (take_u32() != index || take_u32() != count)
		fail("another import");
	for (uint32_t i = 0; i < count; i++)
		if (replay_u32(take_value()) != values[i])
			fail("the argument of an import differs");
	import_count++;
	for (;;) {
		uint32_t kind = take_u32();

		if (kind == HOST)
			take_runs(true);
		else if (kind == CALL)
			run_call();
		else if (kind == RESUME)
			return replay_u32(take_value());
		else
			fail("a record that may not be within an import");
	}
}

static void run_call(void)
{
	uint64_t values[16] = { 0 };
	uint32_t which = take_u32(), index = take_u32(), count = take_u32();
	struct instance *volatile instance; /* volatile: setjmp() comes back */
	jmp_buf end, *volatile outer;
	uint64_t result;

	if (which >= instance_count || count > 16)
		fail("a call that cannot be");
	instance = instances[which];
	for (uint32_t i = 0; i < count; i++)
		values[i] = take_value();
	call_count++;
	outer = call_end;
	call_end = &end;
	if (setjmp(end) == 0) {
		result = replay_export(&instance->core, index, values);
		check_core(instance);
		expect(RESULT, "the module does not return here");
		if (!replay_is_result(index, take_value(), result)) {
			printf("export %" PRIu32 " returned %" PRIx64 ": ", index, result);
			fail("the result differs");
		}
	} else {
		check_core(instance);
		expect(TRAP, "the module does not trap here");
		trap_count++;
	}
	call_end = outer;
}

void replay_trap(const char *what)
{
	(void)what;
	longjmp(*call_end, 1);
}

static void add_memory(uint32_t pages)
{
	struct replayed *added;

	memories = realloc(memories, (memory_count + 1) * sizeof *memories);
	added = malloc(sizeof *added);
	if (memories == NULL || added == NULL)
		fail("no memory");
	memories[memory_count++] = added;
	added->memory = featherstar_memory_reserve(pages);
	added->copy = calloc(added->memory.bytes, 1);
	if (added->memory.at == NULL || added->copy == NULL)
		fail("no memory");
}

static void add_instance(uint32_t memory)
{
	struct instance *added = malloc(sizeof *added);

	if (memory >= memory_count || added == NULL)
		fail("an instance that cannot be");
	instances = realloc(instances, (instance_count + 1) * sizeof *instances);
	instances[instance_count++] = added;
	featherstar_instantiate(&added->core, memories[memory]->memory, &replay_imports, added);
	added->replayed = memories[memory];
}

int main(int argc, char **argv)
{
	uint32_t kind;

	trace = argc == 2 ? fopen(argv[1], "rb") : NULL;
	if (trace == NULL) {
		fprintf(stderr, "usage: replay TRACE\n");
		return 2;
	}
	while (fread(&kind, 1, sizeof kind, trace) == sizeof kind) {
		if (kind == MEMORY)
			add_memory(take_u32());
		else if (kind == INSTANCE)
			add_instance(take_u32());
		else if (kind == HOST)
			take_runs(true);
		else if (kind == CALL)
			run_call();
		else
			fail("a record that may not be outside of a call");
	}
	for (uint32_t i = 0; i < memory_count; i++)
		compare(memories[i]);
	printf("%" PRIu64 " calls, %" PRIu64 " imports, %" PRIu64 " traps, ", call_count, import_count, trap_count);
	printf("%" PRIu32 " instances, %" PRIu32 " memories: equal\n", instance_count, memory_count);
	return 0;
}
