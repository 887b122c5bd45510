// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Receive buffers in linear memory, of which the kernel picks one when bytes have come. They are in two groups, small
// ones and large ones, and have one numbering: the large ones follow the small ones.
//
//   kernel's --completion--> Wasm's (lent) --recycle list--> kernel's
//
// The kernel's lists of them hold addresses, so they are private. Wasm can give back only a buffer that it has.
//
// Next: ring.c.
#include "ring.h"
#include <sys/mman.h>

#define store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

// How many buffers there are to be, or 0: the kernel takes powers of two only.
uint64_t buffers_count(const struct ring_options *options)
{
	uint64_t count = 0;

	for (int i = 0; i < BUFFER_GROUPS; i++) {
		uint32_t more = options->buffer_count[i];

		if (!more || more & (more - 1))
			return 0;
		count += more;
	}
	return count;
}

uint64_t buffers_bytes(const struct ring_options *options)
{
	uint64_t bytes = 0;

	for (int i = 0; i < BUFFER_GROUPS; i++)
		bytes += (uint64_t)options->buffer_count[i] * options->buffer_bytes[i];
	return bytes;
}

// The kernel may receive into buffer `id` once show_buffers() was called.
static void lend(struct ring *ring, uint32_t id)
{
	struct buffer_group *group = &ring->buffers[id < ring->buffers[LARGE_BUFFERS].first ? SMALL_BUFFERS : LARGE_BUFFERS];
	struct io_uring_buf *entry = &group->entries->bufs[group->tail & (group->count - 1)];

	entry->addr = (uint64_t)(uintptr_t)(ring->regions[LINEAR].at + group->offset +
					   (uint64_t)(id - group->first) * group->bytes);
	entry->len = group->bytes;
	entry->bid = (uint16_t)id;
	group->tail++;
	ring->lent[id] = 0;
}

static void show_buffers(struct buffer_group *group)
{
	store_release(&group->entries->tail, group->tail);
}

// Where they lie, and their numbers.
void buffers_plan(struct ring *ring, const struct ring_options *options)
{
	uint64_t offset = options->buffers;

	for (int i = 0; i < BUFFER_GROUPS; i++) {
		struct buffer_group *group = &ring->buffers[i];

		group->offset = offset;
		group->first = ring->buffer_count;
		group->count = options->buffer_count[i];
		group->bytes = options->buffer_bytes[i];
		ring->buffer_count += group->count;
		offset += (uint64_t)group->count * group->bytes;
	}
}

static int register_group(struct ring *ring, int number)
{
	struct buffer_group *group = &ring->buffers[number];
	struct io_uring_buf_reg reg = { .ring_entries = group->count, .bgid = (uint16_t)number };
	size_t bytes = group->count * sizeof(struct io_uring_buf);
	void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
	int error;

	if (map == MAP_FAILED)
		return -errno;
	reg.ring_addr = (uint64_t)(uintptr_t)map;
	error = sys_register(ring->fd, REGISTER_PBUF, &reg, 1);
	if (error) {
		munmap(map, bytes);
		return error;
	}
	group->entries = map;
	for (uint32_t i = 0; i < group->count; i++)
		lend(ring, group->first + i);
	show_buffers(group);
	return 0;
}

// 0 or -errno; buffers_close() gives back what was registered.
int buffers_register(struct ring *ring)
{
	int error = 0;

	for (int i = 0; !error && i < BUFFER_GROUPS; i++)
		error = register_group(ring, i);
	return error;
}

void buffers_close(struct ring *ring)
{
	for (int i = 0; i < BUFFER_GROUPS; i++) {
		struct io_uring_buf_reg reg = { .bgid = (uint16_t)i };
		struct buffer_group *group = &ring->buffers[i];

		if (!group->entries)
			continue;
		sys_register(ring->fd, UNREGISTER_PBUF, &reg, 1);
		munmap(group->entries, group->count * sizeof(struct io_uring_buf));
	}
}

// Takes back the buffers on the core's recycle list.
void buffers_recycle(struct ring *ring)
{
	volatile struct featherstar_control *control = ring->control;
	uint32_t count = control->recycle_count;

	if (count == 0)
		return;
	if (count > ring->buffer_count)
		count = ring->buffer_count;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t id = ring->window_recycle[i];

		if (id < ring->buffer_count && ring->lent[id]) // else: not Wasm's to give back
			lend(ring, id);
	}
	control->recycle_count = 0;
	for (int i = 0; i < BUFFER_GROUPS; i++)
		show_buffers(&ring->buffers[i]);
}
