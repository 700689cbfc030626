/* Content: what people may send, what is stored and read back, titles. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "chat/content.h"

static enum err parse(struct arena *arena, struct str json, struct llm_part **parts, size_t *count,
                      struct error *error)
{
    yyjson_val *root;
    assert_int_equal(json_read(arena, json, &root, NULL), ERR_OK);
    return content_parse(arena, root, parts, count, error);
}

static void test_what_is_accepted(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct llm_part *parts;
    size_t count;
    assert_int_equal(parse(arena, STR("\"hello\""), &parts, &count, NULL), ERR_OK);
    assert_int_equal(count, 1);
    assert_true(str_eq(parts[0].text, STR("hello")));
    assert_int_equal(
        parse(arena,
              STR("[{\"type\":\"text\",\"text\":\" \"},"
                  "{\"type\":\"image\",\"mime\":\"image/png\",\"data\":\" aGV_\\n bG8-YQ \"},"
                  "{\"type\":\"image\",\"url\":\"https://h/x.png\"}]"),
              &parts, &count, NULL),
        ERR_OK);
    assert_int_equal(count, 3);
    assert_int_equal(parts[1].kind, LLM_PART_IMAGE);
    assert_int_equal(parts[1].origin, LLM_ORIGIN_ATTACHED);
    assert_true(str_eq(parts[1].media.data, STR("aGV/bG8+YQ=="))); /* in the one form */
    assert_true(str_eq(parts[2].media.url, STR("https://h/x.png")));
    arena_free(arena);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *json, *field;
    } rows[] = {
        {"null", "content"},
        {"12", "content"},
        {"{}", "content"},
        {"\"\"", "content"},
        {"\" \\n\"", "content"},
        {"[]", "content"},
        {"[{\"type\":\"text\",\"text\":\"\"}]", "content"},
        {"[1]", "content[0]"},
        {"[\"x\"]", "content[0]"},
        {"[{}]", "content[0].type"},
        {"[{\"type\":\"audio\"}]", "content[0].type"},
        {"[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"text\"}]", "content[1].text"},
        {"[{\"type\":\"text\",\"text\":5}]", "content[0].text"},
        {"[{\"type\":\"text\",\"text\":\"x\",\"txt\":1}]", "content[0].txt"},
        {"[{\"type\":\"text\",\"text\":\"x\",\"url\":\"\"}]", "content[0].url"},
        {"[{\"type\":\"image\",\"text\":\"x\"}]", "content[0].text"},
        {"[{\"type\":\"image\"}]", "content[0].mime"},
        {"[{\"type\":\"image\",\"url\":\"http://h\"}]", "content[0].url"},
        {"[{\"type\":\"image\",\"url\":\"file:///etc/passwd\"}]", "content[0].url"},
        {"[{\"type\":\"image\",\"mime\":\"image/svg+xml\",\"data\":\"QQ==\"}]", "content[0].mime"},
        {"[{\"type\":\"image\",\"mime\":\"image/png\"}]", "content[0].data"},
        {"[{\"type\":\"image\",\"mime\":\"image/png\",\"data\":\"Q\"}]", "content[0].data"},
        {"[{\"type\":\"image\",\"mime\":\"image/png\",\"data\":\"****\"}]", "content[0].data"},
        {"[{\"type\":\"image\",\"mime\":\"image/png\",\"data\":\"  \"}]", "content[0].data"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *arena = arena_new(1024 * 1024);
        struct llm_part *parts = NULL;
        struct error error = {0};
        size_t count;
        assert_int_equal(parse(arena, str_from_cstr(rows[i].json), &parts, &count, &error),
                         ERR_INVALID);
        assert_string_equal(error.field, rows[i].field);
        assert_true(error.message[0]);
        assert_null(parts);
        arena_free(arena);
    }
}

static void expect_too_big(const char *before, size_t fill, const char *after)
{
    struct arena *arena = arena_new(256 * 1024 * 1024);
    struct llm_part *parts;
    struct error error = {0};
    struct buf json;
    size_t count;
    buf_init(&json, 256 * 1024 * 1024);
    buf_append(&json, str_from_cstr(before));
    memset(buf_reserve(&json, fill), 'A', fill);
    buf_commit(&json, fill);
    buf_append(&json, str_from_cstr(after));
    assert_int_equal(parse(arena, buf_str(&json), &parts, &count, &error), ERR_TOO_BIG);
    assert_string_equal(error.field, "content");
    buf_done(&json);
    arena_free(arena);
}

