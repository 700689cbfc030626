/* Gemini's form of batches: how one is made, its lines, their results; and lines of other dialects that
 * are asked of Gemini. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chat/batch_gemini.h"
#include "chat/batch_status.h"
#include "chat/batch_translate.h"

static struct arena *arena;
static const struct batch_endpoint *endpoint;
static struct buf out;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(256 << 20);
    endpoint = batch_endpoint_find(BATCH_GEMINI, STR("generateContent"));
    assert_non_null(endpoint);
    buf_init(&out, 1 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_done(&out);
    arena_free(arena);
    return 0;
}

static void expect(const char *text)
{
    buf_append_char(&out, '\0');
    assert_string_equal(out.data, text);
    buf_clear(&out);
}

static bool has(const char *text)
{
    return str_find(buf_str(&out), str_from_cstr(text)) != SIZE_MAX;
}

static void test_making(void **state)
{
    (void)state;
    struct batch_gemini gemini = {.model = STR("openai/m")};
    struct str body =
        STR("{\"batch\":{\"display_name\":\"n\\\"\",\"inputConfig\":{\"requests\":{\"requests\":["
            "{\"request\":{\"a\":1},\"metadata\":{\"key\":\"\\n\"}},{\"request\":{}}]}}}}");
    assert_int_equal(batch_gemini_read(arena, body, &gemini, &out, NULL), ERR_OK);
    expect("{\"metadata\":{\"key\":\"\\n\"},\"request\":{\"a\":1}}\n{\"request\":{}}\n");
    assert_true(str_eq(gemini.display_name, STR("n\"")) && !gemini.file.len);
    struct batch_gemini kept = batch_gemini_kept(arena, batch_gemini_keep(arena, &gemini));
    assert_true(str_eq(kept.model, STR("openai/m")) && str_eq(kept.display_name, STR("n\"")));
    assert_int_equal(kept.file.len, 0);
    body = STR("{\"batch\":{\"input_config\":{\"file_name\":\"files/x\"}}}");
    assert_int_equal(batch_gemini_read(arena, body, &gemini, &out, NULL), ERR_OK);
    assert_true(str_eq(gemini.file, STR("files/x")));
    kept = batch_gemini_kept(arena, batch_gemini_keep(arena, &gemini));
    assert_true(str_eq(kept.file, STR("files/x")));
    kept = batch_gemini_kept(arena, STR(""));
    assert_int_equal(kept.model.len, 0);
}

static void test_wrong_making(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{}", "batch.inputConfig"},
        {"{\"batch\":{\"inputConfig\":{\"requests\":{},\"fileName\":\"files/x\"}}}",
         "batch.inputConfig"},
        {"{\"batch\":{\"inputConfig\":{\"fileName\":7}}}", "batch.inputConfig.fileName"},
        {"{\"batch\":{\"inputConfig\":{\"requests\":[]}}}", "batch.inputConfig.requests.requests"},
        {"{\"batch\":{\"inputConfig\":{\"requests\":{\"requests\":[7]}}}}",
         "batch.inputConfig.requests.requests[0].request"},
        {"{\"batch\":{\"inputConfig\":{\"requests\":{\"requests\":[{\"request\":{},\"metadata\":7}]"
         "}}}}",
         "batch.inputConfig.requests.requests[0].metadata"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct batch_gemini gemini = {0};
        struct error error = {0};
        assert_int_equal(batch_gemini_read(arena, str_from_cstr(rows[i][0]), &gemini, &out, &error),
                         ERR_INVALID);
        assert_string_equal(error.field, rows[i][1]);
    }
}

static void test_lines(void **state)
{
    (void)state;
    struct batch_input input;
    struct str text;
    yyjson_val *body;
    struct str content = STR("{\"key\":\"a\",\"request\":{\"model\":\"models/p/m\",\"x\":1}}\n"
                             "{\"key\":\"a\",\"metadata\":{\"n\":1},\"request\":{\"x\":2}}\n"
                             "{\"request\":{\"model\":\"other\"}}\n{\"request\":7}\n[]\n");
    assert_int_equal(batch_input_read(arena, endpoint, content, STR("p/m"), &input, NULL), ERR_OK);
    assert_int_equal(input.count, 5);
    assert_true(!input.lines[0].wrong && !input.lines[1].wrong); /* a key may come twice */
    assert_true(str_eq(input.lines[1].metadata, STR("{\"n\":1}")));
    for (size_t i = 2; i < 5; i++)
        assert_non_null(input.lines[i].wrong);
    assert_int_equal(batch_line_body(arena, endpoint, &input.lines[0], &body, &text, NULL), ERR_OK);
    assert_true(str_eq(text, STR("{\"x\":1}")) && !json_get(body, "model"));
    assert_true(str_eq(batch_line_model(&input.lines[0], body), STR("p/m")));
}

