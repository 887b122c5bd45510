/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A ring without io_uring: the functions of ring.h by epoll, and one system call for each operation.
 *
 *   cc -O2 -I $CORE -pthread http.c host.c epoll.c $CORE/{featherstar_core,shard,listen}.c
 *
 * It shows what the seam costs. The core, shard.c, host.c and the programs are the same: they stage operations, and get
 * completions. Only the functions behind ring.h know who does the work.
 *
 *   window --ring_stage()--> SEND, SHUTDOWN, CLOSE: done at once. ACCEPT, RECV, POLL: armed, in a table of files
 *   epoll_wait() --ring_enter()--> accept4(), recv() into a free buffer, the rest of a SEND --ring_reap()--> window
 *
 * It does what the programs here need: no files, no timeouts, no lent bytes. A doorbell is an eventfd.
 */
#include "ring.h"
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define EVENTS 256
#define BELL UINT32_MAX

struct file {
	int fd; /* -1: the slot is free */
	uint32_t events; /* epoll watches for them */
	uint8_t reading; /* opcode of the armed ACCEPT, RECV or POLL_ADD; 0: none */
	bool takes_one; /* that ACCEPT is not repeated */
	uint64_t read_data; /* its userData */
	const uint8_t *rest; /* of an armed SEND: bytes that the socket has not taken; NULL: none is armed */
	uint32_t rest_bytes, send_bytes;
	uint64_t send_data;
};

struct state {
	int epoll;
	struct file *files;
	uint32_t *free_files, free_file_count;
	uint8_t *buffers;
	uint32_t buffer_bytes, *free_buffers, free_buffer_count;
	struct io_uring_cqe *cqes; /* completions that the window has not got yet */
	uint32_t cqe_count, cqe_room;
};

static struct state *state_of(const struct ring *ring)
{
	return ring->ring_map;
}

static void complete(struct ring *ring, uint64_t user_data, int32_t result, uint32_t flags)
{
	struct state *s = state_of(ring);

	if (s->cqe_count == s->cqe_room) {
		s->cqe_room = 2 * s->cqe_room + 64;
		s->cqes = realloc(s->cqes, s->cqe_room * sizeof *s->cqes);
		if (s->cqes == NULL)
			abort();
	}
	s->cqes[s->cqe_count++] = (struct io_uring_cqe){ .user_data = user_data, .res = result, .flags = flags };
}

/* Tells epoll what is armed for a file. Nothing changes for a client that sends and reads as usual. */
static void watch(struct ring *ring, uint32_t index)
{
	struct file *file = &state_of(ring)->files[index];
	uint32_t wanted = (file->reading ? EPOLLIN : 0) | (file->rest ? EPOLLOUT : 0);
	struct epoll_event event = { .events = wanted, .data.u32 = index };

	if (wanted == file->events)
		return;
	epoll_ctl(state_of(ring)->epoll, !file->events ? EPOLL_CTL_ADD : wanted ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, file->fd,
		&event);
	file->events = wanted;
}

static void end_reading(struct ring *ring, uint32_t index, int32_t result)
{
	struct file *file = &state_of(ring)->files[index];

	complete(ring, file->read_data, result, 0);
	file->reading = 0;
	watch(ring, index);
}

/* Completes an operation that is done at once. One that is quiet has a completion only if it fails. */
static void complete_now(struct ring *ring, const struct io_uring_sqe *sqe, int32_t result)
{
	if (sqe->user_data != 0 && (result < 0 || !(sqe->flags & IOSQE_CQE_SKIP_SUCCESS)))
		complete(ring, sqe->user_data, result, 0);
}

/* --- operations --------------------------------------------------------------------------------------------------- */

/* Sends as much as the socket takes. Returns how much, or -errno. */
static int32_t send_some(const struct file *file, const uint8_t *bytes, uint32_t count)
{
	ssize_t sent = send(file->fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);

	return sent < 0 ? -errno : (int32_t)sent;
}

