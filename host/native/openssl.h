/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The functions of OpenSSL that the addon uses, found in the process when it runs: Node has OpenSSL in its program, or
 * in a library. No header of OpenSSL is needed to build this. All of it has been in OpenSSL since 3.0, whose interface
 * stays the same within 3.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_st SSL;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_session_st SSL_SESSION;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct x509_st X509;
typedef struct x509_store_st X509_STORE;
typedef struct x509_store_ctx_st X509_STORE_CTX;
typedef struct evp_pkey_st EVP_PKEY;
typedef struct stack_st_X509_NAME NAMES;

typedef int (*alpn_callback)(SSL *, const unsigned char **, unsigned char *, const unsigned char *, unsigned, void *);

/* X(result, name, parameters) */
#define OPENSSL_FUNCTIONS(X)                                                                  \
	X(unsigned long, OpenSSL_version_num, (void))                                         \
	X(void, ERR_clear_error, (void))                                                      \
	X(unsigned long, ERR_get_error, (void))                                               \
	X(const char *, ERR_reason_error_string, (unsigned long))                             \
	X(BIO_METHOD *, BIO_meth_new, (int, const char *))                                    \
	X(int, BIO_meth_set_read, (BIO_METHOD *, int (*)(BIO *, char *, int)))                \
	X(int, BIO_meth_set_write, (BIO_METHOD *, int (*)(BIO *, const char *, int)))         \
	X(int, BIO_meth_set_ctrl, (BIO_METHOD *, long (*)(BIO *, int, long, void *)))         \
	X(BIO *, BIO_new, (const BIO_METHOD *))                                               \
	X(int, BIO_free, (BIO *))                                                             \
	X(void, BIO_set_data, (BIO *, void *))                                                \
	X(void *, BIO_get_data, (BIO *))                                                      \
	X(void, BIO_set_init, (BIO *, int))                                                   \
	X(void, BIO_set_flags, (BIO *, int))                                                  \
	X(void, BIO_clear_flags, (BIO *, int))                                                \
	X(X509 *, d2i_X509, (X509 **, const unsigned char **, long))                          \
	X(int, i2d_X509, (X509 *, unsigned char **))                                          \
	X(void, X509_free, (X509 *))                                                          \
	X(int, X509_STORE_add_cert, (X509_STORE *, X509 *))                                   \
	X(EVP_PKEY *, d2i_AutoPrivateKey, (EVP_PKEY **, const unsigned char **, long))        \
	X(void, EVP_PKEY_free, (EVP_PKEY *))                                                  \
	X(const char *, X509_verify_cert_error_string, (long))                                \
	X(const SSL_METHOD *, TLS_server_method, (void))                                      \
	X(const SSL_METHOD *, TLS_client_method, (void))                                      \
	X(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *))                                       \
	X(void, SSL_CTX_free, (SSL_CTX *))                                                    \
	X(long, SSL_CTX_ctrl, (SSL_CTX *, int, long, void *))                                 \
	X(uint64_t, SSL_CTX_set_options, (SSL_CTX *, uint64_t))                               \
	X(int, SSL_CTX_use_certificate, (SSL_CTX *, X509 *))                                  \
	X(int, SSL_CTX_use_PrivateKey, (SSL_CTX *, EVP_PKEY *))                               \
	X(int, SSL_CTX_set_cipher_list, (SSL_CTX *, const char *))                            \
	X(int, SSL_CTX_set_ciphersuites, (SSL_CTX *, const char *))                           \
	X(int, SSL_CTX_set_session_id_context, (SSL_CTX *, const unsigned char *, unsigned))  \
	X(long, SSL_CTX_set_timeout, (SSL_CTX *, long))                                       \
	X(void, SSL_CTX_set_verify, (SSL_CTX *, int, int (*)(int, X509_STORE_CTX *)))         \
	X(int, SSL_CTX_add_client_CA, (SSL_CTX *, X509 *))                                    \
	X(X509_STORE *, SSL_CTX_get_cert_store, (const SSL_CTX *))                            \
	X(void, SSL_CTX_set1_cert_store, (SSL_CTX *, X509_STORE *))                           \
	X(NAMES *, SSL_CTX_get_client_CA_list, (const SSL_CTX *))                             \
	X(void, SSL_CTX_set_alpn_select_cb, (SSL_CTX *, alpn_callback, void *))               \
	X(int, SSL_CTX_set_alpn_protos, (SSL_CTX *, const unsigned char *, unsigned))         \
	X(void, SSL_CTX_set_cert_cb, (SSL_CTX *, int (*)(SSL *, void *), void *))             \
	X(int, SSL_select_next_proto, (unsigned char **, unsigned char *, const unsigned char *, unsigned, \
				       const unsigned char *, unsigned))                      \
	X(SSL *, SSL_new, (SSL_CTX *))                                                        \
	X(void, SSL_free, (SSL *))                                                            \
	X(long, SSL_ctrl, (SSL *, int, long, void *))                                         \
	X(int, SSL_set_ex_data, (SSL *, int, void *))                                         \
	X(void *, SSL_get_ex_data, (const SSL *, int))                                        \
	X(void, SSL_set_bio, (SSL *, BIO *, BIO *))                                           \
	X(void, SSL_set_accept_state, (SSL *))                                                \
	X(void, SSL_set_connect_state, (SSL *))                                               \
	X(SSL_CTX *, SSL_set_SSL_CTX, (SSL *, SSL_CTX *))                                     \
	X(NAMES *, SSL_dup_CA_list, (const NAMES *))                                          \
	X(void, SSL_set_client_CA_list, (SSL *, NAMES *))                                     \
	X(int, SSL_do_handshake, (SSL *))                                                     \
	X(int, SSL_read_ex, (SSL *, void *, size_t, size_t *))                                \
	X(int, SSL_write_ex, (SSL *, const void *, size_t, size_t *))                         \
	X(int, SSL_pending, (const SSL *))                                                    \
	X(int, SSL_shutdown, (SSL *))                                                         \
	X(int, SSL_get_error, (const SSL *, int))                                             \
	X(const char *, SSL_get_version, (const SSL *))                                       \
	X(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *))                          \
	X(const char *, SSL_CIPHER_standard_name, (const SSL_CIPHER *))                       \
	X(const char *, SSL_CIPHER_get_name, (const SSL_CIPHER *))                            \
	X(const char *, SSL_CIPHER_get_version, (const SSL_CIPHER *))                         \
	X(void, SSL_get0_alpn_selected, (const SSL *, const unsigned char **, unsigned *))    \
	X(const char *, SSL_get_servername, (const SSL *, int))                               \
	X(X509 *, SSL_get1_peer_certificate, (const SSL *))                                   \
	X(long, SSL_get_verify_result, (const SSL *))                                         \
	X(int, SSL_session_reused, (const SSL *))                                             \
	X(SSL_SESSION *, SSL_get_session, (const SSL *))                                      \
	X(uint8_t, SSL_SESSION_get_max_fragment_length, (const SSL_SESSION *))                \
	X(int, SSL_set_session, (SSL *, SSL_SESSION *))                                       \
	X(void, SSL_SESSION_free, (SSL_SESSION *))                                            \
	X(SSL_SESSION *, d2i_SSL_SESSION, (SSL_SESSION **, const unsigned char **, long))     \
	X(int, i2d_SSL_SESSION, (const SSL_SESSION *, unsigned char **))

