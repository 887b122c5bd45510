/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* lent.c */
#pragma once

#include <node_api.h>
#include "ring.h"

struct lent {
	napi_env env;
	napi_ref table; /* NULL: there is none */
};

/* `table`: JavaScript's array, or undefined. `lent` must live as long as the ring that gets the lender. */
struct lender lent_from(struct lent *lent, napi_env env, napi_value table);
void lent_forget(struct lent *lent);
