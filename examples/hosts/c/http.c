/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An HTTP/1.1 server on every core: `http [PORT [SHARDS]]`. It responds to each request with "Hello, World!".
 *
 * The flow: ACCEPT -> RECV, which the kernel repeats, into a buffer that it picks -> the core's parser -> one SEND for
 * all requests in that buffer. SIGINT and SIGTERM end it in order.
 *
 * A connection has two send buffers. One is filled while the kernel may still read the other. A SEND takes only what
 * the socket has room for (MSG_DONTWAIT). If it falls short, the client reads slowly. Then a second SEND waits for
 * room. Requests that arrive meanwhile wait in the connection's part of the scratch memory, as the beginning of a head
 * does. If there are too many, the RECV is cancelled, so that the client must wait, too. Bytes that the kernel had
 * received by then are kept in the heap (`rest`). The RECV begins again when all of them have been served.
 *
 * Next: calls.c, shards that call each other.
 */
#include "host.h"
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "listen.h"

#define TAG_ACCEPT 1
#define TAG_RECV 2
#define TAG_SEND 3
#define TAG_SHUTDOWN 4
#define TAG_DATE 1 /* of timers */
#define TAG_GIVE_UP 2
#define GIVE_UP_NS 1e9 /* at the end, so long may clients take to read their responses */
#define BACKLOG 1024
#define CONNECTIONS_MAX 4096 /* of a shard */
#define ALL_CONNECTIONS_MAX 65536 /* they have 3.3 GiB of addresses, and 32 bits can name 4 */
#define TEMPLATE_BYTES 512 /* at the beginning of the scratch memory */
#define HELD_BYTES 20480 /* of a connection; a head, which has 16384 bytes at most, and a receive buffer behind it */
#define HELD_STRIDE (HELD_BYTES + 64) /* the parser may read on a little */
#define ANSWER_BYTES_MAX 512
#define QUIET 64 /* IOSQE_CQE_SKIP_SUCCESS: docs/abi.md */
#define BODY "Hello, World!"

static const char *const BEFORE_DATE = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: ";
static const char *const BEFORE_LENGTH = "\r\nContent-Length: ";
#define DATE_BYTES 29

struct connection {
	bool is_open, is_receiving, is_shut;
	bool has_ended; /* the client sends no more: what it has sent is served */
	bool is_closing; /* nothing more is served: what has been written goes out */
	bool is_paused; /* it receives nothing, because too many requests wait */
	bool in_body;
	uint8_t half; /* the send buffer that is being filled */
	uint32_t filled; /* bytes in it */
	uint32_t sending, sent; /* bytes in the other one, and how many are out; sending 0: the kernel has none */
	uint32_t held; /* bytes in the scratch memory */
	uint8_t *rest; /* bytes that follow those; in the heap */
	uint32_t rest_bytes;
	uint32_t receive_slot, receive_generation; /* of the RECV */
};

struct server {
	struct connection *connections;
	uint32_t template, template_bytes;
	uint32_t listener; /* its slot */
	uint32_t open, open_max; /* connections */
	bool is_accepting;
};

static int listeners[64];

static struct server *server_of(struct shard *shard)
{
	return shard->own;
}

static uint32_t send_buffer(struct shard *shard, uint32_t file, uint32_t half)
{
	uint32_t stride = shard->header->send_buffer_bytes + FEATHERSTAR_SEND_STAGGER;

	return shard->base + shard->header->send_offset + (file * 2 + half) * stride;
}

static uint32_t held_at(struct shard *shard, uint32_t file)
{
	return server_of(shard)->template + TEMPLATE_BYTES + file * HELD_STRIDE;
}

static uint32_t parser_at(struct shard *shard, uint32_t file)
{
	return shard->base + shard->header->connections_offset + file * FEATHERSTAR_CONNECTION_BYTES;
}

/* Operations cannot be refused here: there are more slots than all connections need. */
static uint32_t submit(struct shard *shard, uint8_t opcode, uint8_t flags, uint16_t ioprio, uint32_t file,
	uint32_t address, uint32_t bytes, uint32_t op_flags, uint32_t file_index, uint32_t tag)
{
	uint32_t slot = featherstar_submit(&shard->core, opcode, IOSQE_FIXED_FILE | flags, ioprio, file, 0, address,
		bytes, op_flags, file_index, file + 1, tag, 0);

	if ((int32_t)slot < 0)
		die("no operation is free", 0);
	return slot;
}

