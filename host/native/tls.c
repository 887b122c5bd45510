// SPDX-License-Identifier: MIT OR Apache-2.0
//
// TLS by the OpenSSL that is in Node: one call decrypts what has come, one encrypts what goes out.
//
//   received bytes --receive()--> OpenSSL --> plain bytes, in the same place or in `target`
//                                        \--> output: what the handshake and alerts send to the peer
//   plain bytes    --send()-----> OpenSSL --> output
//
// Nothing here reads or writes a socket. `output` is an array of JavaScript's, which sends what is in it. A connection
// is a number: the place in the table of its shard. JavaScript frees it, and the end of the shard frees the rest.
//
// OpenSSL keeps errors in a list of each thread, which node:tls uses too. So each entry begins with an empty list and
// leaves it empty.
//
// Keys come in DER, from arrays of JavaScript's heap. OpenSSL has copies in its own.
//
// Next: host/tls/record-engine.ts.
#include <pthread.h>
#include <stdlib.h>
#include "tls.h"

#define RESULTS 3 /* words: plain bytes, bytes of output, bytes taken */
#define PLAIN 0
#define OUTPUT 1
#define TAKEN 2

// receive() returns one of these, and flags. host/tls/record-engine.ts has the same numbers.
#define WAITS 0 // for more bytes
#define ENDED 1 // the peer has sent close_notify
#define FAILED 2
#define WANTS_NAME 3 // JavaScript calls useContext()
#define SECURE 8 // a flag: the handshake is over
#define HOLDS 16 // a flag: OpenSSL has the beginning of a record

struct place {
	struct connection *connection; // NULL: it is free
	uint32_t next_free;
};

struct tls {
	struct place *places;
	uint32_t count, first_free; // `count`: none
	const char *failure; // of the last call
	napi_ref arrays[2]; // output and results
	unsigned char *output;
	size_t output_room;
	uint32_t *results;
	const unsigned char *input;
	size_t input_bytes;
};

static BIO_METHOD *method; // of all threads

// --- between OpenSSL and the arrays ----------------------------------------------------------------------------------

static int on_read(BIO *bio, char *to, int room)
{
	struct tls *tls = ssl.BIO_get_data(bio);
	size_t rest = tls->input_bytes - tls->results[TAKEN];
	size_t bytes = (size_t)room < rest ? (size_t)room : rest;

	ssl.BIO_clear_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
	if (!bytes) {
		ssl.BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY);
		return -1;
	}
	memcpy(to, tls->input + tls->results[TAKEN], bytes);
	tls->results[TAKEN] += bytes;
	return (int)bytes;
}

// If the output has no room, the connection fails. JavaScript gives more room than one call can fill.
static int on_write(BIO *bio, const char *from, int bytes)
{
	struct tls *tls = ssl.BIO_get_data(bio);

	if (bytes < 0 || (size_t)bytes > tls->output_room - tls->results[OUTPUT])
		return -1;
	memcpy(tls->output + tls->results[OUTPUT], from, (size_t)bytes);
	tls->results[OUTPUT] += (uint32_t)bytes;
	return bytes;
}

static long on_ctrl(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

static void make_method(void)
{
	method = ssl.BIO_meth_new(BIO_TYPE_SOURCE_SINK, "featherstar");
	if (!method)
		return;
	ssl.BIO_meth_set_read(method, on_read);
	ssl.BIO_meth_set_write(method, on_write);
	ssl.BIO_meth_set_ctrl(method, on_ctrl);
}

// --- connections -----------------------------------------------------------------------------------------------------

static void destroy(struct connection *connection)
{
	ssl.SSL_free(connection->ssl); // and its BIO
	context_release(connection->context);
	free(connection);
}

static struct connection *make_connection(struct tls *tls, struct context *context)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	BIO *bio = ssl.BIO_new(method);

	if (!connection || !bio)
		goto failed;
	connection->ssl = ssl.SSL_new(context->ctx);
	if (!connection->ssl || !ssl.SSL_set_ex_data(connection->ssl, 0, connection))
		goto failed;
	ssl.BIO_set_data(bio, tls);
	ssl.BIO_set_init(bio, 1);
	ssl.SSL_set_bio(connection->ssl, bio, bio);
	if (context->is_client)
		ssl.SSL_set_connect_state(connection->ssl);
	else
		ssl.SSL_set_accept_state(connection->ssl);
	connection->context = context;
	context->uses++;
	return connection;
failed:
	if (connection)
		ssl.SSL_free(connection->ssl);
	if (bio)
		ssl.BIO_free(bio);
	free(connection);
	return NULL;
}

