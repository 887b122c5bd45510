// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The inverted loop. libuv goes round: timers, ..., prepare, poll, ... Our prepare handle waits in io_uring_enter, and
// libuv's own descriptor is one of the things that it waits for (POLL_ADD on uv_backend_fd). When libuv has something
// to do, we leave; an active idle handle makes its own poll return at once. Timers, fs, ports, terminate(): all work.
//
// Public libuv API only, looked up at run time: the same file loads where there is no libuv (Bun, Deno).
//
// Sleep and wake: park.h. A sender that sees sleeping == 1 puts a doorbell into our ring.
//
// Next: addon.c.
#include <dlfcn.h>
#include <poll.h>
#include <stdlib.h>
#include "loop.h"
#include "park.h"

static struct {
	size_t (*handle_size)(int type);
	int (*backend_fd)(const void *loop);
	int (*backend_timeout)(const void *loop);
	void (*update_time)(void *loop);
	int (*prepare_init)(void *loop, void *handle);
	int (*prepare_start)(void *handle, void *callback);
	int (*prepare_stop)(void *handle);
	int (*idle_init)(void *loop, void *handle);
	int (*idle_start)(void *handle, void *callback);
	int (*idle_stop)(void *handle);
	int (*timer_init)(void *loop, void *handle);
	int (*timer_start)(void *handle, void *callback, uint64_t timeout_ms, uint64_t repeat_ms);
	void (*close)(void *handle, void *callback);
	void (*ref)(void *handle);
	void (*unref)(void *handle);
} uv;

#define LOOK_MS 50 /* between two looks whether what could not be cancelled has ended */

enum { UV_IDLE = 6, UV_PREPARE = 9, UV_TIMER = 13 }; /* uv_handle_type; fixed by libuv's ABI since 1.0 */

static bool find(void *slot, const char *name)
{
	return (*(void **)slot = dlsym(RTLD_DEFAULT, name)) != NULL;
}

bool loop_has_libuv(void)
{
	return find(&uv.handle_size, "uv_handle_size") && find(&uv.backend_fd, "uv_backend_fd") &&
	       find(&uv.backend_timeout, "uv_backend_timeout") && find(&uv.update_time, "uv_update_time") &&
	       find(&uv.prepare_init, "uv_prepare_init") && find(&uv.prepare_start, "uv_prepare_start") &&
	       find(&uv.prepare_stop, "uv_prepare_stop") && find(&uv.idle_init, "uv_idle_init") &&
	       find(&uv.timer_init, "uv_timer_init") && find(&uv.timer_start, "uv_timer_start") &&
	       find(&uv.idle_start, "uv_idle_start") && find(&uv.idle_stop, "uv_idle_stop") &&
	       find(&uv.close, "uv_close") && find(&uv.ref, "uv_ref") && find(&uv.unref, "uv_unref");
}

// --- waiting ---------------------------------------------------------------------------------------------------------

static int enter(struct ring *ring, unsigned wait, double timeout_ns)
{
	ring->control->enter_count++;
	return ring_enter(ring, wait, timeout_ns);
}

// Submits what is staged, and lets the kernel finish what it has begun. If there is neither, two loads tell: a shard
// that lives on its peers' mail makes no system call.
static int enter_if_wanted(struct ring *ring)
{
	return ring_wants_enter(ring) ? enter(ring, 0, 0) : 0;
}

// --- idle time -------------------------------------------------------------------------------------------------------
//
// How long the shard has had nothing to do. libuv does not see it, because to libuv we are a callback that runs. So
// Node would call an idle shard busy, and host/hosts/utilization.ts corrects it. Polling is waiting, so it counts.
// An enter that sleeps also submits, and that may be most of a busy shard's work: the thread's CPU time in it does not
// count. That clock costs a system call, so every 64th sleep is measured, and the next 63 are taken to be like it.
//
// control->idle_ns is the total, or, while the shard sleeps or polls, the total less the moment at which it began to.
// That is below zero, and a reader in another thread adds the present time.

#define CPU_SAMPLE 64

static void count_idle(struct ring *ring, double idle_ns)
{
	ring->idle_ns += idle_ns;
	ring->control->idle_ns = ring->idle_ns;
}

