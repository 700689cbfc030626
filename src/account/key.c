/* API keys as text. */
#include "account/key.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/random.h"

#define PREFIX "sk-parley-"
enum { BODY_LENGTH = KEY_LENGTH - 6, CHECKSUM_LENGTH = 6 };

static void checksum_of(struct str body, char ret[CHECKSUM_LENGTH])
{
    uint32_t code = crc32c(0, body.data, body.len);
    const unsigned char bytes[4] = {(unsigned char)(code >> 24), (unsigned char)(code >> 16),
                                    (unsigned char)(code >> 8), (unsigned char)code};
    char text[8];
    ASSERT(base64url_encode(STR_FROM((const char *)bytes, 4), text) == CHECKSUM_LENGTH);
    memcpy(ret, text, CHECKSUM_LENGTH);
}

void key_make(char ret[KEY_LENGTH + 1])
{
    unsigned char bytes[32];
    char body[44];
    random_bytes(bytes, sizeof bytes);
    size_t length = base64url_encode(STR_FROM((const char *)bytes, sizeof bytes), body);
    snprintf(ret, KEY_LENGTH + 1, PREFIX "%.*s", (int)length, body);
    checksum_of(STR_FROM(ret, BODY_LENGTH), ret + BODY_LENGTH);
    ret[KEY_LENGTH] = '\0';
    sodium_memzero(bytes, sizeof bytes);
    sodium_memzero(body, sizeof body);
}

bool key_has_form(struct str key)
{
    return key.len == KEY_LENGTH && str_starts_with(key, STR(PREFIX));
}

bool key_is_valid(struct str key)
{
    if (!key_has_form(key))
        return false;
    char checksum[CHECKSUM_LENGTH];
    checksum_of(str_slice(key, 0, BODY_LENGTH), checksum);
    return memcmp(checksum, key.data + BODY_LENGTH, CHECKSUM_LENGTH) == 0;
}

void key_derive(struct str secret, struct str salt, struct str info,
                unsigned char ret[SHA256_BYTES])
{
    static const char zeros[SHA256_BYTES];
    unsigned char extracted[SHA256_BYTES];
    char block[65];
    ASSERT(info.len < sizeof block);
    hmac_sha256(salt.len ? salt : STR_FROM(zeros, sizeof zeros), secret, extracted);
    if (info.len)
        memcpy(block, info.data, info.len);
    block[info.len] = 1;
    hmac_sha256(STR_FROM((const char *)extracted, sizeof extracted), STR_FROM(block, info.len + 1),
                ret);
    sodium_memzero(extracted, sizeof extracted);
}

void key_pepper(const unsigned char secret[32], int version, unsigned char ret[SHA256_BYTES])
{
    char info[48];
    int length = snprintf(info, sizeof info, "parley api key pepper %d", version);
    key_derive(STR_FROM((const char *)secret, 32), STR_NONE, STR_FROM(info, (size_t)length), ret);
}

void key_hash(struct str key, const unsigned char pepper[SHA256_BYTES],
              unsigned char ret[SHA256_BYTES])
{
    hmac_sha256(STR_FROM((const char *)pepper, SHA256_BYTES), key, ret);
}