static bool grow(struct tls *tls)
{
	uint32_t count = tls->count ? tls->count * 2 : 64;
	struct place *grown = realloc(tls->places, count * sizeof(*grown));

	if (!grown)
		return false;
	for (uint32_t i = tls->count; i < count; i++)
		grown[i] = (struct place){ NULL, i + 1 };
	tls->places = grown;
	tls->count = count;
	return true;
}

// Of a client: the name that it asks for, and the session to be resumed. If the bytes are not a session, they are
// ignored: then the handshake is a full one, as with node:tls.
static bool prepare_client(napi_env env, SSL *of, napi_value servername, napi_value session)
{
	char *name = text_of(env, servername);
	SSL_SESSION *resumed;
	struct bytes der;
	bool done = true;

	if (name)
		done = ssl.SSL_ctrl(of, SSL_CTRL_SET_TLSEXT_HOSTNAME, 0, name) == 1;
	free(name);
	if (!done || !bytes_of(env, session, &der))
		return done;
	resumed = ssl.d2i_SSL_SESSION(NULL, &der.at, (long)der.length);
	if (resumed) {
		ssl.SSL_set_session(of, resumed);
		ssl.SSL_SESSION_free(resumed);
	}
	return true;
}

// open(context, servername, session) -> number, -1: no memory. A client may have the second and the third one.
static napi_value OpenConnection(napi_env env, napi_callback_info info)
{
	struct tls *tls;
	struct context *context;
	struct connection *connection;
	napi_value argv[3];
	size_t argc = 3;
	uint32_t place;

	napi_get_cb_info(env, info, &argc, argv, NULL, (void **)&tls);
	context = context_arg(env, argv[0]);
	if (!context)
		return NULL;
	place = tls->first_free;
	if (place == tls->count && !grow(tls))
		return number(env, -1);
	ssl.ERR_clear_error();
	connection = make_connection(tls, context);
	if (connection && context->is_client && !prepare_client(env, connection->ssl, argv[1], argv[2])) {
		destroy(connection);
		connection = NULL;
	}
	ssl.ERR_clear_error();
	tls->places[place].connection = connection;
	if (!connection)
		return number(env, -1);
	tls->first_free = tls->places[place].next_free;
	return number(env, place);
}

// Arguments of a method of connections: the first one is the number of it. NULL with an exception pending.
static struct connection *take_args(napi_env env, napi_callback_info info, size_t *argc, napi_value *argv,
				    struct tls **tls)
{
	uint32_t place;

	napi_get_cb_info(env, info, argc, argv, NULL, (void **)tls);
	if (napi_get_value_uint32(env, argv[0], &place) == napi_ok && place < (*tls)->count &&
	    (*tls)->places[place].connection)
		return (*tls)->places[place].connection;
	napi_throw_error(env, "ERR_TLS_CLOSED", "no such connection");
	return NULL;
}

// The first lines of each method of connections.
#define CONNECTION(count)                                                        \
	size_t argc = (count);                                                   \
	napi_value argv[(count)];                                                \
	struct tls *tls;                                                         \
	struct connection *connection = take_args(env, info, &argc, argv, &tls); \
	if (!connection)                                                         \
		return NULL

// The arguments (connection, bytes, at, end): the bytes from `at` to `end`. False with an exception pending.
static bool range_args(napi_env env, const napi_value *argv, struct bytes *range)
{
	uint32_t at = 0, end = 0;

	if (bytes_of(env, argv[1], range) && napi_get_value_uint32(env, argv[2], &at) == napi_ok &&
	    napi_get_value_uint32(env, argv[3], &end) == napi_ok && at <= end && end <= range->length) {
		*range = (struct bytes){ range->at + at, end - at };
		return true;
	}
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "expected (number, bytes, at, end)");
	return false;
}

