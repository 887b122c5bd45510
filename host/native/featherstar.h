/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Written by assembly/translate.mjs, from the sources of the core. Do not edit: npm run build:core
 *
 * The linear memory that a host of featherstar shares with the core; assembly/layout.ts draws it.
 *
 * Numbers are little-endian. Other threads can write there at any time. So read a number once, into a
 * local, and check it there.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define _Static_assert static_assert /* its name there */
#endif

#define FEATHERSTAR_MAGIC 0x52545346 /* "FSTR" */
#define FEATHERSTAR_ABI_VERSION 2
#define FEATHERSTAR_SHARDS_MAX 64 /* one bit each in a dirty mask */
#define FEATHERSTAR_GROUPS_MAX 16
#define FEATHERSTAR_LINE 64
#define FEATHERSTAR_PAGE 65536
#define FEATHERSTAR_HEADER 4096
#define FEATHERSTAR_HEADER_STATES 4608 /* one u32 per shard, see ShardState */
#define FEATHERSTAR_HEADER_SCRATCH 5120 /* 16 bytes, written by the spawning thread: for wasi-threads, clock */
#define FEATHERSTAR_MESH 8192
#define FEATHERSTAR_CONTROL_BYTES 512
#define FEATHERSTAR_STEP_OFFSET 384 /* lines 6 and 7: which step of a task the host is in; host/shard/stall.ts */
#define FEATHERSTAR_STEP_NAME_BYTES 112
#define FEATHERSTAR_RING_CONTROL_BYTES 512 /* spsc.ts */
#define FEATHERSTAR_OP_BYTES 64 /* op.ts */
#define FEATHERSTAR_TIMER_BYTES 32 /* wheel.ts */
#define FEATHERSTAR_WHEEL_BYTES 8192 /* wheel.ts */
#define FEATHERSTAR_TASK_BYTES 32 /* task.ts; slot 0 of each table holds a Slab of 20 bytes */
#define FEATHERSTAR_GROUP_BYTES 64 /* group.ts */
#define FEATHERSTAR_MESSAGE_BYTES 64 /* mesh.ts */
#define FEATHERSTAR_MESSAGE_INLINE 24 /* what a message carries itself begins there */
#define FEATHERSTAR_INLINE_BYTES 40 /* and is so long at most */
#define FEATHERSTAR_CONNECTION_BYTES 64 /* http/connection.ts */
#define FEATHERSTAR_COUNTERS_BYTES 256 /* stats.ts */
#define FEATHERSTAR_GUARD_BYTES 256 /* the last ones of each shard's block */
#define FEATHERSTAR_SEND_STAGGER 192 /* see sendStride() */
#define FEATHERSTAR_GENERATION_MASK 0x7fffffff
#define FEATHERSTAR_BAD_REQUEST (-400)
#define FEATHERSTAR_TARGET_TOO_LONG (-414)
#define FEATHERSTAR_EXPECTATION_FAILED (-417)
#define FEATHERSTAR_HEAD_TOO_LARGE (-431)
#define FEATHERSTAR_NOT_IMPLEMENTED (-501)
#define FEATHERSTAR_VERSION_NOT_SUPPORTED (-505)
#define FEATHERSTAR_PROTOCOL_ERROR 1002
#define FEATHERSTAR_TOO_LARGE 1009

#define FEATHERSTAR_SHARD_STATE_ABSENT 0
#define FEATHERSTAR_SHARD_STATE_RUNNING 1
#define FEATHERSTAR_SHARD_STATE_STOPPED 2 /* left in order, or died: peers reject what they have waiting for it */

#define FEATHERSTAR_MORE_WORK_TASKS 1 /* a task is ready */
#define FEATHERSTAR_MORE_WORK_MAIL 2 /* messages were written between turns and are not published yet */
#define FEATHERSTAR_MORE_WORK_QUIET 8 /* an owner waits for an operation that completes silently */
#define FEATHERSTAR_MORE_WORK_BLOCKED 4 /* the ready ring was too full to take something */

