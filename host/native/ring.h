/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One ring: private to this addon, one per shard, used only in the thread that opened it.
 *
 *   window in linear memory -- gate.c: checked, translated --> private SQ --enter--> kernel --> private CQ --> window
 *
 * Two regions are all of memory that a submission can name: linear memory, with the windows in it, and that of blocks.
 *
 * Invariants: Wasm never sees an address of ours, and the kernel never sees an address of Wasm's that gate.c has not
 * checked. Completions with TAG set are the addon's own and never reach the window.
 *
 * Next: gate.c, then address.c, directory.c, buffers.c, ring.c, loop.c, addon.c.
 */
#pragma once

#include "sys.h" /* first: it asks the system's headers for all that they have */
#include <linux/openat2.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include "featherstar.h"

#define TAG (1ull << 63) /* user_data of the addon's own operations */
#define TAG_DOORBELL (TAG | 1)
#define TAG_UV_POLL (TAG | 2)
#define TAG_PEER (TAG | 3) /* with a number from bit 8 on */
#define TAG_INSTALLED (TAG | 4) /* likewise */
#define PEERS_MAX 64
#define GRANTS_MAX 64
#define ADDRESS_BYTES 128 /* largest sockaddr */
#define SOCKET_PATHS_MAX 64
#define RULES_MAX 64
#define DIRECTORIES_MAX 64
#define PATH_BYTES 1024 /* with the zero at its end */
#define PIECES_MAX 32 /* of one send of lent bytes */
#define REGION_MAX 0xffffffffu /* bytes: a region's number is the upper half of an address */

enum { LINEAR, BLOCKS, REGIONS };
enum { SMALL_BUFFERS, LARGE_BUFFERS, BUFFER_GROUPS }; /* to receive into; one numbering, small ones first */

struct region {
	uint8_t *at;
	uint64_t bytes; /* 0: there is none */
};

/* Of the addresses that JavaScript allows. An IPv4 address is the last four bytes, as in an IPv6 socket. */
struct address_rule {
	uint8_t address[16];
	uint16_t first_port, last_port;
	uint8_t bits, is_v4, unused[2];
};

struct refusal {
	uint64_t user_data;
	int32_t result;
};

/* The texts of a staged submission that names files. Untouched pages of these cost nothing. */
struct path_copies {
	char path[PATH_BYTES], other[PATH_BYTES];
	struct open_how how;
};

/* A staged send of lent bytes points at this; the kernel copies it while it takes the submission. */
struct lent_message {
	struct msghdr header;
	struct iovec parts[1 + PIECES_MAX]; /* bytes of linear memory, if there are any, then the pieces */
};

/*
 * Finds the pieces that JavaScript has put into the table for a file slot, as they are now: at most PIECES_MAX. Returns
 * how many, or -errno. A piece whose buffer was detached has 0 bytes.
 */
struct lender {
	int (*find)(void *context, uint32_t slot, struct region *pieces);
	void *context;
};

/* Where things lie, as given to ring_open(); offsets from the start of linear memory. */
struct ring_options {
	struct region regions[REGIONS];
	uint32_t control, sqes, sqe_slots, cqes, cqe_slots, recycle;
	uint32_t buffers; /* the small ones, then the large ones */
	uint32_t buffer_count[BUFFER_GROUPS], buffer_bytes[BUFFER_GROUPS];
	uint32_t file_slots, grant_slots;
	const struct address_rule *rules; /* NULL: it may connect and send to all */
	uint32_t rule_count;
	struct lender senders, receivers; /* who lends bytes for each; all zeros: no bytes are lent */
};

/* Buffers of one size that the kernel picks from. */
struct buffer_group {
	struct io_uring_buf_ring *entries; /* holds addresses, so it is private; the buffers lie in linear memory */
	uint64_t offset;
	uint32_t first, count, bytes; /* `first`: the number of the first one */
	uint16_t tail;
};

struct ring {
	int fd; /* -1: closed */
	int enter_fd;
	unsigned enter_flags, setup_flags, features;

	unsigned *sq_head, *sq_tail, *sq_flags, sq_mask, sq_entries;
	struct io_uring_sqe *sqes;
	unsigned *cq_head, *cq_tail, *cq_overflow, cq_mask;
	struct io_uring_cqe *cqes;
	void *ring_map, *sqe_map;
	size_t ring_bytes, sqe_bytes;

	struct region regions[REGIONS];
	volatile struct featherstar_control *control;
	struct io_uring_sqe *window_sqes;
	struct io_uring_cqe *window_cqes;
	const volatile uint32_t *window_recycle;
	unsigned window_sqe_slots, window_cqe_slots;

