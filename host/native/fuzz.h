/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The fuzzer of test builds: see fuzz.c. */
#pragma once

#include <node_api.h>
#include "ring.h"

void fuzz_export(napi_env env, napi_value exports);