#define FEATHERSTAR_READY_KIND_OP 1 /* an operation that JavaScript waits for has a completion */
#define FEATHERSTAR_READY_KIND_TIMER 2 /* a timer that JavaScript owns has fired; its slot is free already */
/* a message of peer `index`; it lies in the inbox, in the slot that this entry has in the ready ring */
#define FEATHERSTAR_READY_KIND_MAIL 3
/* post() or payloadTake() refused something for peer `index`, and now it may go */
#define FEATHERSTAR_READY_KIND_ROOM 4

#define FEATHERSTAR_CODE_OK 0
#define FEATHERSTAR_CODE_FULL (-5001) /* a table, ring or pool has no free slot; nothing was changed */
#define FEATHERSTAR_CODE_STALE (-5002) /* the handle's generation is over; nothing was changed */
#define FEATHERSTAR_CODE_RANGE (-5003) /* an argument is outside its limits; nothing was changed */
/* as many requests are out as that peer may have unbegun; a ROOM entry will follow */
#define FEATHERSTAR_CODE_NO_CREDIT (-5004)
#define FEATHERSTAR_CODE_PEER_DOWN (-5005) /* that shard does not run */

#define FEATHERSTAR_HTTP_STATE_REQUEST_LINE 0
#define FEATHERSTAR_HTTP_STATE_HEADERS 1
#define FEATHERSTAR_HTTP_STATE_LENGTH 2
#define FEATHERSTAR_HTTP_STATE_SIZE_FIRST 3
#define FEATHERSTAR_HTTP_STATE_SIZE 4
#define FEATHERSTAR_HTTP_STATE_SIZE_SPACE 5
#define FEATHERSTAR_HTTP_STATE_EXTENSION_FIRST 6
#define FEATHERSTAR_HTTP_STATE_EXTENSION_NAME 7
#define FEATHERSTAR_HTTP_STATE_EXTENSION_NAME_SPACE 8
#define FEATHERSTAR_HTTP_STATE_EXTENSION_VALUE_FIRST 9
#define FEATHERSTAR_HTTP_STATE_EXTENSION_VALUE 10
#define FEATHERSTAR_HTTP_STATE_EXTENSION_QUOTED 11
#define FEATHERSTAR_HTTP_STATE_EXTENSION_ESCAPE 12
#define FEATHERSTAR_HTTP_STATE_EXTENSION_END 13
#define FEATHERSTAR_HTTP_STATE_SIZE_LF 14
#define FEATHERSTAR_HTTP_STATE_DATA 15
#define FEATHERSTAR_HTTP_STATE_DATA_CR 16
#define FEATHERSTAR_HTTP_STATE_DATA_LF 17
#define FEATHERSTAR_HTTP_STATE_TRAILER_START 18
#define FEATHERSTAR_HTTP_STATE_TRAILER_NAME 19
#define FEATHERSTAR_HTTP_STATE_TRAILER_VALUE 20
#define FEATHERSTAR_HTTP_STATE_TRAILER_LF 21
#define FEATHERSTAR_HTTP_STATE_LAST_LF 22
#define FEATHERSTAR_HTTP_STATE_DONE 23
#define FEATHERSTAR_HTTP_STATE_FAILED 24 /* refused; progress is -status */

