/* Lines of batches: what is right, what is wrong with the others, and their results as lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chat/batch_input.h"
#include "chat/batch_result.h"

static struct arena *arena;
static const struct batch_endpoint *endpoint;

static int set_up(void **state)
{
    (void)state;
    arena = arena_new(256 << 20);
    endpoint = batch_endpoint_find(BATCH_OPENAI, STR("/v1/chat/completions"));
    assert_non_null(endpoint);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(arena);
    return 0;
}

#define HEAD  "\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
#define RIGHT "{\"custom_id\":\"a\"," HEAD "\"body\":{\"model\":\"m\",\"n\":1.50}}"

static void test_endpoints(void **state)
{
    (void)state;
    assert_null(batch_endpoint_find(BATCH_OPENAI, STR("/v1/messages")));
    assert_null(batch_endpoint_find(BATCH_ANTHROPIC, STR("/v1/responses")));
    assert_null(batch_endpoint_find(BATCH_OPENAI, STR("")));
    assert_int_equal(batch_form_of(batch_form_name(BATCH_ANTHROPIC)), BATCH_ANTHROPIC);
    assert_int_equal(batch_form_of(batch_form_name(BATCH_OPENAI)), BATCH_OPENAI);
}

static void test_lines(void **state)
{
    (void)state;
    struct batch_input input;
    struct str text;
    yyjson_val *body;
    struct str content =
        STR("\xEF\xBB\xBF" RIGHT "\r\n\n  \n{\"custom_id\":\"b\"," HEAD "\"body\":{}}");
    assert_int_equal(batch_input_read(arena, endpoint, content, STR_NONE, &input, NULL), ERR_OK);
    assert_int_equal(input.count, 2);
    assert_true(str_eq(input.lines[0].custom_id, STR("a")) && !input.lines[0].wrong);
    assert_int_equal(input.lines[1].number, 4);
    assert_null(input.lines[1].wrong);
    assert_int_equal(batch_line_body(arena, endpoint, &input.lines[0], &body, &text, NULL), ERR_OK);
    assert_true(str_eq(text, STR("{\"model\":\"m\",\"n\":1.5}")));
}

static void test_wrong_lines(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"{", "not JSON"},
        {"[]", "not a JSON object"},
        {"{" HEAD "\"body\":{}}", "custom_id is missing"},
        {"{\"custom_id\":7," HEAD "\"body\":{}}", "custom_id is missing"},
        {RIGHT, "line before"},
        {"{\"custom_id\":\"b\",\"method\":\"GET\"}", "method"},
        {"{\"custom_id\":\"c\",\"method\":\"POST\",\"url\":\"/v1/responses\"}", "url"},
        {"{\"custom_id\":\"d\"," HEAD "\"body\":[]}", "object"},
        {"{\"custom_id\":\"e\"," HEAD "\"body\":{\"stream\":true}}", "streamed"},
        {"{\"custom_id\":\"i\"," HEAD "\"body\":{\"background\":true}}", "background"},
        {"{\"custom_id\":\"f\"," HEAD "\"body\":{\"api_base\":\"http://x\"}}", "where it is sent"},
        {"{\"custom_id\":\"g\"," HEAD "\"body\":{\"models\":[]}}", "name a route"},
        {"{\"custom_id\":\"h\"," HEAD "\"body\":{\"previous_response_id\":\"x\"}}", "before"},
    };
    struct buf content;
    struct batch_input input;
    size_t count = sizeof rows / sizeof rows[0];
    buf_init(&content, 1 << 20);
    buf_append(&content, STR(RIGHT));
    for (size_t i = 0; i < count; i++)
        buf_printf(&content, "\n%s", rows[i][0]);
    assert_int_equal(batch_input_read(arena, endpoint, buf_str(&content), STR_NONE, &input, NULL),
                     ERR_OK);
    assert_int_equal(input.count, count + 1);
    assert_null(input.lines[0].wrong);
    for (size_t i = 0; i < count; i++) {
        const char *wrong = input.lines[i + 1].wrong;
        if (!wrong || str_find(str_from_cstr(wrong), str_from_cstr(rows[i][1])) == SIZE_MAX)
            fail_msg("%s: %s", rows[i][0], wrong ? wrong : "nothing");
    }
    buf_done(&content);
}

static void test_bounds(void **state)
{
    (void)state;
    struct buf content;
    struct batch_input input;
    struct error error = {0};
    assert_int_equal(batch_input_read(arena, endpoint, STR(" \n\n"), STR_NONE, &input, &error),
                     ERR_INVALID);
    buf_init(&content, 1 << 20);
    for (int i = 0; i <= BATCH_LINES_MAX; i++)
        buf_append(&content, STR("{}\n"));
    assert_int_equal(batch_input_read(arena, endpoint, buf_str(&content), STR_NONE, &input, &error),
                     ERR_TOO_BIG);
    buf_truncate(&content, content.len - 3);
    assert_int_equal(batch_input_read(arena, endpoint, buf_str(&content), STR_NONE, &input, &error),
                     ERR_OK);
    assert_int_equal(input.count, BATCH_LINES_MAX);
    buf_done(&content);
}

/* ---- Anthropic's requests -------------------------------------------------------------------- */

