/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* N-API in fewer words. */
#pragma once

#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

static inline napi_value number(napi_env env, double value)
{
	napi_value result;

	napi_create_double(env, value, &result);
	return result;
}

static inline double number_arg(napi_env env, napi_value value)
{
	double result = 0;

	napi_get_value_double(env, value, &result);
	return result;
}

/* False, with an exception pending, if it is no number. A value that does not fit an int becomes -1. */
static inline bool int_arg(napi_env env, napi_value value, int *result)
{
	double number = 0;

	if (napi_get_value_double(env, value, &number) != napi_ok) {
		napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "not a number");
		return false;
	}
	*result = number >= -1 && number <= INT32_MAX ? (int)number : -1;
	return true;
}

static inline void set(napi_env env, napi_value object, const char *name, napi_value value)
{
	napi_set_named_property(env, object, name, value);
}

static inline napi_value string(napi_env env, const char *text)
{
	napi_value result;

	napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &result);
	return result;
}

static inline napi_value add(napi_env env, napi_value object, const char *name, napi_callback callback, void *data)
{
	napi_value function;

	napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
	set(env, object, name, function);
	return function;
}

/* cpus.c */
void cpus_export(napi_env env, napi_value exports);

/* tls.c */
void tls_export(napi_env env, napi_value exports);
