/* Every ordered pair of dialects: what a door took in goes out to a provider, and its answer comes
 * back. Nothing changes on the way that the encoder did not name (x-parley-dropped names those of
 * requests, the last object of an answer those of answers). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "law.h"

enum { SEEDS = 1500, ANSWER_BYTES_MAX = 1024 * 1024 };

static void requests_go_through(void **state)
{
    (void)state;
    const struct dialect_target target = {.model = STR("some-model")};
    for (size_t d = 0; dialects[d]; d++)
        for (size_t p = 0; dialects[p]; p++) {
            if (!dialects[d]->encode_request || !dialects[p]->encode_request)
                continue; /* only doors speak it, and nothing makes its requests */
            for (uint64_t seed = 1; seed <= SEEDS; seed++)
                law_request_through(dialects[d], dialects[p], &target, seed);
        }
}

static void answers_come_back(void **state)
{
    (void)state;
    for (size_t d = 0; dialects[d]; d++)
        for (size_t p = 0; dialects[p]; p++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++)
                law_response_through(dialects[p], dialects[d], seed);
}

static void streams_come_back(void **state)
{
    (void)state;
    for (size_t d = 0; dialects[d]; d++)
        for (size_t p = 0; dialects[p]; p++)
            for (uint64_t seed = 1; seed <= SEEDS; seed++)
                law_stream_through(dialects[p], dialects[d], seed);
}

/* ---- What is said at the end ----------------------------------------------------------------- */

/* An answer that no dialect but its own carries whole: an opaque of a provider that nobody knows,
 * with what was said on the way. */
static struct llm_response lossy_response(void)
{
    static struct llm_opaque opaque = {.dialect = {"elsewhere", sizeof "elsewhere" - 1},
                                       .kind = {"thing", sizeof "thing" - 1},
                                       .data = {"x", sizeof "x" - 1}};
    static struct llm_part part = {.kind = LLM_PART_TEXT,
                                   .text = {"Hello", sizeof "Hello" - 1},
                                   .opaque = &opaque,
                                   .opaque_count = 1};
    return (struct llm_response){.id = STR("one"),
                                 .model = STR("some-model"),
                                 .parts = &part,
                                 .part_count = 1,
                                 .finish = LLM_FINISH_STOP,
                                 .usage = LLM_USAGE_UNKNOWN,
                                 .extension = STR("{\"attempts\":2}")};
}

static void expect_extension(const struct dialect *dialect, yyjson_val *object)
{
    int64_t attempts = 0;
    yyjson_val *extension = json_get(object, "parley");
    struct str dropped = json_get_str(extension, "dropped");
    if (!json_get_int(extension, "attempts", &attempts) || attempts != 2 ||
        str_find(dropped, STR("parts[0]")) == SIZE_MAX)
        fail_msg("%s: %.*s", dialect->name, STR_ARG(dropped));
}

static void a_whole_answer_says_what_it_lost(void **state)
{
    (void)state;
    for (size_t d = 0; dialects[d]; d++) {
        struct arena *arena = arena_new(ANSWER_BYTES_MAX);
        struct llm_response response = lossy_response();
        struct llm_losses losses;
        struct buf out;
        yyjson_val *root;
        llm_losses_init(&losses, arena);
        losses.is_told = true;
        buf_init(&out, ANSWER_BYTES_MAX);
        dialects[d]->encode_response(arena, &response, 0, &out, &losses);
        if (json_read(arena, buf_str(&out), &root, NULL) != ERR_OK)
            fail_msg("%s: %.*s", dialects[d]->name, STR_ARG(buf_str(&out)));
        expect_extension(dialects[d], root);
        buf_done(&out);
        arena_free(arena);
    }
}

struct streaming {
    const struct dialect *dialect;
    struct dialect_encoder *encoder;
    struct buf out;
    struct llm_losses losses;
    struct str extension;
};

static void encode(void *user, const struct llm_event *event)
{
    struct streaming *streaming = user;
    struct llm_event extended = *event;
    if (event->kind == LLM_EVENT_FINISH)
        extended.extension = streaming->extension;
    streaming->dialect->encode_event(streaming->encoder, &extended, &streaming->out,
                                     &streaming->losses);
}

/* The one object of a stream that says it. */
static yyjson_val *find_extended(struct arena *arena, struct str stream)
{
    while (stream.data) {
        struct str line = str_trim(str_next(&stream, '\n'));
        yyjson_val *root;
        if (str_starts_with(line, STR("data: ")))
            line = str_skip(line, 6);
        if (str_find(line, STR("\"parley\"")) == SIZE_MAX)
            continue;
        assert_int_equal(json_read(arena, line, &root, NULL), ERR_OK);
        yyjson_val *response = json_get(root, "response"); /* of OpenAI's events */
        return yyjson_is_obj(response) ? response : root;
    }
    return NULL;
}

static void a_stream_says_what_it_lost(void **state)
{
    (void)state;
    for (size_t d = 0; dialects[d]; d++) {
        struct arena *arena = arena_new(ANSWER_BYTES_MAX);
        struct llm_response response = lossy_response();
        struct streaming streaming = {.dialect = dialects[d],
                                      .encoder = dialects[d]->encoder_new(arena, 0, true),
                                      .extension = response.extension};
        llm_losses_init(&streaming.losses, arena);
        streaming.losses.is_told = true;
        buf_init(&streaming.out, ANSWER_BYTES_MAX);
        llm_response_replay(&response, encode, &streaming);
        expect_extension(dialects[d], find_extended(arena, buf_str(&streaming.out)));
        buf_done(&streaming.out);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_go_through),
        cmocka_unit_test(answers_come_back),
        cmocka_unit_test(streams_come_back),
        cmocka_unit_test(a_whole_answer_says_what_it_lost),
        cmocka_unit_test(a_stream_says_what_it_lost),
    };
    return cmocka_run_group_tests_name("llm/pairs", tests, NULL, NULL);
}
