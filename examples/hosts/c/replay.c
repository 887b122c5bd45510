/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Replays conformance vectors (docs/abi.md) on the core in C:
 *
 *   cc -O2 -Idist/c -o replay examples/hosts/c/replay.c && ./replay dist/conformance/vectors.bin
 *
 *   WRITE --> the memory
 *   CALL ---> an export --> [its imports read on in the vectors] --> the result: as recorded?
 *   HASH ---> hash of the memory: as recorded?
 *
 * It prints the hash of all results; npm run conformance compares it with that of other hosts. The core is included, so
 * that a trap leads to differs(): the rest of a seed is skipped by longjmp().
 */
#define _DEFAULT_SOURCE /* for the core: MAP_ANONYMOUS */
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

__attribute__((noreturn)) static void differs(const char *what);
#define FEATHERSTAR_TRAP(what) differs(what)
#include "featherstar_core.c"

#define INSTANCES_MAX 64
#define MEMORIES_MAX 8
#define FUNCTIONS_MAX 64
#define PARAMS_MAX 16

enum { END, MEMORY, INSTANCE, WRITE, HASH, RETURN, ENTER, THREAD_SPAWN, CALL = 16 };

/* --- the exports ------------------------------------------------------------------------------------------------- */

union value {
	uint32_t i;
	double d;
};

struct export {
	const char *name, *params; /* i: i32, d: f64 */
	bool has_result;
	uint32_t (*call)(struct featherstar_core *core, const union value *values);
};

/* For each export: a function that calls it with values of the vectors. */
#define TAKE_I32(n) , v[n].i
#define TAKE_I64(n) , no_export_has_an_i64
#define TAKE_F64(n) , v[n].d
#define CALL_void(call) (call, 0)
#define CALL_uint32_t(call) (call)
#define DEFINE(name, parameters, result)                                                                               \
	static uint32_t call_##name(struct featherstar_core *c, const union value *v)                                  \
	{                                                                                                              \
		(void)v;                                                                                               \
		return CALL_##result(featherstar_##name(c parameters));                                                \
	}
FEATHERSTAR_EXPORTS(DEFINE, TAKE_I32, TAKE_I64, TAKE_F64)

/* And a row in this table. */
#define LETTER_I32(n) "i"
#define LETTER_I64(n) "l"
#define LETTER_F64(n) "d"
#define HAS_void false
#define HAS_uint32_t true
#define ROW(name, parameters, result) { #name, "" parameters, HAS_##result, call_##name },
static const struct export EXPORTED[] = { FEATHERSTAR_EXPORTS(ROW, LETTER_I32, LETTER_I64, LETTER_F64) };

/* --- the hash ---------------------------------------------------------------------------------------------------- */

struct hash {
	uint32_t lanes[2];
};

#define HASH_START ((struct hash){ { 0x811c9dc5, 0x9747b28c } })

static uint32_t rotate(uint32_t word, unsigned by)
{
	return word << by | word >> (32 - by);
}

static void hash_add(struct hash *hash, uint32_t word)
{
	hash->lanes[0] = rotate(hash->lanes[0] ^ word, 13) * 5 + 0xe6546b64;
	hash->lanes[1] = rotate(hash->lanes[1] ^ word, 11) * 0x9e3779b1 + 0x85ebca6b;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

static const uint8_t *at, *end; /* of the file, or of a seed in it */

static const uint8_t *raw(uint64_t count)
{
	if (count > (uint64_t)(end - at))
		differs("the vectors end too early");
	at += count;
	return at - count;
}

static uint64_t number(void)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		uint8_t byte = *raw(1);

		value |= (uint64_t)(byte & 127) << (shift & 63);
		if (byte < 128)
			return value;
	}
}

static uint32_t integer(void)
{
	uint32_t value = (uint32_t)number();

	return value >> 1 ^ (0 - (value & 1));
}

static double real(void)
{
	uint64_t value = number();
	double result = (double)(value - 1);

	if (value == 0)
		memcpy(&result, raw(sizeof(result)), sizeof(result));
	return result;
}