// The sleep is over. The kernel's work meanwhile is subtracted. If it is more than the sleep, the rest is subtracted
// from the next sleeps.
static void count_sleep(struct ring *ring, double now_ns)
{
	double slept_ns = now_ns - ring->idle_from_ns;
	double cpu_ns = ring->owed_cpu_ns + ring->sleep_cpu_ns;
	double worked_ns = cpu_ns < slept_ns ? cpu_ns : slept_ns;

	ring->idle_from_ns = 0;
	ring->owed_cpu_ns = cpu_ns - worked_ns;
	count_idle(ring, slept_ns - worked_ns);
}

// Looks at ring and mail in user space, without a system call, for at most poll_ns. True: something came.
static bool poll_ring(struct ring *ring, double poll_ns)
{
	double begin = monotonic_ns(), now = begin;

	ring->control->idle_ns = ring->idle_ns - begin;
	do {
		for (int i = 0; i < 16; i++) {
			if (ring_wants_enter(ring) || ring_has_completions(ring) ||
			    park_is_dirty(ring->control)) {
				count_idle(ring, now - begin); // up to the last look at the clock
				return true;
			}
#if defined(__x86_64__)
			__builtin_ia32_pause();
#elif defined(__aarch64__)
			__asm__ volatile("yield");
#endif
		}
		now = monotonic_ns();
	} while (now < begin + poll_ns);
	count_idle(ring, now - begin);
	return false;
}

// One enter that waits if there is nothing to do. The staged submissions go with it. look_at_clock() has to follow.
// Things that end the wait: a completion (a doorbell is one, and so is the poll of libuv's descriptor), timeout_ns, a
// signal.
static int sleep_in_kernel(struct ring *ring, double timeout_ns)
{
	volatile struct featherstar_control *control = ring->control;
	bool is_measured;
	double cpu_ns;
	int result;

	if (!park_try_sleep(control))
		return enter_if_wanted(ring);
	is_measured = ring->sleeps++ % CPU_SAMPLE == 0;
	cpu_ns = is_measured ? clock_ns(CLOCK_THREAD_CPUTIME_ID) : 0;
	ring->idle_from_ns = monotonic_ns();
	control->idle_ns = ring->idle_ns - ring->idle_from_ns;
	result = enter(ring, 1, timeout_ns);
	park_awake(control);
	if (is_measured)
		ring->sleep_cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	control->sleep_count++;
	return result;
}

// After an enter: what time it is, and how long the sleep was if it slept.
static void look_at_clock(struct ring *ring)
{
	ring->control->now_ns = monotonic_ns();
	if (ring->idle_from_ns != 0)
		count_sleep(ring, ring->control->now_ns);
}

void loop_enter(struct ring *ring)
{
	ring_stage(ring);
	ring->control->enter_result = enter_if_wanted(ring);
	ring->control->now_ns = monotonic_ns();
	ring_reap(ring);
}

void loop_wait(struct ring *ring, double timeout_ns)
{
	ring_stage(ring);
	if (timeout_ns > 0 && !ring_has_completions(ring))
		ring->control->enter_result = sleep_in_kernel(ring, timeout_ns);
	else
		ring->control->enter_result = enter_if_wanted(ring);
	look_at_clock(ring);
	ring_reap(ring);
}

// Polling before a sleep pays while work comes sooner than a sleep and a wake-up would take, and latency matters. If
// completions come closer together than BUSY_NS, sleeping gathers several of them per system call. Polling would take
// them one by one, at a fifth more CPU each (RATIONALE.md, "Why poll before sleeping").
#define AVERAGE 32.0 /* of about so many waits */
#define BUSY_NS 13e3

// A shard that has just woken a peer for a call of its own polls in any case. The reply takes about one wake-up, and
// sleeping meanwhile would cost a second one.
static bool should_poll(const struct loop *loop, double poll_ns)
{
	struct ring *ring = loop->ring;
	bool awaits_answer = ring->rang && ring->control->open_calls;

	ring->rang = false;
	if (awaits_answer && poll_ns > 0)
		return true;
	return poll_ns > 0 && loop->gap_ns < 2 * poll_ns && loop->span_ns > BUSY_NS * loop->batch;
}

static double at_most(double value, double limit)
{
	return value < limit ? value : limit;
}

