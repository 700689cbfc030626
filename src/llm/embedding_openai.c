/* OpenAI: POST /embeddings. The official clients ask for base64 by themselves. */
#include <stdlib.h>

#include "base/assert.h"
#include "llm/embedding_internal.h"

/* ---- Requests -------------------------------------------------------------------------------- */

static enum err read_tokens(struct llm_reader *reader, yyjson_val *array, void *target)
{
    enum err code = ERR_OK;
    size_t i, count = yyjson_arr_size(array);
    yyjson_val *value;
    if (!count)
        return llm_reader_fail(reader, "must not be empty");
    struct embedding_input *input = embedding_push(reader, target, &code);
    if (!input)
        return code;
    uint32_t *tokens = ARENA_NEW_ARRAY(reader->arena, count, uint32_t);
    yyjson_arr_foreach (array, i, count, value) {
        int64_t token;
        size_t mark = llm_reader_enter_index(reader, i);
        if (!json_int(value, &token) || token < 0 || token > UINT32_MAX)
            return llm_reader_fail(reader, "must be the number of a token");
        llm_reader_leave(reader, mark);
        tokens[i] = (uint32_t)token;
    }
    input->tokens = tokens;
    input->token_count = count;
    return ERR_OK;
}

static enum err read_element(struct llm_reader *reader, yyjson_val *value, void *target)
{
    if (yyjson_is_arr(value))
        return read_tokens(reader, value, target);
    if (yyjson_is_str(value))
        return embedding_read_text(reader, value, target);
    return llm_reader_fail(reader, "must be a string or a list of tokens");
}

/* One text, one list of tokens, or a list of either. */
static enum err read_input(struct llm_reader *reader, yyjson_val *value, void *target)
{
    if (yyjson_is_num(yyjson_arr_get_first(value)) || yyjson_is_str(value))
        return read_element(reader, value, target);
    if (yyjson_is_arr(value) && !yyjson_arr_size(value))
        return llm_reader_fail(reader, "must not be empty");
    return llm_read_array(reader, value, read_element, target);
}

static enum err read_encoding(struct llm_reader *reader, yyjson_val *value, void *field)
{
    if (!str_eq(json_str(value), STR("base64")) && !str_eq(json_str(value), STR("float")))
        return llm_reader_fail(reader, "must be float or base64");
    *(enum embedding_encoding *)field =
        str_eq(json_str(value), STR("base64")) ? EMBEDDING_BASE64 : EMBEDDING_FLOAT;
    return ERR_OK;
}

static const struct llm_member members[] = {
    {"model", embedding_read_model, offsetof(struct embedding_reading, request.model)},
    {"input", read_input, 0},
    {"dimensions", embedding_read_dimensions, offsetof(struct embedding_reading, dimensions)},
    {"encoding_format", read_encoding, offsetof(struct embedding_reading, request.encoding)},
    {"user", llm_read_str, offsetof(struct embedding_reading, request.user)},
};

static enum err openai_decode_request(struct arena *arena, yyjson_val *root,
                                      struct embedding_request *ret_request, struct error *error)
{
    struct embedding_request request;
    enum err code =
        embedding_read(arena, root, members, sizeof members / sizeof *members, &request, error);
    if (code != ERR_OK)
        return code;
    if (!request.input_count)
        return error_set(error, ERR_INVALID, "input", "is required");
    *ret_request = request;
    return ERR_OK;
}

static void write_input(struct json_writer *w, const struct embedding_input *input)
{
    if (!input->token_count) {
        json_put_str(w, input->text.data ? input->text : STR(""));
        return;
    }
    json_begin_array(w);
    for (size_t i = 0; i < input->token_count; i++)
        json_put_int(w, input->tokens[i]);
    json_end_array(w);
}

