// SPDX-License-Identifier: MIT OR Apache-2.0
//
// Contexts of TLS: the keys, certificates, ciphers and ticket keys of connections. JavaScript has checked all of it by
// node:tls before. Keys come in DER, from arrays of JavaScript's heap, and OpenSSL has copies in its own.
//
// Next: tls.c.
#include <stdlib.h>
#include "tls.h"

#define USE_CIPHERS -1 // in the place of a command: these have a function of their own
#define USE_SUITES -2

// --- contexts --------------------------------------------------------------------------------------------------------

static const napi_type_tag context_tag = { 0x6665617468657273, 0x51c4a7e28be04d93 };

void context_release(struct context *context)
{
	if (--context->uses)
		return;
	ssl.SSL_CTX_free(context->ctx);
	free(context);
}

static void on_context_collected(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	context_release(data);
}

static int choose_alpn(SSL *of, const unsigned char **out, unsigned char *out_bytes, const unsigned char *in,
		       unsigned in_bytes, void *unused)
{
	struct connection *connection = ssl.SSL_get_ex_data(of, 0);
	struct context *context = connection->context;

	(void)unused;
	if (ssl.SSL_select_next_proto((unsigned char **)out, out_bytes, context->alpn, context->alpn_bytes, in,
				      in_bytes) == OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_OK;
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// Suspends the handshake until JavaScript has chosen; then OpenSSL calls this again.
static int choose_certificate(SSL *of, void *unused)
{
	struct connection *connection = ssl.SSL_get_ex_data(of, 0);

	(void)unused;
	return connection->chosen ? 1 : -1;
}

// JavaScript asks for the result when the handshake is over, and decides. With a callback that goes on, OpenSSL keeps
// the last error of a chain, as node:tls does. The errors of a certificate that is no good are not those of the
// connection: SSL_get_error() would take them for that.
static int accept_any(int is_good, X509_STORE_CTX *store)
{
	(void)store;
	if (!is_good)
		ssl.ERR_clear_error();
	return 1;
}

static napi_value member(napi_env env, napi_value object, const char *name)
{
	napi_value value = NULL;

	napi_get_named_property(env, object, name, &value);
	return value;
}

static long number_of(napi_env env, napi_value object, const char *name)
{
	return (long)number_arg(env, member(env, object, name));
}

static bool is_set(napi_env env, napi_value object, const char *name)
{
	bool result = false;

	napi_get_value_bool(env, member(env, object, name), &result);
	return result;
}

static X509 *certificate_of(napi_env env, napi_value list, uint32_t index)
{
	napi_value value;
	struct bytes der;

	if (napi_get_element(env, list, index, &value) != napi_ok || !bytes_of(env, value, &der))
		return NULL;
	return ssl.d2i_X509(NULL, &der.at, (long)der.length);
}

static uint32_t length_of(napi_env env, napi_value list)
{
	uint32_t length = 0;

	napi_get_array_length(env, list, &length);
	return length;
}

// The own certificate, then those that have signed it.
static bool use_chain(napi_env env, SSL_CTX *ctx, napi_value chain)
{
	uint32_t length = length_of(env, chain);
	bool done = length != 0;

	for (uint32_t i = 0; done && i < length; i++) {
		X509 *certificate = certificate_of(env, chain, i);

		if (!certificate)
			return false;
		if (i == 0)
			done = ssl.SSL_CTX_use_certificate(ctx, certificate) == 1;
		else
			done = ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_CHAIN_CERT, 1, certificate) == 1;
		ssl.X509_free(certificate);
	}
	return done;
}

static bool use_key(napi_env env, SSL_CTX *ctx, napi_value value)
{
	struct bytes der;
	EVP_PKEY *key;
	bool done;

	if (!bytes_of(env, value, &der))
		return false;
	key = ssl.d2i_AutoPrivateKey(NULL, &der.at, (long)der.length);
	done = key && ssl.SSL_CTX_use_PrivateKey(ctx, key) == 1;
	if (key)
		ssl.EVP_PKEY_free(key);
	return done;
}

// A server also tells its clients which authorities it knows.
static bool trust(napi_env env, SSL_CTX *ctx, napi_value authorities, bool is_client)
{
	uint32_t length = length_of(env, authorities);

	for (uint32_t i = 0; i < length; i++) {
		X509 *certificate = certificate_of(env, authorities, i);

		if (!certificate)
			return false;
		ssl.X509_STORE_add_cert(ssl.SSL_CTX_get_cert_store(ctx), certificate); // adding one twice is not an error
		if (!is_client)
			ssl.SSL_CTX_add_client_CA(ctx, certificate);
		ssl.X509_free(certificate);
	}
	return true;
}

char *text_of(napi_env env, napi_value value)
{
	size_t length = 0;
	char *text;

	if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
		return NULL;
	text = malloc(length + 1);
	if (text)
		napi_get_value_string_utf8(env, value, text, length + 1, &length);
	return text;
}

// Gives OpenSSL a text of the options. True without it, too.
static bool use_text(napi_env env, SSL_CTX *ctx, napi_value options, const char *name, int command)
{
	napi_value value = member(env, options, name);
	napi_valuetype type = napi_undefined;
	char *text;
	bool done;

	napi_typeof(env, value, &type);
	if (type != napi_string)
		return true;
	text = text_of(env, value);
	if (!text)
		return false;
	if (command == USE_CIPHERS)
		done = ssl.SSL_CTX_set_cipher_list(ctx, text) == 1;
	else if (command == USE_SUITES)
		done = ssl.SSL_CTX_set_ciphersuites(ctx, text) == 1;
	else
		done = ssl.SSL_CTX_ctrl(ctx, command, 0, text) == 1;
	free(text);
	return done;
}

// Only servers have these: session tickets, and the certificates of clients.
static bool configure_server(napi_env env, SSL_CTX *ctx, napi_value options)
{
	int verify = SSL_VERIFY_PEER | (is_set(env, options, "needsCert") ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
	struct bytes tickets, session;

	ssl.SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL, NULL);
	ssl.SSL_CTX_set_timeout(ctx, number_of(env, options, "sessionSeconds"));
	if (!is_set(env, options, "hasTickets"))
		ssl.SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	if (is_set(env, options, "requestCert"))
		ssl.SSL_CTX_set_verify(ctx, verify, accept_any);
	if (is_set(env, options, "asksForName"))
		ssl.SSL_CTX_set_cert_cb(ctx, choose_certificate, NULL);
	return bytes_of(env, member(env, options, "sessionContext"), &session) &&
	       ssl.SSL_CTX_set_session_id_context(ctx, session.at, (unsigned)session.length) == 1 &&
	       bytes_of(env, member(env, options, "ticketKeys"), &tickets) &&
	       ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_TLSEXT_TICKET_KEYS, (long)tickets.length, (void *)tickets.at) == 1;
}

