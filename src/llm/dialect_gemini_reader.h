/* The strict reading of the Gemini door: where we are in the body, what is wrong there, and members
 * by their name in either spelling. Internal to src/llm/dialect_gemini_*.c. The shared llm_reader
 * knows neither proto-JSON's two spellings nor its single objects for lists. */
#pragma once

#include "llm/dialect_gemini.h"

/* A member or an element on the way from the root; they live on the stack. */
struct gemini_path {
    const struct gemini_path *up;
    const char *name; /* NULL: an element */
    size_t index;
};

struct gemini_reader {
    struct arena *arena;
    struct llm_request *request;
    size_t message_capacity;
    size_t unmapped_capacity;
    size_t made_ids; /* calls without an id, so far */
    struct error *error;
    enum err err; /* the first failure; sticky */
};

/* Notes that what is at `place` is wrong; only the first failure counts. */
void gemini_reader_fail(struct gemini_reader *reader, const struct gemini_path *place,
                        const char *message);
/* Whether to go on: no failure, and not more than the arena's share. */
bool gemini_reader_ok(struct gemini_reader *reader);

/* Lists what has no canonical place; `others`: all members but the `known` ones (NULL-terminated).
 */
void gemini_note_unmapped(struct gemini_reader *reader, const struct gemini_path *place);
void gemini_note_others(struct gemini_reader *reader, const struct gemini_path *place,
                        yyjson_val *object, const char *const *known);

/* The member if it is there and not null; of the wrong type: a failure. `object` may be NULL. */
yyjson_val *gemini_read_obj(struct gemini_reader *reader, const struct gemini_path *place,
                            yyjson_val *object, const char *name);
struct str gemini_read_str(struct gemini_reader *reader, const struct gemini_path *place,
                           yyjson_val *object, const char *name);
struct llm_int gemini_read_int(struct gemini_reader *reader, const struct gemini_path *place,
                               yyjson_val *object, const char *name);
struct llm_double gemini_read_double(struct gemini_reader *reader, const struct gemini_path *place,
                                     yyjson_val *object, const char *name);
/* The same from 0 on. */
struct llm_double gemini_read_amount(struct gemini_reader *reader, const struct gemini_path *place,
                                     yyjson_val *object, const char *name);
struct llm_int gemini_read_count(struct gemini_reader *reader, const struct gemini_path *place,
                                 yyjson_val *object, const char *name);
/* Whether it is there and true. */
bool gemini_read_bool(struct gemini_reader *reader, const struct gemini_path *place,
                      yyjson_val *object, const char *name);

/* Walks a repeated field; a single object counts as a list of one. */
typedef void gemini_element_fn(struct gemini_reader *reader, const struct gemini_path *place,
                               yyjson_val *element, void *user);
void gemini_read_each(struct gemini_reader *reader, const struct gemini_path *up,
                      yyjson_val *object, const char *name, gemini_element_fn *take, void *user);