static enum err convert(const char *body, struct buf *out, struct error *error)
{
    buf_clear(out);
    *error = (struct error){0};
    return batch_input_of_requests(arena, str_from_cstr(body), out, error);
}

static void test_requests(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"{}", "requests"},
        {"{\"requests\":[]}", "requests"},
        {"{\"requests\":[7]}", "requests[0].custom_id"},
        {"{\"requests\":[{\"custom_id\":\"a\"}]}", "requests[0].params"},
        {"{\"requests\":[{\"custom_id\":\"a\",\"params\":{}},{\"custom_id\":\"a\",\"params\":{}}]}",
         "requests[1].custom_id"},
    };
    struct buf out;
    struct error error;
    struct batch_input input;
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(convert(wrong[i][0], &out, &error), ERR_INVALID);
        assert_string_equal(error.field, wrong[i][1]);
    }
    assert_int_equal(convert("{\"requests\":[{\"custom_id\":\"a\",\"params\":{\"x\":\"\\n\"}},\n"
                             "{\"custom_id\":\"b\",\"params\":{}}]}",
                             &out, &error),
                     ERR_OK);
    endpoint = batch_endpoint_find(BATCH_ANTHROPIC, STR("/v1/messages"));
    assert_int_equal(batch_input_read(arena, endpoint, buf_str(&out), STR_NONE, &input, &error),
                     ERR_OK);
    assert_int_equal(input.count, 2);
    assert_true(!input.lines[0].wrong && !input.lines[1].wrong);
    assert_true(str_eq(input.lines[1].custom_id, STR("b")));
    buf_done(&out);
}

/* ---- Results --------------------------------------------------------------------------------- */

static void expect(struct buf *out, const char *line)
{
    buf_append_char(out, '\0');
    assert_string_equal(out->data, line);
    buf_clear(out);
}

static void test_openai_results(void **state)
{
    (void)state;
    const struct llm_error failed = {
        .class = ERR_RATE_LIMITED, .retry_after_ms = -1, .message = "slow down"};
    struct batch_line line = {.number = 3, .custom_id = STR("a\"b"), .wrong = "it is not JSON"};
    struct batch_answer answer = {.body = STR("{\"x\":1}"), .request_id = STR("r")};
    struct buf out;
    buf_init(&out, 1 << 20);
    batch_write_answer(&out, endpoint, STR("B"), &line, &answer);
    expect(&out, "{\"id\":\"batch_req_B_3\",\"custom_id\":\"a\\\"b\",\"response\":{\"status_code\":"
                 "200,\"request_id\":\"r\",\"body\":{\"x\":1}},\"error\":null}\n");
    answer.error = &failed;
    batch_write_answer(&out, endpoint, STR("B"), &line, &answer);
    assert_true(str_find(buf_str(&out), STR("\"status_code\":429")) != SIZE_MAX);
    assert_true(str_find(buf_str(&out), STR("slow down")) != SIZE_MAX);
    buf_clear(&out);
    line.custom_id = STR_NONE;
    batch_write_wrong(&out, endpoint, STR("B"), &line);
    expect(&out,
           "{\"id\":\"batch_req_B_3\",\"custom_id\":null,\"response\":null,\"error\":{\"code\":"
           "\"invalid_request\",\"message\":\"line 3: it is not JSON\",\"line\":3}}\n");
    batch_write_undone(&out, endpoint, STR("B"), &line, true);
    assert_true(str_find(buf_str(&out), STR("\"batch_expired\"")) != SIZE_MAX);
    buf_done(&out);
}

static void test_anthropic_results(void **state)
{
    (void)state;
    const struct llm_error failed = {.class = ERR_INVALID, .retry_after_ms = -1, .message = "no"};
    struct batch_line line = {.number = 3, .custom_id = STR("a"), .wrong = "bad"};
    struct batch_answer answer = {.body = STR("{}"), .dropped = STR("seed")};
    struct buf out;
    endpoint = batch_endpoint_find(BATCH_ANTHROPIC, STR("/v1/messages"));
    buf_init(&out, 1 << 20);
    batch_write_answer(&out, endpoint, STR("B"), &line, &answer);
    expect(&out, "{\"custom_id\":\"a\",\"result\":{\"type\":\"succeeded\",\"message\":{},"
                 "\"parley_dropped\":\"seed\"}}\n");
    answer = (struct batch_answer){.error = &failed};
    batch_write_answer(&out, endpoint, STR("B"), &line, &answer);
    assert_true(str_find(buf_str(&out),
                         STR("\"type\":\"errored\",\"error\":{\"type\":\"error\"")) != SIZE_MAX);
    buf_clear(&out);
    batch_write_undone(&out, endpoint, STR("B"), &line, false);
    expect(&out, "{\"custom_id\":\"a\",\"result\":{\"type\":\"canceled\"}}\n");
    batch_write_wrong(&out, endpoint, STR("B"), &line);
    assert_true(str_find(buf_str(&out), STR("request 3: bad")) != SIZE_MAX);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_endpoints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_requests, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_openai_results, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_anthropic_results, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
