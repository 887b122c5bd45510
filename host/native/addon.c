// SPDX-License-Identifier: MIT OR Apache-2.0
//
// The surface towards JavaScript: probe(), open() -> ring, and what a ring can do. Nothing here is on the hot path but
// Enter, which takes and returns nothing. Errors of the kernel are negative numbers, as in C; misuse throws.
//
// A ring's memory lives until its JavaScript object is collected and libuv has let go of its handles.
#include <stdlib.h>
#include <string.h>
#ifdef FEATHERSTAR_TEST
#include "fuzz.h"
#endif
#include "lent.h"
#include "listen.h"
#include "loop.h"
#include "napi.h"
#include "options.h"

#define CANCEL_NS 50e6 /* for what was cancelled to end */

struct binding {
	struct ring ring;
	struct loop loop;
	napi_env env;
	napi_ref memory[REGIONS]; // the kernel writes there until the ring is closed
	struct lent senders, receivers;
	napi_async_cleanup_hook_handle cleanup;
	bool running; // something that could not be cancelled when it was closed, and has not ended yet
	bool open, watched, collected, handles_gone, ending;
};

// The errors that setting up a ring can fail with. Others, which have not been seen here yet, are shown as their
// number.
static const char *error_name(int error)
{
	switch (-error) {
	case EPERM: // seccomp, or kernel.io_uring_disabled
		return "EPERM";
	case EACCES:
		return "EACCES";
	case ENOSYS:
		return "ENOSYS";
	case EINVAL: // older than 6.0
		return "EINVAL";
	case ENOMEM: // RLIMIT_MEMLOCK
		return "ENOMEM";
	case EMFILE:
		return "EMFILE";
	case ENFILE:
		return "ENFILE";
	case EOPNOTSUPP:
		return "EOPNOTSUPP";
	default:
		return "ERR_SYSTEM";
	}
}

static napi_value throw_system(napi_env env, const char *syscall_name, int error)
{
	napi_value object;

	napi_create_error(env, string(env, error_name(error)), string(env, syscall_name), &object);
	set(env, object, "errno", number(env, error));
	set(env, object, "syscall", string(env, syscall_name));
	napi_throw(env, object);
	return NULL;
}

// --- life ------------------------------------------------------------------------------------------------------------

static void forget_lent(struct binding *binding)
{
	lent_forget(&binding->senders);
	lent_forget(&binding->receivers);
}

static void free_if_done(struct binding *binding)
{
	if (!binding->collected || !binding->handles_gone)
		return;
	for (int i = 0; i < REGIONS; i++)
		napi_delete_reference(binding->env, binding->memory[i]);
	forget_lent(binding);
	free(binding);
}

static void on_end(void *data);

static void on_handles_gone(struct loop *loop)
{
	struct binding *binding = (struct binding *)((char *)loop - offsetof(struct binding, loop));

	binding->handles_gone = true;
	if (binding->cleanup)
		napi_remove_async_cleanup_hook(binding->cleanup);
	else if (!binding->ending)
		napi_remove_env_cleanup_hook(binding->env, on_end, binding);
	binding->cleanup = NULL;
	free_if_done(binding);
}

static void finish(struct binding *binding)
{
	binding->running = false;
	ring_close(&binding->ring);
	loop_close(&binding->loop, on_handles_gone);
}

static void on_look(struct loop *loop)
{
	struct binding *binding = (struct binding *)((char *)loop - offsetof(struct binding, loop));

	if (!ring_cancel(&binding->ring, 0))
		finish(binding);
}

// An operation that cannot be cancelled is waited for, without blocking. Until it has ended, the ring and the memory
// stay.
static void shut(struct binding *binding)
{
	if (!binding->open)
		return;
	binding->open = false;
	loop_stop(&binding->loop);
	binding->running = ring_cancel(&binding->ring, CANCEL_NS);
	if (!binding->running) {
		finish(binding);
		return;
	}
	ring_drop_files(&binding->ring);
	binding->watched = loop_watch(&binding->loop, on_look);
}

