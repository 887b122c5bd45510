// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The host in C, stopped between its steps: shard.c, park.h, ring.c, gate.c and buffers.c of the package, host.c and
// calls.c of examples/hosts/c. The files are compiled as they are. Here is what they call:
//
//   featherstar_turn() and so on   the core, which is core.wasm
//   sys_enter()                    c-kernel.c: what the kernel does; what peers do to it is in machine.js
//   __atomic_load_n() ...          macros: an access to a word that peers or the kernel touch
//
// Each of these hands over to the caller of step(), which makes the step and gives its result. Each shard runs on a
// stack of its own, at a fixed address. A state of the host is the bytes of both stacks and the program's variables.
// Putting them back takes the host back.
//
// Without optimisation, a variable lies on the stack, and hand_over() puts the registers there, too. So two states are
// equal if these bytes are.
//
// Next: c-kernel.c; then c-host.js, which compiles and calls this.
#define _GNU_SOURCE
#include <node_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define monotonic_ns real_monotonic_ns
#include "ring.h"
#undef monotonic_ns
#define monotonic_ns() 1e9 // no time passes

enum { ENTER, SLEEP, LOOK, TAKE, ACCESS, BROKEN, TURN, WANTS_TURN, FLUSH, POST, HOLD_REQUEST, BEGIN_REQUEST };
enum { OUT_ACT, OUT_VALUE, OUT_AT, OUT_BYTES, OUT_IS_STORE, OUT_ORDER, OUT_COUNT };

#define SHARDS 2
#define STACK_BYTES 65536
#define MARGIN 256 // below the frame of switch_away(): what swapcontext() leaves there

static struct fiber {
	ucontext_t context;
	uint8_t *top; // the lowest frame that is alive
	double result, out[OUT_COUNT];
	_Alignas(64) uint8_t stack[STACK_BYTES];
} fibers[SHARDS];

static ucontext_t machine;
static unsigned current;
static uint8_t *linear_memory;
static const char *reason; // why the program would have ended

__attribute__((noinline)) static void switch_away(void)
{
	struct fiber *fiber = &fibers[current];

	fiber->top = __builtin_frame_address(0);
	swapcontext(&fiber->context, &machine);
}

__attribute__((noinline)) static double hand_over(unsigned act, double value)
{
	__builtin_unwind_init(); // all registers that live on go to the stack
	fibers[current].out[OUT_ACT] = act;
	fibers[current].out[OUT_VALUE] = value;
	switch_away();
	return fibers[current].result;
}

__attribute__((noreturn)) static void stop_broken(void)
{
	for (;;)
		hand_over(BROKEN, 0);
}

#define exit(code) stop_broken()
#define fprintf(stream, format, what, colon, error) (void)(colon), (void)(error), reason = (what) // in die()
#include "host.h"
#include "c-kernel.c"

static uint64_t on_access(const volatile void *word, unsigned bytes, bool is_store, uint64_t value, int order)
{
	double *out = fibers[current].out;

	if (is_of_ring(word))
		return on_ring_access(word, is_store, value);
	out[OUT_AT] = (double)((const uint8_t *)word - linear_memory);
	out[OUT_BYTES] = bytes;
	out[OUT_IS_STORE] = is_store;
	out[OUT_ORDER] = order;
	return (uint64_t)hand_over(ACCESS, (double)value);
}

#define __atomic_load_n(word, order) on_access(word, sizeof(*(word)), false, 0, order)
#define __atomic_store_n(word, value, order) (void)on_access(word, sizeof(*(word)), true, value, order)
#define sys_enter model_enter
#include "ring.c"
#include "gate.c"
#include "buffers.c"
#include "shard.c"
#include "host.c"
#define host_start take_program
#define host_join() (void)0
#define main calls_main
static void take_program(const struct featherstar_header *limits, const struct program *with);
#include "calls.c"

static void take_program(const struct featherstar_header *limits, const struct program *with)
{
	(void)limits;
	program = with;
}

// --- the core -------------------------------------------------------------------------------------------------------

uint32_t featherstar_turn(struct featherstar_core *core)
{
	(void)core;
	return (uint32_t)hand_over(TURN, 0);
}

uint32_t featherstar_wantsTurn(struct featherstar_core *core)
{
	(void)core;
	return (uint32_t)hand_over(WANTS_TURN, 0);
}

void featherstar_flush(struct featherstar_core *core)
{
	(void)core;
	hand_over(FLUSH, 0);
}

uint32_t featherstar_post(struct featherstar_core *core, uint32_t peer)
{
	(void)core;
	return (uint32_t)(int32_t)hand_over(POST, peer);
}

void featherstar_holdRequest(struct featherstar_core *core, uint32_t peer)
{
	(void)core;
	hand_over(HOLD_REQUEST, peer);
}

void featherstar_beginRequest(struct featherstar_core *core, uint32_t peer)
{
	(void)core;
	hand_over(BEGIN_REQUEST, peer);
}

// No timer ever fires. So calls.c does not end, and both shards sleep when all is done.
uint32_t featherstar_armTimer(struct featherstar_core *core, double deadline_ns, uint32_t kind, uint32_t owner)
{
	(void)core;
	(void)deadline_ns;
	(void)kind;
	(void)owner;
	return 1;
}

// --- for JavaScript -------------------------------------------------------------------------------------------------

static void run(void)
{
	program->start(&threads[current].shard);
	turns(&threads[current]);
}

static void *array_of(napi_env env, napi_value value)
{
	void *data = NULL;

	napi_get_typedarray_info(env, value, NULL, NULL, &data, NULL, NULL);
	return data;
}

static uint32_t number_of(napi_env env, napi_value value)
{
	uint32_t number = 0;

	napi_get_value_uint32(env, value, &number);
	return number;
}