/* --- replaying --------------------------------------------------------------------------------------------------- */

static const struct export *functions[FUNCTIONS_MAX];
static uint32_t function_count;
static struct hash digest;
static struct featherstar_memory memories[MEMORIES_MAX]; /* of this seed; the last one is used */
static struct featherstar_core instances[INSTANCES_MAX];
static uint32_t memory_count, instance_count;
static unsigned long call_count;
static const char *difference;
static jmp_buf seed_end;

static void differs(const char *what)
{
	difference = what;
	longjmp(seed_end, 1);
}

static void compare(const char *what, uint32_t actual, uint32_t expected)
{
	hash_add(&digest, actual);
	if (actual != expected)
		differs(what);
}

static void events(uint8_t until);

/* The core calls: then so it did when it was recorded. */
static void on_enter(void *context)
{
	(void)context;
	if (*raw(1) != ENTER)
		differs("the core has called enter, which it did not call");
	events(RETURN);
}

static uint32_t on_thread_spawn(void *context, uint32_t shard)
{
	(void)context;
	if (*raw(1) != THREAD_SPAWN)
		differs("the core has called thread-spawn, which it did not call");
	compare("argument of thread-spawn", shard, integer());
	events(RETURN);
	return integer();
}

static void call(uint32_t index)
{
	const struct export *export;
	union value values[PARAMS_MAX];
	uint64_t instance = number();
	uint32_t result;

	if (index >= function_count || instance >= instance_count)
		differs("the vectors name a function or an instance that is not there");
	export = functions[index];
	for (unsigned i = 0; export->params[i] != 0; i++) {
		if (export->params[i] == 'd')
			values[i].d = real();
		else
			values[i].i = integer();
	}
	call_count++;
	result = export->call(&instances[instance], values);
	if (export->has_result)
		compare(export->name, result, integer());
}

static void compare_hash(const struct featherstar_memory *memory)
{
	struct hash hash = HASH_START;
	uint32_t word;

	for (uint64_t i = 0; i < memory->bytes; i += sizeof(word)) {
		memcpy(&word, memory->at + i, sizeof(word));
		hash_add(&hash, word);
	}
	for (int lane = 0; lane < 2; lane++) {
		memcpy(&word, raw(sizeof(word)), sizeof(word));
		compare("hash of the memory", hash.lanes[lane], word);
	}
}

static const struct featherstar_imports IMPORTS = { on_thread_spawn, on_enter };

/* Takes what comes, up to `until`. */
static void events(uint8_t until)
{
	uint64_t written_to = 0;

	for (;;) {
		uint8_t op = *raw(1);
		struct featherstar_memory *memory = memory_count == 0 ? NULL : &memories[memory_count - 1];

		if (op == until)
			return;
		if (op == WRITE) {
			uint64_t start = written_to + number();
			uint64_t count = number();

			if (!memory || start > memory->bytes || count > memory->bytes - start)
				differs("a write lies outside of the memory");
			memcpy(memory->at + start, raw(count), count);
			written_to = start + count;
			continue;
		}
		written_to = 0; /* the first of a row counts from 0 */
		if (op >= CALL) {
			call(op - CALL);
		} else if (op == HASH && memory) {
			compare_hash(memory);
		} else if (op == MEMORY && memory_count < MEMORIES_MAX) {
			memories[memory_count] = featherstar_memory_reserve((uint32_t)number());
			if (!memories[memory_count++].at)
				differs("there is no memory");
		} else if (op == INSTANCE && memory && instance_count < INSTANCES_MAX) {
			featherstar_instantiate(&instances[instance_count++], *memory, &IMPORTS, NULL);
		} else {
			differs("the vectors have something else where the core has come back");
		}
	}
}

/* --- the file ---------------------------------------------------------------------------------------------------- */

struct seed {
	uint32_t number;
	const uint8_t *events;
	uint64_t bytes;
};

