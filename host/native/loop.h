/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The inverted loop: io_uring_enter in the place where libuv would wait. */
#pragma once

#include <node_api.h>
#include "ring.h"

struct uv_handle {
	void *data; /* the first field of every libuv handle */
};

struct loop {
	struct ring *ring;
	napi_env env;
	napi_ref turn, receiver;
	napi_async_context context;
	void *uv;
	struct uv_handle *prepare, *idle;
	struct uv_handle *timer; /* loop_watch() */
	bool running, poll_armed;
	double gap_ns, span_ns, batch, waited_ns; /* see should_poll() */
	void (*on_look)(struct loop *loop);
	void (*on_closed)(struct loop *loop);
	int open_handles;
};

/* Whether the process has a libuv whose loop can be sat in. */
bool loop_has_libuv(void);
/* 0, or -errno: -ENOTSUP where the process has no libuv to sit in. */
int loop_start(struct loop *loop, napi_env env, struct ring *ring, napi_value turn);
void loop_stop(struct loop *loop);
void loop_ref(struct loop *loop, bool on);
/* Calls on_look again and again until loop_close(), and keeps no program alive. False: the loop was never started. */
bool loop_watch(struct loop *loop, void (*on_look)(struct loop *loop));
/* From now on it keeps the loop alive. */
void loop_wait_for(struct loop *loop);
/* Closes the handles; calls on_closed when libuv has let go of them. */
void loop_close(struct loop *loop, void (*on_closed)(struct loop *loop));
/* One enter of a host that has its own loop: waits at most timeout_ns if there is nothing to do. */
void loop_wait(struct ring *ring, double timeout_ns);
void loop_enter(struct ring *ring);