/*
 * Accepts a client, unless it does already or all slots are taken: then clients wait. An ACCEPT that the kernel repeats
 * would go on until there is no slot, and close the client that has found none.
 */
static void accept_client(struct shard *shard)
{
	struct server *server = server_of(shard);

	if (server->is_accepting || server->open >= server->open_max || host_is_stopping(shard))
		return;
	submit(shard, IORING_OP_ACCEPT, 0, 0, server->listener, 0, 0, 0, FILE_INDEX_ALLOC, TAG_ACCEPT);
	server->is_accepting = true;
}

static void receive_if_wanted(struct shard *shard, uint32_t file)
{
	struct connection *c = &server_of(shard)->connections[file];
	const uint32_t *op;

	if (c->is_receiving || c->is_paused || c->is_closing || c->has_ended)
		return;
	c->receive_slot = submit(shard, IORING_OP_RECV, IOSQE_BUFFER_SELECT, RECV_MULTISHOT, file, 0, 0, 0, 0, TAG_RECV);
	op = shard_at(shard, shard->base + shard->header->ops_offset + c->receive_slot * FEATHERSTAR_OP_BYTES);
	c->receive_generation = *op; /* docs/abi.md: a slot begins with it */
	c->is_receiving = true;
}

/* Closes a connection when its responses are out. Its slot is free when no operation can name it any more. */
static void close_if_done(struct shard *shard, uint32_t file)
{
	struct connection *c = &server_of(shard)->connections[file];

	if (!c->is_open || !(c->is_closing || c->has_ended))
		return;
	if (c->sending > 0 || c->filled > 0) {
		featherstar_hurry(&shard->core); /* the next turn says whether the last SEND was taken whole */
		return;
	}
	if (c->is_receiving) {
		if (!c->is_shut) /* this ends the receive */
			submit(shard, IORING_OP_SHUTDOWN, 0, 0, file, 0, SHUT_RDWR, 0, 0, TAG_SHUTDOWN);
		c->is_shut = true;
		return;
	}
	featherstar_closeFile(&shard->core, file);
	free(c->rest);
	*c = (struct connection){ 0 };
	server_of(shard)->open--;
	accept_client(shard);
}

static void send_filled(struct shard *shard, uint32_t file)
{
	struct connection *c = &server_of(shard)->connections[file];

	if (c->filled == 0)
		return;
	if (c->sending > 0) {
		featherstar_hurry(&shard->core); /* the next turn says whether the last SEND was taken whole */
		return;
	}
	submit(shard, IORING_OP_SEND, QUIET, 0, file, send_buffer(shard, file, c->half), c->filled,
		MSG_DONTWAIT | MSG_WAITALL, 0, TAG_SEND);
	c->sending = c->filled;
	c->sent = 0;
	c->filled = 0;
	c->half ^= 1;
}

static void fill(struct shard *shard, uint32_t file, const char *text, uint32_t bytes)
{
	struct connection *c = &server_of(shard)->connections[file];

	memcpy(shard_at(shard, send_buffer(shard, file, c->half) + c->filled), text, bytes);
	c->filled += bytes;
}

/* Responds to a request that the parser refuses. Its result is the status, below 0. */
static void refuse(struct shard *shard, uint32_t file, int32_t status)
{
	struct connection *c = &server_of(shard)->connections[file];
	char text[ANSWER_BYTES_MAX];
	const char *reason = status == FEATHERSTAR_BAD_REQUEST ? "Bad Request"
			     : status == FEATHERSTAR_TARGET_TOO_LONG ? "URI Too Long"
			     : status == FEATHERSTAR_EXPECTATION_FAILED ? "Expectation Failed"
			     : status == FEATHERSTAR_HEAD_TOO_LARGE ? "Request Header Fields Too Large"
			     : status == FEATHERSTAR_NOT_IMPLEMENTED ? "Not Implemented"
			     : status == FEATHERSTAR_VERSION_NOT_SUPPORTED ? "HTTP Version Not Supported"
									   : "Bad Request";
	int bytes = snprintf(text, sizeof text, "HTTP/1.1 %" PRId32 " %s\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
		-status, reason);

	fill(shard, file, text, (uint32_t)bytes);
	c->is_closing = true;
}

