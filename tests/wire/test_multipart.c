/* Multipart forms: parts, their places, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "wire/multipart.h"

#define TYPE     "multipart/form-data; boundary=xYz"
#define PART(n)  "--xYz\r\nContent-Disposition: form-data; name=\"" n "\"\r\n\r\n"
#define FILE_(n) "--xYz\r\ncontent-disposition: form-data; filename=\"a;b.wav\"; name=" n "\r\n"
#define END      "--xYz--\r\n"

static void parts(void **state)
{
    static const char body[] = PART("model") "whisper-1\r\n" FILE_(
        "file") "Content-Type: audio/wav\r\n\r\n\0\r\n\r\n--xY\r\n--\n-\r\n" PART("empty") "\r"
                                                                                           "\n" END;
    struct str text = STR_FROM(body, sizeof body - 1);
    struct multipart_reader reader;
    struct multipart_part part;
    (void)state;
    assert_int_equal(multipart_begin(&reader, STR(TYPE), text, NULL), ERR_OK);
    assert_int_equal(multipart_next(&reader, &part, NULL), ERR_OK);
    assert_true(str_eq(part.name, STR("model")) && str_eq(part.value, STR("whisper-1")));
    assert_null(part.filename.data);
    assert_true(str_eq(part.whole, STR(PART("model") "whisper-1\r\n")));
    assert_ptr_equal(part.whole.data, body);
    assert_int_equal(multipart_next(&reader, &part, NULL), ERR_OK);
    assert_true(str_starts_with(part.whole, STR(FILE_("file"))));
    assert_true(str_eq(part.name, STR("file")) && str_eq(part.filename, STR("a;b.wav")));
    assert_true(str_eq(part.type, STR("audio/wav")));
    assert_true(str_eq(part.value, STR("\0\r\n\r\n--xY\r\n--\n-")));
    assert_int_equal(multipart_next(&reader, &part, NULL), ERR_OK);
    assert_true(str_eq(part.name, STR("empty")) && part.value.data && part.value.len == 0);
    assert_true(str_eq(part.whole, STR(PART("empty") "\r\n")));
    assert_int_equal(multipart_next(&reader, &part, NULL), ERR_NOT_FOUND);
    assert_int_equal(multipart_next(&reader, &part, NULL), ERR_NOT_FOUND);
}

static void finding(void **state)
{
    static const char body[] = PART("a") "1\r\n" PART("model") "m\r\n" END;
    struct str value = STR("x");
    (void)state;
    assert_int_equal(multipart_find(STR(TYPE), str_from_cstr(body), STR("model"), &value, NULL),
                     ERR_OK);
    assert_true(str_eq(value, STR("m")));
    assert_true(value.data > body && value.data < body + sizeof body);
    assert_int_equal(multipart_find(STR(TYPE), str_from_cstr(body), STR("b"), &value, NULL),
                     ERR_OK);
    assert_null(value.data);
}

static void content_types(void **state)
{
    static const struct {
        const char *type;
        enum err code;
    } rows[] = {
        {"Multipart/Form-Data ; charset=utf-8; Boundary=\"xYz\"", ERR_OK},
        {"multipart/form-data;boundary=xYz;", ERR_INVALID},
        {"multipart/form-data", ERR_INVALID},
        {"multipart/form-data; boundary=", ERR_INVALID},
        {"multipart/form-data; boundary=\"xYz", ERR_INVALID},
        {"multipart/form-data; boundary=xYz; boundary=a", ERR_INVALID},
        {"multipart/form-data; boundary=x\"Yz", ERR_INVALID},
        {"multipart/form-data; boundary=other", ERR_INVALID},
        {"multipart/mixed; boundary=xYz", ERR_UNSUPPORTED},
        {"application/json", ERR_UNSUPPORTED},
        {"", ERR_UNSUPPORTED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str value;
        enum err code = multipart_find(str_from_cstr(rows[i].type), STR(PART("a") "1\r\n" END),
                                       STR("a"), &value, NULL);
        if (code != rows[i].code)
            fail_msg("%s: %d", rows[i].type, code);
    }
}

static void refusals(void **state)
{
    static const char *const rows[] = {
        "",
        "--xYz",
        END PART("a"),
        "preamble\r\n" PART("a") "1\r\n" END,
        PART("a") "1\r\n" END "epilogue",
        PART("a") "1\r\n",
        PART("a") "1\n" END, /* another reader may see the delimiter */
        PART("a") "1\n" PART("model") "m\r\n" END,
        PART("a") "1\r\n--xYzz\r\n" END, /* and here */
        PART("model") "m\r\n" PART("model") "n\r\n" END,
        PART("mo\\del") "m\r\n" END,
        PART("mo\tdel") "m\r\n" END,
        FILE_("model") "\r\nm\r\n" END,
        "--xYz\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: attachment; name=a\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: form-data; name*=utf-8''model\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: form-data; name=a; name=model\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: form-data;\r\n name=a\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition : form-data; name=a\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: form-data; name=a\r\nContent-Disposition: form-data; "
        "name=model\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: "
        "base64\r\n\r\n1\r\n" END,
        "--xYz\r\nContent-Disposition: form-data; name=a\n\r\n\r\n1\r\n" END,
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str value = STR("untouched");
        struct error error = {0};
        enum err code =
            multipart_find(STR(TYPE), str_from_cstr(rows[i]), STR("model"), &value, &error);
        if (code != ERR_INVALID || !error.message[0] || !str_eq(value, STR("untouched")))
            fail_msg("row %zu: %d", i, code);
    }
}

static void bounds(void **state)
{
    struct buf body;
    struct str value;
    (void)state;
    buf_init(&body, 1024 * 1024);
    for (int i = 0; i < MULTIPART_PARTS_MAX; i++)
        buf_append(&body, STR(PART("a") "1\r\n"));
    size_t len = body.len;
    buf_append(&body, STR(END));
    assert_int_equal(multipart_find(STR(TYPE), buf_str(&body), STR("b"), &value, NULL), ERR_OK);
    buf_truncate(&body, len);
    buf_append(&body, STR(PART("a") "1\r\n" END));
    assert_int_equal(multipart_find(STR(TYPE), buf_str(&body), STR("b"), &value, NULL),
                     ERR_INVALID);
    buf_clear(&body);
    buf_append(&body, STR("--xYz\r\nX: "));
    for (int i = 0; i < MULTIPART_HEADER_BYTES_MAX; i++)
        buf_append_char(&body, 'x');
    buf_append(&body, STR("\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n" END));
    assert_int_equal(multipart_find(STR(TYPE), buf_str(&body), STR("a"), &value, NULL),
                     ERR_INVALID);
    buf_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),    cmocka_unit_test(finding), cmocka_unit_test(content_types),
        cmocka_unit_test(refusals), cmocka_unit_test(bounds),
    };
    return cmocka_run_group_tests_name("wire/multipart", tests, NULL, NULL);
}
