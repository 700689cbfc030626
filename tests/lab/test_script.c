/* Scripts: the recorded replies are what they claim to be, and every fault falls where it should.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "base/json.h"
#include "base/utf8.h"
#include "script.h"
#include "wire/sse.h"

struct built {
    struct arena *arena;
    struct script script;
    struct str bytes;
};

/* `begun`: what the request brings of an answer; with "go on" behind it when it does not end so. */
static struct built build_on(enum fake_dialect_name dialect, bool stream, const char *model,
                             const char *begun, bool begun_is_last)
{
    struct built built = {.arena = arena_new(64 * 1024 * 1024)};
    struct behaviour behaviour;
    struct behaviour_history history = {0};
    struct fake_request request = {.route = FAKE_ROUTE_CHAT,
                                   .dialect = fake_dialect(dialect),
                                   .model = str_from_cstr(model),
                                   .stream = stream,
                                   .begun = begun ? str_from_cstr(begun) : STR_NONE,
                                   .begun_is_last = begun_is_last,
                                   .wall_ms = 1700000000000,
                                   .user_text = STR("caf\u00e9 \"quoted\"\n")};
    assert_true(behaviour_parse(request.model, &history, &behaviour));
    script_init(&built.script, built.arena, &request, &behaviour);
    built.bytes = buf_str(&built.script.bytes);
    return built;
}

static struct built build(enum fake_dialect_name dialect, bool stream, const char *model)
{
    return build_on(dialect, stream, model, NULL, false);
}

static void done(struct built *built)
{
    script_done(&built->script);
    arena_free(built->arena);
}

static size_t count_of(struct str text, const char *needle)
{
    size_t count = 0, at;
    struct str wanted = str_from_cstr(needle);
    while ((at = str_find(text, wanted)) != SIZE_MAX) {
        count++;
        text = str_skip(text, at + wanted.len);
    }
    return count;
}

static bool contains(struct str text, const char *needle)
{
    return count_of(text, needle) > 0;
}

/* ---- Recordings --------------------------------------------------------------------------------
 */

static void check_event(void *user, const struct sse_event *event)
{
    size_t *count = user;
    struct arena *arena = arena_new(1024 * 1024);
    yyjson_val *root;
    if (!str_eq(event->data, STR("[DONE]"))) {
        assert_int_equal(json_read(arena, event->data, &root, NULL), ERR_OK);
        if (event->type.len) /* Anthropic and Responses: the name is in the data too */
            assert_true(str_eq(event->type, json_get_str(root, "type")));
    }
    arena_free(arena);
    ++*count;
}

static size_t check_lines(struct str text)
{
    size_t count = 0;
    while (text.data && text.len) {
        struct arena *arena = arena_new(1024 * 1024);
        yyjson_val *root;
        assert_int_equal(json_read(arena, str_next(&text, '\n'), &root, NULL), ERR_OK);
        arena_free(arena);
        count++;
    }
    return count;
}

static size_t check_stream(enum fake_dialect_name dialect, struct str bytes)
{
    size_t count = 0;
    struct sse_parser parser;
    if (dialect == FAKE_OLLAMA || dialect == FAKE_OLLAMA_GENERATE)
        return check_lines(bytes);
    sse_parser_init(&parser, 4 * 1024 * 1024, check_event, &count);
    assert_int_equal(sse_parser_feed(&parser, bytes), ERR_OK);
    assert_int_equal(parser.data.len, 0); /* nothing pending: the last event has its blank line */
    sse_parser_done(&parser);
    return count;
}

static void test_recordings_are_their_protocol(void **state)
{
    (void)state;
    static const char *const models[] = {
        "echo",         "count-3",      "tools",    "reasoning",         "unicode",   "big",
        "burst-100x60", "echo+error-1", "filtered", "tools-interleaved", "big+late-5"};
    for (int dialect = 0; dialect < FAKE_DIALECT_COUNT; dialect++) {
        for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
            struct built built = build((enum fake_dialect_name)dialect, true, models[i]);
            assert_int_equal(built.script.end, SCRIPT_END_WHOLE);
            assert_true(utf8_valid(built.bytes, NULL));
            assert_false(contains(built.bytes, "@"));
            assert_int_equal(check_stream((enum fake_dialect_name)dialect, built.bytes),
                             built.script.frame_count);
            done(&built);
        }
    }
}

