/* TLS contexts (OpenSSL 3): the server's certificate, the client's trust. Immutable once made;
 * a reload makes a new one and swaps it by reference. */
#pragma once

#include "base/err.h"

struct tls_context;

/* For listeners: PEM files of the certificate chain and the key. TLS 1.2 and up. Blocks on files:
 * not on a loop's thread once serving. Errors name the file and what is wrong with it. */
MUST_USE enum err tls_context_new_server(const char *certificate_path, const char *key_path,
                                         struct tls_context **ret_context, struct error *error);
/* For the client: verifies chains against `ca_path` (a PEM file) or, when NULL, the system's
 * store, which is loaded once, at the first handshake. */
MUST_USE enum err tls_context_new_client(const char *ca_path, struct tls_context **ret_context,
                                         struct error *error);
/* Reference counted; any thread. NULL is allowed. */
struct tls_context *tls_context_ref(struct tls_context *context);
void tls_context_unref(struct tls_context *context);
