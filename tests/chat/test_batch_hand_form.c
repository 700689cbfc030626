/* What providers with batches of their own are told, and what they say: as they write it, and wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chat/batch_hand_form.h"

static yyjson_val *parse(struct arena *arena, const char *text)
{
    yyjson_val *root;
    assert_int_equal(json_read(arena, str_from_cstr(text), &root, NULL), ERR_OK);
    return root;
}

static void assert_text(struct str text, const char *expected)
{
    assert_int_equal(text.len, strlen(expected));
    assert_memory_equal(text.data, expected, text.len);
}

static void kinds_have_their_form(void **state)
{
    (void)state;
    assert_true(hand_kind_fits(provider_kind_find(STR("openai")), BATCH_OPENAI));
    assert_true(hand_kind_fits(provider_kind_find(STR("openai-responses")), BATCH_OPENAI));
    assert_true(hand_kind_fits(provider_kind_find(STR("anthropic")), BATCH_ANTHROPIC));
    assert_false(hand_kind_fits(provider_kind_find(STR("openai")), BATCH_ANTHROPIC));
    assert_false(hand_kind_fits(provider_kind_find(STR("anthropic")), BATCH_OPENAI));
    assert_false(hand_kind_fits(provider_kind_find(STR("openai-compatible")), BATCH_OPENAI));
    assert_false(hand_kind_fits(provider_kind_find(STR("parley")), BATCH_OPENAI));
}

static void requests_are_written(void **state)
{
    (void)state;
    const struct batch_endpoint *openai = batch_endpoint_find(BATCH_OPENAI, STR("/v1/responses"));
    const struct batch_endpoint *anthropic =
        batch_endpoint_find(BATCH_ANTHROPIC, STR("/v1/messages"));
    const struct batch_line line = {.custom_id = STR("a\"b")};
    struct buf out;
    buf_init(&out, 4096);
    hand_write_begin(BATCH_OPENAI, STR("B"), &out);
    hand_write_line(openai, &line, STR("{}"), true, &out);
    hand_write_end(BATCH_OPENAI, STR("B"), &out);
    assert_text(
        buf_str(&out),
        "--B\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
        "--B\r\ncontent-disposition: form-data; name=\"file\"; "
        "filename=\"batch.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n"
        "{\"custom_id\":\"a\\\"b\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{}}"
        "\n\r\n--B--\r\n");
    buf_clear(&out);
    hand_write_making(openai, STR("file-1"), STR("n"), &out);
    assert_text(buf_str(&out),
                "{\"input_file_id\":\"file-1\",\"endpoint\":\"/v1/responses\","
                "\"completion_window\":\"24h\",\"metadata\":{\"parley_batch\":\"n\"}}");
    buf_clear(&out);
    hand_write_begin(BATCH_ANTHROPIC, STR("B"), &out);
    hand_write_line(anthropic, &line, STR("{}"), true, &out);
    hand_write_line(anthropic, &line, STR("{}"), false, &out);
    hand_write_end(BATCH_ANTHROPIC, STR("B"), &out);
    assert_text(buf_str(&out), "{\"requests\":[{\"custom_id\":\"a\\\"b\",\"params\":{}},"
                               "{\"custom_id\":\"a\\\"b\",\"params\":{}}]}");
    buf_done(&out);
}

static void openai_says_how_far_it_is(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct hand_status status;
    assert_true(hand_read_status(
        arena, BATCH_OPENAI,
        parse(arena, "{\"id\":\"batch_1\",\"status\":\"expired\",\"output_file_id\":\"file-2\","
                     "\"error_file_id\":null,\"expires_at\":17,\"request_counts\":{\"total\":3,"
                     "\"completed\":2,\"failed\":-1}}"),
        &status));
    assert_int_equal(status.progress, HAND_ENDED);
    assert_true(status.is_expired && !status.is_cancelled);
    assert_int_equal(status.expires_ms, 17000);
    assert_int_equal(status.completed, 2);
    assert_int_equal(status.failed, 0);
    assert_text(hand_results_path(arena, BATCH_OPENAI, status.id, status.files[0]),
                "/files/file-2/content");
    assert_int_equal(status.files[1].len, 0);
    assert_true(hand_read_status(
        arena, BATCH_OPENAI,
        parse(arena, "{\"id\":\"b\",\"status\":\"failed\",\"errors\":{\"object\":\"list\",\"data\":"
                     "[{\"code\":\"x\",\"message\":\"bad\",\"line\":4}]}}"),
        &status));
    assert_int_equal(status.progress, HAND_FAILED);
    assert_text(status.message, "line 4: bad");
    static const char *const wrong[] = {"{}",
                                        "[]",
                                        "null",
                                        "{\"id\":\"b\"}",
                                        "{\"id\":\"b\",\"status\":\"asleep\"}",
                                        "{\"id\":\"../x\",\"status\":\"completed\"}",
                                        "{\"id\":\"\",\"status\":\"completed\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(hand_read_status(arena, BATCH_OPENAI, parse(arena, wrong[i]), &status));
    assert_false(hand_read_status(arena, BATCH_OPENAI, NULL, &status));
    arena_free(arena);
}

static void anthropic_says_how_far_it_is(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct hand_status status;
    assert_true(hand_read_status(
        arena, BATCH_ANTHROPIC,
        parse(arena, "{\"id\":\"msgbatch_1\",\"processing_status\":\"ended\",\"request_counts\":"
                     "{\"succeeded\":1,\"errored\":2},\"expires_at\":\"1970-01-01T00:00:02Z\"}"),
        &status));
    assert_int_equal(status.progress, HAND_ENDED);
    assert_int_equal(status.failed, 2);
    assert_int_equal(status.expires_ms, 2000);
    assert_text(hand_results_path(arena, BATCH_ANTHROPIC, status.id, status.files[0]),
                "/v1/messages/batches/msgbatch_1/results");
    assert_true(hand_read_status(arena, BATCH_ANTHROPIC,
                                 parse(arena, "{\"id\":\"m\",\"processing_status\":\"canceling\"}"),
                                 &status));
    assert_int_equal(status.progress, HAND_UNDER_WAY);
    assert_false(hand_read_status(arena, BATCH_ANTHROPIC,
                                  parse(arena, "{\"id\":\"m\",\"processing_status\":1}"), &status));
    arena_free(arena);
}

static void results_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        enum batch_form form;
        const char *text;
        int outcome; /* -1: it is none */
    } cases[] = {
        {BATCH_OPENAI, "{\"custom_id\":\"a\",\"response\":{\"status_code\":200,\"body\":{}}}",
         HAND_DONE},
        {BATCH_OPENAI, "{\"custom_id\":\"a\",\"response\":{\"status_code\":429}}", HAND_FAILURE},
        {BATCH_OPENAI,
         "{\"custom_id\":\"a\",\"response\":null,\"error\":{\"code\":\"request_timeout\"}}",
         HAND_FAILURE},
        {BATCH_OPENAI, "{\"custom_id\":\"a\",\"error\":{\"code\":\"batch_expired\"}}",
         HAND_EXPIRED},
        {BATCH_OPENAI, "{\"custom_id\":\"a\",\"error\":{\"code\":\"batch_cancelled\"}}",
         HAND_CANCELLED},
        {BATCH_OPENAI, "{\"custom_id\":\"a\"}", -1},
        {BATCH_OPENAI, "{\"response\":{\"status_code\":200}}", -1},
        {BATCH_OPENAI, "[1]", -1},
        {BATCH_ANTHROPIC, "{\"custom_id\":\"a\",\"result\":{\"type\":\"succeeded\"}}", HAND_DONE},
        {BATCH_ANTHROPIC, "{\"custom_id\":\"a\",\"result\":{\"type\":\"errored\"}}", HAND_FAILURE},
        {BATCH_ANTHROPIC, "{\"custom_id\":\"a\",\"result\":{\"type\":\"expired\"}}", HAND_EXPIRED},
        {BATCH_ANTHROPIC, "{\"custom_id\":\"a\",\"result\":{\"type\":\"canceled\"}}",
         HAND_CANCELLED},
        {BATCH_ANTHROPIC, "{\"custom_id\":\"a\",\"result\":{\"type\":\"cancelled\"}}", -1},
        {BATCH_ANTHROPIC, "{\"custom_id\":7,\"result\":{\"type\":\"expired\"}}", -1},
    };
    struct arena *arena = arena_new(1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hand_result result;
        bool is_read = hand_read_result(cases[i].form, parse(arena, cases[i].text), &result);
        assert_int_equal(is_read, cases[i].outcome >= 0);
        if (is_read)
            assert_int_equal(result.outcome, cases[i].outcome);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_their_form),     cmocka_unit_test(requests_are_written),
        cmocka_unit_test(openai_says_how_far_it_is), cmocka_unit_test(anthropic_says_how_far_it_is),
        cmocka_unit_test(results_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