static void test_whole_answers_are_json(void **state)
{
    (void)state;
    static const char *const models[] = {
        "echo",        "tools",       "reasoning", "401", "429-after-2", "503",
        "400-context", "429-quota",   "500",       "429", "filtered",    "tools-interleaved",
        "400-invalid", "400-filtered"};
    for (int dialect = 0; dialect < FAKE_DIALECT_COUNT; dialect++) {
        for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
            struct built built = build((enum fake_dialect_name)dialect, false, models[i]);
            assert_int_equal(check_lines(built.bytes), 1);
            assert_int_equal(built.script.length, built.bytes.len);
            assert_true(str_starts_with(buf_str(&built.script.head), STR("HTTP/1.1 ")));
            assert_true(str_ends_with(buf_str(&built.script.head), STR("\r\n")));
            done(&built);
        }
    }
}

static void test_the_echo_says_it_all(void **state)
{
    (void)state;
    struct built built = build(FAKE_ANTHROPIC, false, "echo");
    assert_true(contains(built.bytes, "You said: caf\u00e9 \\\"quoted\\\"\\n"));
    done(&built);
}

static void test_usage_only_when_asked(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "echo");
    assert_false(contains(built.bytes, "\"usage\""));
    done(&built);
}

static void test_retry_after(void **state)
{
    (void)state;
    struct built built = build(FAKE_ANTHROPIC, true, "429-after-7");
    assert_true(str_starts_with(buf_str(&built.script.head), STR("HTTP/1.1 429 ")));
    assert_true(contains(buf_str(&built.script.head), "retry-after: 7\r\n"));
    done(&built);
    built = build(FAKE_GEMINI, true, "429-after-7");
    assert_true(contains(built.bytes, "\"retryDelay\":\"7s\""));
    done(&built);
}

/* ---- Faults ------------------------------------------------------------------------------------
 */

static size_t content_frames(const struct script *script)
{
    size_t count = 0;
    for (size_t i = 0; i < script->frame_count; i++)
        count += script->frames[i].is_content;
    return count;
}

static void test_endings_by_count(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        enum script_end end;
    } rows[] = {{"cut-3", SCRIPT_END_CUT},
                {"reset-3", SCRIPT_END_RESET},
                {"stall-3", SCRIPT_END_STALL},
                {"error-3", SCRIPT_END_WHOLE}};
    for (int dialect = 0; dialect < FAKE_DIALECT_COUNT; dialect++) {
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            struct built built = build((enum fake_dialect_name)dialect, true, rows[i].model);
            assert_int_equal(built.script.end, rows[i].end);
            assert_int_equal(content_frames(&built.script), 3);
            assert_true(contains(built.bytes, "\"3 \""));
            assert_int_equal(contains(built.bytes, "error"),
                             rows[i].end == SCRIPT_END_WHOLE || dialect == FAKE_OPENAI_RESPONSES);
            done(&built);
        }
    }
    struct built built = build(FAKE_ANTHROPIC, true, "tools+cut-2");
    assert_int_equal(built.script.frame_count, 2);
    done(&built);
}

static void test_cut_at_every_byte(void **state)
{
    (void)state;
    struct built whole = build(FAKE_OPENAI_CHAT, true, "count-2");
    for (size_t at = 0; at < whole.bytes.len; at++) {
        char model[64];
        snprintf(model, sizeof model, "count-2+cut-byte-%zu", at);
        struct built built = build(FAKE_OPENAI_CHAT, true, model);
        size_t sum = 0;
        for (size_t i = 0; i < built.script.frame_count; i++)
            sum += built.script.frames[i].len;
        assert_int_equal(sum, at);
        assert_int_equal(built.bytes.len, at);
        assert_int_equal(built.script.end, SCRIPT_END_CUT);
        done(&built);
    }
    done(&whole);
}

/* As many requests as there are bytes: every place once. */
static void test_cut_at_each_byte_in_turn(void **state)
{
    (void)state;
    bool seen[4096] = {0};
    struct built whole = build(FAKE_OLLAMA, true, "count-2");
    size_t count = whole.bytes.len;
    assert_true(count < sizeof seen);
    for (size_t i = 0; i < count; i++) {
        struct behaviour behaviour;
        struct arena *arena = arena_new(1024 * 1024);
        struct behaviour_history history = {.requests = i};
        struct fake_request request = {.dialect = fake_dialect(FAKE_OLLAMA),
                                       .model = STR("count-2"),
                                       .stream = true,
                                       .user_text = STR("")};
        struct script script;
        assert_true(behaviour_parse(STR("count-2+cut-byte-each"), &history, &behaviour));
        script_init(&script, arena, &request, &behaviour);
        assert_int_equal(script.end, SCRIPT_END_CUT);
        assert_false(seen[script.bytes.len]);
        seen[script.bytes.len] = true;
        script_done(&script);
        arena_free(arena);
    }
    done(&whole);
}

