/* What the tests of dialects do alike: laws over many seeds, bodies and their wanted outcome.
 * All checks fail the running cmocka test. */
#pragma once

#include "law.h"

enum { CASE_BYTES_MAX = 1 << 20 };

/* Whether `out` holds exactly this text. */
void case_expect_text(struct buf *out, const char *expected);

/* ---- Laws ------------------------------------------------------------------------------------ */
/* What the laws of one dialect are checked with. */
struct case_laws {
    const struct dialect *dialect;
    const struct dialect_target *targets;
    size_t target_count;
    bool takes_turns; /* each seed goes to one target, not to all */
    uint64_t seeds;
    const char *golden; /* folder */
};
/* cmocka tests; their state is the laws. */
void case_requests_come_back(void **state);
void case_responses_come_back(void **state);
void case_streams_come_back(void **state);
void case_golden_bytes_are_read(void **state);
/* All of them, as rows of a table of tests. */
#define CASE_LAW(test, laws) cmocka_unit_test_prestate(test, (void *)(uintptr_t)(laws))
#define CASE_LAWS(laws)                                                                            \
    CASE_LAW(case_requests_come_back, laws), CASE_LAW(case_responses_come_back, laws),             \
        CASE_LAW(case_streams_come_back, laws), CASE_LAW(case_golden_bytes_are_read, laws)

/* ---- A body of the dialect's own door, decoded ----------------------------------------------- */
struct case_trip {
    const struct dialect *dialect;
    struct arena *arena;
    struct llm_request request;
    struct error error;
    enum err status; /* of decode_request */
    struct buf out;
    struct llm_losses losses;
};
void case_trip_begin(struct case_trip *trip, const struct dialect *dialect, const char *body);
void case_trip_end(struct case_trip *trip);
/* Encodes the request for `target`, and compares bytes and losses. */
void case_expect_encoded(struct case_trip *trip, const struct dialect_target *target,
                         const char *expected, const char *losses);

/* A body that is refused, and the field that the error must name. */
struct case_refused {
    const char *body, *field;
};
void case_expect_refused(const struct dialect *dialect, const struct case_refused *cases,
                         size_t count);
/* What a body becomes, as law_request_text has it. */
void case_expect_request(const struct dialect *dialect, const char *body, const char *expected);
/* What a request becomes, as bytes. */
void case_expect_body(const struct dialect *dialect, const struct llm_request *request,
                      const struct dialect_target *target, const char *expected);
/* The paths of the members without a canonical place, in order. */
void case_expect_unmapped(const struct llm_request *request, const char *const *paths,
                          size_t count);

/* ---- Streams --------------------------------------------------------------------------------- */
/* All events through one encoder. losses may be NULL. */
void case_encode_all(const struct dialect *dialect, int64_t created_ms,
                     const struct llm_event *events, size_t count, struct buf *out,
                     struct llm_losses *losses);
/* The path of every increment takes nothing from the arena that lives as long as the answer: a
 * thousand of the frame are a thousand texts. `first` (may be NULL): a frame that comes before. */
void case_increments_are_free(const struct dialect *dialect, const char *first, const char *frame);
