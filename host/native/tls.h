/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The types and functions that the files of TLS share. */
#pragma once

#include <stdbool.h>
#include <string.h>
#include "napi.h"
#include "openssl.h"

/* The functions of OpenSSL, once openssl_find() has returned true. Any thread may ask. */
extern struct openssl ssl;
bool openssl_find(void);

/* The text of the first error in the list, which is empty then. */
const char *openssl_take_error(void);

/* Keys and certificates. Each connection that was opened with one uses it, and the object of JavaScript. */
struct context {
	SSL_CTX *ctx;
	unsigned uses;
	bool is_client;
	unsigned alpn_bytes;
	unsigned char alpn[]; /* of a server: as in the extension, the best first */
};

struct connection {
	SSL *ssl;
	struct context *context;
	bool secure; /* the handshake is over */
	bool chosen; /* the certificate, by JavaScript */
	bool holds; /* the beginning of a record */
};

/* makeContext() of JavaScript. */
napi_value context_make(napi_env env, napi_callback_info info);

/* NULL with an exception pending if it is none. */
struct context *context_arg(napi_env env, napi_value value);
void context_release(struct context *context);

/* The text of `value`, to be freed; NULL: it is no string, or there is no memory. */
char *text_of(napi_env env, napi_value value);

struct bytes {
	const unsigned char *at;
	size_t length;
};

static inline bool bytes_of(napi_env env, napi_value value, struct bytes *bytes)
{
	napi_typedarray_type type;

	return napi_get_typedarray_info(env, value, &type, &bytes->length, (void **)&bytes->at, NULL, NULL) == napi_ok &&
	       type == napi_uint8_array;
}
