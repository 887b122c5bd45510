// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Another addon, which wraps something of its own: an object for methods that must look whose it is.
#include <node_api.h>

static long something[1024];

NAPI_MODULE_INIT()
{
	napi_wrap(env, exports, something, NULL, NULL, NULL);
	return exports;
}