// A client keeps its sessions in JavaScript. It checks the certificate as node:tls does: OpenSSL finds out whether it
// is good, the handshake goes on in any case, and JavaScript decides before it sends or delivers a byte.
static void configure_client(SSL_CTX *ctx)
{
	ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
	ssl.SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, accept_any);
}

static bool configure(napi_env env, SSL_CTX *ctx, napi_value options, bool is_client, const struct context *alike)
{
	napi_value chains = member(env, options, "chains"), keys = member(env, options, "keys"), value;
	long min = number_of(env, options, "minVersion"), max = number_of(env, options, "maxVersion");

	ssl.SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
	ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
	if (ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MIN_PROTO_VERSION, min, NULL) != 1 ||
	    ssl.SSL_CTX_ctrl(ctx, SSL_CTRL_SET_MAX_PROTO_VERSION, max, NULL) != 1)
		return false;
	if (is_client)
		configure_client(ctx);
	else if (!configure_server(env, ctx, options))
		return false;
	if (!use_text(env, ctx, options, "ciphers", USE_CIPHERS) || !use_text(env, ctx, options, "suites", USE_SUITES) ||
	    !use_text(env, ctx, options, "groups", SSL_CTRL_SET_GROUPS_LIST) ||
	    !use_text(env, ctx, options, "signatures", SSL_CTRL_SET_SIGALGS_LIST))
		return false;
	for (uint32_t i = 0; i < length_of(env, chains); i++) {
		if (napi_get_element(env, chains, i, &value) != napi_ok || !use_chain(env, ctx, value))
			return false;
	}
	for (uint32_t i = 0; i < length_of(env, keys); i++) {
		if (napi_get_element(env, keys, i, &value) != napi_ok || !use_key(env, ctx, value))
			return false;
	}
	if (!alike)
		return trust(env, ctx, member(env, options, "authorities"), is_client);
	ssl.SSL_CTX_set1_cert_store(ctx, ssl.SSL_CTX_get_cert_store(alike->ctx));
	return true;
}

// The application protocols of a context: a client offers them, and a server chooses one.
static bool use_alpn(struct context *context)
{
	if (context->alpn_bytes == 0)
		return true;
	if (context->is_client)
		return ssl.SSL_CTX_set_alpn_protos(context->ctx, context->alpn, context->alpn_bytes) == 0;
	ssl.SSL_CTX_set_alpn_select_cb(context->ctx, choose_alpn, NULL);
	return true;
}

static struct context *make_context(napi_env env, napi_value options, const struct context *alike)
{
	struct bytes alpn = { NULL, 0 };
	struct context *context;

	bytes_of(env, member(env, options, "alpn"), &alpn);
	context = calloc(1, sizeof(*context) + alpn.length);
	if (!context)
		return NULL;
	context->uses = 1;
	context->alpn_bytes = (unsigned)alpn.length;
	if (alpn.length)
		memcpy(context->alpn, alpn.at, alpn.length);
	context->is_client = is_set(env, options, "isClient");
	context->ctx = ssl.SSL_CTX_new(context->is_client ? ssl.TLS_client_method() : ssl.TLS_server_method());
	if (context->ctx && configure(env, context->ctx, options, context->is_client, alike) && use_alpn(context))
		return context;
	context_release(context);
	return NULL;
}

// makeContext(options, alike or undefined) -> context, or the reason why it cannot be made. A client uses the
// authorities of the context `alike`, in place of copies of its own.
napi_value context_make(napi_env env, napi_callback_info info)
{
	struct context *context, *alike = NULL;
	napi_valuetype type = napi_undefined;
	napi_value argv[2], object;
	size_t argc = 2;

	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	napi_typeof(env, argv[1], &type);
	if (type != napi_undefined) {
		alike = context_arg(env, argv[1]);
		if (!alike)
			return NULL;
	}
	ssl.ERR_clear_error();
	context = make_context(env, argv[0], alike);
	if (!context)
		return string(env, openssl_take_error());
	ssl.ERR_clear_error();
	napi_create_object(env, &object);
	napi_type_tag_object(env, object, &context_tag);
	napi_wrap(env, object, context, on_context_collected, NULL, NULL);
	return object;
}

struct context *context_arg(napi_env env, napi_value value)
{
	struct context *context = NULL;
	bool is_context = false;

	if (napi_check_object_type_tag(env, value, &context_tag, &is_context) == napi_ok && is_context &&
	    napi_unwrap(env, value, (void **)&context) == napi_ok && context)
		return context;
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "not a context");
	return NULL;
}