// The environment ends, and what it gives back is not to be written any more. Where libuv can look again and again, it
// does: the thread that waits for the end of this one is not held up.
static void wait_for_end(struct binding *binding)
{
	if (binding->watched) {
		loop_wait_for(&binding->loop);
		return;
	}
	while (ring_cancel(&binding->ring, 1e9))
		;
	finish(binding);
}

// The environment ends, in order or by terminate(): in this ring's own thread.
static void on_cleanup(napi_async_cleanup_hook_handle handle, void *data)
{
	struct binding *binding = data;

	if (binding->open)
		shut(binding);
	else if (binding->handles_gone)
		napi_remove_async_cleanup_hook(handle);
	if (binding->running)
		wait_for_end(binding);
}

// The end where there is no libuv, and so nothing that takes its time.
static void on_end(void *data)
{
	struct binding *binding = data;

	binding->ending = true;
	shut(binding);
	if (binding->running)
		wait_for_end(binding);
}

static void on_collected(napi_env env, void *data, void *hint)
{
	struct binding *binding = data;

	(void)env;
	(void)hint;
	binding->collected = true;
	if (binding->open)
		shut(binding); // frees it: when its handles are gone, which without libuv is now
	else
		free_if_done(binding);
}

// Marks our objects: another addon wraps its own, and a pointer that is unwrapped says nothing of its type.
static const napi_type_tag ring_tag = { 0x6665617468657273, 0x9d3f4f0c7a1b52e6 };

// The ring that `this` is; NULL with an exception pending if it is none.
static struct binding *unwrap(napi_env env, napi_value self)
{
	struct binding *binding = NULL;
	bool is_ring = false;

	if (napi_check_object_type_tag(env, self, &ring_tag, &is_ring) == napi_ok && is_ring &&
	    napi_unwrap(env, self, (void **)&binding) == napi_ok && binding)
		return binding;
	napi_throw_type_error(env, "ERR_INVALID_THIS", "not a ring");
	return NULL;
}

// The ring that a method was called on; NULL with an exception pending if there is none, or it is closed.
static struct binding *receiver(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv)
{
	struct binding *binding;
	napi_value self;

	napi_get_cb_info(env, info, argc, argv, &self, NULL);
	binding = unwrap(env, self);
	if (!binding)
		return NULL;
	if (!binding->open) {
		napi_throw_error(env, "ERR_RING_CLOSED", "the ring is closed");
		return NULL;
	}
	return binding;
}

#define RECEIVER(count)                                                         \
	size_t argc = (count);                                                  \
	napi_value argv[(count) ? (count) : 1];                                 \
	struct binding *binding = receiver(env, info, &argc, argv);             \
	if (!binding)                                                           \
		return NULL;                                                    \
	if ((int)argc < (count))                                                \
		return napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments"), NULL

// --- methods of a ring -----------------------------------------------------------------------------------------------

static napi_value Enter(napi_env env, napi_callback_info info)
{
	struct binding *binding;

	napi_get_cb_info(env, info, NULL, NULL, NULL, (void **)&binding);
	if (!binding->open)
		return napi_throw_error(env, "ERR_RING_CLOSED", "the ring is closed"), NULL;
	loop_enter(&binding->ring);
	return NULL;
}

static napi_value Wait(napi_env env, napi_callback_info info)
{
	RECEIVER(1);
	loop_wait(&binding->ring, number_arg(env, argv[0]));
	return NULL;
}

static napi_value Start(napi_env env, napi_callback_info info)
{
	napi_valuetype type;
	RECEIVER(1);
	if (napi_typeof(env, argv[0], &type) != napi_ok || type != napi_function)
		return napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "start(turn: function)"), NULL;
	if (binding->loop.open_handles)
		return number(env, -EALREADY);
	return number(env, loop_start(&binding->loop, env, &binding->ring, argv[0]));
}

static napi_value Stop(napi_env env, napi_callback_info info)
{
	RECEIVER(0);
	loop_stop(&binding->loop);
	return NULL;
}