// After a wait: how long it took, how long it and the turn before it took, and what it brought. Long times count as
// 4 * poll_ns, so that a pause is forgotten as fast as it was learnt.
static void learn(struct loop *loop, double poll_ns, double now_ns, double gap_ns, unsigned completions)
{
	double limit = 4 * poll_ns;

	loop->gap_ns += (at_most(gap_ns, limit) - loop->gap_ns) / AVERAGE;
	loop->span_ns += (at_most(now_ns - loop->waited_ns, limit) - loop->span_ns) / AVERAGE;
	loop->batch += ((double)completions - loop->batch) / AVERAGE;
	loop->waited_ns = now_ns;
}

// --- libuv -----------------------------------------------------------------------------------------------------------

static void watch_libuv(struct loop *loop)
{
	struct io_uring_sqe *sqe = ring_next_sqe(loop->ring);

	if (!sqe)
		return; // the next round tries again
	__builtin_memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = uv.backend_fd(loop->uv);
	sqe->poll32_events = POLLIN;
	sqe->user_data = TAG_UV_POLL;
	loop->poll_armed = true;
}

// False: JavaScript cannot run any more, or threw; libuv is to go on.
static bool call_turn(struct loop *loop)
{
	napi_value turn, receiver, result, error;
	napi_handle_scope scope; // one per turn: the loop may go round for hours before it leaves
	bool ok, pending = false;

	if (napi_open_handle_scope(loop->env, &scope) != napi_ok)
		return false;
	ok = napi_get_reference_value(loop->env, loop->turn, &turn) == napi_ok &&
	     napi_get_reference_value(loop->env, loop->receiver, &receiver) == napi_ok &&
	     napi_make_callback(loop->env, loop->context, receiver, turn, 0, NULL, &result) == napi_ok;
	if (!ok) {
		napi_is_exception_pending(loop->env, &pending);
		if (pending && napi_get_and_clear_last_exception(loop->env, &error) == napi_ok)
			napi_fatal_exception(loop->env, error); // 'uncaughtException', or the worker's 'error'
	}
	napi_close_handle_scope(loop->env, scope);
	return ok;
}

// The earlier of libuv's timeout (ms, -1 = none) and the wheel's deadline, from now; -1 = none.
static double bound(struct ring *ring, int uv_timeout_ms, double now)
{
	double deadline = ring->control->next_deadline_ns;
	double bound_ns = uv_timeout_ms < 0 ? -1 : uv_timeout_ms * 1e6;

	if (deadline < 1e300) {
		double left = deadline > now ? deadline - now : 0;

		if (bound_ns < 0 || left < bound_ns)
			bound_ns = left;
	}
	return bound_ns;
}

// Enters once: submits, waits as long as it may, reaps.
static void enter_once(struct loop *loop, bool may_wait, double bound_ns)
{
	struct ring *ring = loop->ring;
	volatile struct featherstar_control *control = ring->control;
	double start = monotonic_ns();
	bool polled = false;

	ring_stage(ring);
	may_wait = may_wait && bound_ns != 0 && !control->submit_count && !ring_has_completions(ring);
	if (may_wait && should_poll(loop, control->idle_poll_ns)) {
		double poll_ns = control->idle_poll_ns;

		if (bound_ns > 0 && bound_ns < poll_ns)
			poll_ns = bound_ns;
		control->enter_result = enter_if_wanted(ring);
		polled = ring_has_completions(ring) || poll_ring(ring, poll_ns);
		if (bound_ns > 0) { // what is left of it
			double left = start + bound_ns - monotonic_ns();

			bound_ns = left > 0 ? left : 0;
		}
	}
	if (polled || !may_wait)
		control->enter_result = enter_if_wanted(ring);
	else
		control->enter_result = sleep_in_kernel(ring, bound_ns);
	if (polled)
		control->poll_count++;
	look_at_clock(ring);
	// A turn that threw may have left it. If the core has kept its window, it must know that this enter adds nothing.
	if (!control->completion_count)
		control->submit_only = 0;
	ring_reap(ring);
	if (may_wait)
		learn(loop, control->idle_poll_ns, control->now_ns, control->now_ns - start, control->completion_count);
}