static void test_what_is_too_big(void **state)
{
    (void)state;
    expect_too_big("\"", CONTENT_TEXT_BYTES_MAX + 1, "\"");
    expect_too_big("[{\"type\":\"text\",\"text\":\"", CONTENT_TEXT_BYTES_MAX + 1, "\"}]");
    expect_too_big("[{\"type\":\"image\",\"mime\":\"image/png\",\"data\":\"",
                   CONTENT_IMAGE_BYTES_MAX + 4, "\"}]");
    struct buf many;
    buf_init(&many, 65536);
    for (int i = 0; i < CONTENT_PARTS_MAX; i++)
        buf_append(&many, STR("{\"type\":\"text\",\"text\":\"x\"},"));
    buf_append_char(&many, '\0');
    char json[8192];
    snprintf(json, sizeof json, "[%s", many.data);
    expect_too_big(json, 0, "{\"type\":\"text\",\"text\":\"x\"}]");
    buf_done(&many);
}

static struct str write(struct arena *arena, const struct llm_part *parts, size_t count,
                        bool for_storage)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, 65536);
    json_writer_init(&w, &out);
    content_write(&w, parts, count, for_storage);
    struct str text = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

static void test_storage_keeps_everything(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct llm_opaque opaque = {STR("anthropic"), STR("m"), STR("signature"), STR("abc")};
    struct llm_part inner[] = {{.kind = LLM_PART_TEXT, .text = STR("42")},
                               {.kind = LLM_PART_IMAGE, .media = {.url = STR("https://h")}}};
    const struct llm_part parts[] = {
        {.kind = LLM_PART_TEXT, .text = STR("a \"b\" \n\xc3\xa9")},
        {.kind = LLM_PART_TEXT, .text = STR("found"), .origin = LLM_ORIGIN_WEB},
        {.kind = LLM_PART_IMAGE,
         .origin = LLM_ORIGIN_ATTACHED,
         .media = {.mime = STR("image/png"), .data = STR("QQ=="), .detail = STR("low")}},
        {.kind = LLM_PART_DOCUMENT, .media = {.file_id = STR("f1"), .filename = STR("a.pdf")}},
        {.kind = LLM_PART_AUDIO, .media = {.mime = STR("audio/wav"), .data = STR("QQ==")}},
        {.kind = LLM_PART_REASONING, .text = STR(""), .opaque = &opaque, .opaque_count = 1},
        {.kind = LLM_PART_TOOL_CALL,
         .call_id = STR("c1"),
         .name = STR("f"),
         .arguments = STR("{\"x\":1")},
        {.kind = LLM_PART_TOOL_RESULT,
         .origin = LLM_ORIGIN_TOOL,
         .call_id = STR("c1"),
         .content = inner,
         .content_count = 2,
         .is_error = true},
        {.kind = LLM_PART_REFUSAL, .text = STR("no")},
    };
    enum { COUNT = sizeof parts / sizeof parts[0] };
    struct llm_part *back = NULL;
    size_t count = 0;
    struct str stored = write(arena, parts, COUNT, true);
    assert_int_equal(content_read(arena, stored, &back, &count), ERR_OK);
    assert_true(llm_parts_equal(arena, parts, COUNT, back, count));
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(back[i].origin, parts[i].origin);
    assert_true(str_eq(write(arena, back, count, true), stored));
    struct str shown = write(arena, parts, COUNT, false);
    assert_true(str_find(shown, STR("signature")) == SIZE_MAX);
    assert_true(str_find(shown, STR("origin")) == SIZE_MAX);
    arena_free(arena);
}

