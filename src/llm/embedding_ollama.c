/* Ollama: POST /api/embed, and the older /api/embeddings for one prompt. */
#include "llm/embedding_internal.h"

/* ---- Requests -------------------------------------------------------------------------------- */

static enum err read_input(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return yyjson_is_str(value) ? embedding_read_text(reader, value, target)
                                : llm_read_array(reader, value, embedding_read_text, target);
}

#define MODEL                                                                                      \
    {                                                                                              \
        "model", embedding_read_model, offsetof(struct embedding_reading, request.model)           \
    }
static const struct llm_member members[] = {
    MODEL,
    {"input", read_input, 0},
    {"truncate", llm_read_tristate, offsetof(struct embedding_reading, request.truncate)},
    {"dimensions", embedding_read_dimensions, offsetof(struct embedding_reading, dimensions)},
};
static const struct llm_member single_members[] = {MODEL, {"prompt", embedding_read_text, 0}};

/* Nothing to embed is nothing, and no error. */
static enum err ollama_decode_request(struct arena *arena, yyjson_val *root,
                                      struct embedding_request *ret_request, struct error *error)
{
    return embedding_read(arena, root, members, sizeof members / sizeof *members, ret_request,
                          error);
}

static enum err single_decode_request(struct arena *arena, yyjson_val *root,
                                      struct embedding_request *ret_request, struct error *error)
{
    enum err code =
        embedding_read(arena, root, single_members, sizeof single_members / sizeof *single_members,
                       ret_request, error);
    if (code == ERR_OK && !ret_request->input_count)
        return error_set(error, ERR_INVALID, "prompt", "is required");
    return code;
}

static void note_losses(const struct embedding_request *request, unsigned *losses)
{
    embedding_lose_tasks(request, losses);
    if (request->user.len)
        *losses |= EMBEDDING_LOSS_USER;
}

static enum err ollama_encode_request(const struct embedding_request *request, struct str model,
                                      struct buf *out, unsigned *losses, struct error *error)
{
    struct json_writer w;
    enum err code = embedding_need_texts(request, error);
    if (code != ERR_OK)
        return code;
    int64_t dimensions = embedding_dimensions(request, losses);
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "model", model);
    json_key_array(&w, "input");
    for (size_t i = 0; i < request->input_count; i++)
        json_put_str(&w, request->inputs[i].text.data ? request->inputs[i].text : STR(""));
    json_end_array(&w);
    if (request->truncate != LLM_UNSET)
        json_key_bool(&w, "truncate", request->truncate == LLM_TRUE);
    if (dimensions)
        json_key_int(&w, "dimensions", dimensions);
    json_end_object(&w);
    note_losses(request, losses);
    return embedding_written(out, error);
}

static enum err single_encode_request(const struct embedding_request *request, struct str model,
                                      struct buf *out, unsigned *losses, struct error *error)
{
    struct json_writer w;
    enum err code = embedding_need_one(request, error);
    if (code != ERR_OK)
        return code;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "model", model);
    json_key_str(&w, "prompt", request->inputs[0].text.data ? request->inputs[0].text : STR(""));
    json_end_object(&w);
    if (request->inputs[0].dimensions)
        *losses |= EMBEDDING_LOSS_DIMENSIONS;
    if (request->truncate != LLM_UNSET)
        *losses |= EMBEDDING_LOSS_TRUNCATE;
    note_losses(request, losses);
    return embedding_written(out, error);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void ollama_encode_answer(const struct embedding_answer *answer,
                                 enum embedding_encoding encoding, struct buf *out,
                                 unsigned *losses)
{
    struct json_writer w;
    (void)encoding; /* there is one */
    (void)losses;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "model", answer->model.data ? answer->model : STR(""));
    json_key_array(&w, "embeddings");
    for (size_t i = 0; i < answer->count; i++)
        embedding_write_floats(&w, answer->vectors[i]);
    json_end_array(&w);
    if (answer->usage.input_total >= 0)
        json_key_int(&w, "prompt_eval_count", answer->usage.input_total);
    json_end_object(&w);
}

static void single_encode_answer(const struct embedding_answer *answer,
                                 enum embedding_encoding encoding, struct buf *out,
                                 unsigned *losses)
{
    struct json_writer w;
    (void)encoding;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("embedding"));
    embedding_write_floats(&w,
                           answer->count ? answer->vectors[0] : (struct embedding_vector){NULL, 0});
    json_end_object(&w);
    if (answer->model.len)
        *losses |= EMBEDDING_LOSS_ANSWER_MODEL;
    if (answer->usage.input_total >= 0)
        *losses |= EMBEDDING_LOSS_ANSWER_USAGE;
}

/* Of either path. A count of zero is left out by the server: then it is not known. */
static enum err ollama_decode_answer(struct arena *arena, yyjson_val *root,
                                     struct embedding_answer *ret_answer)
{
    struct embedding_answer answer = {.model = json_get_str(root, "model"),
                                      .usage = LLM_USAGE_UNKNOWN};
    yyjson_val *one = json_get(root, "embedding");
    bool is_read = one ? embedding_read_one(arena, one, &answer)
                       : embedding_read_vectors(arena, json_get(root, "embeddings"), NULL, &answer);
    if (!is_read)
        return ERR_SERVER;
    embedding_read_count(root, "prompt_eval_count", &answer);
    *ret_answer = answer;
    return ERR_OK;
}

const struct embedding_codec embedding_ollama = {
    .name = "ollama",
    .dialect = &dialect_ollama,
    .encode_request = ollama_encode_request,
    .decode_request = ollama_decode_request,
    .encode_answer = ollama_encode_answer,
    .decode_answer = ollama_decode_answer,
};

const struct embedding_codec embedding_ollama_single = {
    .name = "ollama_single",
    .dialect = &dialect_ollama,
    .is_single = true,
    .path = "/api/embeddings",
    .encode_request = single_encode_request,
    .decode_request = single_decode_request,
    .encode_answer = single_encode_answer,
    .decode_answer = ollama_decode_answer,
};