#define FEATHERSTAR_HTTP_FLAG_KEEP_ALIVE 1 /* the connection may serve another request after this one */
#define FEATHERSTAR_HTTP_FLAG_CHUNKED 2 /* Transfer-Encoding: chunked */
#define FEATHERSTAR_HTTP_FLAG_HAS_LENGTH 4 /* Content-Length was given, perhaps 0 */
#define FEATHERSTAR_HTTP_FLAG_EXPECT_CONTINUE 8 /* the client waits for 100 Continue; never set in HTTP/1.0 */
#define FEATHERSTAR_HTTP_FLAG_HTTP_1_0 16
#define FEATHERSTAR_HTTP_FLAG_UPGRADE 32 /* Connection lists "upgrade" */
#define FEATHERSTAR_HTTP_FLAG_CLOSE 64 /* Connection lists "close"; wins against "keep-alive" */
#define FEATHERSTAR_HTTP_FLAG_HAS_HOST 128
#define FEATHERSTAR_HTTP_FLAG_DONE 256 /* the body is complete, or there is none */
#define FEATHERSTAR_HTTP_FLAG_ODD_TARGET 512 /* the URL standard may write it otherwise */
/* only a URL parser can say whether the host is one, and how it is written */
#define FEATHERSTAR_HTTP_FLAG_ODD_HOST 1024

#define FEATHERSTAR_HTTP_METHOD_OTHER 0
#define FEATHERSTAR_HTTP_METHOD_GET 1
#define FEATHERSTAR_HTTP_METHOD_HEAD 2
#define FEATHERSTAR_HTTP_METHOD_POST 3
#define FEATHERSTAR_HTTP_METHOD_PUT 4
#define FEATHERSTAR_HTTP_METHOD_DELETE 5
#define FEATHERSTAR_HTTP_METHOD_CONNECT 6
#define FEATHERSTAR_HTTP_METHOD_OPTIONS 7
#define FEATHERSTAR_HTTP_METHOD_TRACE 8
#define FEATHERSTAR_HTTP_METHOD_PATCH 9

#define FEATHERSTAR_FRAME_STATE_HEAD 0
#define FEATHERSTAR_FRAME_STATE_PAYLOAD 1
#define FEATHERSTAR_FRAME_STATE_FAILED 2

#define FEATHERSTAR_FRAME_FLAG_MASKED 1 /* the peer masks its frames, as clients do, and must */
#define FEATHERSTAR_FRAME_FLAG_DEFLATE 2 /* permessage-deflate was negotiated */

#define FEATHERSTAR_FRAME_EVENT_TEXT 1
#define FEATHERSTAR_FRAME_EVENT_BINARY 2
#define FEATHERSTAR_FRAME_EVENT_CLOSE 8
#define FEATHERSTAR_FRAME_EVENT_PING 9
#define FEATHERSTAR_FRAME_EVENT_PONG 10
#define FEATHERSTAR_FRAME_EVENT_OPCODE 15
#define FEATHERSTAR_FRAME_EVENT_COMPRESSED 16 /* the message is */
#define FEATHERSTAR_FRAME_EVENT_WIDE 32 /* a text that is not all ASCII so far */
#define FEATHERSTAR_FRAME_EVENT_FIN 64 /* the last frame of its message */
#define FEATHERSTAR_FRAME_EVENT_END 128 /* the last bytes of its frame */

struct featherstar_header {
	uint32_t magic;
	uint32_t abi_version;
	/* limits; "power of two" where said */
	uint32_t shard_count;
	uint32_t ring_slots; /* power of two, per ordered pair */
	uint32_t credit_count; /* requests of one shard to one peer that the peer has not begun */
	uint32_t sqe_slots; /* power of two */
	uint32_t cqe_slots; /* power of two */
	uint32_t ready_slots; /* power of two, more than cqeSlots */
	uint32_t op_slots;
	uint32_t timer_slots;
	uint32_t task_slots;
	uint32_t connection_slots;
	uint32_t recv_buffer_count; /* power of two */
	uint32_t recv_buffer_bytes;
	uint32_t large_recv_buffer_count; /* power of two */
	uint32_t large_recv_buffer_bytes;
	uint32_t send_buffer_count;
	uint32_t send_buffer_bytes;
	uint32_t arena_bytes;
	uint32_t scratch_bytes;
	/* offsets from address 0 */
	uint32_t ring_bytes;
	uint32_t shards_offset;
	uint32_t shard_bytes;
	uint32_t total_pages; /* of 64 KiB; the memory's initial and maximum */
	/* offsets from a shard's base */
	uint32_t sqe_offset;
	uint32_t cqe_offset;
	uint32_t recycle_offset;
	uint32_t ready_offset;
	uint32_t counters_offset;
	uint32_t ops_offset;
	uint32_t timers_offset;
	uint32_t wheel_offset;
	uint32_t tasks_offset;
	uint32_t groups_offset;
	uint32_t inbox_offset;
	uint32_t outgoing_offset;
	uint32_t connections_offset;
	uint32_t scratch_offset;
	uint32_t arena_offset;
	uint32_t recv_offset;
	uint32_t send_offset;
	uint32_t call_slots; /* a limit of the host's: calls that one shard may have open */
};

