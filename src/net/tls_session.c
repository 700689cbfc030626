/* One TLS connection, without I/O: stream.c feeds it what it received and sends what is on its
 * wire. OpenSSL reads and writes through a BIO of our own onto these two capped queues, because its
 * memory BIOs grow and never shrink. */
#include "net/tls_session.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

enum {
    INPUT_BYTES_MAX = 1024 * 1024, /* several reads of a loop: never reached */
    WIRE_BYTES_MAX = 1024 * 1024   /* stream.c keeps far below; a flood of key updates does not */
};

struct tls_session {
    SSL *ssl;
    struct tls_context *context;
    struct outbox input; /* fed, not yet decrypted */
    struct outbox wire;
    bool ended;
    char detail[120];
};

/* ---- The BIO --------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *ret, size_t size, size_t *ret_len)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t len = outbox_pending(&session->input);
    if (len == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    if (len > size)
        len = size;
    memcpy(ret, session->input.bytes.data + session->input.sent, len);
    outbox_take(&session->input, len);
    *ret_len = len;
    return 1;
}

static int bio_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
    struct tls_session *session = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_append(&session->wire.bytes, STR_FROM(data, len));
    if (!buf_ok(&session->wire.bytes))
        return 0;
    *ret_len = len;
    return 1;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* nothing to do, and done */
}

BIO_METHOD *tls_session_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "parley queue");
    ASSERT(method);
    BIO_meth_set_read_ex(method, bio_read);
    BIO_meth_set_write_ex(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    return method;
}

static void attach_bio(struct tls_session *session)
{
    BIO *bio = BIO_new(tls_context_bio_method(session->context));
    ASSERT(bio);
    BIO_set_data(bio, session);
    BIO_set_init(bio, 1);
    SSL_set_bio(session->ssl, bio, bio);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static bool is_address(const char *name)
{
    unsigned char address[16];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* Whom the certificate must be for. */
static bool expect_name(SSL *ssl, const char *name)
{
    if (is_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return *name && SSL_set1_host(ssl, name) && SSL_set_tlsext_host_name(ssl, name);
}

struct tls_session *tls_session_new(struct tls_context *context, const char *server_name,
                                    const char **ret_detail)
{
    SSL_CTX *ssl_context = tls_context_ssl(context);
    if (!ssl_context) {
        *ret_detail = "the trusted roots cannot be loaded";
        return NULL;
    }
    struct tls_session *session = calloc(1, sizeof *session);
    ASSERT(session);
    session->context = tls_context_ref(context);
    session->ssl = SSL_new(ssl_context);
    ASSERT(session->ssl);
    outbox_init(&session->input, INPUT_BYTES_MAX);
    outbox_init(&session->wire, WIRE_BYTES_MAX);
    attach_bio(session);
    if (!server_name) {
        SSL_set_accept_state(session->ssl);
    } else if (expect_name(session->ssl, server_name)) {
        SSL_set_connect_state(session->ssl);
    } else {
        tls_session_free(session);
        *ret_detail = "the server's name cannot be verified: not a host name";
        return NULL;
    }
    return session;
}

void tls_session_free(struct tls_session *session)
{
    if (!session)
        return;
    SSL_free(session->ssl);
    tls_context_unref(session->context);
    outbox_release(&session->input);
    outbox_release(&session->wire);
    free(session);
}

/* ---- Work ------------------------------------------------------------------------------------ */

void tls_session_feed(struct tls_session *session, const char *data, size_t len)
{
    if (!session->ended)
        buf_append(&session->input.bytes, STR_FROM(data, len));
}

bool tls_session_has_input(const struct tls_session *session)
{
    return outbox_pending(&session->input) || SSL_pending(session->ssl);
}

static void describe_failure(struct tls_session *session)
{
    long verified = SSL_get_verify_result(session->ssl);
    unsigned long number = ERR_peek_last_error();
    const char *reason = number ? ERR_reason_error_string(number) : NULL;
    if (verified != X509_V_OK)
        snprintf(session->detail, sizeof session->detail, "TLS: certificate: %s",
                 X509_verify_cert_error_string(verified));
    else if (!buf_ok(&session->input.bytes) || !buf_ok(&session->wire.bytes))
        snprintf(session->detail, sizeof session->detail, "TLS: too much is waiting");
    else
        snprintf(session->detail, sizeof session->detail, "TLS: %s", reason ? reason : "failed");
}

static enum tls_result conclude(struct tls_session *session, int result)
{
    if (result > 0 && buf_ok(&session->input.bytes))
        return TLS_DONE;
    int why = SSL_get_error(session->ssl, result);
    if (why == SSL_ERROR_WANT_READ && buf_ok(&session->input.bytes))
        return TLS_WANT;
    if (why == SSL_ERROR_ZERO_RETURN) {
        session->ended = true;
        outbox_release(&session->input);
        return TLS_END;
    }
    describe_failure(session);
    ERR_clear_error();
    return TLS_FAILED;
}

enum tls_result tls_session_shake(struct tls_session *session)
{
    ERR_clear_error();
    return conclude(session, SSL_do_handshake(session->ssl));
}

enum tls_result tls_session_read(struct tls_session *session, char *ret, size_t size,
                                 size_t *ret_len)
{
    ERR_clear_error();
    return conclude(session, SSL_read_ex(session->ssl, ret, size, ret_len));
}

enum tls_result tls_session_write(struct tls_session *session, const char *data, size_t len)
{
    size_t written; /* all of it: the wire never says "later" */
    ERR_clear_error();
    return conclude(session, SSL_write_ex(session->ssl, data, len, &written));
}

void tls_session_end(struct tls_session *session)
{
    ERR_clear_error();
    (void)SSL_shutdown(session->ssl);
    ERR_clear_error();
}

struct outbox *tls_session_wire(struct tls_session *session)
{
    return &session->wire;
}

const char *tls_session_detail(const struct tls_session *session)
{
    return session->detail;
}
