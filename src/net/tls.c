/* TLS contexts: what many connections share. The server's holds its certificate and key, the
 * client's the roots it trusts, which take long to load and are therefore loaded once, when the
 * first session is made. Sessions (tls_session.c) hold a reference, so that a reload can swap
 * contexts under living connections. */
#include "net/tls.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "net/tls_session.h"

struct tls_context {
    atomic_uint references;
    SSL_CTX *ssl;
    BIO_METHOD *bio_method;
    bool is_client;
    char *ca_path; /* NULL: the system's store */
    pthread_mutex_t lock;
    bool loaded;      /* guarded by lock, as is the next */
    bool load_failed; /* not tried again: it would cost every connection the same */
};

/* For TLS 1.2; the suites of 1.3 are all good. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES256:ECDHE+AES128:!aNULL:!MD5";
static const unsigned char alpn_protocols[] = "\x08http/1.1";

/* Else OpenSSL asks for the password of an encrypted key on the terminal. */
static int no_password(char *buffer, int size, int writing, void *user)
{
    (void)buffer, (void)size, (void)writing, (void)user;
    return -1;
}

static int select_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned int offered_len, void *user)
{
    (void)ssl, (void)user;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, ret_len, alpn_protocols, sizeof alpn_protocols - 1, offered,
                              offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static struct tls_context *new_context(const SSL_METHOD *method, bool is_client)
{
    struct tls_context *context = calloc(1, sizeof *context);
    ASSERT(context);
    context->is_client = is_client;
    atomic_init(&context->references, 1);
    pthread_mutex_init(&context->lock, NULL);
    context->bio_method = tls_session_bio_method_new();
    context->ssl = SSL_CTX_new(method);
    ASSERT(context->ssl);
    ASSERT(SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION));
    ASSERT(SSL_CTX_set_cipher_list(context->ssl, ciphers));
    SSL_CTX_set_options(context->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(context->ssl, no_password);
    return context;
}

static enum err file_error(struct error *error, const char *path, const char *what)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = number ? ERR_reason_error_string(number) : NULL;
    if (access(path, R_OK) != 0)
        reason = "cannot be read";
    ERR_clear_error();
    return error_set(error, ERR_INVALID, NULL, "%s %s: %s", what, path,
                     reason ? reason : "not the right PEM");
}

enum err tls_context_new_server(const char *certificate_path, const char *key_path,
                                struct tls_context **ret_context, struct error *error)
{
    struct tls_context *context = new_context(TLS_server_method(), false);
    enum err code = ERR_OK;
    SSL_CTX_set_alpn_select_cb(context->ssl, select_protocol, NULL);
    SSL_CTX_set_options(context->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(context->ssl, certificate_path) != 1)
        code = file_error(error, certificate_path, "TLS certificate");
    else if (SSL_CTX_use_PrivateKey_file(context->ssl, key_path, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(context->ssl) != 1)
        code = file_error(error, key_path, "TLS key");
    if (code)
        tls_context_unref(context);
    else
        *ret_context = context;
    return code;
}

enum err tls_context_new_client(const char *ca_path, struct tls_context **ret_context,
                                struct error *error)
{
    if (ca_path && access(ca_path, R_OK) != 0)
        return error_set(error, ERR_INVALID, NULL, "TLS roots %s: cannot be read", ca_path);
    struct tls_context *context = new_context(TLS_client_method(), true);
    context->ca_path = ca_path ? strdup(ca_path) : NULL;
    ASSERT(!ca_path || context->ca_path);
    SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
    ASSERT(SSL_CTX_set_alpn_protos(context->ssl, alpn_protocols, sizeof alpn_protocols - 1) == 0);
    *ret_context = context;
    return ERR_OK;
}

SSL_CTX *tls_context_ssl(struct tls_context *context)
{
    if (!context->is_client)
        return context->ssl;
    pthread_mutex_lock(&context->lock);
    if (!context->loaded) {
        context->loaded = true;
        ERR_clear_error();
        context->load_failed = context->ca_path
                                   ? !SSL_CTX_load_verify_file(context->ssl, context->ca_path)
                                   : !SSL_CTX_set_default_verify_paths(context->ssl);
        ERR_clear_error();
    }
    bool failed = context->load_failed;
    pthread_mutex_unlock(&context->lock);
    return failed ? NULL : context->ssl;
}

const BIO_METHOD *tls_context_bio_method(const struct tls_context *context)
{
    return context->bio_method;
}

struct tls_context *tls_context_ref(struct tls_context *context)
{
    if (context)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void tls_context_unref(struct tls_context *context)
{
    if (!context || atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(context->ssl);
    BIO_meth_free(context->bio_method);
    pthread_mutex_destroy(&context->lock);
    free(context->ca_path);
    free(context);
}
