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

static const struct hand_form *form_of(const char *kind)
{
    return hand_form_find(provider_kind_find(str_from_cstr(kind)));
}

static void kinds_have_their_form(void **state)
{
    (void)state;
    const struct batch_endpoint *chat = batch_endpoint_find(BATCH_OPENAI, STR("/v1/responses"));
    const struct batch_endpoint *vectors = batch_endpoint_find(BATCH_OPENAI, STR("/v1/embeddings"));
    const struct batch_endpoint *messages =
        batch_endpoint_find(BATCH_ANTHROPIC, STR("/v1/messages"));
    assert_ptr_equal(form_of("openai"), &hand_form_openai);
    assert_ptr_equal(form_of("openai-responses"), &hand_form_openai);
    assert_ptr_equal(form_of("anthropic"), &hand_form_anthropic);
    assert_ptr_equal(form_of("gemini"), &hand_form_gemini);
    assert_null(form_of("openai-compatible"));
    assert_null(form_of("parley"));
    assert_true(hand_form_takes(&hand_form_openai, chat));
    assert_true(hand_form_takes(&hand_form_openai, vectors));
    assert_false(hand_form_takes(&hand_form_openai, messages));
    assert_true(hand_form_takes(&hand_form_anthropic, messages));
    assert_false(hand_form_takes(&hand_form_anthropic, chat));
    assert_true(hand_form_takes(&hand_form_gemini, chat));
    assert_true(hand_form_takes(&hand_form_gemini, messages));
    assert_false(hand_form_takes(&hand_form_gemini, vectors));
}