static napi_value Ref(napi_env env, napi_callback_info info)
{
	RECEIVER(0);
	loop_ref(&binding->loop, true);
	return NULL;
}

static napi_value Unref(napi_env env, napi_callback_info info)
{
	RECEIVER(0);
	loop_ref(&binding->loop, false);
	return NULL;
}

// close() -> whether something runs on that cannot be cancelled; the ring and its memory live as long.
static napi_value Close(napi_env env, napi_callback_info info)
{
	struct binding *binding;
	napi_value self;
	size_t argc = 0;

	napi_get_cb_info(env, info, &argc, NULL, &self, NULL);
	binding = unwrap(env, self);
	if (!binding)
		return NULL;
	shut(binding);
	napi_get_boolean(env, binding->running, &self);
	return self;
}

static napi_value SetPeer(napi_env env, napi_callback_info info)
{
	int peer, fd;
	RECEIVER(2);
	if (!int_arg(env, argv[0], &peer) || !int_arg(env, argv[1], &fd))
		return NULL;
	return number(env, ring_set_peer(&binding->ring, (unsigned)peer, fd));
}

// listen(address, port, backlog, flags, unreachableMs = 0) -> { slot, port, address } or { errno, syscall }
static napi_value Listen(napi_env env, napi_callback_info info)
{
	size_t argc = 5;
	napi_value argv[5];
	struct binding *binding = receiver(env, info, &argc, argv);

	if (!binding)
		return NULL;
	if (argc < 4)
		return napi_throw_type_error(env, "ERR_MISSING_ARGS", "too few arguments"), NULL;
	char text[LISTEN_ADDRESS_MAX] = "";
	const char *what = "inet_pton";
	napi_value result;
	size_t length = 0;
	int port, backlog, flags, fd, slot, unreachable_ms = 0;

	if (!int_arg(env, argv[1], &port) || !int_arg(env, argv[2], &backlog) || !int_arg(env, argv[3], &flags))
		return NULL;
	if (argc > 4 && !int_arg(env, argv[4], &unreachable_ms))
		return NULL;
	napi_get_value_string_utf8(env, argv[0], text, sizeof(text), &length);
	napi_create_object(env, &result);
	fd = -EINVAL;
	if (strlen(text) == length) // no NUL may hide what follows it
		fd = listen_open(text, &port, backlog, (unsigned)flags, unreachable_ms, &what);
	slot = fd;
	if (fd >= 0) {
		what = "io_uring_register";
		slot = flags & LISTEN_LOOK ? 0 : ring_grant(&binding->ring, fd);
		listen_address(fd, text);
		if (slot >= 0 && !(flags & (LISTEN_GIVEN | LISTEN_DATAGRAMS)))
			ring_keep_listener(&binding->ring, (unsigned)slot, fd);
		else
			close(fd); // the ring has its own
	}
	if (slot < 0) {
		set(env, result, "errno", number(env, slot));
		set(env, result, "syscall", string(env, what));
	} else {
		set(env, result, "slot", number(env, slot));
		set(env, result, "port", number(env, port));
		set(env, result, "address", string(env, text));
	}
	return result;
}

// endHandshakes(slot): of a listener that listen() has opened. 0, or 1 if connections that come now need hearAll(); or
// -errno.
static napi_value EndHandshakes(napi_env env, napi_callback_info info)
{
	RECEIVER(1);
	int slot;

	if (!int_arg(env, argv[0], &slot))
		return NULL;
	if (slot < 0 || slot >= GRANTS_MAX || binding->ring.listeners[slot] < 0)
		return number(env, -EBADF);
	int fd = binding->ring.listeners[slot], error = listen_end_handshakes(fd);

	// The listener itself shows whether a connection can be made to hear again: it needs Linux 6.8.
	if (error != -EPERM || address_hear_all(&binding->ring, slot))
		return number(env, error);
	error = listen_min_hops(fd, HOPS_MAX);
	return number(env, error ? error : 1);
}

