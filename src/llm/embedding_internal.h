/* What the codecs of embeddings share. Private to embedding*.c. */
#pragma once

#include "llm/embedding.h"
#include "llm/reader.h"

/* A request while it is read. */
struct embedding_reading {
    struct embedding_request request;
    size_t capacity; /* of its inputs */
    struct llm_int dimensions;
};

/* Reads `root` by the table of members into a reading, which is behind *ret_request's values. */
enum err embedding_read(struct arena *arena, yyjson_val *root, const struct llm_member *members,
                        size_t count, struct embedding_request *ret_request, struct error *error);
/* Members: the model, which must not be empty; dimensions of all inputs. */
enum err embedding_read_model(struct llm_reader *reader, yyjson_val *value, void *target);
enum err embedding_read_dimensions(struct llm_reader *reader, yyjson_val *value, void *field);
/* One more input, or NULL: too many, and *ret_code is set. */
struct embedding_input *embedding_push(struct llm_reader *reader, struct embedding_reading *reading,
                                       enum err *ret_code);
/* A string as one more input. */
enum err embedding_read_text(struct llm_reader *reader, yyjson_val *value, void *target);

/* Whether every input is a text; else ERR_INVALID at "input[i]". */
enum err embedding_need_texts(const struct embedding_request *request, struct error *error);
enum err embedding_need_one(const struct embedding_request *request, struct error *error);
/* The dimensions of all inputs, 0 when there are none or (a loss) they differ. */
int64_t embedding_dimensions(const struct embedding_request *request, unsigned *losses);
/* Notes what no other form has than Gemini's. */
void embedding_lose_tasks(const struct embedding_request *request, unsigned *losses);
/* Whether everything fitted. */
enum err embedding_written(const struct buf *out, struct error *error);

void embedding_write_floats(struct json_writer *w, struct embedding_vector vector);
/* An array of numbers, or base64. False: neither, not finite, or more than may be. */
bool embedding_read_vector(struct arena *arena, yyjson_val *value, struct embedding_vector *ret);
/* An array of vectors; with `member` each stands in that member of an object. */
bool embedding_read_vectors(struct arena *arena, yyjson_val *array, const char *member,
                            struct embedding_answer *answer);
/* How many tokens were embedded, as the object says; what it does not say stays unknown. */
void embedding_read_count(yyjson_val *object, const char *name, struct embedding_answer *answer);
/* One vector is the whole answer. */
bool embedding_read_one(struct arena *arena, yyjson_val *value, struct embedding_answer *answer);