_Static_assert(offsetof(struct featherstar_header, magic) == 0, "");
_Static_assert(offsetof(struct featherstar_header, abi_version) == 4, "");
_Static_assert(offsetof(struct featherstar_header, shard_count) == 8, "");
_Static_assert(offsetof(struct featherstar_header, ring_slots) == 12, "");
_Static_assert(offsetof(struct featherstar_header, credit_count) == 16, "");
_Static_assert(offsetof(struct featherstar_header, sqe_slots) == 20, "");
_Static_assert(offsetof(struct featherstar_header, cqe_slots) == 24, "");
_Static_assert(offsetof(struct featherstar_header, ready_slots) == 28, "");
_Static_assert(offsetof(struct featherstar_header, op_slots) == 32, "");
_Static_assert(offsetof(struct featherstar_header, timer_slots) == 36, "");
_Static_assert(offsetof(struct featherstar_header, task_slots) == 40, "");
_Static_assert(offsetof(struct featherstar_header, connection_slots) == 44, "");
_Static_assert(offsetof(struct featherstar_header, recv_buffer_count) == 48, "");
_Static_assert(offsetof(struct featherstar_header, recv_buffer_bytes) == 52, "");
_Static_assert(offsetof(struct featherstar_header, large_recv_buffer_count) == 56, "");
_Static_assert(offsetof(struct featherstar_header, large_recv_buffer_bytes) == 60, "");
_Static_assert(offsetof(struct featherstar_header, send_buffer_count) == 64, "");
_Static_assert(offsetof(struct featherstar_header, send_buffer_bytes) == 68, "");
_Static_assert(offsetof(struct featherstar_header, arena_bytes) == 72, "");
_Static_assert(offsetof(struct featherstar_header, scratch_bytes) == 76, "");
_Static_assert(offsetof(struct featherstar_header, ring_bytes) == 80, "");
_Static_assert(offsetof(struct featherstar_header, shards_offset) == 84, "");
_Static_assert(offsetof(struct featherstar_header, shard_bytes) == 88, "");
_Static_assert(offsetof(struct featherstar_header, total_pages) == 92, "");
_Static_assert(offsetof(struct featherstar_header, sqe_offset) == 96, "");
_Static_assert(offsetof(struct featherstar_header, cqe_offset) == 100, "");
_Static_assert(offsetof(struct featherstar_header, recycle_offset) == 104, "");
_Static_assert(offsetof(struct featherstar_header, ready_offset) == 108, "");
_Static_assert(offsetof(struct featherstar_header, counters_offset) == 112, "");
_Static_assert(offsetof(struct featherstar_header, ops_offset) == 116, "");
_Static_assert(offsetof(struct featherstar_header, timers_offset) == 120, "");
_Static_assert(offsetof(struct featherstar_header, wheel_offset) == 124, "");
_Static_assert(offsetof(struct featherstar_header, tasks_offset) == 128, "");
_Static_assert(offsetof(struct featherstar_header, groups_offset) == 132, "");
_Static_assert(offsetof(struct featherstar_header, inbox_offset) == 136, "");
_Static_assert(offsetof(struct featherstar_header, outgoing_offset) == 140, "");
_Static_assert(offsetof(struct featherstar_header, connections_offset) == 144, "");
_Static_assert(offsetof(struct featherstar_header, scratch_offset) == 148, "");
_Static_assert(offsetof(struct featherstar_header, arena_offset) == 152, "");
_Static_assert(offsetof(struct featherstar_header, recv_offset) == 156, "");
_Static_assert(offsetof(struct featherstar_header, send_offset) == 160, "");
_Static_assert(offsetof(struct featherstar_header, call_slots) == 164, "");
_Static_assert(sizeof(struct featherstar_header) == 168, "");