static void begin(struct tls *tls, struct bytes input)
{
	ssl.ERR_clear_error();
	tls->input = input.at;
	tls->input_bytes = input.length;
	memset(tls->results, 0, RESULTS * sizeof(*tls->results));
}

// Decrypts until there is no more input. The plain bytes may go where the input is. They never reach input that is
// still to be read: a record is longer than its content, and OpenSSL reads all of it before it gives any plain bytes.
static int decrypt(struct tls *tls, struct connection *connection, unsigned char *target, size_t room)
{
	size_t bytes;
	int done;

	for (;;) {
		if (connection->secure && tls->results[TAKEN] == tls->input_bytes && !ssl.SSL_pending(connection->ssl))
			return WAITS;
		if (!connection->secure) {
			done = ssl.SSL_do_handshake(connection->ssl);
			connection->secure = done == 1;
		} else if (tls->results[PLAIN] == room) {
			return FAILED;
		} else {
			done = ssl.SSL_read_ex(connection->ssl, target + tls->results[PLAIN], room - tls->results[PLAIN],
					       &bytes);
			if (done == 1) {
				tls->results[PLAIN] += (uint32_t)bytes;
				connection->holds = false;
			}
		}
		if (done == 1)
			continue;
		switch (ssl.SSL_get_error(connection->ssl, done)) {
		case SSL_ERROR_WANT_READ:
			connection->holds = true;
			return WAITS;
		case SSL_ERROR_WANT_X509_LOOKUP:
			return WANTS_NAME;
		case SSL_ERROR_ZERO_RETURN:
			return ENDED;
		default:
			return FAILED;
		}
	}
}

// receive(connection, bytes, at, end, target or undefined) -> what follows, and flags. The plain bytes are in `target`,
// or in `bytes` from `at` on; that only if the connection holds nothing.
static napi_value Receive(napi_env env, napi_callback_info info)
{
	struct bytes input, target;
	int result;
	CONNECTION(5);

	if (!range_args(env, argv, &input))
		return NULL;
	if (!bytes_of(env, argv[4], &target)) {
		if (connection->holds)
			return napi_throw_error(env, "ERR_MISSING_ARGS", "a target is needed"), NULL;
		target = input;
	}
	begin(tls, input);
	result = decrypt(tls, connection, (unsigned char *)target.at, target.length);
	tls->failure = openssl_take_error();
	return number(env, result | (connection->secure ? SECURE : 0) | (connection->holds ? HOLDS : 0));
}

// send(connection, bytes, at, end, output or undefined) -> bytes of output, -1: the connection is broken. Without an
// output of its own it is that of the shard.
static napi_value Send(napi_env env, napi_callback_info info)
{
	struct bytes input, output;
	unsigned char *shared;
	size_t shared_room, written = 0;
	int done;
	CONNECTION(5);

	if (!range_args(env, argv, &input))
		return NULL;
	shared = tls->output;
	shared_room = tls->output_room;
	if (bytes_of(env, argv[4], &output)) {
		tls->output = (unsigned char *)output.at;
		tls->output_room = output.length;
	}
	begin(tls, (struct bytes){ NULL, 0 });
	done = ssl.SSL_write_ex(connection->ssl, input.at, input.length, &written);
	tls->failure = openssl_take_error();
	tls->output = shared;
	tls->output_room = shared_room;
	return number(env, done == 1 ? tls->results[OUTPUT] : -1.0);
}

// end(connection) -> bytes of output: close_notify
static napi_value End(napi_env env, napi_callback_info info)
{
	CONNECTION(1);

	begin(tls, (struct bytes){ NULL, 0 });
	if (connection->secure)
		ssl.SSL_shutdown(connection->ssl);
	ssl.ERR_clear_error();
	return number(env, tls->results[OUTPUT]);
}

// close(connection): its number is free.
static napi_value CloseConnection(napi_env env, napi_callback_info info)
{
	uint32_t place;
	CONNECTION(1);

	napi_get_value_uint32(env, argv[0], &place);
	ssl.ERR_clear_error();
	destroy(connection);
	ssl.ERR_clear_error();
	tls->places[place] = (struct place){ NULL, tls->first_free };
	tls->first_free = place;
	return NULL;
}

