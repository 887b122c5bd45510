// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Bytes that JavaScript lends: Uint8Arrays of its own, which the kernel reads or writes where they lie, without a copy.
//
//   lent[file slot] = body, or [chunk, chunk, ...]         an array, which JavaScript fills before it stages the send
//   targets[file slot] = array                             JavaScript puts it there before it stages the receive
//
// The gate asks for the pieces in the enter that submits the operation (gate.c#admit_lent, gate.c#admit_target), in the
// shard's own thread. No JavaScript runs from then until the kernel is done with them. So nothing can detach, transfer
// or collect them in between. An array that was detached before has no bytes.
//
// JavaScript asks each small piece for its `buffer` before it lends it. V8 keeps the bytes of a short array in its own
// heap, where they can move, until then.
//
// Next: listen.c.
#include "lent.h"

static bool find_piece(napi_env env, napi_value value, struct region *piece)
{
	napi_typedarray_type type;
	size_t bytes = 0;
	void *at = NULL;

	if (napi_get_typedarray_info(env, value, &type, &bytes, &at, NULL, NULL) != napi_ok || type != napi_uint8_array)
		return false;
	*piece = (struct region){ at, at ? bytes : 0 };
	return true;
}

static int find_pieces(const struct lent *lent, uint32_t slot, struct region *pieces)
{
	napi_env env = lent->env;
	napi_value table, row, piece;
	uint32_t count = 0;
	bool is_array = false;

	if (napi_get_reference_value(env, lent->table, &table) != napi_ok ||
	    napi_get_element(env, table, slot, &row) != napi_ok)
		return -EFAULT;
	if (find_piece(env, row, pieces))
		return 1;
	if (napi_is_array(env, row, &is_array) != napi_ok || !is_array || napi_get_array_length(env, row, &count) != napi_ok)
		return -EFAULT;
	if (count > PIECES_MAX)
		count = PIECES_MAX;
	for (uint32_t i = 0; i < count; i++) {
		if (napi_get_element(env, row, i, &piece) != napi_ok || !find_piece(env, piece, pieces + i))
			return -EFAULT;
	}
	return (int)count;
}

// Fails if JavaScript cannot run any more, too: its thread is being terminated.
static int find(void *context, uint32_t slot, struct region *pieces)
{
	const struct lent *lent = context;
	napi_handle_scope scope; // an enter can come from libuv, where none is open
	int result;

	if (napi_open_handle_scope(lent->env, &scope) != napi_ok)
		return -EFAULT;
	result = find_pieces(lent, slot, pieces);
	napi_close_handle_scope(lent->env, scope);
	return result;
}

struct lender lent_from(struct lent *lent, napi_env env, napi_value table)
{
	bool is_array = false;

	if (napi_is_array(env, table, &is_array) != napi_ok || !is_array)
		return (struct lender){ 0 };
	lent->env = env;
	napi_create_reference(env, table, 1, &lent->table);
	return (struct lender){ find, lent };
}

void lent_forget(struct lent *lent)
{
	if (lent->table)
		napi_delete_reference(lent->env, lent->table);
	lent->table = NULL;
}
