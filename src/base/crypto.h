/* Hashes, codes, encodings and encryption: thin names over libsodium, OpenSSL and
 * xxHash. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/parts.h"
#include "base/str.h"

enum {
    SHA256_BYTES = 32,
    AEAD_KEY_BYTES = 32,
    AEAD_OVERHEAD_BYTES = 24 + 16,
    SIPHASH_KEY_BYTES = 16,
    FAST_HASH_SECRET_BYTES = 192
};

/* Once, before any thread uses this header; any number of times. */
void crypto_init(void);

void sha256(struct str data, unsigned char ret[SHA256_BYTES]);
/* HMAC-SHA-256 (RFC 2104) with a key of any length. */
void hmac_sha256(struct str key, struct str data, unsigned char ret[SHA256_BYTES]);
/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `data`, continued from `crc` (0 at first). */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);
/* SipHash-2-4 under a secret key: for tables whose keys others choose, not for proofs. */
uint64_t siphash(const unsigned char key[SIPHASH_KEY_BYTES], struct str data);
/* XXH3 under a secret, for long data: a tenth of SipHash's work. It is no wall: who sees the hashes
 * could aim at it, so two data of one hash must do no harm. */
uint64_t fast_hash(const unsigned char secret[FAST_HASH_SECRET_BYTES], struct str data);
/* The same of texts in parts: the hash of all together. One thread at a time. */
struct fast_hasher;
/* `secret` is borrowed. Free with fast_hasher_free. */
struct fast_hasher *fast_hasher_new(const unsigned char secret[FAST_HASH_SECRET_BYTES]);
/* NULL is allowed. */
void fast_hasher_free(struct fast_hasher *hasher);
uint64_t fast_hash_parts(struct fast_hasher *hasher, struct parts parts);
/* Compares without telling by time where the difference is. Lengths may differ (then false). */
bool crypto_equal(struct str a, struct str b);

/* XChaCha20-Poly1305: ret has room for plain.len + AEAD_OVERHEAD_BYTES (nonce, then text and
 * tag). `context` is authenticated with it, not stored. Returns the bytes written. */
size_t aead_seal(const unsigned char key[AEAD_KEY_BYTES], struct str plain, struct str context,
                 unsigned char *ret);
/* The reverse into the arena; ERR_CORRUPT when key, context or bytes are not the right ones. */
MUST_USE enum err aead_open(const unsigned char key[AEAD_KEY_BYTES], struct str sealed,
                            struct str context, struct arena *arena, struct str *ret_plain);

/* Base64 with padding (RFC 4648 section 4). base64_length counts no NUL; encode writes none. */
size_t base64_length(size_t bytes);
size_t base64_encode(struct str bytes, char *ret);
/* Either alphabet, padding optional, ASCII white space ignored; false on anything else. */
bool base64_decode(struct arena *arena, struct str text, struct str *ret_bytes);
/* Without padding, URL-safe alphabet (RFC 4648 section 5). ret has room for 4 * ceil(n / 3). */
size_t base64url_encode(struct str bytes, char *ret);
/* Lower-case hexadecimal; ret has room for 2 * bytes.len + 1 (NUL-terminated). */
void hex_encode(struct str bytes, char *ret);
