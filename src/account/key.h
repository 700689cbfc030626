/* Key: the text of an API key, and what is stored of it. Pure. */
#pragma once

#include "base/crypto.h"
#include "base/str.h"

enum {
    KEY_LENGTH = 10 + 43 + 6, /* "sk-parley-", 32 random bytes, checksum */
    KEY_PREFIX_LENGTH = 14,   /* shown, to recognise it by */
    KEY_PEPPER_VERSION = 1,   /* the newest; older ones are tried as long as they are listed here */
};

/* A new key, NUL-terminated. */
void key_make(char ret[KEY_LENGTH + 1]);
/* Whether it has the length and the beginning of one. */
bool key_has_form(struct str key);
/* Whether it is written like one, with the right checksum: typing errors and foreign keys are
 * refused without a look-up. */
bool key_is_valid(struct str key);
/* The pepper of a version: HKDF-SHA-256 (RFC 5869, no salt) of the secret of DATA_DIR. */
void key_pepper(const unsigned char secret[32], int version, unsigned char ret[SHA256_BYTES]);
/* What is stored: HMAC-SHA-256 of the key under the pepper. */
void key_hash(struct str key, const unsigned char pepper[SHA256_BYTES],
              unsigned char ret[SHA256_BYTES]);
/* The first block of HKDF-SHA-256: extract with `salt` (none: zeros), then expand with `info`, at
 * most 64 bytes of it. */
void key_derive(struct str secret, struct str salt, struct str info,
                unsigned char ret[SHA256_BYTES]);