// hearAll(slot): of a connection. 0 or -errno; see address_hear_all().
static napi_value HearAll(napi_env env, napi_callback_info info)
{
	RECEIVER(1);
	int slot;

	return int_arg(env, argv[0], &slot) ? number(env, address_hear_all(&binding->ring, (unsigned)slot)) : NULL;
}

// setSocketPath(index, path or undefined): where a CONNECT that names the index goes. 0 or -errno.
static napi_value SetSocketPath(napi_env env, napi_callback_info info)
{
	RECEIVER(2);
	char path[256];
	size_t length = 0;
	int index;

	if (!int_arg(env, argv[0], &index))
		return NULL;
	if (napi_get_value_string_utf8(env, argv[1], path, sizeof(path), &length) != napi_ok)
		return number(env, address_set_path(&binding->ring, (unsigned)index, NULL));
	return number(env, strlen(path) == length ? address_set_path(&binding->ring, (unsigned)index, path) : -EINVAL);
}

// address(slot, which, bytes): writes the sockaddr of one end of a connection into a Uint8Array. `which` 0: of the own
// end, 1: of the peer. Its length, 0 if there is none, or -errno.
static napi_value Address(napi_env env, napi_callback_info info)
{
	RECEIVER(3);
	size_t room = 0;
	void *at = NULL;
	int slot, which, bytes;

	if (!int_arg(env, argv[0], &slot) || !int_arg(env, argv[1], &which))
		return NULL;
	if (napi_get_typedarray_info(env, argv[2], NULL, &room, &at, NULL, NULL) != napi_ok || room < ADDRESS_BYTES)
		return napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "address(slot, which, Uint8Array of 128)"), NULL;
	bytes = which ? address_of_peer(&binding->ring, (unsigned)slot) : address_of_local(&binding->ring, (unsigned)slot);
	if (bytes > 0)
		memcpy(at, binding->ring.asked, (size_t)bytes);
	return number(env, bytes);
}

// keepAlive(slot, seconds): 0 or -errno; see address_keep_alive().
static napi_value KeepAlive(napi_env env, napi_callback_info info)
{
	RECEIVER(2);
	int slot, idle_s;

	if (!int_arg(env, argv[0], &slot) || !int_arg(env, argv[1], &idle_s))
		return NULL;
	return number(env, address_keep_alive(&binding->ring, (unsigned)slot, idle_s));
}

// openDirectory(path, parent or -1, whether mounts may be crossed: 0 or 1) -> index or -errno
static napi_value OpenDirectory(napi_env env, napi_callback_info info)
{
	RECEIVER(3);
	char path[4096];
	size_t length = 0;
	int parent, crosses;

	if (!int_arg(env, argv[1], &parent) || !int_arg(env, argv[2], &crosses))
		return NULL;
	if (napi_get_value_string_utf8(env, argv[0], path, sizeof(path), &length) != napi_ok)
		return napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "not a string"), NULL;
	if (length >= sizeof(path) - 1)
		return number(env, -ENAMETOOLONG);
	if (strlen(path) != length) // no NUL may hide what follows it
		return number(env, -EINVAL);
	return number(env, directory_open(&binding->ring, path, parent, crosses == 1));
}

static napi_value CloseDirectory(napi_env env, napi_callback_info info)
{
	int index;
	RECEIVER(1);
	return int_arg(env, argv[0], &index) ? number(env, directory_close(&binding->ring, (unsigned)index)) : NULL;
}

// directoryFd(index): for what io_uring cannot do. It is the ring's: do not close it.
static napi_value DirectoryFd(napi_env env, napi_callback_info info)
{
	int index;
	RECEIVER(1);
	return int_arg(env, argv[0], &index) ? number(env, directory_fd(&binding->ring, (unsigned)index)) : NULL;
}

// --- the addon -------------------------------------------------------------------------------------------------------

static napi_value Probe(napi_env env, napi_callback_info info)
{
	(void)info;
	return number(env, ring_probe());
}