/* Replays a seed. Returns NULL, or what was different. */
static const char *replay_seed(const struct seed *seed)
{
	memory_count = instance_count = 0;
	call_count = 0;
	difference = NULL;
	at = seed->events;
	end = at + seed->bytes;
	if (setjmp(seed_end) == 0)
		events(END);
	while (memory_count > 0)
		featherstar_memory_release(memories[--memory_count]);
	return difference;
}

static const struct export *find(const char *name, uint64_t bytes)
{
	for (size_t i = 0; i < sizeof(EXPORTED) / sizeof(EXPORTED[0]); i++) {
		if (strlen(EXPORTED[i].name) == bytes && memcmp(EXPORTED[i].name, name, bytes) == 0)
			return &EXPORTED[i];
	}
	return NULL;
}

/* Reads the list of functions. False: this program has other ones. */
static bool read_functions(void)
{
	for (uint64_t left = number(); left > 0; left--) {
		uint64_t bytes = number();
		const struct export *export = find((const char *)raw(bytes), bytes);
		const char *params;
		bool has_result;

		bytes = number();
		params = (const char *)raw(bytes);
		has_result = *raw(1) == 1;
		if (!export || strlen(export->params) != bytes || memcmp(export->params, params, bytes) != 0 ||
		    export->has_result != has_result || function_count == FUNCTIONS_MAX)
			return false;
		functions[function_count++] = export;
	}
	return true;
}

static uint8_t *file;
static size_t file_bytes;

/* False: it cannot be read, or is empty. */
static bool read_file(const char *path)
{
	FILE *stream = fopen(path, "rb");
	long bytes;

	if (!stream)
		return false;
	if (fseek(stream, 0, SEEK_END) == 0 && (bytes = ftell(stream)) > 0 && fseek(stream, 0, SEEK_SET) == 0) {
		file = malloc((size_t)bytes);
		file_bytes = file ? fread(file, 1, (size_t)bytes, stream) : 0;
	}
	fclose(stream);
	return file_bytes != 0;
}

/* Reads the file up to the first seed. False: it is not one that this program can replay. */
static bool read_head(uint64_t *seeds)
{
	at = file;
	end = file + file_bytes;
	if (setjmp(seed_end) != 0 || memcmp(raw(8), "FSTRVEC1", 8) != 0 || !read_functions())
		return false;
	*seeds = number();
	return true;
}

/* Reads where the events of a seed are. False: not all of them are there. */
static bool read_seed(const uint8_t *from, struct seed *seed)
{
	at = from;
	end = file + file_bytes;
	if (setjmp(seed_end) != 0)
		return false;
	seed->number = (uint32_t)number();
	seed->bytes = number();
	seed->events = raw(seed->bytes);
	return true;
}

int main(int count, char **args)
{
	unsigned long calls = 0, different = 0;
	uint64_t seeds;
	const uint8_t *next;

	if (count != 2 || !read_file(args[1])) {
		fprintf(stderr, "usage: replay VECTORS, a file that npm run conformance has made\n");
		return 2;
	}
	if (!read_head(&seeds)) {
		fprintf(stderr, "%s: no vectors, or those of another version of the ABI\n", args[1]);
		return 2;
	}
	digest = HASH_START;
	next = at;
	for (uint64_t i = 0; i < seeds; i++) {
		struct seed seed;
		const char *what;

		if (!read_seed(next, &seed)) {
			fprintf(stderr, "%s: %s\n", args[1], difference);
			return 2;
		}
		next = seed.events + seed.bytes;
		what = replay_seed(&seed);
		calls += call_count;
		if (what) {
			hash_add(&digest, seed.number);
			if (++different <= 3)
				fprintf(stderr, "  seed %u, call %lu: %s\n", seed.number, call_count, what);
		}
	}
	printf("%08x%08x %u seeds, %lu calls, %lu differ\n", digest.lanes[0], digest.lanes[1], (unsigned)seeds, calls,
	       different);
	free(file);
	return different != 0;
}