static void test_results(void **state)
{
    (void)state;
    const struct llm_error failed = {
        .class = ERR_RATE_LIMITED, .retry_after_ms = -1, .message = "slow down"};
    struct batch_line line = {.number = 3, .custom_id = STR("a"), .wrong = "bad"};
    struct batch_answer answer = {.body = STR("{\"x\":1}"), .dropped = STR("seed")};
    yyjson_val *root;
    batch_write_answer(&out, endpoint, STR("B"), &line, &answer);
    expect("{\"key\":\"a\",\"response\":{\"x\":1},\"parley_dropped\":\"seed\"}\n");
    line.custom_id = STR_NONE;
    line.metadata = STR("{\"n\":1}");
    answer = (struct batch_answer){.error = &failed};
    batch_write_answer(&out, endpoint, STR("B"), &line, &answer);
    assert_true(has("{\"metadata\":{\"n\":1},\"error\":{\"code\":8,\"message\":\"slow down\""));
    buf_clear(&out);
    assert_int_equal(
        json_read(arena, STR("{\"error\":{\"code\":5},\"metadata\":{\"key\":\"3\"}}"), &root, NULL),
        ERR_OK);
    batch_write_handed(&out, endpoint, STR("B"), &line, root);
    expect("{\"metadata\":{\"n\":1},\"error\":{\"code\":5}}\n");
    batch_write_wrong(&out, endpoint, STR("B"), &line);
    assert_true(has("\"code\":3,\"message\":\"request 3: bad\""));
    buf_clear(&out);
    batch_write_undone(&out, endpoint, STR("B"), &line, true);
    assert_true(has("\"code\":4"));
    buf_clear(&out);
    batch_write_undone(&out, endpoint, STR("B"), &line, false);
    assert_true(has("\"code\":1"));
}

/* What is written reads back as the same class. */
static void test_status(void **state)
{
    (void)state;
    static const enum err classes[] = {ERR_INVALID,        ERR_RATE_LIMITED, ERR_SERVER,
                                       ERR_OVERLOADED,     ERR_TIMEOUT,      ERR_AUTHENTICATION,
                                       ERR_CONTEXT_LENGTH, ERR_FORBIDDEN};
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++) {
        const struct llm_error error = {
            .class = classes[i], .retry_after_ms = -1, .message = "why"};
        struct llm_error back = {0};
        struct json_writer w;
        yyjson_val *root;
        buf_clear(&out);
        json_writer_init(&w, &out);
        batch_status_put(&w, &error);
        assert_int_equal(json_read(arena, buf_str(&out), &root, NULL), ERR_OK);
        batch_status_read(arena, root, &back);
        assert_int_equal(back.class, classes[i]);
        assert_string_equal(back.message, "why");
    }
}

static void test_asked_of_gemini(void **state)
{
    (void)state;
    const struct provider_kind *kind = provider_kind_find(STR("gemini"));
    const struct batch_endpoint *chat =
        batch_endpoint_find(BATCH_OPENAI, STR("/v1/chat/completions"));
    struct batch_line line = {
        .number = 1,
        .custom_id = STR("a"),
        .text = STR("{\"custom_id\":\"a\",\"body\":{\"model\":\"gemini/m\",\"logit_bias\":{},"
                    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}}"),
    };
    struct error error = {0};
    struct llm_error failure = {0};
    struct str dropped;
    assert_int_equal(batch_encode_line(arena, chat, &line, kind, STR("m"), &out, &dropped, &error),
                     ERR_OK);
    assert_true(has("\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"hi\"}]}]"));
    assert_true(str_eq(dropped, STR("logit_bias")));
    buf_clear(&out);
    line.text = STR("{\"body\":{\"model\":\"gemini/m\",\"messages\":[]}}");
    assert_int_equal(batch_encode_line(arena, chat, &line, kind, STR("m"), &out, &dropped, &error),
                     ERR_INVALID);
    line =
        (struct batch_line){.text = STR("{\"request\":{\"model\":\"x\",\"contents\":[{\"parts\":[{"
                                        "\"text\":\"hi\"}]}],\"odd\":1.50}}"),
                            .model = STR("x")};
    buf_clear(&out);
    assert_int_equal(
        batch_encode_line(arena, endpoint, &line, kind, STR("m"), &out, &dropped, &error), ERR_OK);
    expect("{\"contents\":[{\"parts\":[{\"text\":\"hi\"}]}],\"odd\":1.5}");
    assert_int_equal(
        batch_encode_answer(arena, chat, &dialect_gemini,
                            STR("{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[{"
                                "\"text\":\"yes\"}]},\"finishReason\":\"STOP\"}]}"),
                            STR("B-1"), &out, &failure),
        ERR_OK);
    assert_true(has("\"id\":\"chatcmpl-B-1\"") && has("\"content\":\"yes\""));
    buf_clear(&out);
    assert_int_not_equal(batch_encode_answer(arena, chat, &dialect_gemini, STR("{\"x\":1}"),
                                             STR("B-1"), &out, &failure),
                         ERR_OK);
    assert_true(failure.message[0] != '\0');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_making, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_making, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_results, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_asked_of_gemini, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
