/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* options.c */
#pragma once

#include <node_api.h>
#include "ring.h"

bool options_limits(napi_env env, napi_value object, struct ring_options *options);
bool options_region(napi_env env, napi_value value, struct region *region);
bool options_rules(napi_env env, napi_value value, struct ring_options *options);
