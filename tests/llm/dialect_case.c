/* What the tests of dialects do alike: see dialect_case.h. */
#include "dialect_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/json.h"

void case_expect_text(struct buf *out, const char *expected)
{
    buf_append_char(out, '\0');
    assert_string_equal(out->data, expected);
}

/* ---- Laws ------------------------------------------------------------------------------------ */

void case_requests_come_back(void **state)
{
    const struct case_laws *laws = *state;
    for (uint64_t seed = 0; seed < laws->seeds; seed++)
        for (size_t i = 0; i < laws->target_count; i++)
            if (!laws->takes_turns || seed % laws->target_count == i)
                law_request_roundtrip(laws->dialect, &laws->targets[i], seed);
}

void case_responses_come_back(void **state)
{
    const struct case_laws *laws = *state;
    for (uint64_t seed = 0; seed < laws->seeds; seed++)
        law_response_roundtrip(laws->dialect, seed);
}

void case_streams_come_back(void **state)
{
    const struct case_laws *laws = *state;
    for (uint64_t seed = 0; seed < laws->seeds; seed++)
        law_stream_roundtrip(laws->dialect, seed);
}

void case_golden_bytes_are_read(void **state)
{
    const struct case_laws *laws = *state;
    law_golden(laws->dialect, laws->golden);
}

/* ---- Bodies ---------------------------------------------------------------------------------- */

void case_trip_begin(struct case_trip *trip, const struct dialect *dialect, const char *body)
{
    yyjson_val *root;
    *trip = (struct case_trip){.dialect = dialect, .arena = arena_new(CASE_BYTES_MAX)};
    buf_init(&trip->out, CASE_BYTES_MAX);
    llm_losses_init(&trip->losses, trip->arena);
    assert_int_equal(json_read(trip->arena, str_from_cstr(body), &root, &trip->error), ERR_OK);
    trip->status = dialect->decode_request(trip->arena, root, &trip->request, &trip->error);
}

void case_trip_end(struct case_trip *trip)
{
    buf_done(&trip->out);
    arena_free(trip->arena);
}

void case_expect_encoded(struct case_trip *trip, const struct dialect_target *target,
                         const char *expected, const char *losses)
{
    assert_int_equal(trip->dialect->encode_request(trip->arena, &trip->request, target, &trip->out,
                                                   &trip->losses, &trip->error),
                     ERR_OK);
    case_expect_text(&trip->out, expected);
    buf_clear(&trip->out);
    llm_losses_write(&trip->losses, &trip->out, 4096);
    case_expect_text(&trip->out, losses);
}

void case_expect_refused(const struct dialect *dialect, const struct case_refused *cases,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct case_trip trip;
        case_trip_begin(&trip, dialect, cases[i].body);
        assert_int_equal(trip.status, ERR_INVALID);
        assert_string_equal(trip.error.field, cases[i].field);
        assert_int_not_equal(trip.error.message[0], 0);
        case_trip_end(&trip);
    }
}

void case_expect_request(const struct dialect *dialect, const char *body, const char *expected)
{
    struct case_trip trip;
    case_trip_begin(&trip, dialect, body);
    assert_int_equal(trip.status, ERR_OK);
    law_request_text(&trip.request, &trip.out);
    case_expect_text(&trip.out, expected);
    case_trip_end(&trip);
}

void case_expect_body(const struct dialect *dialect, const struct llm_request *request,
                      const struct dialect_target *target, const char *expected)
{
    struct arena *arena = arena_new(CASE_BYTES_MAX);
    struct buf body;
    buf_init(&body, CASE_BYTES_MAX);
    assert_int_equal(dialect->encode_request(arena, request, target, &body, NULL, NULL), ERR_OK);
    case_expect_text(&body, expected);
    buf_done(&body);
    arena_free(arena);
}

void case_expect_unmapped(const struct llm_request *request, const char *const *paths, size_t count)
{
    assert_int_equal(request->unmapped_count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(str_eq(request->unmapped[i], str_from_cstr(paths[i])));
}

/* ---- Streams --------------------------------------------------------------------------------- */

void case_encode_all(const struct dialect *dialect, int64_t created_ms,
                     const struct llm_event *events, size_t count, struct buf *out,
                     struct llm_losses *losses)
{
    struct arena *arena = arena_new(CASE_BYTES_MAX);
    struct dialect_encoder *encoder = dialect->encoder_new(arena, created_ms, true);
    for (size_t i = 0; i < count; i++)
        dialect->encode_event(encoder, &events[i], out, losses);
    arena_free(arena);
}

static void count_texts(void *user, const struct llm_event *event)
{
    *(int *)user += event->kind == LLM_EVENT_TEXT;
}

void case_increments_are_free(const struct dialect *dialect, const char *first, const char *frame)
{
    struct arena *arena = arena_new(CASE_BYTES_MAX), *scratch = arena_new(CASE_BYTES_MAX);
    struct dialect_decoder *decoder = dialect->decoder_new(arena);
    int texts = 0;
    if (first)
        dialect->decode_frame(decoder, scratch, STR_NONE, str_from_cstr(first), count_texts,
                              &texts);
    size_t used = arena_used(arena);
    for (int i = 0; i < 1000; i++) {
        arena_reset(scratch);
        dialect->decode_frame(decoder, scratch, STR_NONE, str_from_cstr(frame), count_texts,
                              &texts);
    }
    assert_int_equal(texts, 1000);
    assert_int_equal(arena_used(arena), used);
    arena_free(scratch);
    arena_free(arena);
}