struct featherstar_control {
	/* line 0, written by the core, read by the host at enter */
	uint32_t submit_count; /* SQEs staged in the window */
	uint32_t recycle_count; /* buffer ids staged in the recycle list */
	/* bits of MoreWork; if it is not 0, the host takes another turn at once and does not sleep */
	uint32_t more_work;
	/* 1: a full window is emptied in mid-turn: submit, but leave the completion window as it is */
	uint32_t submit_only;
	double next_deadline_ns; /* when the wheel wants a turn, on the clock of nowNs; Infinity = never */
	uint8_t unused0[40];
	/* line 1 (+64), written by the host, read by the core */
	uint32_t completion_count; /* CQEs in the window, all of them new */
	int32_t enter_result; /* result of the last enter: >= 0, or -errno */
	double now_ns; /* monotonic clock, ns; 2^53 ns = 104 days are exact, later ones round to 2 ns */
	uint32_t refused_count; /* SQEs that the gate refused since it was opened */
	uint32_t overflow_count; /* CQ overflows since the ring was opened */
	double idle_poll_ns; /* longest poll before a sleep; 0 = none */
	double quota_ns; /* longest run of tasks in one turn */
	double enter_count; /* native calls */
	double sleep_count; /* enters that really slept */
	double poll_count; /* polls that found work, so no sleep was needed */
	/* line 2 (+128), written by this shard and its peers: 0 awake, 1 sleeping, 2 sleeping and being rung */
	uint32_t sleeping;
	uint8_t unused1[60];
	/* line 3 (+192), set by peers, taken by this shard: bit i = mail or room in a ring with shard i */
	uint64_t dirty;
	uint8_t unused2[56];
	/* line 4 (+256): the ready ring's indices; free-running u32 */
	uint32_t ready_tail; /* written by the core */
	uint32_t ready_head; /* written by the host */
	uint8_t unused3[56];
	/* line 5 (+320), written by the shard's host, read by other threads */
	uint32_t send_buffers_used;
	uint32_t watched;
	uint32_t births; /* how often this shard was started */
	uint32_t open_calls; /* calls of this shard that are not settled */
	double idle_ns; /* time without work; host/native/loop.c */
	double running; /* which function or handler runs; host/shard/stall.ts */
	uint32_t served_calls; /* calls of peers that run here */
	uint32_t exits;
	uint32_t is_loaded; /* 1: the shard module is loaded */
	uint8_t unused4[148];
};