static void requests_are_written(void **state)
{
    (void)state;
    struct hand_line line = {
        .endpoint = batch_endpoint_find(BATCH_OPENAI, STR("/v1/responses")),
        .name = STR("a\"b"),
        .body = STR("{}"),
        .is_first = true,
    };
    struct buf out;
    buf_init(&out, 4096);
    hand_form_openai.write_begin(STR("B"), STR("n"), &out);
    hand_form_openai.write_line(&line, &out);
    hand_form_openai.write_end(STR("B"), &out);
    assert_text(
        buf_str(&out),
        "--B\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n"
        "--B\r\ncontent-disposition: form-data; name=\"file\"; "
        "filename=\"batch.jsonl\"\r\ncontent-type: application/jsonl\r\n\r\n"
        "{\"custom_id\":\"a\\\"b\",\"method\":\"POST\",\"url\":\"/v1/responses\",\"body\":{}}"
        "\n\r\n--B--\r\n");
    buf_clear(&out);
    hand_form_openai.write_making(line.endpoint, STR("file-1"), STR("n"), &out);
    assert_text(buf_str(&out),
                "{\"input_file_id\":\"file-1\",\"endpoint\":\"/v1/responses\","
                "\"completion_window\":\"24h\",\"metadata\":{\"parley_batch\":\"n\"}}");
    static const struct {
        const struct hand_form *form;
        const char *text;
    } rows[] = {
        {&hand_form_anthropic, "{\"requests\":[{\"custom_id\":\"a\\\"b\",\"params\":{}},"
                               "{\"custom_id\":\"a\\\"b\",\"params\":{}}]}"},
        {&hand_form_gemini,
         "{\"batch\":{\"displayName\":\"parley-n\",\"inputConfig\":{\"requests\":{\"requests\":["
         "{\"request\":{},\"metadata\":{\"key\":\"a\\\"b\"}},"
         "{\"request\":{},\"metadata\":{\"key\":\"a\\\"b\"}}]}}}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_clear(&out);
        rows[i].form->write_begin(STR("B"), STR("n"), &out);
        line.is_first = true;
        rows[i].form->write_line(&line, &out);
        line.is_first = false;
        rows[i].form->write_line(&line, &out);
        rows[i].form->write_end(STR("B"), &out);
        assert_text(buf_str(&out), rows[i].text);
    }
    buf_done(&out);
}

static void lines_have_their_names(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    const struct batch_line line = {.number = 12, .custom_id = STR("a")};
    assert_text(hand_line_name(arena, &hand_form_openai, &line), "a");
    assert_text(hand_line_name(arena, &hand_form_gemini, &line), "12");
    arena_free(arena);
}

static void openai_says_how_far_it_is(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct hand_status status;
    assert_true(hand_form_openai.read_status(
        arena,
        parse(arena, "{\"id\":\"batch_1\",\"status\":\"expired\",\"output_file_id\":\"file-2\","
                     "\"error_file_id\":null,\"expires_at\":17,\"request_counts\":{\"total\":3,"
                     "\"completed\":2,\"failed\":-1}}"),
        &status));
    assert_int_equal(status.progress, HAND_ENDED);
    assert_true(status.is_expired && !status.is_cancelled);
    assert_int_equal(status.expires_ms, 17000);
    assert_int_equal(status.completed, 2);
    assert_int_equal(status.failed, 0);
    assert_text(hand_form_openai.results_path(arena, status.id, status.files[0]),
                "/files/file-2/content");
    assert_int_equal(status.files[1].len, 0);
    assert_true(hand_form_openai.read_status(
        arena,
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
        assert_false(hand_form_openai.read_status(arena, parse(arena, wrong[i]), &status));
    assert_false(hand_form_openai.read_status(arena, NULL, &status));
    arena_free(arena);
}

static void anthropic_says_how_far_it_is(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct hand_status status;
    assert_true(hand_form_anthropic.read_status(
        arena,
        parse(arena, "{\"id\":\"msgbatch_1\",\"processing_status\":\"ended\",\"request_counts\":"
                     "{\"succeeded\":1,\"errored\":2},\"expires_at\":\"1970-01-01T00:00:02Z\"}"),
        &status));
    assert_int_equal(status.progress, HAND_ENDED);
    assert_int_equal(status.failed, 2);
    assert_int_equal(status.expires_ms, 2000);
    assert_text(hand_form_anthropic.results_path(arena, status.id, status.files[0]),
                "/v1/messages/batches/msgbatch_1/results");
    assert_true(hand_form_anthropic.read_status(
        arena, parse(arena, "{\"id\":\"m\",\"processing_status\":\"canceling\"}"), &status));
    assert_int_equal(status.progress, HAND_UNDER_WAY);
    assert_false(hand_form_anthropic.read_status(
        arena, parse(arena, "{\"id\":\"m\",\"processing_status\":1}"), &status));
    arena_free(arena);
}

static void gemini_says_how_far_it_is(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct hand_status status;
    static const struct {
        const char *text;
        int progress; /* -1: it is none */
        bool is_expired, is_cancelled;
    } cases[] = {
        {"{\"name\":\"batches/a1\",\"metadata\":{\"state\":\"BATCH_STATE_PENDING\"}}",
         HAND_UNDER_WAY, false, false},
        {"{\"name\":\"batches/a1\"}", HAND_UNDER_WAY, false, false},
        {"{\"name\":\"batches/"
         "a1\",\"metadata\":{\"state\":\"BATCH_STATE_SUCCEEDED\"},\"done\":true,"
         "\"response\":{}}",
         HAND_ENDED, false, false},
        {"{\"name\":\"batches/a1\",\"metadata\":{\"state\":\"BATCH_STATE_EXPIRED\"}}", HAND_ENDED,
         true, false},
        {"{\"name\":\"batches/"
         "a1\",\"metadata\":{\"state\":\"BATCH_STATE_CANCELLED\"},\"done\":true,"
         "\"error\":{\"code\":1}}",
         HAND_ENDED, false, true},
        {"{\"name\":\"batches/a1\",\"done\":true,\"error\":{\"code\":3,\"message\":\"bad\"}}",
         HAND_FAILED, false, false},
        {"{\"name\":\"batches/a1\",\"metadata\":{\"state\":\"BATCH_STATE_ASLEEP\"}}", -1, 0, 0},
        {"{\"name\":\"batches/a1\",\"metadata\":{\"state\":\"RUNNING\"}}", -1, 0, 0},
        {"{\"name\":\"batches/../x\",\"metadata\":{\"state\":\"BATCH_STATE_PENDING\"}}", -1, 0, 0},
        {"{\"name\":\"files/a\",\"metadata\":{\"state\":\"BATCH_STATE_PENDING\"}}", -1, 0, 0},
        {"{\"metadata\":{\"state\":\"BATCH_STATE_PENDING\"}}", -1, 0, 0},
        {"[]", -1, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool is_read = hand_form_gemini.read_status(arena, parse(arena, cases[i].text), &status);
        assert_int_equal(is_read, cases[i].progress >= 0);
        if (!is_read)
            continue;
        assert_text(status.id, "a1");
        assert_int_equal(status.progress, cases[i].progress);
        assert_true(status.is_expired == cases[i].is_expired);
        assert_true(status.is_cancelled == cases[i].is_cancelled);
    }
    assert_true(hand_form_gemini.read_status(
        arena,
        parse(arena, "{\"name\":\"batches/a1\",\"metadata\":{\"state\":\"BATCH_STATE_FAILED\","
                     "\"createTime\":\"1970-01-01T00:00:01.5Z\",\"batchStats\":{\"requestCount\":"
                     "\"5\",\"successfulRequestCount\":\"3\",\"failedRequestCount\":2}}}"),
        &status));
    assert_text(status.message, "the provider gave no reason");
    assert_int_equal(status.completed, 3);
    assert_int_equal(status.failed, 2);
    assert_int_equal(status.expires_ms, 48 * 3600 * 1000 + 1500);
    assert_text(hand_path(arena, &hand_form_gemini, status.id, hand_form_gemini.cancel),
                "/batches/a1:cancel");
    arena_free(arena);
}

static void take_key(void *user, yyjson_val *root)
{
    struct hand_result result;
    if (hand_form_gemini.read_result(root, &result))
        buf_printf(user, "%.*s%c", STR_ARG(result.name), result.outcome == HAND_DONE ? '+' : '-');
}

static void gemini_tells_its_results(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct buf keys;
    buf_init(&keys, 100);
    static const char list[] =
        "{\"inlinedResponses\":{\"inlinedResponses\":["
        "{\"response\":{},\"metadata\":{\"key\":\"2\"}},{\"response\":{}},7,"
        "{\"error\":{\"code\":3},\"metadata\":{\"key\":\"1\"}},{\"metadata\":{\"key\":\"9\"}}]}}";
    struct str texts[] = {arena_printf(arena, "{\"response\":%s}", list),
                          arena_printf(arena, "{\"metadata\":{\"output\":%s}}", list), STR("{"),
                          STR("{\"response\":{\"inlinedResponses\":7}}")};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        buf_clear(&keys);
        hand_form_gemini.each_result(arena, texts[i], take_key, &keys);
        assert_text(buf_str(&keys), i < 2 ? "2+1-" : "");
    }
    buf_done(&keys);
    arena_free(arena);
}

static void gemini_says_why_a_line_failed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err class;
    } cases[] = {
        {"{\"code\":3,\"message\":\"bad\"}", ERR_INVALID},
        {"{\"code\":8,\"message\":\"bad\"}", ERR_RATE_LIMITED},
        {"{\"code\":14,\"message\":\"bad\"}", ERR_OVERLOADED},
        {"{\"code\":503,\"message\":\"bad\"}", ERR_OVERLOADED},
        {"{\"code\":-4,\"message\":\"bad\"}", ERR_SERVER},
        {"{\"message\":\"bad\"}", ERR_SERVER},
    };
    struct arena *arena = arena_new(1 << 20);
    struct llm_error error;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        error = (struct llm_error){0};
        hand_form_gemini.read_failure(arena, parse(arena, cases[i].text), &error);
        assert_int_equal(error.class, cases[i].class);
        assert_string_equal(error.message, "bad");
    }
    hand_form_gemini.read_failure(arena, NULL, &error);
    assert_int_equal(error.class, ERR_SERVER);
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
        const struct hand_form *form =
            cases[i].form == BATCH_OPENAI ? &hand_form_openai : &hand_form_anthropic;
        bool is_read = form->read_result(parse(arena, cases[i].text), &result);
        assert_int_equal(is_read, cases[i].outcome >= 0);
        if (is_read)
            assert_int_equal(result.outcome, cases[i].outcome);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_have_their_form),
        cmocka_unit_test(requests_are_written),
        cmocka_unit_test(openai_says_how_far_it_is),
        cmocka_unit_test(anthropic_says_how_far_it_is),
        cmocka_unit_test(results_are_told_apart),
        cmocka_unit_test(lines_have_their_names),
        cmocka_unit_test(gemini_says_how_far_it_is),
        cmocka_unit_test(gemini_tells_its_results),
        cmocka_unit_test(gemini_says_why_a_line_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