static void test_an_error_is_no_whole_answer(void **state)
{
    (void)state;
    struct built built = build(FAKE_OLLAMA, false, "echo+error-1");
    assert_true(str_starts_with(buf_str(&built.script.head), STR("HTTP/1.1 500 ")));
    done(&built);
}

static void test_missing_ends(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "no-sentinel");
    assert_true(contains(built.bytes, "\"finish_reason\":\"stop\""));
    assert_false(contains(built.bytes, "[DONE]"));
    done(&built);
    built = build(FAKE_OPENAI_CHAT, true, "no-finish");
    assert_false(contains(built.bytes, "\"finish_reason\":\"stop\""));
    assert_int_equal(content_frames(&built.script), 20);
    done(&built);
    built = build(FAKE_ANTHROPIC, true, "no-sentinel");
    assert_true(contains(built.bytes, "message_delta"));
    assert_false(contains(built.bytes, "message_stop"));
    done(&built);
}

static void test_malformed(void **state)
{
    (void)state;
    struct built built = build(FAKE_OLLAMA, true, "count-3+malformed-2");
    struct arena *arena = arena_new(65536);
    struct str rest = built.bytes;
    yyjson_val *root;
    for (int line = 1; line <= 4; line++) {
        enum err code = json_read(arena, str_next(&rest, '\n'), &root, NULL);
        assert_int_equal(code, line == 2 ? ERR_INVALID : ERR_OK);
    }
    arena_free(arena);
    done(&built);
}

static void test_bytes_apart(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "unicode-split");
    assert_int_equal(built.script.frame_count, built.bytes.len);
    assert_int_equal(check_stream(FAKE_OPENAI_CHAT, built.bytes), 12);
    done(&built);
    built = build(FAKE_GEMINI, true, "echo+crlf");
    assert_int_equal(count_of(built.bytes, "\n"), count_of(built.bytes, "\r\n"));
    check_stream(FAKE_GEMINI, built.bytes);
    done(&built);
}

static void test_without_end(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "endless");
    assert_int_equal(built.script.end, SCRIPT_END_REPEAT);
    assert_int_equal(check_stream(FAKE_OPENAI_CHAT, built.script.repeat), 1);
    done(&built);
    built = build(FAKE_ANTHROPIC, true, "huge-line");
    assert_int_equal(built.script.end, SCRIPT_END_REPEAT);
    assert_true(str_ends_with(built.bytes, STR("\"text\":\"")));
    assert_false(contains(built.script.repeat, "\n"));
    done(&built);
    built = build(FAKE_OPENAI_CHAT, true, "pings-5");
    assert_true(str_eq(built.script.repeat, STR(": keep-alive\n\n")));
    assert_int_equal(built.script.repeat_ms, 5);
    done(&built);
}

static void test_other_answers(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "garbage");
    assert_true(contains(buf_str(&built.script.head), "text/html"));
    done(&built);
    built = build(FAKE_OPENAI_CHAT, true, "echo+json-instead-of-stream");
    assert_true(contains(buf_str(&built.script.head), "application/json"));
    assert_int_equal(check_lines(built.bytes), 1);
    done(&built);
    built = build(FAKE_OPENAI_CHAT, true, "silent");
    assert_int_equal(built.script.end, SCRIPT_END_STALL);
    assert_int_equal(built.script.head.len + built.script.frame_count, 0);
    done(&built);
    built = build(FAKE_OPENAI_CHAT, false, "cut-3");
    assert_int_equal(built.script.length, 2 * built.bytes.len + built.script.length % 2);
    assert_int_equal(built.script.end, SCRIPT_END_CUT);
    done(&built);
}

/* ---- Going on ----------------------------------------------------------------------------------
 */

/* All text of an answer to a request that brings `begun`. */
static void expect_text(const char *model, const char *begun, bool is_last, const char *expected)
{
    for (int dialect = 0; dialect < FAKE_DIALECT_COUNT; dialect++) {
        char whole[256];
        snprintf(whole, sizeof whole, "\"%s\"", expected);
        struct built built =
            build_on((enum fake_dialect_name)dialect, false, model, begun, is_last);
        assert_true(contains(built.bytes, whole));
        done(&built);
    }
    struct built built = build_on(FAKE_OPENAI_CHAT, true, model, begun, is_last);
    size_t at, used = 0;
    struct str key = STR("\"delta\":{\"content\":\""), rest = built.bytes;
    while ((at = str_find(rest, key)) != SIZE_MAX) {
        rest = str_skip(rest, at + key.len);
        struct str piece = str_slice(rest, 0, str_find_char(rest, '"'));
        assert_true(str_starts_with(str_skip(str_from_cstr(expected), used), piece));
        used += piece.len;
    }
    assert_int_equal(used, strlen(expected));
    done(&built);
}