static void on_prepare(struct uv_handle *handle)
{
	struct loop *loop = handle->data;
	struct ring *ring = loop->ring;

	if (!loop->running)
		return;
	uv.idle_stop(loop->idle); // while it is active, uv_backend_timeout() is 0
	for (;;) {
		uv.update_time(loop->uv);
		int timeout = uv.backend_timeout(loop->uv); // 0: libuv has something to do now
		bool leave = timeout == 0;

		if (!loop->poll_armed)
			watch_libuv(loop);
		enter_once(loop, !leave && !park_has_work(ring->control), bound(ring, timeout, monotonic_ns()));
		if (ring->uv_poll_fired) {
			ring->uv_poll_fired = false;
			loop->poll_armed = false;
			leave = true;
		}
		if (park_wants_turn(ring->control) && !call_turn(loop))
			break;
		if (leave || !loop->running || ring->control->completion_count) // a turn that took nothing must not starve libuv
			break;
	}
	if (loop->running) {
		if (ring->control->submit_count) { // what the last turn staged must not wait for libuv
			ring_stage(ring);
			enter_if_wanted(ring);
			ring->control->now_ns = monotonic_ns();
		}
		uv.idle_start(loop->idle, (void *)uv.idle_stop); // libuv's own poll does not wait
	}
}

int loop_start(struct loop *loop, napi_env env, struct ring *ring, napi_value turn)
{
	napi_value receiver, name;

	if (!loop_has_libuv() || napi_get_uv_event_loop(env, (void *)&loop->uv) != napi_ok || !loop->uv)
		return -ENOTSUP;
	loop->env = env;
	loop->ring = ring;
	loop->gap_ns = 1e6; // polls only after it has seen that work comes fast
	loop->batch = 1;
	loop->prepare = calloc(1, uv.handle_size(UV_PREPARE));
	loop->idle = calloc(1, uv.handle_size(UV_IDLE));
	if (!loop->prepare || !loop->idle) {
		free(loop->prepare);
		free(loop->idle);
		return -ENOMEM;
	}
	napi_create_object(env, &receiver);
	napi_create_reference(env, receiver, 1, &loop->receiver);
	napi_create_reference(env, turn, 1, &loop->turn);
	napi_create_string_utf8(env, "featherstar", NAPI_AUTO_LENGTH, &name);
	napi_async_init(env, receiver, name, &loop->context);
	uv.prepare_init(loop->uv, loop->prepare);
	uv.idle_init(loop->uv, loop->idle);
	loop->prepare->data = loop;
	loop->idle->data = loop;
	loop->open_handles = 2;
	loop->running = true;
	return uv.prepare_start(loop->prepare, (void *)on_prepare);
}

void loop_stop(struct loop *loop)
{
	if (!loop->running)
		return;
	loop->running = false;
	uv.prepare_stop(loop->prepare);
	uv.idle_stop(loop->idle);
}

void loop_ref(struct loop *loop, bool on)
{
	if (!loop->running)
		return;
	if (on) {
		uv.ref(loop->prepare);
		uv.ref(loop->idle);
	} else {
		uv.unref(loop->prepare);
		uv.unref(loop->idle);
	}
}

static void on_handle_closed(struct uv_handle *handle)
{
	struct loop *loop = handle->data;

	free(handle);
	if (--loop->open_handles)
		return;
	napi_delete_reference(loop->env, loop->turn); // it may hold the ring, which must be collected some day
	napi_delete_reference(loop->env, loop->receiver);
	napi_async_destroy(loop->env, loop->context);
	loop->on_closed(loop);
}

static void on_timer(struct uv_handle *handle)
{
	struct loop *loop = handle->data;

	loop->on_look(loop);
}

bool loop_watch(struct loop *loop, void (*on_look)(struct loop *loop))
{
	if (!loop->open_handles)
		return false;
	loop->timer = calloc(1, uv.handle_size(UV_TIMER));
	if (!loop->timer)
		return false;
	uv.timer_init(loop->uv, loop->timer);
	uv.timer_start(loop->timer, (void *)on_timer, LOOK_MS, LOOK_MS);
	uv.unref(loop->timer);
	loop->timer->data = loop;
	loop->open_handles++;
	loop->on_look = on_look;
	return true;
}

void loop_wait_for(struct loop *loop)
{
	if (loop->timer)
		uv.ref(loop->timer);
}

void loop_close(struct loop *loop, void (*on_closed)(struct loop *loop))
{
	loop->on_closed = on_closed;
	if (!loop->open_handles) {
		on_closed(loop);
		return;
	}
	loop_stop(loop);
	uv.close(loop->prepare, (void *)on_handle_closed);
	uv.close(loop->idle, (void *)on_handle_closed);
	if (loop->timer)
		uv.close(loop->timer, (void *)on_handle_closed);
}
