/* Prompt marks: where they stand, and that every other byte stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"
#include "llm/dialect.h"
#include "llm/prompt_marks.h"

#define MARK "\"cache_control\":{\"type\":\"ephemeral\"}"
#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"
#define MARKED_USER                                                                                \
    "\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"," MARK "}]}]"

static void expect(const char *body, const char *wanted)
{
    struct arena *arena = arena_new(1024 * 1024);
    yyjson_val *root;
    struct buf out;
    buf_init(&out, 1024 * 1024);
    prompt_marks_add(str_from_cstr(body), &out);
    assert_int_equal(json_read(arena, buf_str(&out), &root, NULL), ERR_OK);
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, wanted);
    buf_done(&out);
    arena_free(arena);
}

static void test_texts_become_blocks(void **state)
{
    (void)state;
    expect("{" USER "}", "{" MARKED_USER "}");
    expect("{\"system\":\"be \\\"brief\\\"\"," USER "}",
           "{\"system\":[{\"type\":\"text\",\"text\":\"be \\\"brief\\\"\"," MARK "}]," MARKED_USER
           "}");
    expect(" {\n" USER " , \"system\" : \"s\" }\n",
           " {\n" MARKED_USER " , \"system\" : [{\"type\":\"text\",\"text\":\"s\"," MARK "}] }\n");
}

static void test_the_last_of_each_is_marked(void **state)
{
    (void)state;
    expect(
        "{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\" }],\"system\":[{\"type\":\"text\",\"text\":"
        "\"1\"},{\"type\":\"text\",\"text\":\"2\"}]," USER "}",
        "{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\" ," MARK
        "}],\"system\":[{\"type\":\"text\",\"text\":\"1\"},{\"type\":\"text\",\"text\":\"2\"," MARK
        "}]," MARKED_USER "}");
    expect(
        "{\"messages\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":"
        "\"2\"},{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{"
        "\"type\":\"text\",\"text\":\"}]\"}]}],\"role\":\"user\"},{\"role\":\"assistant\","
        "\"content\":\"pre\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"1\"},{\"role\":\"assistant\",\"content\":"
        "\"2\"},{\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{"
        "\"type\":\"text\",\"text\":\"}]\"}]," MARK
        "}],\"role\":\"user\"},{\"role\":\"assistant\",\"content\":\"pre\"}]}");
}

static void test_marks_of_the_caller_stand_alone(void **state)
{
    (void)state;
    const char *const bodies[] = {
        ("{\"system\":[{\"type\":\"text\",\"text\":\"s\"," MARK "}]," USER "}"),
        ("{\"cache_control\" : {\"type\":\"ephemeral\"}," USER "}"),
        ("{\"tools\":[{\"name\":\"a\",\"cache_control\":null}],\"system\":\"s\"," USER "}"),
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        expect(bodies[i], bodies[i]);
    /* Words about marks are none. */
    expect("{\"system\":\"\\\"cache_control\\\": 1\"," USER "}",
           "{\"system\":[{\"type\":\"text\",\"text\":\"\\\"cache_control\\\": 1\"," MARK
           "}]," MARKED_USER "}");
    expect("{\"metadata\":{\"user_id\":\"cache_control\"}," USER "}",
           "{\"metadata\":{\"user_id\":\"cache_control\"}," MARKED_USER "}");
}

static void test_what_cannot_be_marked_stays(void **state)
{
    (void)state;
    const char *const bodies[] = {
        "{}",
        "[]",
        "{\"tools\":[],\"system\":\"\",\"messages\":[]}",
        "{\"tools\":{},\"system\":[],\"messages\":\"x\"}",
        "{\"tools\":[1],\"system\":null,\"messages\":[{\"role\":\"assistant\"},7]}",
        "{\"tools\":[{\"name\":\"a\",\"defer_loading\":true}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}",
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"\"}]}]}",
        "{\"messages\":[{\"role\":\"user\"}]}",
        "{\"system\":\"a\",\"system\":\"b\"}", /* which one counts is not known */
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        expect(bodies[i], bodies[i]);
    expect("{\"tools\":[{ }]}", "{\"tools\":[{ " MARK "}]}");
}

/* A request as it is encoded for Anthropic: read back, it is the same but for the marks. */
static void test_an_encoded_request_keeps_its_meaning(void **state)
{
    (void)state;
    const struct str asked = STR(
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
        "\"content\":\"q\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"parameters\":{\"type\":\"object\"}}}]}");
    struct arena *arena = arena_new(4 * 1024 * 1024);
    const struct dialect_target target = {.model = STR("m")};
    struct llm_request request, plain, marked;
    struct buf body, out;
    yyjson_val *root;
    buf_init(&body, 65536);
    buf_init(&out, 65536);
    assert_int_equal(json_read(arena, asked, &root, NULL), ERR_OK);
    assert_int_equal(dialect_openai_chat.decode_request(arena, root, &request, NULL), ERR_OK);
    assert_int_equal(dialect_anthropic.encode_request(arena, &request, &target, &body, NULL, NULL),
                     ERR_OK);
    dialect_anthropic.mark_prompt(buf_str(&body), &out);
    size_t marks = 0, at;
    for (struct str rest = buf_str(&out); (at = str_find(rest, STR(MARK))) != SIZE_MAX; marks++)
        rest = str_skip(rest, at + 1);
    assert_int_equal(marks, 3);
    assert_int_equal(json_read(arena, buf_str(&body), &root, NULL), ERR_OK);
    assert_int_equal(dialect_anthropic.decode_request(arena, root, &plain, NULL), ERR_OK);
    assert_int_equal(json_read(arena, buf_str(&out), &root, NULL), ERR_OK);
    assert_int_equal(dialect_anthropic.decode_request(arena, root, &marked, NULL), ERR_OK);
    marked.unmapped_count = plain.unmapped_count; /* which name the marks */
    assert_true(llm_request_equal(arena, &plain, &marked));
    buf_done(&body);
    buf_done(&out);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_become_blocks),
        cmocka_unit_test(test_the_last_of_each_is_marked),
        cmocka_unit_test(test_marks_of_the_caller_stand_alone),
        cmocka_unit_test(test_what_cannot_be_marked_stays),
        cmocka_unit_test(test_an_encoded_request_keeps_its_meaning),
    };
    return cmocka_run_group_tests_name("llm/prompt_marks", tests, NULL, NULL);
}