static void begin_send(struct ring *ring, uint32_t index, const struct io_uring_sqe *sqe)
{
	struct file *file = &state_of(ring)->files[index];
	const struct region *memory = &ring->regions[LINEAR];
	const uint8_t *bytes = memory->at + sqe->addr;
	int32_t sent = -EFAULT;

	if (sqe->addr <= memory->bytes && sqe->len <= memory->bytes - sqe->addr)
		sent = send_some(file, bytes, sqe->len);
	if (sent == (int32_t)sqe->len) {
		complete_now(ring, sqe, sent);
	} else if (sqe->msg_flags & MSG_DONTWAIT || (sent < 0 && sent != -EAGAIN)) {
		complete(ring, sqe->user_data, sent, 0);
	} else { /* on_writable() goes on */
		file->rest = bytes + (sent > 0 ? sent : 0);
		file->rest_bytes = sqe->len - (uint32_t)(sent > 0 ? sent : 0);
		file->send_bytes = sqe->len;
		file->send_data = sqe->user_data;
		watch(ring, index);
	}
}

static int32_t close_file(struct ring *ring, uint32_t index)
{
	struct state *s = state_of(ring);

	if (index >= ring->file_slots || s->files[index].fd < 0)
		return -EBADF;
	close(s->files[index].fd); /* epoll forgets it, too */
	s->files[index] = (struct file){ .fd = -1 };
	if (index >= ring->grant_slots)
		s->free_files[s->free_file_count++] = index;
	return 0;
}

static int32_t cancel(struct ring *ring, uint64_t user_data)
{
	for (uint32_t index = 0; index < ring->file_slots; index++) {
		struct file *file = &state_of(ring)->files[index];

		if (file->reading && file->read_data == user_data)
			end_reading(ring, index, -ECANCELED);
		if (file->rest && file->send_data == user_data) {
			complete(ring, user_data, -ECANCELED, 0);
			file->rest = NULL;
			watch(ring, index);
		}
	}
	return 0;
}

static void ring_bell(int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof one) < 0 && errno != EAGAIN) /* EAGAIN: it rings already */
		abort();
}

static void on_file(struct ring *ring, const struct io_uring_sqe *sqe)
{
	uint32_t index = (uint32_t)sqe->fd;
	struct file *file = &state_of(ring)->files[index];

	if (index >= ring->file_slots || file->fd < 0) {
		complete(ring, sqe->user_data, -EBADF, 0);
	} else if (sqe->opcode == IORING_OP_SEND) {
		begin_send(ring, index, sqe);
	} else if (sqe->opcode == IORING_OP_SHUTDOWN) {
		complete_now(ring, sqe, shutdown(file->fd, (int)sqe->len) < 0 ? -errno : 0);
	} else if (sqe->opcode == IORING_OP_ACCEPT || sqe->opcode == IORING_OP_RECV || sqe->opcode == IORING_OP_POLL_ADD) {
		file->reading = sqe->opcode;
		file->takes_one = sqe->opcode == IORING_OP_ACCEPT && !(sqe->ioprio & ACCEPT_MULTISHOT);
		file->read_data = sqe->user_data;
		watch(ring, index);
	} else {
		complete(ring, sqe->user_data, -EOPNOTSUPP, 0);
	}
}

static void stage(struct ring *ring, const struct io_uring_sqe *sqe)
{
	if (sqe->opcode == IORING_OP_CLOSE)
		complete_now(ring, sqe, close_file(ring, sqe->file_index - 1));
	else if (sqe->opcode == IORING_OP_ASYNC_CANCEL)
		complete_now(ring, sqe, cancel(ring, sqe->addr));
	else if (sqe->opcode == IORING_OP_MSG_RING && (uint32_t)sqe->fd < PEERS_MAX)
		ring_bell(ring->peers[sqe->fd]);
	else
		on_file(ring, sqe);
}

/* --- events ------------------------------------------------------------------------------------------------------- */

