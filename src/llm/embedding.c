/* Embeddings: what their codecs have in common, and the list of them. */
#include "llm/embedding.h"

#include <math.h>
#include <string.h>

#include "base/crypto.h"
#include "base/vec.h"
#include "llm/embedding_internal.h"
#include "llm/estimate.h"

const struct embedding_codec *const embedding_codecs[] = {
    &embedding_openai, &embedding_gemini,        &embedding_gemini_single,
    &embedding_ollama, &embedding_ollama_single, NULL,
};

const struct embedding_codec *embedding_codec_of(const struct dialect *dialect)
{
    if (dialect == &dialect_openai_responses) /* another form of chats, the same of embeddings */
        return &embedding_openai;
    for (size_t i = 0; embedding_codecs[i]; i++)
        if (embedding_codecs[i]->dialect == dialect && !embedding_codecs[i]->is_single)
            return embedding_codecs[i];
    return NULL;
}

/* Tokens that are counted already count as they are. */
int64_t embedding_estimate(const struct embedding_request *request)
{
    int64_t tokens = 0;
    for (size_t i = 0; i < request->input_count; i++) {
        const struct embedding_input *input = &request->inputs[i];
        tokens += input->token_count ? (int64_t)input->token_count : llm_estimate_text(input->text);
    }
    return tokens;
}