#define OPENSSL_POINTER(result, name, parameters) result(*name) parameters;
struct openssl {
	OPENSSL_FUNCTIONS(OPENSSL_POINTER)
};
#undef OPENSSL_POINTER

#define OPENSSL_LEAST 0x30000000UL
#define OPENSSL_BEYOND 0x40000000UL /* another interface */

/* Numbers of its headers. */
#define BIO_TYPE_SOURCE_SINK 0x0400
#define BIO_FLAGS_READ 0x01
#define BIO_FLAGS_SHOULD_RETRY 0x08
#define BIO_CTRL_FLUSH 11
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_X509_LOOKUP 4
#define SSL_ERROR_ZERO_RETURN 6
#define SSL_OP_NO_TICKET (1UL << 14)
#define SSL_OP_NO_COMPRESSION (1UL << 17)
#define SSL_OP_CIPHER_SERVER_PREFERENCE (1UL << 22)
#define SSL_OP_NO_RENEGOTIATION (1UL << 30)
#define SSL_MODE_RELEASE_BUFFERS 0x10
#define SSL_SESS_CACHE_OFF 0x0000
#define SSL_SESS_CACHE_SERVER 0x0002
#define SSL_SESS_CACHE_NO_INTERNAL 0x0300
#define SSL_VERIFY_NONE 0
#define SSL_VERIFY_PEER 1
#define SSL_VERIFY_FAIL_IF_NO_PEER_CERT 2
#define SSL_TLSEXT_ERR_OK 0
#define SSL_TLSEXT_ERR_ALERT_FATAL 2
#define OPENSSL_NPN_NEGOTIATED 1
#define SSL_CTRL_MODE 33
#define SSL_CTRL_SET_SESS_CACHE_MODE 44
#define SSL_CTRL_SET_TLSEXT_HOSTNAME 55
#define SSL_CTRL_SET_TLSEXT_TICKET_KEYS 59
#define SSL_CTRL_CHAIN_CERT 89
#define SSL_CTRL_SET_GROUPS_LIST 92
#define SSL_CTRL_SET_SIGALGS_LIST 98
#define SSL_CTRL_SET_VERIFY_CERT_STORE 106
#define SSL_CTRL_SET_MIN_PROTO_VERSION 123
#define SSL_CTRL_SET_MAX_PROTO_VERSION 124