static napi_value MonotonicNs(napi_env env, napi_callback_info info)
{
	(void)info;
	return number(env, monotonic_ns());
}

static napi_value describe(napi_env env, struct binding *binding)
{
	napi_property_descriptor keep = { .utf8name = "ring", .attributes = napi_default };
	napi_value object;

	napi_create_object(env, &object);
	keep.value = object; // who holds enter alone holds the ring too, and cannot let go of it
	napi_define_properties(env, add(env, object, "enter", Enter, binding), 1, &keep);
	add(env, object, "wait", Wait, NULL);
	add(env, object, "start", Start, NULL);
	add(env, object, "stop", Stop, NULL);
	add(env, object, "ref", Ref, NULL);
	add(env, object, "unref", Unref, NULL);
	add(env, object, "close", Close, NULL);
	add(env, object, "listen", Listen, NULL);
	add(env, object, "endHandshakes", EndHandshakes, NULL);
	add(env, object, "hearAll", HearAll, NULL);
	add(env, object, "setPeer", SetPeer, NULL);
	add(env, object, "setSocketPath", SetSocketPath, NULL);
	add(env, object, "address", Address, NULL);
	add(env, object, "keepAlive", KeepAlive, NULL);
	add(env, object, "openDirectory", OpenDirectory, NULL);
	add(env, object, "closeDirectory", CloseDirectory, NULL);
	add(env, object, "directoryFd", DirectoryFd, NULL);
	set(env, object, "fd", number(env, binding->ring.fd));
	set(env, object, "flags", number(env, binding->ring.setup_flags));
	set(env, object, "features", number(env, binding->ring.features));
	set(env, object, "fileSlots", number(env, binding->ring.file_slots));
	return object;
}

// open(memory, blocks, options, rules, lent, targets) -> ring. `memory`, `blocks`: Uint8Arrays; `blocks` may be empty.
// `lent`, `targets`: arrays of rows (lent.c); without them no bytes are lent, to send or to receive into.
static napi_value Open(napi_env env, napi_callback_info info)
{
	size_t argc = 6;
	napi_value argv[6], object;
	struct ring_options options = { 0 };
	struct binding *binding;
	const char *what = "";
	int error;

	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	if (argc < 3 || !options_region(env, argv[0], options.regions) ||
	    !options_region(env, argv[1], options.regions + BLOCKS))
		return napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "open(memory, blocks: Uint8Array, options)"), NULL;
	if (!options_limits(env, argv[2], &options))
		return NULL;
	if (!options_rules(env, argv[3], &options))
		return napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "rules: a Uint8Array, or undefined"), NULL;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		return throw_system(env, "calloc", -ENOMEM);
	binding->env = env;
	options.senders = lent_from(&binding->senders, env, argv[4]);
	options.receivers = lent_from(&binding->receivers, env, argv[5]);
	error = ring_open(&binding->ring, &options, &what);
	if (error) {
		forget_lent(binding);
		free(binding);
		return throw_system(env, what, error);
	}
	binding->open = true;
	binding->loop.ring = &binding->ring;
	for (int i = 0; i < REGIONS; i++)
		napi_create_reference(env, argv[i], 1, &binding->memory[i]);
	object = describe(env, binding);
	napi_type_tag_object(env, object, &ring_tag);
	napi_wrap(env, object, binding, on_collected, NULL, NULL);
	if (loop_has_libuv())
		napi_add_async_cleanup_hook(env, on_cleanup, binding, &binding->cleanup);
	else // Deno frees an asynchronous hook twice if it is done at once
		napi_add_env_cleanup_hook(env, on_end, binding);
	return object;
}

NAPI_MODULE_INIT()
{
	add(env, exports, "probe", Probe, NULL);
	add(env, exports, "open", Open, NULL);
	add(env, exports, "monotonicNs", MonotonicNs, NULL);
	cpus_export(env, exports);
	tls_export(env, exports);
#ifdef FEATHERSTAR_TEST
	fuzz_export(env, exports);
#endif
	return exports;
}