static void on_acceptable(struct ring *ring, uint32_t index)
{
	struct state *s = state_of(ring);
	struct file *file = &s->files[index];

	while (file->reading) {
		int fd = s->free_file_count > 0 ? accept4(file->fd, NULL, NULL, SOCK_CLOEXEC) : -1;
		int error = s->free_file_count > 0 ? errno : ENFILE;

		if (fd < 0) {
			if (error != EAGAIN && error != ECONNABORTED)
				end_reading(ring, index, -error);
			return;
		}
		uint32_t slot = s->free_files[--s->free_file_count];

		s->files[slot] = (struct file){ .fd = fd };
		if (file->takes_one)
			end_reading(ring, index, (int32_t)slot);
		else
			complete(ring, file->read_data, (int32_t)slot, IORING_CQE_F_MORE);
	}
}

static void on_receivable(struct ring *ring, uint32_t index)
{
	struct state *s = state_of(ring);
	struct file *file = &s->files[index];
	uint32_t buffer;
	ssize_t got;

	if (s->free_buffer_count == 0) {
		end_reading(ring, index, -ENOBUFS);
		return;
	}
	buffer = s->free_buffers[s->free_buffer_count - 1];
	got = recv(file->fd, s->buffers + (size_t)buffer * s->buffer_bytes, s->buffer_bytes, MSG_DONTWAIT);
	if (got > 0) {
		s->free_buffer_count--;
		ring->lent[buffer] = 1;
		complete(ring, file->read_data, (int32_t)got,
			IORING_CQE_F_MORE | IORING_CQE_F_BUFFER | buffer << IORING_CQE_BUFFER_SHIFT);
	} else if (got == 0 || errno != EAGAIN) {
		end_reading(ring, index, got == 0 ? 0 : -errno);
	}
}

static void on_writable(struct ring *ring, uint32_t index)
{
	struct file *file = &state_of(ring)->files[index];
	int32_t sent = send_some(file, file->rest, file->rest_bytes);

	if (sent > 0) {
		file->rest += sent;
		file->rest_bytes -= (uint32_t)sent;
	}
	if (sent == -EAGAIN || (sent >= 0 && file->rest_bytes > 0))
		return; /* more room has to come */
	complete(ring, file->send_data, sent < 0 ? sent : (int32_t)file->send_bytes, 0);
	file->rest = NULL;
	watch(ring, index);
}

static void on_event(struct ring *ring, const struct epoll_event *event)
{
	uint32_t index = event->data.u32;
	struct file *file = &state_of(ring)->files[index];
	uint64_t count;

	if (index == BELL) {
		if (read(ring->fd, &count, sizeof count) < 0 && errno != EAGAIN)
			abort();
		return;
	}
	if (file->rest && event->events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		on_writable(ring, index);
	if (file->reading == IORING_OP_ACCEPT)
		on_acceptable(ring, index);
	else if (file->reading == IORING_OP_RECV && event->events & ~EPOLLOUT)
		on_receivable(ring, index);
	else if (file->reading == IORING_OP_POLL_ADD)
		end_reading(ring, index, POLLIN);
}

/* --- ring.h ------------------------------------------------------------------------------------------------------- */

int ring_open(struct ring *ring, const struct ring_options *options, const char **what)
{
	struct state *s = calloc(1, sizeof *s);
	uint8_t *memory = options->regions[LINEAR].at;
	struct epoll_event bell = { .events = EPOLLIN, .data.u32 = BELL };

	*what = "epoll";
	if (s == NULL)
		return -ENOMEM;
	*ring = (struct ring){
		.ring_map = s, .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.regions = { options->regions[LINEAR] },
		.control = (volatile struct featherstar_control *)(memory + options->control),
		.window_sqes = (struct io_uring_sqe *)(memory + options->sqes),
		.window_cqes = (struct io_uring_cqe *)(memory + options->cqes),
		.window_cqe_slots = options->cqe_slots,
		.window_recycle = (const volatile uint32_t *)(memory + options->recycle),
		.file_slots = options->file_slots, .grant_slots = options->grant_slots,
	};
	memset(ring->peers, 0xff, sizeof ring->peers);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (ring->fd < 0 || s->epoll < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, ring->fd, &bell) < 0)
		return -errno;
	s->buffers = memory + options->buffers; /* the small ones are enough */
	s->buffer_bytes = options->buffer_bytes[SMALL_BUFFERS];
	ring->buffer_count = options->buffer_count[SMALL_BUFFERS];
	ring->lent = calloc(ring->buffer_count, 1);
	s->free_buffers = calloc(ring->buffer_count, sizeof *s->free_buffers);
	s->files = calloc(ring->file_slots, sizeof *s->files);
	s->free_files = calloc(ring->file_slots, sizeof *s->free_files);
	if (!ring->lent || !s->free_buffers || !s->files || !s->free_files)
		return -ENOMEM;
	while (s->free_buffer_count < ring->buffer_count) {
		s->free_buffers[s->free_buffer_count] = s->free_buffer_count;
		s->free_buffer_count++;
	}
	for (uint32_t i = ring->file_slots; i-- > 0;) {
		s->files[i].fd = -1;
		if (i >= ring->grant_slots)
			s->free_files[s->free_file_count++] = i;
	}
	return 0;
}