_Static_assert(offsetof(struct featherstar_control, submit_count) == 0, "");
_Static_assert(offsetof(struct featherstar_control, recycle_count) == 4, "");
_Static_assert(offsetof(struct featherstar_control, more_work) == 8, "");
_Static_assert(offsetof(struct featherstar_control, submit_only) == 12, "");
_Static_assert(offsetof(struct featherstar_control, next_deadline_ns) == 16, "");
_Static_assert(offsetof(struct featherstar_control, completion_count) == 64, "");
_Static_assert(offsetof(struct featherstar_control, enter_result) == 68, "");
_Static_assert(offsetof(struct featherstar_control, now_ns) == 72, "");
_Static_assert(offsetof(struct featherstar_control, refused_count) == 80, "");
_Static_assert(offsetof(struct featherstar_control, overflow_count) == 84, "");
_Static_assert(offsetof(struct featherstar_control, idle_poll_ns) == 88, "");
_Static_assert(offsetof(struct featherstar_control, quota_ns) == 96, "");
_Static_assert(offsetof(struct featherstar_control, enter_count) == 104, "");
_Static_assert(offsetof(struct featherstar_control, sleep_count) == 112, "");
_Static_assert(offsetof(struct featherstar_control, poll_count) == 120, "");
_Static_assert(offsetof(struct featherstar_control, sleeping) == 128, "");
_Static_assert(offsetof(struct featherstar_control, dirty) == 192, "");
_Static_assert(offsetof(struct featherstar_control, ready_tail) == 256, "");
_Static_assert(offsetof(struct featherstar_control, ready_head) == 260, "");
_Static_assert(offsetof(struct featherstar_control, send_buffers_used) == 320, "");
_Static_assert(offsetof(struct featherstar_control, watched) == 324, "");
_Static_assert(offsetof(struct featherstar_control, births) == 328, "");
_Static_assert(offsetof(struct featherstar_control, open_calls) == 332, "");
_Static_assert(offsetof(struct featherstar_control, idle_ns) == 336, "");
_Static_assert(offsetof(struct featherstar_control, running) == 344, "");
_Static_assert(offsetof(struct featherstar_control, served_calls) == 352, "");
_Static_assert(offsetof(struct featherstar_control, exits) == 356, "");
_Static_assert(offsetof(struct featherstar_control, is_loaded) == 360, "");
_Static_assert(sizeof(struct featherstar_control) == 512, "");

struct featherstar_ready {
	uint32_t kind; /* ReadyKind, and for OP and TIMER the tag that their maker gave, shifted left by 8 */
	uint32_t index; /* OP, TIMER: the owner that their maker gave; MAIL, ROOM: peer */
	int32_t result; /* OP: the completion's result; 0 otherwise */
	uint32_t extra; /* OP: CQE flags */
};

_Static_assert(offsetof(struct featherstar_ready, kind) == 0, "");
_Static_assert(offsetof(struct featherstar_ready, index) == 4, "");
_Static_assert(offsetof(struct featherstar_ready, result) == 8, "");
_Static_assert(offsetof(struct featherstar_ready, extra) == 12, "");
_Static_assert(sizeof(struct featherstar_ready) == 16, "");

struct featherstar_sqe {
	uint8_t opcode;
	uint8_t flags;
	uint16_t ioprio;
	int32_t fd;
	uint64_t off;
	uint64_t addr;
	uint32_t len;
	uint32_t op_flags;
	uint64_t user_data;
	uint16_t buf_group;
	uint16_t personality;
	uint32_t file_index;
	uint64_t addr3;
	uint8_t unused0[8];
};

_Static_assert(offsetof(struct featherstar_sqe, opcode) == 0, "");
_Static_assert(offsetof(struct featherstar_sqe, flags) == 1, "");
_Static_assert(offsetof(struct featherstar_sqe, ioprio) == 2, "");
_Static_assert(offsetof(struct featherstar_sqe, fd) == 4, "");
_Static_assert(offsetof(struct featherstar_sqe, off) == 8, "");
_Static_assert(offsetof(struct featherstar_sqe, addr) == 16, "");
_Static_assert(offsetof(struct featherstar_sqe, len) == 24, "");
_Static_assert(offsetof(struct featherstar_sqe, op_flags) == 28, "");
_Static_assert(offsetof(struct featherstar_sqe, user_data) == 32, "");
_Static_assert(offsetof(struct featherstar_sqe, buf_group) == 40, "");
_Static_assert(offsetof(struct featherstar_sqe, personality) == 42, "");
_Static_assert(offsetof(struct featherstar_sqe, file_index) == 44, "");
_Static_assert(offsetof(struct featherstar_sqe, addr3) == 48, "");
_Static_assert(sizeof(struct featherstar_sqe) == 64, "");