static void answer(struct shard *shard, uint32_t file, const struct featherstar_http_connection *request)
{
	struct server *server = server_of(shard);
	struct connection *c = &server->connections[file];
	uint32_t out = send_buffer(shard, file, c->half) + c->filled;

	c->filled += featherstar_http_head(&shard->core, out, server->template, server->template_bytes, sizeof BODY - 1);
	if (request->method_id != FEATHERSTAR_HTTP_METHOD_HEAD)
		fill(shard, file, BODY, sizeof BODY - 1);
	if (!(request->flags & FEATHERSTAR_HTTP_FLAG_KEEP_ALIVE))
		c->is_closing = true;
}

/* Parses requests, and responds to those that are complete. Returns how many bytes it has used. */
static uint32_t serve(struct shard *shard, uint32_t file, uint32_t address, uint32_t bytes)
{
	struct connection *c = &server_of(shard)->connections[file];
	uint32_t parser = parser_at(shard, file), used = 0;
	const struct featherstar_http_connection *request = shard_at(shard, parser);

	while (used < bytes && !c->is_closing && c->filled + ANSWER_BYTES_MAX <= shard->header->send_buffer_bytes) {
		int32_t n = c->in_body
				    ? (int32_t)featherstar_http_body(&shard->core, parser, address + used, bytes - used)
				    : (int32_t)featherstar_http_parse(&shard->core, parser, address + used, bytes - used);

		if (n < 0) {
			refuse(shard, file, n);
			break;
		}
		used += (uint32_t)n;
		if (n == 0 && !(request->flags & FEATHERSTAR_HTTP_FLAG_DONE))
			break; /* more has to come */
		if (!c->in_body && !(request->flags & FEATHERSTAR_HTTP_FLAG_DONE) &&
		    request->flags & FEATHERSTAR_HTTP_FLAG_EXPECT_CONTINUE)
			fill(shard, file, "HTTP/1.1 100 Continue\r\n\r\n", 25);
		c->in_body = !(request->flags & FEATHERSTAR_HTTP_FLAG_DONE);
		if (!c->in_body) {
			answer(shard, file, request);
			featherstar_http_reset(&shard->core, parser);
		}
	}
	return used;
}

/* Moves bytes of the rest to those that are held, as far as there is room. */
static void hold_rest(struct shard *shard, uint32_t file)
{
	struct connection *c = &server_of(shard)->connections[file];
	uint32_t room = HELD_BYTES - c->held, bytes = c->rest_bytes < room ? c->rest_bytes : room;

	if (bytes == 0)
		return;
	memcpy(shard_at(shard, held_at(shard, file) + c->held), c->rest, bytes);
	c->held += bytes;
	c->rest_bytes -= bytes;
	memmove(c->rest, c->rest + bytes, c->rest_bytes);
}

/* Goes on with the bytes that are held. */
static void serve_held(struct shard *shard, uint32_t file)
{
	struct connection *c = &server_of(shard)->connections[file];
	uint32_t address = held_at(shard, file);
	uint32_t used = serve(shard, file, address, c->held);

	c->held -= used;
	memmove(shard_at(shard, address), shard_at(shard, address + used), c->held);
	hold_rest(shard, file);
	send_filled(shard, file);
	if (c->is_paused && c->rest_bytes == 0) {
		c->is_paused = false;
		receive_if_wanted(shard, file);
	}
}

/* Keeps bytes that cannot be served yet. Too many of them: the client has to wait. */
static void keep(struct shard *shard, uint32_t file, const uint8_t *bytes, uint32_t count)
{
	struct connection *c = &server_of(shard)->connections[file];
	uint8_t *rest = realloc(c->rest, c->rest_bytes + count);

	if (rest == NULL)
		die("no memory", 0);
	memcpy(rest + c->rest_bytes, bytes, count);
	c->rest = rest;
	c->rest_bytes += count;
	hold_rest(shard, file);
	if (c->rest_bytes > 0 && !c->is_paused) {
		c->is_paused = true;
		if (c->is_receiving)
			featherstar_cancelOp(&shard->core, c->receive_slot, c->receive_generation);
	}
}