static void test_reading_what_is_not_ours(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct llm_part *parts;
    size_t count;
    static const char *const broken[] = {"", "{}", "[", "null", "\"x\""};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        assert_int_equal(content_read(arena, str_from_cstr(broken[i]), &parts, &count),
                         ERR_CORRUPT);
    assert_int_equal(content_read(arena,
                                  STR("[{\"type\":\"hologram\"},5,null,{\"type\":\"text\"},"
                                      "{\"type\":\"text\",\"text\":5,\"opaque\":{}},"
                                      "{\"type\":\"tool_result\",\"content\":7,\"opaque\":[1]}]"),
                                  &parts, &count),
                     ERR_OK);
    assert_int_equal(count, 3);
    arena_free(arena);
}

static void test_usage_and_errors(void **state)
{
    (void)state;
    struct buf out;
    struct json_writer w;
    buf_init(&out, 65536);
    json_writer_init(&w, &out);
    content_write_usage(&w, &LLM_USAGE_UNKNOWN);
    assert_true(str_eq(buf_str(&out), STR("null")));
    buf_clear(&out);
    json_writer_init(&w, &out);
    content_write_usage(&w, &(struct llm_usage){5, -1, -1, 7, 0, true});
    assert_true(str_eq(buf_str(&out), STR("{\"input\":5,\"input_cached\":null,\"output\":7,"
                                          "\"reasoning\":0,\"estimated\":true}")));
    buf_clear(&out);
    json_writer_init(&w, &out);
    content_write_error(&w, &(struct llm_error){.class = ERR_NETWORK, .message = "gone"});
    assert_true(str_starts_with(buf_str(&out), STR("{\"code\":\"network\",\"message\":\"gone\",")));
    buf_clear(&out);
    json_writer_init(&w, &out);
    content_write_error(&w, &(struct llm_error){.class = ERR_NETWORK});
    assert_true(str_find(buf_str(&out), STR("could not be reached")) != SIZE_MAX);
    buf_done(&out);
}

static void expect_title(const char *text, const char *wanted)
{
    struct arena *arena = arena_new(65536);
    const struct llm_part parts[] = {{.kind = LLM_PART_IMAGE},
                                     {.kind = LLM_PART_TEXT, .text = STR("  ")},
                                     {.kind = LLM_PART_TEXT, .text = str_from_cstr(text)}};
    struct str title = content_title(arena, parts, 3);
    assert_true(utf8_valid(title, NULL));
    assert_true(utf8_count(title) <= 61);
    if (!str_eq(title, str_from_cstr(wanted)))
        fail_msg("'%.*s' is not '%s'", STR_ARG(title), wanted);
    arena_free(arena);
}

#define TEN   "0123456789"
#define FIFTY TEN TEN TEN TEN TEN
/* U+00E9, U+4E2D, U+1F600 */
#define TEN_OF(c)   c c c c c c c c c c
#define SIXTY_OF(c) TEN_OF(c) TEN_OF(c) TEN_OF(c) TEN_OF(c) TEN_OF(c) TEN_OF(c)

static void test_titles(void **state)
{
    (void)state;
    expect_title("Hello", "Hello");
    expect_title(" \t Hello \n world", "Hello");
    expect_title("", "New conversation");
    expect_title(" \n ", "New conversation");
    expect_title(FIFTY TEN, FIFTY TEN);
    expect_title(FIFTY TEN "x", FIFTY TEN "\xe2\x80\xa6");
    expect_title(FIFTY " and more words than fit", FIFTY " and more\xe2\x80\xa6");
    expect_title("a " FIFTY TEN, "a " FIFTY "01234567\xe2\x80\xa6"); /* no word to cut at */
    expect_title(SIXTY_OF("\xc3\xa9"), SIXTY_OF("\xc3\xa9"));
    expect_title(SIXTY_OF("\xe4\xb8\xad") "\xe4\xb8\xad", SIXTY_OF("\xe4\xb8\xad") "\xe2\x80\xa6");
    expect_title(SIXTY_OF("\xf0\x9f\x98\x80") "!", SIXTY_OF("\xf0\x9f\x98\x80") "\xe2\x80\xa6");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_accepted),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_what_is_too_big),
        cmocka_unit_test(test_storage_keeps_everything),
        cmocka_unit_test(test_reading_what_is_not_ours),
        cmocka_unit_test(test_usage_and_errors),
        cmocka_unit_test(test_titles),
    };
    return cmocka_run_group_tests_name("chat/content", tests, NULL, NULL);
}