static void test_goes_on(void **state)
{
    (void)state;
    expect_text("count-5", "1 2", true, "1 2 3 4 5 ");
    expect_text("count-5+prefills", "1 2", true, " 3 4 5 ");
    expect_text("count-5+prefills", "1 2 ", false, "1 2 3 4 5 ");
    expect_text("count-5+continues", "1 2 ", false, "3 4 5 ");
    expect_text("count-5+continues+repeats-2", "1 2 ", false, "2 3 4 5 ");
    expect_text("count-5+continues+repeats-99", "1 2 ", false, "1 2 3 4 5 ");
    expect_text("count-5+continues", "something else", false, "1 2 3 4 5 ");
    expect_text("count-5+continues+prefills", NULL, false, "1 2 3 4 5 ");
    expect_text("count-3+prefills", "1 2 3 ", true, "");
}

static void test_differs(void **state)
{
    (void)state;
    expect_text("count-5+differs-3", NULL, false, "1 2 xxxxxx");
    expect_text("count-5+differs-3", "1 2 ", false, "1 2 xxxxxx");
    expect_text("count-5+differs-3+continues", "1 2 ", false, "3 4 5 ");
    expect_text("count-5+differs-1", NULL, false, "xxxxxxxxxx");
}

static void test_cuts_count_what_is_said(void **state)
{
    (void)state;
    struct built built = build_on(FAKE_OPENAI_CHAT, true, "count-9+prefills+cut-2", "1 2 3 ", true);
    assert_int_equal(content_frames(&built.script), 2);
    assert_true(contains(built.bytes, "\"5 \""));
    assert_false(contains(built.bytes, "\"6 \""));
    done(&built);
}

static void test_rejects_a_prefill(void **state)
{
    (void)state;
    for (int dialect = 0; dialect < FAKE_DIALECT_COUNT; dialect++) {
        struct built built =
            build_on((enum fake_dialect_name)dialect, true, "rejects-prefill", "1 2", true);
        assert_true(str_starts_with(buf_str(&built.script.head), STR("HTTP/1.1 400 ")));
        assert_int_equal(check_lines(built.bytes), 1);
        done(&built);
        built = build_on((enum fake_dialect_name)dialect, true, "rejects-prefill", "1 2", false);
        assert_true(str_starts_with(buf_str(&built.script.head), STR("HTTP/1.1 200 ")));
        done(&built);
    }
    struct built built = build_on(FAKE_ANTHROPIC, true, "rejects-prefill", "1", true);
    assert_true(contains(built.bytes, "does not support assistant message prefill"));
    done(&built);
}

/* ---- More ways to go wrong ----------------------------------------------------------------------
 */

static void test_open_end(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "open-end");
    assert_int_equal(built.script.end, SCRIPT_END_STALL);
    assert_true(contains(built.bytes, "\"finish_reason\":\"stop\""));
    assert_false(contains(built.bytes, "[DONE]"));
    done(&built);
    built = build(FAKE_OPENAI_CHAT, false, "open-end");
    assert_int_equal(built.script.end, SCRIPT_END_WHOLE);
    done(&built);
}

static void test_limits(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "limits-10-3-250");
    struct str head = buf_str(&built.script.head);
    assert_true(contains(head, "x-ratelimit-limit-requests: 10\r\n"));
    assert_true(contains(head, "x-ratelimit-remaining-requests: 3\r\n"));
    assert_true(contains(head, "x-ratelimit-reset-requests: 250ms\r\n"));
    assert_false(contains(head, "\r\n\r\n"));
    done(&built);
    built = build(FAKE_ANTHROPIC, false, "limits-10-3-1500");
    assert_true(contains(buf_str(&built.script.head),
                         "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:21.500Z\r\n"));
    done(&built);
    built = build(FAKE_OLLAMA, false, "limits-10-3-1500");
    assert_false(contains(buf_str(&built.script.head), "limit"));
    done(&built);
}

static void test_endless_headers(void **state)
{
    (void)state;
    struct built built = build(FAKE_GEMINI, true, "endless-headers+slow-5");
    assert_int_equal(built.script.head.len, 0);
    assert_false(built.script.chunked);
    assert_true(str_eq(built.bytes, STR("HTTP/1.1 200 OK\r\n")));
    assert_int_equal(built.script.end, SCRIPT_END_REPEAT);
    assert_int_equal(built.script.repeat_ms, 5);
    assert_true(str_ends_with(built.script.repeat, STR("xx\r\n")));
    done(&built);
}

