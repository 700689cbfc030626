/* One TLS connection without any I/O: bytes in, bytes out (for stream.c). */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

#include "net/outbox.h"
#include "net/tls.h"

struct tls_session;

enum tls_result {
    TLS_DONE,   /* as asked */
    TLS_WANT,   /* needs more of the peer's bytes */
    TLS_END,    /* the peer said close_notify */
    TLS_FAILED, /* see tls_session_detail; the wire may hold an alert to send */
};

/* A session as the server, or as the client when `server_name` is not NULL (a name for SNI and
 * verification, or an address literal for verification). Holds a reference to the context. NULL
 * when it cannot be made (the name is not one, the trust store cannot be loaded); *ret_detail is
 * then static. Loop's thread only. */
struct tls_session *tls_session_new(struct tls_context *context, const char *server_name,
                                    const char **ret_detail);
void tls_session_free(struct tls_session *session);

/* Gives it bytes from the peer (copied; bounded by what one read brings, because the owner reads
 * on only after taking out what came). */
void tls_session_feed(struct tls_session *session, const char *data, size_t len);
/* Fed bytes that are still to be decrypted, or decrypted ones still to be read. */
bool tls_session_has_input(const struct tls_session *session);

/* Goes on with the handshake. */
enum tls_result tls_session_shake(struct tls_session *session);
/* Decrypts into `ret`; TLS_DONE with *ret_len > 0. */
enum tls_result tls_session_read(struct tls_session *session, char *ret, size_t size,
                                 size_t *ret_len);
/* Encrypts all of it to the wire. */
enum tls_result tls_session_write(struct tls_session *session, const char *data, size_t len);
/* Puts close_notify on the wire. */
void tls_session_end(struct tls_session *session);

/* What is to be sent to the peer. */
struct outbox *tls_session_wire(struct tls_session *session);
/* Why it failed, for the log. Lives as long as the session. */
const char *tls_session_detail(const struct tls_session *session);

/* ---- Between tls.c and tls_session.c --------------------------------------------------------- */
/* How OpenSSL reaches a session's queues; one per context. Free with BIO_meth_free. */
BIO_METHOD *tls_session_bio_method_new(void);
const BIO_METHOD *tls_context_bio_method(const struct tls_context *context);
/* The context to make sessions from, with the trust store loaded (once); NULL when that failed. */
SSL_CTX *tls_context_ssl(struct tls_context *context);