void embedding_losses_write(unsigned losses, struct buf *out)
{
    static const char *const names[] = {"dimensions", "task",  "title", "truncate",
                                        "user",       "model", "usage"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (losses & 1u << i)
            buf_printf(out, "%s%s", out->len ? ", " : "", names[i]);
}

/* ---- Numbers as bytes ------------------------------------------------------------------------ */

void embedding_pack(struct embedding_vector vector, char *ret)
{
    for (size_t i = 0; i < vector.count; i++, ret += 4) {
        uint32_t bits;
        memcpy(&bits, &vector.values[i], sizeof bits);
        for (int byte = 0; byte < 4; byte++)
            ret[byte] = (char)(bits >> 8 * byte);
    }
}

struct embedding_vector embedding_unpack(struct arena *arena, struct str bytes)
{
    size_t count = bytes.len / 4;
    float *values = arena_alloc(arena, count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits = 0;
        for (size_t byte = 0; byte < 4; byte++)
            bits |= (uint32_t)(unsigned char)bytes.data[4 * i + byte] << 8 * byte;
        memcpy(&values[i], &bits, sizeof bits);
    }
    return (struct embedding_vector){values, count};
}

/* ---- Reading requests ------------------------------------------------------------------------ */

enum err embedding_read(struct arena *arena, yyjson_val *root, const struct llm_member *members,
                        size_t count, struct embedding_request *ret_request, struct error *error)
{
    struct embedding_reading reading = {0};
    struct llm_request noted = {0}; /* for the names without a place */
    struct llm_reader reader;
    llm_reader_init(&reader, arena, &noted, error);
    enum err code = llm_read_object(&reader, root, members, count, &reading);
    if (code != ERR_OK)
        return code;
    for (size_t i = 0; reading.dimensions.is_set && i < reading.request.input_count; i++)
        reading.request.inputs[i].dimensions = reading.dimensions.value;
    reading.request.unmapped = noted.unmapped;
    reading.request.unmapped_count = noted.unmapped_count;
    *ret_request = reading.request;
    return ERR_OK;
}

enum err embedding_read_model(struct llm_reader *reader, yyjson_val *value, void *field)
{
    enum err code = llm_read_str(reader, value, field);
    if (code == ERR_OK && !((struct str *)field)->len)
        return llm_reader_fail(reader, "must not be empty");
    return code;
}

enum err embedding_read_dimensions(struct llm_reader *reader, yyjson_val *value, void *field)
{
    enum err code = llm_read_positive(reader, value, field);
    if (code == ERR_OK && ((struct llm_int *)field)->value > EMBEDDING_DIMENSIONS_MAX)
        return llm_reader_fail(reader, "must be at most %d", EMBEDDING_DIMENSIONS_MAX);
    return code;
}

struct embedding_input *embedding_push(struct llm_reader *reader, struct embedding_reading *reading,
                                       enum err *ret_code)
{
    struct embedding_request *request = &reading->request;
    if (request->input_count >= EMBEDDING_INPUTS_MAX) {
        *ret_code = llm_reader_fail(
            reader, "is one more than the %d inputs that a request may have", EMBEDDING_INPUTS_MAX);
        return NULL;
    }
    return VEC_PUSH(reader->arena, request->inputs, request->input_count, reading->capacity);
}

enum err embedding_read_text(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct str text;
    enum err code = llm_read_str(reader, value, &text);
    struct embedding_input *input = code ? NULL : embedding_push(reader, target, &code);
    if (input)
        input->text = text;
    return code;
}

/* ---- Writing requests ------------------------------------------------------------------------ */

static enum err wrong_input(size_t index, const char *what, struct error *error)
{
    char field[32];
    snprintf(field, sizeof field, "input[%zu]", index);
    return error_set(error, ERR_INVALID, field, "%s", what);
}

enum err embedding_need_texts(const struct embedding_request *request, struct error *error)
{
    for (size_t i = 0; i < request->input_count; i++) {
        if (request->inputs[i].token_count)
            return wrong_input(i, "is a list of tokens, which only OpenAI's own form can say",
                               error);
        if (request->inputs[i].is_foreign)
            return wrong_input(i, "holds more than text, which only its own form can say", error);
    }
    return ERR_OK;
}

enum err embedding_need_one(const struct embedding_request *request, struct error *error)
{
    if (request->input_count != 1)
        return error_set(error, ERR_INVALID, "input", "must be one text");
    return embedding_need_texts(request, error);
}

int64_t embedding_dimensions(const struct embedding_request *request, unsigned *losses)
{
    int64_t dimensions = request->input_count ? request->inputs[0].dimensions : 0;
    for (size_t i = 1; i < request->input_count; i++)
        if (request->inputs[i].dimensions != dimensions) {
            *losses |= EMBEDDING_LOSS_DIMENSIONS;
            return 0;
        }
    return dimensions;
}

void embedding_lose_tasks(const struct embedding_request *request, unsigned *losses)
{
    for (size_t i = 0; i < request->input_count; i++) {
        if (request->inputs[i].task.len)
            *losses |= EMBEDDING_LOSS_TASK;
        if (request->inputs[i].title.len)
            *losses |= EMBEDDING_LOSS_TITLE;
    }
}

enum err embedding_written(const struct buf *out, struct error *error)
{
    if (buf_ok(out))
        return ERR_OK;
    return error_set(error, ERR_TOO_BIG, NULL, "the request is larger than %zu bytes",
                     out->bytes_max);
}

/* ---- Vectors --------------------------------------------------------------------------------- */

void embedding_write_floats(struct json_writer *w, struct embedding_vector vector)
{
    json_begin_array(w);
    for (size_t i = 0; i < vector.count; i++)
        json_put_float(w, vector.values[i]);
    json_end_array(w);
}

static bool is_all_finite(struct embedding_vector vector)
{
    for (size_t i = 0; i < vector.count; i++)
        if (!isfinite(vector.values[i]))
            return false;
    return true;
}

static bool read_base64(struct arena *arena, struct str text, struct embedding_vector *ret)
{
    struct str bytes;
    if (text.len > base64_length((size_t)EMBEDDING_DIMENSIONS_MAX * 4) ||
        !base64_decode(arena, text, &bytes) || bytes.len % 4)
        return false;
    *ret = embedding_unpack(arena, bytes);
    return true;
}

static bool read_numbers(struct arena *arena, yyjson_val *array, struct embedding_vector *ret)
{
    size_t i, count = yyjson_arr_size(array);
    yyjson_val *value;
    if (count > EMBEDDING_DIMENSIONS_MAX)
        return false;
    float *values = arena_alloc(arena, count * sizeof *values);
    yyjson_arr_foreach (array, i, count, value) {
        if (!yyjson_is_num(value))
            return false;
        values[i] = (float)yyjson_get_num(value);
    }
    *ret = (struct embedding_vector){values, count};
    return true;
}

bool embedding_read_vector(struct arena *arena, yyjson_val *value, struct embedding_vector *ret)
{
    bool is_read = false;
    if (yyjson_is_str(value))
        is_read = read_base64(arena, json_str(value), ret);
    else if (yyjson_is_arr(value))
        is_read = read_numbers(arena, value, ret);
    return is_read && is_all_finite(*ret);
}

bool embedding_read_vectors(struct arena *arena, yyjson_val *array, const char *member,
                            struct embedding_answer *answer)
{
    size_t i, count = yyjson_arr_size(array);
    yyjson_val *value;
    if (!yyjson_is_arr(array) || count > EMBEDDING_INPUTS_MAX)
        return false;
    answer->vectors = ARENA_NEW_ARRAY(arena, count, struct embedding_vector);
    answer->count = count;
    yyjson_arr_foreach (array, i, count, value)
        if (!embedding_read_vector(arena, member ? json_get(value, member) : value,
                                   &answer->vectors[i]))
            return false;
    return true;
}

void embedding_read_count(yyjson_val *object, const char *name, struct embedding_answer *answer)
{
    int64_t count;
    if (json_get_int(object, name, &count) && count >= 0)
        answer->usage.input_total = count;
}

bool embedding_read_one(struct arena *arena, yyjson_val *value, struct embedding_answer *answer)
{
    answer->vectors = ARENA_NEW(arena, struct embedding_vector);
    answer->count = 1;
    return embedding_read_vector(arena, value, answer->vectors);
}