// begin(memory, calls): calls.c with so many calls, all of them open; both shards stand before their first step.
static napi_value begin(napi_env env, napi_callback_info info)
{
	napi_value args[2];
	size_t count = 2;
	char text[16];
	char *arguments[] = { "calls", text, text };

	napi_get_cb_info(env, info, &count, args, NULL, NULL);
	linear_memory = array_of(env, args[0]);
	snprintf(text, sizeof text, "%u", number_of(env, args[1]));
	sent = replied = timers_fired = waiting_count = 0;
	reason = NULL;
	calls_main(3, arguments);
	for (unsigned i = 0; i < SHARDS; i++) {
		struct fiber *fiber = &fibers[i];
		struct shard *shard = &threads[i].shard;

		memset(&threads[i], 0, sizeof threads[i]);
		shard->core.memory.at = linear_memory;
		shard->header = (const struct featherstar_header *)(linear_memory + FEATHERSTAR_HEADER);
		shard->index = i;
		shard->base = shard->header->shards_offset + i * shard->header->shard_bytes;
		shard->control = shard_at(shard, shard->base);
		open_model_ring(shard);
		memset(fiber->stack, 0, sizeof fiber->stack);
		fiber->top = fiber->stack + sizeof fiber->stack;
		getcontext(&fiber->context);
		fiber->context.uc_stack = (stack_t){ .ss_sp = fiber->stack, .ss_size = sizeof fiber->stack };
		makecontext(&fiber->context, run, 0);
	}
	return NULL;
}

// step(shard, result of its last step, out: Float64Array): runs a shard to its next step.
static napi_value step(napi_env env, napi_callback_info info)
{
	napi_value args[3];
	size_t count = 3;
	struct fiber *fiber;

	napi_get_cb_info(env, info, &count, args, NULL, NULL);
	current = number_of(env, args[0]);
	fiber = &fibers[current];
	napi_get_value_double(env, args[1], &fiber->result);
	swapcontext(&machine, &fiber->context);
	memset(fiber->stack, 0, (size_t)(fiber->top - MARGIN - fiber->stack)); // dead: equal states have equal bytes
	memcpy(array_of(env, args[2]), fiber->out, sizeof fiber->out);
	return NULL;
}

struct counts {
	uint64_t sent, replied;
	uint32_t waiting_count, mail_count[SHARDS];
};

static uint8_t *copy(uint8_t *at, void *from, size_t bytes, bool is_restored)
{
	memcpy(is_restored ? from : at, is_restored ? at : from, bytes);
	return at + bytes;
}

// Copies all that a later step can depend on into `at`, or from there. It returns where the part ends that decides
// whether two states are equal.
static uint8_t *move_state(uint8_t *at, bool is_restored, uint8_t **end)
{
	struct counts counts = { sent, replied, waiting_count, { threads[0].mail_count, threads[1].mail_count } };
	uint8_t *hashed;

	at = copy(at, &counts, sizeof counts, is_restored);
	sent = counts.sent;
	replied = counts.replied;
	waiting_count = counts.waiting_count;
	at = copy(at, waiting, waiting_count * sizeof *waiting, is_restored);
	for (unsigned i = 0; i < SHARDS; i++) {
		struct fiber *fiber = &fibers[i];

		threads[i].mail_count = counts.mail_count[i];
		at = copy(at, &kernels[i], offsetof(struct kernel, sqes), is_restored);
		at = copy(at, kernels[i].sqes, kernels[i].sq_tail * sizeof(struct io_uring_sqe), is_restored);
		at = copy(at, &fiber->top, sizeof fiber->top, is_restored);
		at = copy(at, fiber->top, (size_t)(fiber->stack + sizeof fiber->stack - fiber->top), is_restored);
	}
	hashed = at;
	for (unsigned i = 0; i < SHARDS; i++) {
		at = copy(at, fibers[i].top - MARGIN, MARGIN, is_restored);
		at = copy(at, &fibers[i].context, sizeof fibers[i].context, is_restored);
	}
	*end = at;
	return hashed;
}

// state(at: Int32Array, whether to put it back, lengths: Uint32Array): how many words decide the state, and how many
// there are.
static napi_value state(napi_env env, napi_callback_info info)
{
	napi_value args[3];
	size_t count = 3;
	uint8_t *at, *end, *hashed;
	uint32_t *lengths;
	bool is_restored;

	napi_get_cb_info(env, info, &count, args, NULL, NULL);
	at = array_of(env, args[0]);
	napi_get_value_bool(env, args[1], &is_restored);
	hashed = move_state(at, is_restored, &end);
	lengths = array_of(env, args[2]);
	lengths[0] = (uint32_t)(hashed - at) / 4;
	lengths[1] = (uint32_t)(end - at) / 4;
	return NULL;
}

// counts(out: Float64Array): calls that were sent, that were replied to, and replies that wait for room. Returns the
// reason of die().
static napi_value get_counts(napi_env env, napi_callback_info info)
{
	napi_value args[1], text = NULL;
	size_t count = 1;
	double *out;

	napi_get_cb_info(env, info, &count, args, NULL, NULL);
	out = array_of(env, args[0]);
	out[0] = (double)sent;
	out[1] = (double)replied;
	out[2] = waiting_count;
	napi_create_string_utf8(env, reason ? reason : "", NAPI_AUTO_LENGTH, &text);
	return text;
}

NAPI_MODULE_INIT()
{
	static const struct {
		const char *name;
		napi_callback callback;
	} functions[] = { { "begin", begin }, { "step", step }, { "state", state }, { "counts", get_counts } };

	for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
		napi_value function;

		napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].callback, NULL, &function);
		napi_set_named_property(env, exports, functions[i].name, function);
	}
	return exports;
}
