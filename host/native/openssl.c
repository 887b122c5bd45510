// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Finds OpenSSL in this process: Node exports its functions, or has loaded a library that does.
//
// Next: tls_context.c.
#include <dlfcn.h>
#include <pthread.h>
#include "tls.h"

struct openssl ssl;
static bool found;

static void find(void)
{
	bool all = true;

#define FIND(result, name, parameters) all = (ssl.name = (result(*) parameters)dlsym(RTLD_DEFAULT, #name)) && all;
	OPENSSL_FUNCTIONS(FIND)
#undef FIND
	found = all && ssl.OpenSSL_version_num() >= OPENSSL_LEAST && ssl.OpenSSL_version_num() < OPENSSL_BEYOND;
}

bool openssl_find(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find);
	return found;
}

const char *openssl_take_error(void)
{
	unsigned long error = ssl.ERR_get_error();
	const char *reason = error ? ssl.ERR_reason_error_string(error) : NULL;

	ssl.ERR_clear_error();
	return reason ? reason : "no reason given";
}
