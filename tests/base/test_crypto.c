/* Hashes, codes and encodings, against published vectors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* The source itself: on a machine with SSE 4.2 nothing else reaches the other path of crc32c. */
#include "base/crypto.c"
#include "base/random.h"

static void assert_hex(const unsigned char *bytes, size_t size, const char *expected)
{
    char hex[2 * 64 + 1];
    hex_encode(STR_FROM((const char *)bytes, size), hex);
    assert_string_equal(hex, expected);
}

static void sha256_of_fips_180(void **state)
{
    (void)state;
    unsigned char hash[SHA256_BYTES];
    sha256(STR("abc"), hash);
    assert_hex(hash, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256(STR_NONE, hash);
    assert_hex(hash, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void hmac_of_rfc_4231(void **state)
{
    (void)state;
    char twenty[20], long_key[131], fifty[50];
    memset(twenty, 0x0b, sizeof twenty);
    memset(long_key, 0xaa, sizeof long_key);
    memset(fifty, 0xdd, sizeof fifty);
    const struct {
        struct str key, data;
        const char *expected;
    } rows[] = {
        {STR_FROM(twenty, 20), STR("Hi There"),
         "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {STR("Jefe"), STR("what do ya want for nothing?"),
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
        {STR_FROM(long_key, 20), STR_FROM(fifty, 50),
         "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
        {STR_FROM(long_key, 131), STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned char mac[SHA256_BYTES];
        hmac_sha256(rows[i].key, rows[i].data, mac);
        assert_hex(mac, 32, rows[i].expected);
    }
}

static void crc32c_by_both_paths(void **state)
{
    (void)state;
    unsigned char zeros[32] = {0}, ones[32], ascending[32];
    memset(ones, 0xFF, sizeof ones);
    for (int i = 0; i < 32; i++)
        ascending[i] = (unsigned char)i;
    const struct {
        const void *data;
        size_t size;
        uint32_t crc;
    } rows[] = {{"123456789", 9, 0xE3069283u}, /* and RFC 3720 B.4: */
                {zeros, 32, 0x8A9136AAu},
                {ones, 32, 0x62A8AB43u},
                {ascending, 32, 0x46DD794Eu},
                {"", 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(crc32c(0, rows[i].data, rows[i].size), rows[i].crc);
        assert_int_equal(~crc32c_bits(~0u, rows[i].data, rows[i].size), rows[i].crc);
    }
    for (size_t cut = 0; cut <= 32; cut++) { /* continued, and at every alignment */
        uint32_t crc = crc32c(0, ascending, cut);
        assert_int_equal(crc32c(crc, ascending + cut, 32 - cut), 0x46DD794Eu);
        assert_int_equal(crc, ~crc32c_bits(~0u, ascending, cut));
    }
}

static void base64_of_rfc_4648(void **state)
{
    (void)state;
    static const char *const rows[][3] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xFB\xFF\xBF", "+/+/", "-_-_"},
    };
    struct arena *arena = arena_new(SIZE_MAX);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str plain = str_from_cstr(rows[i][0]), decoded;
        char text[16];
        assert_int_equal(base64_length(plain.len), strlen(rows[i][1]));
        size_t len = base64_encode(plain, text);
        assert_true(str_eq(STR_FROM(text, len), str_from_cstr(rows[i][1])));
        len = base64url_encode(plain, text);
        assert_true(str_eq(STR_FROM(text, len), str_from_cstr(rows[i][2])));
        for (int form = 1; form < 3; form++) {
            assert_true(base64_decode(arena, str_from_cstr(rows[i][form]), &decoded));
            assert_true(str_eq(decoded, plain));
        }
    }
    struct str decoded;
    assert_true(base64_decode(arena, STR(" Zm9v\r\n\tYmE = "), &decoded));
    assert_true(str_eq(decoded, STR("fooba")));
    arena_free(arena);
}

static void wrong_base64_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "Z",     "Zm9vZ",    "=",    "==",       "====", "Zg=",     "Zg===", "Zm8==",
        "Zm9v=", "Zm9v====", "Z===", "Zg==Zg==", "Zm9*", "Zm\x80v", "Zm9v,", "Z=g="};
    struct arena *arena = arena_new(SIZE_MAX);
    struct str untouched = STR("same");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (base64_decode(arena, str_from_cstr(rows[i]), &untouched))
            fail_msg("taken: %s", rows[i]);
    assert_false(base64_decode(arena, STR_FROM("Zm9\0", 4), &untouched));
    assert_true(str_eq(untouched, STR("same")));
    arena_free(arena);
}

static void base64_round_trips_all_bytes(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    char bytes[256], text[400];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t len = 0; len <= 256; len++) {
        struct str decoded;
        size_t written = base64url_encode(STR_FROM(bytes, len), text);
        assert_true(base64_decode(arena, STR_FROM(text, written), &decoded));
        assert_true(str_eq(decoded, STR_FROM(bytes, len)));
    }
    arena_free(arena);
}

static void sealed_text_opens_only_untouched(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    unsigned char key[AEAD_KEY_BYTES] = {1, 2, 3}, sealed[64 + AEAD_OVERHEAD_BYTES], again[200];
    struct str plain = STR("the key of a provider"), context = STR("provider/1"),
               opened = STR("same");
    size_t len = aead_seal(key, plain, context, sealed);
    assert_int_equal(len, plain.len + AEAD_OVERHEAD_BYTES);
    struct str box = STR_FROM((const char *)sealed, len);
    for (size_t i = 0; i < len; i++) {
        sealed[i] ^= 1;
        assert_int_equal(aead_open(key, box, context, arena, &opened), ERR_CORRUPT);
        sealed[i] ^= 1;
        assert_int_equal(aead_open(key, STR_FROM(box.data, i), context, arena, &opened),
                         ERR_CORRUPT);
    }
    assert_int_equal(aead_open(key, box, STR("provider/2"), arena, &opened), ERR_CORRUPT);
    key[31] ^= 1;
    assert_int_equal(aead_open(key, box, context, arena, &opened), ERR_CORRUPT);
    assert_true(str_eq(opened, STR("same")));
    key[31] ^= 1;
    assert_int_equal(aead_open(key, box, context, arena, &opened), ERR_OK);
    assert_true(str_eq(opened, plain));
    assert_int_equal(opened.data[opened.len], '\0');
    assert_null(memmem(sealed, len, "provider", 8));
    aead_seal(key, plain, context, again); /* never twice the same nonce */
    assert_memory_not_equal(sealed, again, 24);
    len = aead_seal(key, STR_NONE, STR_NONE, again);
    assert_int_equal(aead_open(key, STR_FROM((char *)again, len), STR(""), arena, &opened), ERR_OK);
    assert_int_equal(opened.len, 0);
    arena_free(arena);
}

static void comparing(void **state)
{
    (void)state;
    assert_true(crypto_equal(STR("abc"), STR("abc")));
    assert_false(crypto_equal(STR("abc"), STR("abd")));
    assert_false(crypto_equal(STR("abc"), STR("abcd")));
    assert_true(crypto_equal(STR_NONE, STR("")));
    char hex[5];
    hex_encode(STR_FROM("\x00\xFA", 2), hex);
    assert_string_equal(hex, "00fa");
    hex_encode(STR_NONE, hex);
    assert_string_equal(hex, "");
}

static int start(void **state)
{
    (void)state;
    crypto_init();
    crypto_init();
    return 0;
}

static void a_fast_hash_hangs_on_its_secret(void **state)
{
    (void)state;
    unsigned char one[FAST_HASH_SECRET_BYTES], two[FAST_HASH_SECRET_BYTES];
    static char data[5000];
    random_bytes(one, sizeof one);
    random_bytes(two, sizeof two);
    for (size_t len = 0; len < sizeof data; len = len * 2 + 1) {
        struct str text = STR_FROM(data, len);
        uint64_t hash = fast_hash(one, text);
        assert_true(hash == fast_hash(one, text));
        assert_true(hash != fast_hash(two, text) || !len);
        if (!len)
            continue;
        data[len - 1] ^= 1;
        assert_true(hash != fast_hash(one, text));
        data[len - 1] ^= 1;
    }
    assert_true(fast_hash(one, STR_NONE) == fast_hash(one, STR("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_of_fips_180),
        cmocka_unit_test(hmac_of_rfc_4231),
        cmocka_unit_test(crc32c_by_both_paths),
        cmocka_unit_test(base64_of_rfc_4648),
        cmocka_unit_test(wrong_base64_is_refused),
        cmocka_unit_test(base64_round_trips_all_bytes),
        cmocka_unit_test(sealed_text_opens_only_untouched),
        cmocka_unit_test(comparing),
        cmocka_unit_test(a_fast_hash_hangs_on_its_secret),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