// useContext(connection, context or undefined): what WANTS_NAME asks for. Undefined: that of the server.
static napi_value UseContext(napi_env env, napi_callback_info info)
{
	struct context *context;
	napi_valuetype type;
	CONNECTION(2);

	connection->chosen = true;
	if (napi_typeof(env, argv[1], &type) != napi_ok || type == napi_undefined)
		return NULL;
	context = context_arg(env, argv[1]);
	if (!context)
		return NULL;
	ssl.ERR_clear_error();
	ssl.SSL_set_SSL_CTX(connection->ssl, context->ctx);
	ssl.SSL_ctrl(connection->ssl, SSL_CTRL_SET_VERIFY_CERT_STORE, 1, ssl.SSL_CTX_get_cert_store(context->ctx));
	ssl.SSL_set_client_CA_list(connection->ssl, ssl.SSL_dup_CA_list(ssl.SSL_CTX_get_client_CA_list(context->ctx)));
	ssl.ERR_clear_error();
	return NULL;
}

// --- what is known of a connection -----------------------------------------------------------------------------------

static void set_text(napi_env env, napi_value object, const char *name, const char *text)
{
	if (text)
		set(env, object, name, string(env, text));
}

// { name, standardName, version }, as node:tls has it
static napi_value cipher_names(napi_env env, const SSL_CIPHER *cipher)
{
	napi_value object;

	napi_create_object(env, &object);
	set_text(env, object, "name", ssl.SSL_CIPHER_get_name(cipher));
	set_text(env, object, "standardName", ssl.SSL_CIPHER_standard_name(cipher));
	set_text(env, object, "version", ssl.SSL_CIPHER_get_version(cipher));
	return object;
}

// describe(connection) -> { protocol, cipher, alpnProtocol, servername, verifyResult, verifyText, isResumed }; absent:
// unknown
static napi_value Describe(napi_env env, napi_callback_info info)
{
	const SSL_CIPHER *cipher;
	const unsigned char *alpn = NULL;
	unsigned alpn_bytes = 0;
	napi_value object, value;
	long result;
	CONNECTION(1);

	napi_create_object(env, &object);
	cipher = ssl.SSL_get_current_cipher(connection->ssl);
	set_text(env, object, "protocol", ssl.SSL_get_version(connection->ssl));
	if (cipher)
		set(env, object, "cipher", cipher_names(env, cipher));
	set_text(env, object, "servername", ssl.SSL_get_servername(connection->ssl, 0));
	ssl.SSL_get0_alpn_selected(connection->ssl, &alpn, &alpn_bytes);
	if (alpn_bytes && napi_create_string_utf8(env, (const char *)alpn, alpn_bytes, &value) == napi_ok)
		set(env, object, "alpnProtocol", value);
	result = ssl.SSL_get_verify_result(connection->ssl);
	set(env, object, "verifyResult", number(env, (double)result));
	set_text(env, object, "verifyText", ssl.X509_verify_cert_error_string(result));
	napi_get_boolean(env, ssl.SSL_session_reused(connection->ssl) == 1, &value);
	set(env, object, "isResumed", value);
	ssl.ERR_clear_error();
	return object;
}

// An array for `length` bytes; NULL: no memory.
static napi_value array(napi_env env, int length, unsigned char **at)
{
	napi_value buffer, result = NULL;

	if (length <= 0 || napi_create_arraybuffer(env, (size_t)length, (void **)at, &buffer) != napi_ok)
		return NULL;
	napi_create_typedarray(env, napi_uint8_array, (size_t)length, buffer, 0, &result);
	return result;
}

// certificate(connection) -> that of the peer in DER, or undefined
static napi_value Certificate(napi_env env, napi_callback_info info)
{
	napi_value result = NULL;
	unsigned char *at;
	X509 *certificate;
	CONNECTION(1);

	certificate = ssl.SSL_get1_peer_certificate(connection->ssl);
	if (!certificate)
		return NULL;
	result = array(env, ssl.i2d_X509(certificate, NULL), &at);
	if (result)
		ssl.i2d_X509(certificate, &at);
	ssl.X509_free(certificate);
	ssl.ERR_clear_error();
	return result;
}