struct featherstar_cqe {
	uint64_t user_data;
	int32_t result;
	uint32_t flags;
};

_Static_assert(offsetof(struct featherstar_cqe, user_data) == 0, "");
_Static_assert(offsetof(struct featherstar_cqe, result) == 8, "");
_Static_assert(offsetof(struct featherstar_cqe, flags) == 12, "");
_Static_assert(sizeof(struct featherstar_cqe) == 16, "");

struct featherstar_message {
	uint8_t kind;
	uint8_t status;
	uint16_t method;
	uint32_t caller;
	uint32_t number;
	uint32_t payload_bytes;
	uint32_t payload;
	uint8_t unused0[44];
};

_Static_assert(offsetof(struct featherstar_message, kind) == 0, "");
_Static_assert(offsetof(struct featherstar_message, status) == 1, "");
_Static_assert(offsetof(struct featherstar_message, method) == 2, "");
_Static_assert(offsetof(struct featherstar_message, caller) == 4, "");
_Static_assert(offsetof(struct featherstar_message, number) == 8, "");
_Static_assert(offsetof(struct featherstar_message, payload_bytes) == 12, "");
_Static_assert(offsetof(struct featherstar_message, payload) == 16, "");
_Static_assert(sizeof(struct featherstar_message) == 64, "");

struct featherstar_slab {
	uint32_t slot_bytes;
	uint32_t limit; /* highest index */
	uint32_t free; /* first free slot, 0 = none */
	uint32_t fresh; /* lowest index never handed out */
	uint32_t used;
};

_Static_assert(offsetof(struct featherstar_slab, slot_bytes) == 0, "");
_Static_assert(offsetof(struct featherstar_slab, limit) == 4, "");
_Static_assert(offsetof(struct featherstar_slab, free) == 8, "");
_Static_assert(offsetof(struct featherstar_slab, fresh) == 12, "");
_Static_assert(offsetof(struct featherstar_slab, used) == 16, "");
_Static_assert(sizeof(struct featherstar_slab) == 20, "");

struct featherstar_link {
	uint32_t generation;
	uint32_t next;
	uint32_t prev;
};

_Static_assert(offsetof(struct featherstar_link, generation) == 0, "");
_Static_assert(offsetof(struct featherstar_link, next) == 4, "");
_Static_assert(offsetof(struct featherstar_link, prev) == 8, "");
_Static_assert(sizeof(struct featherstar_link) == 12, "");

struct featherstar_counters {
	uint64_t turns;
	uint64_t completions; /* taken from the completion window */
	uint64_t stale_completions; /* named an operation that is over; dropped */
	uint64_t submissions; /* staged in the submission window */
	uint64_t timers_fired;
	uint64_t tasks_run;
	uint64_t requests_sent;
	uint64_t requests_received;
	uint64_t replies_sent;
	uint64_t replies_received;
	uint64_t doorbells; /* peers that had to be woken by the kernel */
	uint64_t ring_full; /* refusals: no slot in the ring */
	uint64_t credit_refused; /* refusals: no credit */
	uint8_t unused0[152];
};

_Static_assert(offsetof(struct featherstar_counters, turns) == 0, "");
_Static_assert(offsetof(struct featherstar_counters, completions) == 8, "");
_Static_assert(offsetof(struct featherstar_counters, stale_completions) == 16, "");
_Static_assert(offsetof(struct featherstar_counters, submissions) == 24, "");
_Static_assert(offsetof(struct featherstar_counters, timers_fired) == 32, "");
_Static_assert(offsetof(struct featherstar_counters, tasks_run) == 40, "");
_Static_assert(offsetof(struct featherstar_counters, requests_sent) == 48, "");
_Static_assert(offsetof(struct featherstar_counters, requests_received) == 56, "");
_Static_assert(offsetof(struct featherstar_counters, replies_sent) == 64, "");
_Static_assert(offsetof(struct featherstar_counters, replies_received) == 72, "");
_Static_assert(offsetof(struct featherstar_counters, doorbells) == 80, "");
_Static_assert(offsetof(struct featherstar_counters, ring_full) == 88, "");
_Static_assert(offsetof(struct featherstar_counters, credit_refused) == 96, "");
_Static_assert(sizeof(struct featherstar_counters) == 256, "");

