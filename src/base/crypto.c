/* Hashes, codes, encodings and encryption. */
#include "base/crypto.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#ifdef HAS_XXHASH_DISPATCH /* to what the processor can do */
#include <xxh_x86dispatch.h>
#endif
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

#include "base/assert.h"

void crypto_init(void)
{
    ASSERT(sodium_init() >= 0);
}

void sha256(struct str data, unsigned char ret[SHA256_BYTES])
{
    crypto_hash_sha256(ret, (const unsigned char *)data.data, data.len);
}

void hmac_sha256(struct str key, struct str data, unsigned char ret[SHA256_BYTES])
{
    crypto_auth_hmacsha256_state state;
    crypto_auth_hmacsha256_init(&state, (const unsigned char *)key.data, key.len);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)data.data, data.len);
    crypto_auth_hmacsha256_final(&state, ret);
}

static uint32_t crc32c_bits(uint32_t crc, const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82F63B78u & (0 - (crc & 1)));
    }
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc,
                                                               const unsigned char *bytes,
                                                               size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size; bytes++, size--)
        crc = _mm_crc32_u8(crc, *bytes);
    return crc;
}
#endif

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return ~crc32c_sse42(~crc, data, size);
#endif
    return ~crc32c_bits(~crc, data, size);
}

uint64_t siphash(const unsigned char key[SIPHASH_KEY_BYTES], struct str data)
{
    uint64_t hash;
    _Static_assert(sizeof hash == crypto_shorthash_BYTES, "SipHash gives 64 bits");
    crypto_shorthash((unsigned char *)&hash, (const unsigned char *)(data.data ? data.data : ""),
                     data.len, key);
    return hash;
}

uint64_t fast_hash(const unsigned char secret[FAST_HASH_SECRET_BYTES], struct str data)
{
    _Static_assert((int)FAST_HASH_SECRET_BYTES >= (int)XXH3_SECRET_SIZE_MIN, "it is long enough");
    return XXH3_64bits_withSecret(data.data ? data.data : "", data.len, secret,
                                  FAST_HASH_SECRET_BYTES);
}

struct fast_hasher {
    const unsigned char *secret;
    XXH3_state_t *state; /* its size is the library's */
};

struct fast_hasher *fast_hasher_new(const unsigned char secret[FAST_HASH_SECRET_BYTES])
{
    struct fast_hasher *hasher = malloc(sizeof *hasher);
    ASSERT(hasher);
    *hasher = (struct fast_hasher){secret, XXH3_createState()};
    ASSERT(hasher->state);
    return hasher;
}

void fast_hasher_free(struct fast_hasher *hasher)
{
    if (!hasher)
        return;
    XXH3_freeState(hasher->state);
    free(hasher);
}

uint64_t fast_hash_parts(struct fast_hasher *hasher, struct parts parts)
{
    XXH3_64bits_reset_withSecret(hasher->state, hasher->secret, FAST_HASH_SECRET_BYTES);
    for (size_t i = 0; i < parts.count; i++)
        if (parts.items[i].len)
            XXH3_64bits_update(hasher->state, parts.items[i].data, parts.items[i].len);
    return XXH3_64bits_digest(hasher->state);
}

bool crypto_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || sodium_memcmp(a.data, b.data, a.len) == 0);
}

enum { NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };

size_t aead_seal(const unsigned char key[AEAD_KEY_BYTES], struct str plain, struct str context,
                 unsigned char *ret)
{
    unsigned long long written = 0;
    randombytes_buf(ret, NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        ret + NONCE_BYTES, &written, (const unsigned char *)plain.data, plain.len,
        (const unsigned char *)context.data, context.len, NULL, ret, key);
    return NONCE_BYTES + (size_t)written;
}

enum err aead_open(const unsigned char key[AEAD_KEY_BYTES], struct str sealed, struct str context,
                   struct arena *arena, struct str *ret_plain)
{
    if (sealed.len < AEAD_OVERHEAD_BYTES)
        return ERR_CORRUPT;
    unsigned long long len = 0;
    const unsigned char *bytes = (const unsigned char *)sealed.data;
    unsigned char *plain = arena_alloc(arena, sealed.len - AEAD_OVERHEAD_BYTES + 1);
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            plain, &len, NULL, bytes + NONCE_BYTES, sealed.len - NONCE_BYTES,
            (const unsigned char *)context.data, context.len, bytes, key) != 0)
        return ERR_CORRUPT;
    plain[len] = '\0';
    *ret_plain = STR_FROM((char *)plain, (size_t)len);
    return ERR_OK;
}

static const char standard_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

size_t base64_length(size_t bytes)
{
    return (bytes + 2) / 3 * 4;
}

/* Writes the significant characters only; the caller pads. */
static size_t base64_with(const char *alphabet, struct str bytes, char *ret)
{
    const unsigned char *in = (const unsigned char *)bytes.data;
    size_t written = 0;
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)in[i + 2] : 0);
        size_t characters = left > 2 ? 4 : left + 1;
        for (size_t c = 0; c < characters; c++)
            ret[written++] = alphabet[group >> (18 - 6 * c) & 63];
    }
    return written;
}

size_t base64_encode(struct str bytes, char *ret)
{
    size_t written = base64_with(standard_alphabet, bytes, ret);
    while (written % 4)
        ret[written++] = '=';
    return written;
}

size_t base64url_encode(struct str bytes, char *ret)
{
    return base64_with(url_alphabet, bytes, ret);
}

static int base64_value(char c)
{
    if (c == '-')
        return 62;
    if (c == '_')
        return 63;
    const char *at = c ? strchr(standard_alphabet, c) : NULL;
    return at ? (int)(at - standard_alphabet) : -1;
}

bool base64_decode(struct arena *arena, struct str text, struct str *ret_bytes)
{
    char *bytes = arena_alloc(arena, text.len / 4 * 3 + 4);
    size_t written = 0, characters = 0, padding = 0;
    uint32_t group = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t')
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int value = base64_value(c);
        if (value < 0 || padding)
            return false;
        group = group << 6 | (uint32_t)value;
        if (++characters % 4 == 0) {
            bytes[written++] = (char)(group >> 16);
            bytes[written++] = (char)(group >> 8);
            bytes[written++] = (char)group;
        }
    }
    size_t rest = characters % 4;
    if (rest == 1 || (padding && (characters + padding) % 4 != 0) || padding > 2)
        return false;
    if (rest == 2)
        bytes[written++] = (char)(group >> 4);
    if (rest == 3) {
        bytes[written++] = (char)(group >> 10);
        bytes[written++] = (char)(group >> 2);
    }
    *ret_bytes = STR_FROM(bytes, written);
    return true;
}

void hex_encode(struct str bytes, char *ret)
{
    sodium_bin2hex(ret, bytes.len * 2 + 1, (const unsigned char *)bytes.data, bytes.len);
}