// session(connection) -> the session, as node:tls has it, or undefined
static napi_value Session(napi_env env, napi_callback_info info)
{
	napi_value result = NULL;
	unsigned char *at;
	SSL_SESSION *session;
	CONNECTION(1);

	session = ssl.SSL_get_session(connection->ssl);
	if (!session)
		return NULL;
	result = array(env, ssl.i2d_SSL_SESSION(session, NULL), &at);
	if (result)
		ssl.i2d_SSL_SESSION(session, &at);
	ssl.ERR_clear_error();
	return result;
}

// recordBytes(connection) -> plain bytes of a record that is sent, at most. A client may ask for fewer than usual.
static napi_value RecordBytes(napi_env env, napi_callback_info info)
{
	SSL_SESSION *session;
	unsigned mode;
	CONNECTION(1);

	session = ssl.SSL_get_session(connection->ssl);
	mode = session ? ssl.SSL_SESSION_get_max_fragment_length(session) : 0;
	return number(env, mode ? 256 << mode : 16384); // RFC 6066: 1 to 4 are 512 to 4096 bytes
}

// failure() -> why the last receive() or send() has failed
static napi_value Failure(napi_env env, napi_callback_info info)
{
	struct tls *tls;

	napi_get_cb_info(env, info, NULL, NULL, NULL, (void **)&tls);
	return string(env, tls->failure ? tls->failure : "");
}

// --- the life of it --------------------------------------------------------------------------------------------------

static void on_tls_collected(napi_env env, void *data, void *hint)
{
	struct tls *tls = data;

	(void)hint;
	for (uint32_t i = 0; i < tls->count; i++) {
		if (tls->places[i].connection)
			destroy(tls->places[i].connection);
	}
	ssl.ERR_clear_error();
	for (int i = 0; i < 2; i++)
		napi_delete_reference(env, tls->arrays[i]);
	free(tls->places);
	free(tls);
}

static void add_method(napi_env env, napi_value object, const char *name, napi_callback callback, struct tls *tls)
{
	napi_property_descriptor keep = { .utf8name = "tls", .attributes = napi_default };

	keep.value = object; // a method that is held alone holds what it uses
	napi_define_properties(env, add(env, object, name, callback, tls), 1, &keep);
}

// openTls(output: Uint8Array, results: Uint32Array of 3) -> { makeContext, open, receive, ... }; undefined: there is no
// OpenSSL that can be used
static napi_value OpenTls(napi_env env, napi_callback_info info)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	napi_typedarray_type type;
	napi_value argv[2], object;
	struct bytes output;
	size_t argc = 2, words = 0;
	void *results = NULL;
	struct tls *tls;

	if (!openssl_find())
		return NULL;
	pthread_once(&once, make_method);
	if (!method)
		return NULL;
	napi_get_cb_info(env, info, &argc, argv, NULL, NULL);
	if (!bytes_of(env, argv[0], &output) ||
	    napi_get_typedarray_info(env, argv[1], &type, &words, &results, NULL, NULL) != napi_ok ||
	    type != napi_uint32_array || words < RESULTS)
		return napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", "openTls(output, results)"), NULL;
	tls = calloc(1, sizeof(*tls));
	if (!tls)
		return napi_throw_error(env, "ENOMEM", "calloc"), NULL;
	tls->output = (unsigned char *)output.at;
	tls->output_room = output.length;
	tls->results = results;
	for (int i = 0; i < 2; i++)
		napi_create_reference(env, argv[i], 1, &tls->arrays[i]);
	napi_create_object(env, &object);
	napi_wrap(env, object, tls, on_tls_collected, NULL, NULL);
	add(env, object, "makeContext", context_make, NULL);
	add_method(env, object, "open", OpenConnection, tls);
	add_method(env, object, "receive", Receive, tls);
	add_method(env, object, "send", Send, tls);
	add_method(env, object, "end", End, tls);
	add_method(env, object, "close", CloseConnection, tls);
	add_method(env, object, "useContext", UseContext, tls);
	add_method(env, object, "describe", Describe, tls);
	add_method(env, object, "certificate", Certificate, tls);
	add_method(env, object, "session", Session, tls);
	add_method(env, object, "recordBytes", RecordBytes, tls);
	add_method(env, object, "failure", Failure, tls);
	return object;
}

void tls_export(napi_env env, napi_value exports)
{
	add(env, exports, "openTls", OpenTls, NULL);
}