static enum err openai_encode_request(const struct embedding_request *request, struct str model,
                                      struct buf *out, unsigned *losses, struct error *error)
{
    struct json_writer w;
    for (size_t i = 0; i < request->input_count; i++)
        if (request->inputs[i].is_foreign)
            return embedding_need_texts(request, error);
    int64_t dimensions = embedding_dimensions(request, losses);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "model", model);
    json_key_array(&w, "input");
    for (size_t i = 0; i < request->input_count; i++)
        write_input(&w, &request->inputs[i]);
    json_end_array(&w);
    if (dimensions)
        json_key_int(&w, "dimensions", dimensions);
    json_key_str(&w, "encoding_format",
                 request->encoding == EMBEDDING_BASE64 ? STR("base64") : STR("float"));
    if (request->user.len)
        json_key_str(&w, "user", request->user);
    json_end_object(&w);
    embedding_lose_tasks(request, losses);
    if (request->truncate != LLM_UNSET)
        *losses |= EMBEDDING_LOSS_TRUNCATE;
    return embedding_written(out, error);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void write_base64(struct json_writer *w, struct embedding_vector vector)
{
    char *bytes = malloc(vector.count * 4 + 1);
    ASSERT(bytes);
    embedding_pack(vector, bytes);
    json_begin_str(w);
    json_str_base64(w, STR_FROM(bytes, vector.count * 4));
    json_end_str(w);
    free(bytes);
}

static void write_vector(struct json_writer *w, struct embedding_vector vector, size_t index,
                         enum embedding_encoding encoding)
{
    json_begin_object(w);
    json_key_str(w, "object", STR("embedding"));
    json_key_int(w, "index", (int64_t)index);
    json_key(w, STR("embedding"));
    if (encoding == EMBEDDING_BASE64)
        write_base64(w, vector);
    else
        embedding_write_floats(w, vector);
    json_end_object(w);
}

static void openai_encode_answer(const struct embedding_answer *answer,
                                 enum embedding_encoding encoding, struct buf *out,
                                 unsigned *losses)
{
    struct json_writer w;
    int64_t tokens = answer->usage.input_total >= 0 ? answer->usage.input_total : 0;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "object", STR("list"));
    json_key_array(&w, "data");
    for (size_t i = 0; i < answer->count; i++)
        write_vector(&w, answer->vectors[i], i, encoding);
    json_end_array(&w);
    json_key_str(&w, "model", answer->model.data ? answer->model : STR(""));
    json_key_object(&w, "usage");
    json_key_int(&w, "prompt_tokens", tokens);
    json_key_int(&w, "total_tokens", tokens);
    json_end_object(&w);
    json_end_object(&w);
    if (answer->usage.input_total < 0)
        *losses |= EMBEDDING_LOSS_ANSWER_USAGE;
}

/* By their indices; those who give none mean the order. */
static bool sort_vectors(struct arena *arena, yyjson_val *data, struct embedding_answer *answer)
{
    struct embedding_vector *sorted =
        ARENA_NEW_ARRAY(arena, answer->count, struct embedding_vector);
    bool *is_there = ARENA_NEW_ARRAY(arena, answer->count, bool);
    size_t i, count;
    yyjson_val *value;
    yyjson_arr_foreach (data, i, count, value) {
        int64_t index = (int64_t)i;
        json_get_int(value, "index", &index);
        if (index < 0 || (size_t)index >= answer->count || is_there[index])
            return false;
        is_there[index] = true;
        sorted[index] = answer->vectors[i];
    }
    answer->vectors = sorted;
    return true;
}

static enum err openai_decode_answer(struct arena *arena, yyjson_val *root,
                                     struct embedding_answer *ret_answer)
{
    struct embedding_answer answer = {.model = json_get_str(root, "model"),
                                      .usage = LLM_USAGE_UNKNOWN};
    yyjson_val *data = json_get(root, "data");
    if (!embedding_read_vectors(arena, data, "embedding", &answer) ||
        !sort_vectors(arena, data, &answer))
        return ERR_SERVER;
    embedding_read_count(json_get(root, "usage"), "prompt_tokens", &answer);
    *ret_answer = answer;
    return ERR_OK;
}

const struct embedding_codec embedding_openai = {
    .name = "openai",
    .dialect = &dialect_openai_chat,
    .encode_request = openai_encode_request,
    .decode_request = openai_decode_request,
    .encode_answer = openai_encode_answer,
    .decode_answer = openai_decode_answer,
};