static void test_an_event_of_sixteen_mebibytes(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "big-16");
    assert_int_equal(content_frames(&built.script), 1);
    assert_true(built.bytes.len > 16 * 1024 * 1024);
    done(&built);
}

static void test_interleaved_calls(void **state)
{
    (void)state;
    struct built built = build(FAKE_OPENAI_CHAT, true, "tools-interleaved");
    struct str rest = built.bytes;
    static const char *const order[] = {"call_a",    "call_b", "{\\\"city",
                                        "{\\\"zone", "Paris",  "Europe"};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        size_t at = str_find(rest, str_from_cstr(order[i]));
        assert_int_not_equal(at, SIZE_MAX);
        rest = str_skip(rest, at);
    }
    done(&built);
}

static void test_every_reply_is_found(void **state)
{
    (void)state;
    assert_true(reply_count > 100);
    for (size_t i = 0; i < reply_count; i++) {
        char folder[64];
        const char *slash = strchr(reply_table[i].path, '/');
        str_copy(STR_FROM(reply_table[i].path, (size_t)(slash - reply_table[i].path)), folder,
                 sizeof folder);
        struct str found = reply_find(folder, slash + 1);
        assert_ptr_equal(found.data, reply_table[i].bytes);
        assert_true(found.len > 0);
    }
    assert_null(reply_find("openai-chat", "nothing").data);
    assert_null(reply_find("nobody", "whole").data);
}

/* One vector for each input, in the form that was asked for. */
static void test_embeddings(void **state)
{
    (void)state;
    uint64_t inputs[] = {3, 7};
    static const struct {
        enum fake_dialect_name dialect;
        bool wants_base64, is_single;
        const char *wanted;
    } rows[] = {
        {FAKE_OPENAI_CHAT, false, false,
         "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
         "[0.25,-1]},{\"object\":\"embedding\",\"index\":1,\"embedding\":[0.25,-1]}],\"model\":"
         "\"m\",\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}"},
        {FAKE_OPENAI_CHAT, true, false,
         "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
         "\"AACAPgAAgL8=\"},{\"object\":\"embedding\",\"index\":1,\"embedding\":"
         "\"AACAPgAAgL8=\"}],\"model\":\"m\",\"usage\":{\"prompt_tokens\":2,\"total_tokens\":2}}"},
        {FAKE_GEMINI, true, false,
         "{\"embeddings\":[{\"values\":[0.25,-1]},{\"values\":[0.25,-1]}]}"},
        {FAKE_GEMINI, false, true, "{\"embedding\":{\"values\":[0.25,-1]}}"},
        {FAKE_OLLAMA, false, true, "{\"embedding\":[0.25,-1]}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(SIZE_MAX);
        struct fake_request request = {.route = FAKE_ROUTE_EMBEDDINGS,
                                       .dialect = fake_dialect(rows[i].dialect),
                                       .model = STR("m"),
                                       .user_text = STR(""),
                                       .inputs = inputs,
                                       .input_count = rows[i].is_single ? 1 : 2,
                                       .dimensions = 2,
                                       .wants_base64 = rows[i].wants_base64,
                                       .is_single = rows[i].is_single};
        struct behaviour behaviour;
        struct script script;
        assert_true(behaviour_parse(STR("echo"), &(struct behaviour_history){0}, &behaviour));
        script_init(&script, arena, &request, &behaviour);
        assert_true(str_eq(buf_str(&script.bytes), str_from_cstr(rows[i].wanted)));
        script_done(&script);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recordings_are_their_protocol),
        cmocka_unit_test(test_whole_answers_are_json),
        cmocka_unit_test(test_the_echo_says_it_all),
        cmocka_unit_test(test_usage_only_when_asked),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_endings_by_count),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_cut_at_each_byte_in_turn),
        cmocka_unit_test(test_an_error_is_no_whole_answer),
        cmocka_unit_test(test_missing_ends),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_bytes_apart),
        cmocka_unit_test(test_without_end),
        cmocka_unit_test(test_other_answers),
        cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_differs),
        cmocka_unit_test(test_cuts_count_what_is_said),
        cmocka_unit_test(test_rejects_a_prefill),
        cmocka_unit_test(test_open_end),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_endless_headers),
        cmocka_unit_test(test_an_event_of_sixteen_mebibytes),
        cmocka_unit_test(test_interleaved_calls),
        cmocka_unit_test(test_every_reply_is_found),
        cmocka_unit_test(test_embeddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