static void on_bytes(struct shard *shard, uint32_t file, uint32_t address, uint32_t bytes)
{
	struct connection *c = &server_of(shard)->connections[file];
	uint32_t used = c->held == 0 ? serve(shard, file, address, bytes) : 0;

	if (used < bytes && !c->is_closing) {
		keep(shard, file, shard_at(shard, address + used), bytes - used);
		if (used == 0)
			serve_held(shard, file);
	}
	send_filled(shard, file);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void on_accepted(struct shard *shard, const struct featherstar_ready *entry)
{
	server_of(shard)->is_accepting = false;
	if (entry->result >= 0) {
		uint32_t file = (uint32_t)entry->result;

		server_of(shard)->open++;
		server_of(shard)->connections[file] = (struct connection){ .is_open = true };
		featherstar_http_reset(&shard->core, parser_at(shard, file));
		receive_if_wanted(shard, file);
		if (host_is_stopping(shard)) {
			server_of(shard)->connections[file].is_closing = true;
			close_if_done(shard, file);
		}
		accept_client(shard);
	} /* else the client is gone, or there are too many files: the next second or the next close tries again */
}

static void on_received(struct shard *shard, const struct featherstar_ready *entry)
{
	uint32_t file = entry->index - 1;
	struct connection *c = &server_of(shard)->connections[file];

	if (!(entry->extra & IORING_CQE_F_MORE))
		c->is_receiving = false;
	if (entry->extra & IORING_CQE_F_BUFFER) {
		uint32_t buffer = entry->extra >> IORING_CQE_BUFFER_SHIFT;

		if (entry->result > 0 && !c->is_closing)
			on_bytes(shard, file, shard->base + shard->header->recv_offset + buffer * shard->header->recv_buffer_bytes,
				(uint32_t)entry->result);
		featherstar_recycle(&shard->core, buffer);
	}
	if (entry->result == 0)
		c->has_ended = true;
	else if (entry->result < 0 && entry->result != -ENOBUFS && entry->result != -ECANCELED)
		c->is_closing = true; /* the client is gone */
	receive_if_wanted(shard, file);
	close_if_done(shard, file);
}

/* The kernel has taken a SEND, wholly or in part. */
static void on_sent(struct shard *shard, const struct featherstar_ready *entry)
{
	uint32_t file = entry->index - 1;
	struct connection *c = &server_of(shard)->connections[file];

	if (entry->result < 0 && entry->result != -EAGAIN) {
		c->is_closing = true; /* the client is gone: nothing more can be sent */
		c->sending = c->filled = 0;
	} else {
		c->sent += entry->result > 0 ? (uint32_t)entry->result : 0;
		if (c->sent < c->sending) { /* this one waits until the socket has room */
			submit(shard, IORING_OP_SEND, 0, 0, file, send_buffer(shard, file, c->half ^ 1) + c->sent,
				c->sending - c->sent, MSG_WAITALL, 0, TAG_SEND);
			return;
		}
		c->sending = 0;
		if (c->filled == 0)
			c->half ^= 1; /* the buffer that was sent is free, and in the processor's cache */
		send_filled(shard, file);
		if (c->held > 0 && !c->is_closing)
			serve_held(shard, file);
	}
	close_if_done(shard, file);
}

static void on_op(struct shard *shard, uint32_t tag, const struct featherstar_ready *entry)
{
	if (tag == TAG_ACCEPT)
		on_accepted(shard, entry);
	else if (tag == TAG_RECV)
		on_received(shard, entry);
}

/* The server ends, and these clients do not read: then their sends fail now. */
static void give_up(struct shard *shard)
{
	for (uint32_t file = 0; file < shard->header->connection_slots; file++)
		if (server_of(shard)->connections[file].sending > 0)
			submit(shard, IORING_OP_SHUTDOWN, 0, 0, file, 0, SHUT_RDWR, 0, 0, TAG_SHUTDOWN);
}

/* Every second: the Date of the responses, and an ACCEPT if the last one has failed. */
static void on_timer(struct shard *shard, uint32_t tag, uint32_t owner)
{
	struct server *server = server_of(shard);
	uint32_t date = server->template + (uint32_t)strlen(BEFORE_DATE);

	(void)owner;
	if (tag == TAG_GIVE_UP) {
		give_up(shard);
		return;
	}
	featherstar_http_date(&shard->core, date, (double)time(NULL));
	memcpy(shard_at(shard, date + DATE_BYTES), BEFORE_LENGTH, strlen(BEFORE_LENGTH)); /* the core has written over it */
	accept_client(shard);
	if (!host_is_stopping(shard))
		featherstar_armTimer(&shard->core, monotonic_ns() + 1e9, TAG_DATE, 1);
}

static void start(struct shard *shard)
{
	struct server *server = calloc(1, sizeof *server);
	int slot = ring_grant(&shard->ring, listeners[shard->index]);

	if (slot < 0)
		die("ring_grant", -slot);
	if (server != NULL)
		server->connections = calloc(shard->header->connection_slots, sizeof *server->connections);
	if (server == NULL || server->connections == NULL)
		die("no memory", 0);
	shard->own = server;
	server->listener = (uint32_t)slot;
	server->open_max = shard->ring.file_slots - SHARD_GRANTS;
	server->template = shard->base + shard->header->scratch_offset;
	server->template_bytes = (uint32_t)(strlen(BEFORE_DATE) + DATE_BYTES + strlen(BEFORE_LENGTH));
	memcpy(shard_at(shard, server->template), BEFORE_DATE, strlen(BEFORE_DATE));
	on_timer(shard, TAG_DATE, 1); /* which begins to accept, too */
}

/* The shard has ended. */
static void end(struct shard *shard)
{
	free(server_of(shard)->connections);
	free(server_of(shard));
	close(listeners[shard->index]);
}

static void stop(struct shard *shard)
{
	struct server *server = server_of(shard);

	/* this ends the ACCEPT, and refuses new clients */
	submit(shard, IORING_OP_SHUTDOWN, 0, 0, server->listener, 0, SHUT_RDWR, 0, 0, TAG_SHUTDOWN);
	for (uint32_t file = 0; file < shard->header->connection_slots; file++) {
		server->connections[file].is_closing = true;
		close_if_done(shard, file);
	}
	featherstar_armTimer(&shard->core, monotonic_ns() + GIVE_UP_NS, TAG_GIVE_UP, 1);
}

/* A shard for each processor, up to the most that the core allows. */
static int default_count(void)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	return processors < FEATHERSTAR_SHARDS_MAX ? (int)processors : FEATHERSTAR_SHARDS_MAX;
}

