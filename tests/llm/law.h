/* The laws that every dialect obeys, checked over generated values: what a codec writes reads back
 * as what it was given, minus exactly the losses it reported (src/llm/losses.h says what each
 * means). All checks fail the running cmocka test and print the seed and both values. */
#pragma once

#include "base/random.h"
#include "llm/dialect.h"

/* ---- Checks ---------------------------------------------------------------------------------- */
/* decode_request(encode_request(x)). The generated model is target->model; stream is compared only
 * where the dialect's body has it (a decoder that leaves it false is forgiven). */
void law_request_roundtrip(const struct dialect *dialect, const struct dialect_target *target,
                           uint64_t seed);
/* decode_response(encode_response(x)). */
void law_response_roundtrip(const struct dialect *dialect, uint64_t seed);
/* Events through encode_event, the framing, decode_frame and a builder. Also that the events are
 * in order: START first, calls in order, nothing behind END. */
void law_stream_roundtrip(const struct dialect *dialect, uint64_t seed);
/* The same for what comes from one dialect and goes on in another, as between a door and a provider:
 * nothing changes that the second encoder did not name. */
void law_request_through(const struct dialect *door, const struct dialect *provider,
                         const struct dialect_target *target, uint64_t seed);
void law_response_through(const struct dialect *provider, const struct dialect *door,
                          uint64_t seed);
void law_stream_through(const struct dialect *provider, const struct dialect *door, uint64_t seed);
/* A recorded stream cut in two at every byte, and byte by byte, gives the same events. */
void law_every_split(const struct dialect *dialect, struct str bytes);
/* Every file of the folder (absolute, or relative to tests/llm): sections that begin with a line
 * "=== KIND": "stream", "response" or "error STATUS" hold literal bytes of a provider (an error may
 * begin with "header: name: value" lines), the following "events" what they become, a line per
 * event as law_event_text writes it. "=== note" is for people. Streams are also split everywhere.
 */
void law_golden(const struct dialect *dialect, const char *folder);

/* ---- Pieces ---------------------------------------------------------------------------------- */
/* Arbitrary values: every role, the parts that the role may hold, media, opaque of several
 * dialects, calls with any arguments, orphans, empty texts, unusual Unicode. */
void law_make_request(struct arena *arena, struct random *random, struct llm_request *ret_request);
void law_make_response(struct arena *arena, struct random *random,
                       struct llm_response *ret_response);
struct llm_event *law_make_events(struct arena *arena, struct random *random, size_t *ret_count);

/* Whether y is x minus the losses, but for the one numbered `without` (SIZE_MAX: all apply). */
bool law_request_matches(struct arena *arena, const struct llm_request *x,
                         const struct llm_request *y, const struct llm_losses *losses,
                         size_t without);
bool law_response_matches(struct arena *arena, const struct llm_response *x,
                          const struct llm_response *y, const struct llm_losses *losses,
                          size_t without);

/* One line for an event, as golden files have it; `known` (may be empty): bytes in which a call id
 * that we did not make up would stand, others are written as "(made)". */
void law_event_text(const struct llm_event *event, struct str known, struct buf *out);
/* An llm_emit_fn that writes each event as such a line; user: the writing. */
struct law_writing {
    struct str known;
    struct buf *out;
};
void law_write_event(void *user, const struct llm_event *event);
void law_request_text(const struct llm_request *request, struct buf *out);
void law_response_text(const struct llm_response *response, struct buf *out);
/* Decodes a stream cut at the given offset (and again every `step` bytes when step > 0) and
 * appends the events as text. */
void law_decode_stream(const struct dialect *dialect, struct str bytes, size_t cut, size_t step,
                       struct buf *out);