void ring_stage(struct ring *ring)
{
	struct state *s = state_of(ring);
	volatile struct featherstar_control *control = ring->control;

	for (uint32_t i = 0; i < control->recycle_count; i++) {
		uint32_t buffer = ring->window_recycle[i];

		if (buffer >= ring->buffer_count || !ring->lent[buffer])
			continue;
		ring->lent[buffer] = 0;
		s->free_buffers[s->free_buffer_count++] = buffer;
	}
	control->recycle_count = 0;
	for (uint32_t i = 0; i < control->submit_count; i++)
		stage(ring, &ring->window_sqes[i]);
	control->submit_count = 0;
}

int ring_enter(struct ring *ring, unsigned wait, double timeout_ns)
{
	struct epoll_event events[EVENTS];
	struct timespec time = { (time_t)(timeout_ns / 1e9), (long)timeout_ns % 1000000000 };
	int count;

	if (!wait)
		time = (struct timespec){ 0 };
	count = epoll_pwait2(state_of(ring)->epoll, events, EVENTS, wait && timeout_ns < 0 ? NULL : &time, NULL);
	for (int i = 0; i < count; i++)
		on_event(ring, &events[i]);
	return count;
}

void ring_reap(struct ring *ring)
{
	struct state *s = state_of(ring);
	volatile struct featherstar_control *control = ring->control;
	uint32_t count = s->cqe_count < ring->window_cqe_slots ? s->cqe_count : ring->window_cqe_slots;

	if (control->submit_only || control->completion_count)
		return;
	memcpy(ring->window_cqes, s->cqes, count * sizeof *s->cqes);
	s->cqe_count -= count;
	memmove(s->cqes, s->cqes + count, s->cqe_count * sizeof *s->cqes);
	control->completion_count = count;
}

int ring_grant(struct ring *ring, int fd)
{
	struct state *s = state_of(ring);

	for (uint32_t slot = 0; slot < ring->grant_slots; slot++) {
		if (s->files[slot].fd >= 0)
			continue;
		s->files[slot].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (s->files[slot].fd < 0 || fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
			return -errno;
		return (int)slot;
	}
	return -EMFILE;
}

int ring_set_peer(struct ring *ring, unsigned peer, int fd)
{
	ring->peers[peer] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return ring->peers[peer] < 0 ? -errno : 0;
}

bool ring_has_completions(const struct ring *ring)
{
	return state_of(ring)->cqe_count > 0;
}

/* Only epoll knows whether something has come. */
bool ring_wants_enter(const struct ring *ring)
{
	(void)ring;
	return true;
}

/* Nothing runs behind the program's back. */
bool ring_cancel(struct ring *ring, double timeout_ns)
{
	(void)ring;
	(void)timeout_ns;
	return false;
}

void ring_close(struct ring *ring)
{
	struct state *s = state_of(ring);

	for (uint32_t i = 0; i < ring->file_slots; i++)
		close_file(ring, i);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		if (ring->peers[i] >= 0)
			close(ring->peers[i]);
	close(s->epoll);
	close(ring->fd);
	free(s->files);
	free(s->free_files);
	free(s->free_buffers);
	free(s->cqes);
	free(ring->lent);
	free(s);
}