/* The number in a text, or -1. */
static int number_of(const char *text)
{
	char *end;
	long number = strtol(text, &end, 10);

	return end == text || *end != 0 || number < 0 || number > INT_MAX ? -1 : (int)number;
}

int main(int argc, char **argv)
{
	static const struct program program = {
		.sent_tag = TAG_SEND, .start = start, .on_sent = on_sent, .on_op = on_op, .on_timer = on_timer,
		.stop = stop, .end = end,
	};
	int port = argc > 1 ? number_of(argv[1]) : 8080;
	int count = argc > 2 ? number_of(argv[2]) : default_count();
	struct featherstar_header limits = shard_limits((unsigned)count);
	const char *what = "";
	sigset_t signals;
	int taken;

	if (port < 0 || port > 65535 || count < 1 || count > FEATHERSTAR_SHARDS_MAX)
		die("usage: http [PORT [SHARDS]]", 0);
	limits.connection_slots = ALL_CONNECTIONS_MAX / limits.shard_count;
	if (limits.connection_slots > CONNECTIONS_MAX)
		limits.connection_slots = CONNECTIONS_MAX;
	/* of a connection: RECV, SEND, SHUTDOWN, CLOSE; of the shard: ACCEPT, SHUTDOWN, the POLL of host.c */
	limits.op_slots = 4 * limits.connection_slots + 3;
	limits.send_buffer_count = 2 * limits.connection_slots; /* pages that are not touched cost nothing */
	limits.send_buffer_bytes = 16384;
	limits.scratch_bytes = TEMPLATE_BYTES + limits.connection_slots * HELD_STRIDE;
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in the shards too: this thread waits for them */
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < count; i++) { /* the first one finds the port */
		listeners[i] = listen_open("127.0.0.1", &port, BACKLOG, LISTEN_REUSE_PORT, 0, &what);
		if (listeners[i] < 0)
			die(what, -listeners[i]);
	}
	host_start(&limits, &program);
	printf("listening on http://127.0.0.1:%d with %d shards\n", port, count);
	fflush(stdout);
	sigwait(&signals, &taken);
	host_stop();
	host_join();
	puts("stopped");
	return 0;
}