struct featherstar_http_connection {
	uint16_t state;
	uint16_t line_bytes;
	uint32_t flags;
	uint32_t method_id;
	uint32_t method_start;
	uint32_t method_end;
	uint32_t target_start;
	uint32_t target_end;
	uint32_t path_end;
	uint32_t headers_start;
	uint32_t header_count;
	uint64_t progress;
	double content_length;
	uint32_t data_start;
	uint32_t data_bytes;
};

_Static_assert(offsetof(struct featherstar_http_connection, state) == 0, "");
_Static_assert(offsetof(struct featherstar_http_connection, line_bytes) == 2, "");
_Static_assert(offsetof(struct featherstar_http_connection, flags) == 4, "");
_Static_assert(offsetof(struct featherstar_http_connection, method_id) == 8, "");
_Static_assert(offsetof(struct featherstar_http_connection, method_start) == 12, "");
_Static_assert(offsetof(struct featherstar_http_connection, method_end) == 16, "");
_Static_assert(offsetof(struct featherstar_http_connection, target_start) == 20, "");
_Static_assert(offsetof(struct featherstar_http_connection, target_end) == 24, "");
_Static_assert(offsetof(struct featherstar_http_connection, path_end) == 28, "");
_Static_assert(offsetof(struct featherstar_http_connection, headers_start) == 32, "");
_Static_assert(offsetof(struct featherstar_http_connection, header_count) == 36, "");
_Static_assert(offsetof(struct featherstar_http_connection, progress) == 40, "");
_Static_assert(offsetof(struct featherstar_http_connection, content_length) == 48, "");
_Static_assert(offsetof(struct featherstar_http_connection, data_start) == 56, "");
_Static_assert(offsetof(struct featherstar_http_connection, data_bytes) == 60, "");
_Static_assert(sizeof(struct featherstar_http_connection) == 64, "");

struct featherstar_web_socket_frames {
	uint8_t state; /* State */
	uint8_t head_bytes; /* so many bytes are in `head` */
	uint8_t message; /* the message under way: its opcode, COMPRESSED, WIDE; 0 = none */
	uint32_t flags; /* Flag, as ws_reset() was told */
	uint32_t frame; /* the current frame: the opcode if it is a control frame, and FIN */
	uint32_t event; /* what the last ws_parse() has found, Event; 0 = nothing yet */
	uint32_t mask; /* of the payload byte that comes next, and of the three behind it */
	uint32_t left; /* bytes of the payload still to come; FAILED: the close code */
	uint32_t message_bytes; /* of the message, with the whole current frame */
	uint32_t max_bytes; /* that a message may have */
	uint32_t data_start; /* relative to the `ptr` of the last ws_parse() */
	uint32_t data_bytes;
	uint64_t head; /* the beginning of a head */
	uint64_t head_rest;
	uint8_t unused0[8];
};

_Static_assert(offsetof(struct featherstar_web_socket_frames, state) == 0, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, head_bytes) == 1, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, message) == 2, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, flags) == 4, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, frame) == 8, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, event) == 12, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, mask) == 16, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, left) == 20, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, message_bytes) == 24, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, max_bytes) == 28, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, data_start) == 32, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, data_bytes) == 36, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, head) == 40, "");
_Static_assert(offsetof(struct featherstar_web_socket_frames, head_rest) == 48, "");
_Static_assert(sizeof(struct featherstar_web_socket_frames) == 64, "");