	struct buffer_group buffers[BUFFER_GROUPS];
	uint32_t buffer_count; /* of both */
	uint8_t *lent; /* per buffer: 1 while Wasm has it */

	unsigned file_slots, grant_slots;
	uint8_t granted[GRANTS_MAX];
	int listeners[GRANTS_MAX]; /* of a grant: the descriptor of a listener that was opened here; -1: it is none */
	int peers[PEERS_MAX]; /* duplicates of peers' ring descriptors, -1 = none */
	struct sockaddr_un socket_paths[SOCKET_PATHS_MAX]; /* address.c; AF_UNIX: one is there */
	struct address_rule rules[RULES_MAX]; /* if is_narrowed: where it may connect and send to; set when it opens */
	unsigned rule_count;
	bool is_narrowed;
	uint8_t *addresses; /* a sockaddr for each SQ entry, while it is staged */
	uint8_t asked[ADDRESS_BYTES]; /* the kernel writes addresses here; see address_of_peer() and address_of_local() */
	uint32_t question_count;
	struct path_copies *paths; /* for each SQ entry */
	struct lender senders, receivers;
	struct lent_message *lent_messages; /* for each SQ entry */
	int directories[DIRECTORIES_MAX]; /* directory.c; -1: none was there yet */
	bool directory_granted[DIRECTORIES_MAX];

	struct refusal *refusals; /* answered with the next reap; as many as both windows hold, then staging stops */
	unsigned refusal_count, refusal_room;
	uint32_t refused_count, overflow_count;
	bool uv_poll_fired;
	bool rang; /* a peer's doorbell, since the last look */

	double idle_ns, idle_from_ns; /* loop.c: time without work; when it fell asleep, 0: it is awake */
	double sleep_cpu_ns, owed_cpu_ns; /* CPU time of a sleep, as last measured; and what is still to be subtracted */
	unsigned sleeps;
};

#ifdef __cplusplus
extern "C" {
#endif

/* ring.c */
int ring_probe(void);
int ring_open(struct ring *ring, const struct ring_options *options, const char **what);
bool ring_cancel(struct ring *ring, double timeout_ns);
void ring_drop_files(struct ring *ring);
void ring_close(struct ring *ring);
void ring_stage(struct ring *ring);
int ring_enter(struct ring *ring, unsigned wait, double timeout_ns);
void ring_reap(struct ring *ring);
struct io_uring_sqe *ring_next_sqe(struct ring *ring);
int ring_grant(struct ring *ring, int fd);
void ring_keep_listener(struct ring *ring, unsigned slot, int fd);
int ring_set_peer(struct ring *ring, unsigned peer, int fd);
bool ring_has_completions(const struct ring *ring);
bool ring_wants_enter(const struct ring *ring);

/* buffers.c */
uint64_t buffers_count(const struct ring_options *options);
uint64_t buffers_bytes(const struct ring_options *options);
void buffers_plan(struct ring *ring, const struct ring_options *options);
int buffers_register(struct ring *ring);
void buffers_close(struct ring *ring);
void buffers_recycle(struct ring *ring);

/* address.c */
int address_set_path(struct ring *ring, unsigned index, const char *path);
int address_use_path(const struct ring *ring, uint64_t index, uint8_t *copy);
int address_use_internet(const struct ring *ring, uint64_t at, uint64_t bytes, uint8_t *copy);
int address_of_peer(struct ring *ring, unsigned slot);
int address_of_local(struct ring *ring, unsigned slot);
int address_hear_all(struct ring *ring, unsigned slot);
int address_keep_alive(struct ring *ring, unsigned slot, int idle_s);

/* directory.c: an index of the table or -errno; `parent` -1: none */
int directory_open(struct ring *ring, const char *path, int parent, bool crosses_mounts);
int directory_close(struct ring *ring, unsigned index);
int directory_fd(const struct ring *ring, unsigned index);
void directories_close(struct ring *ring);

/* gate.c, directory.c: 0, or -errno and nothing of `in` is to be executed */
int gate_admit(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index);
int gate_admit_path(struct ring *ring, const struct io_uring_sqe *in, struct io_uring_sqe *out, unsigned sq_index);
/* gate.c */
void gate_forget_lent(struct io_uring_sqe *sqe);
uint8_t *gate_find(const struct ring *ring, uint64_t addr, uint64_t *room);
uint8_t *gate_bytes(const struct ring *ring, uint64_t addr, uint64_t len);

#ifdef __cplusplus
}
#endif
