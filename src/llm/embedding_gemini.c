/* Gemini: {model}:batchEmbedContents, and :embedContent for one. The model is in the path, and in a
 * batch with each request once more. */
#include "llm/embedding_internal.h"

/* ---- Requests -------------------------------------------------------------------------------- */

/* One request of a batch while it is read. */
struct item {
    struct buf text;
    struct llm_int dimensions;
    struct str task;
    struct str title;
    bool has_text;
    bool is_foreign;
};

static enum err read_part_text(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct item *item = target;
    struct str text;
    enum err code = llm_read_str(reader, value, &text);
    if (code != ERR_OK)
        return code;
    buf_append(&item->text, text);
    item->has_text = true;
    return ERR_OK;
}

static const struct llm_member part_members[] = {{"text", read_part_text, 0}};

/* What is no text is noted as without a place, by the table. */
static enum err read_part(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct item *item = target;
    item->has_text = false;
    enum err code = LLM_READ_OBJECT(reader, value, part_members, target);
    if (!item->has_text)
        item->is_foreign = true;
    return code;
}

static enum err read_parts(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_part, target);
}

static const struct llm_member content_members[] = {{"role", NULL, 0}, {"parts", read_parts, 0}};

static enum err read_content(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return LLM_READ_OBJECT(reader, value, content_members, target);
}

#define ITEM(name, read, member)                                                                   \
    {                                                                                              \
        name, read, offsetof(struct item, member)                                                  \
    }
/* Both spellings are the same in proto-JSON. */
static const struct llm_member item_members[] = {
    {"model", NULL, 0}, /* the path's */
    {"content", read_content, 0},
    ITEM("taskType", llm_read_str, task),
    ITEM("task_type", llm_read_str, task),
    ITEM("title", llm_read_str, title),
    ITEM("outputDimensionality", embedding_read_dimensions, dimensions),
    ITEM("output_dimensionality", embedding_read_dimensions, dimensions),
};

static enum err add_item(struct llm_reader *reader, const struct item *item,
                         struct embedding_reading *reading)
{
    enum err code = ERR_OK;
    struct embedding_input *input = embedding_push(reader, reading, &code);
    if (input)
        *input = (struct embedding_input){
            .text = arena_str(reader->arena, buf_str(&item->text)),
            .task = item->task,
            .title = item->title,
            .dimensions = item->dimensions.is_set ? item->dimensions.value : 0,
            .is_foreign = item->is_foreign,
        };
    return code;
}

static enum err read_item(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct item item = {0};
    buf_init(&item.text, SIZE_MAX / 2); /* the body's bytes are bounded */
    enum err code = LLM_READ_OBJECT(reader, value, item_members, &item);
    if (code == ERR_OK && !json_get(value, "content"))
        code = llm_reader_fail_member(reader, "content", "is required");
    if (code == ERR_OK)
        code = add_item(reader, &item, target);
    buf_done(&item.text);
    return code;
}

static enum err read_items(struct llm_reader *reader, yyjson_val *value, void *target)
{
    return llm_read_array(reader, value, read_item, target);
}

static const struct llm_member batch_members[] = {{"model", NULL, 0}, {"requests", read_items, 0}};

static enum err batch_decode_request(struct arena *arena, yyjson_val *root,
                                     struct embedding_request *ret_request, struct error *error)
{
    enum err code =
        embedding_read(arena, root, batch_members, sizeof batch_members / sizeof *batch_members,
                       ret_request, error);
    if (code == ERR_OK && !ret_request->input_count)
        return error_set(error, ERR_INVALID, "requests", "must not be empty");
    return code;
}

/* The body is what a batch has in its list. */
static enum err single_decode_request(struct arena *arena, yyjson_val *root,
                                      struct embedding_request *ret_request, struct error *error)
{
    struct embedding_reading reading = {0};
    struct llm_request noted = {0};
    struct llm_reader reader;
    llm_reader_init(&reader, arena, &noted, error);
    enum err code = read_item(&reader, root, &reading);
    if (code != ERR_OK)
        return code;
    reading.request.unmapped = noted.unmapped;
    reading.request.unmapped_count = noted.unmapped_count;
    *ret_request = reading.request;
    return ERR_OK;
}

/* The members of one request, in an object that was begun. */
static void write_item(struct json_writer *w, const struct embedding_input *input)
{
    json_key_object(w, "content");
    json_key_array(w, "parts");
    json_begin_object(w);
    json_key_str(w, "text", input->text.data ? input->text : STR(""));
    json_end_object(w);
    json_end_array(w);
    json_end_object(w);
    if (input->task.len)
        json_key_str(w, "taskType", input->task);
    if (input->title.len)
        json_key_str(w, "title", input->title);
    if (input->dimensions)
        json_key_int(w, "outputDimensionality", input->dimensions);
}

static void write_model(struct json_writer *w, struct str model)
{
    json_key(w, STR("model"));
    json_begin_str(w);
    if (!str_starts_with(model, STR("models/")))
        json_str_part(w, STR("models/"));
    json_str_part(w, model);
    json_end_str(w);
}

static void note_losses(const struct embedding_request *request, unsigned *losses)
{
    if (request->truncate != LLM_UNSET)
        *losses |= EMBEDDING_LOSS_TRUNCATE;
    if (request->user.len)
        *losses |= EMBEDDING_LOSS_USER;
}

static enum err batch_encode_request(const struct embedding_request *request, struct str model,
                                     struct buf *out, unsigned *losses, struct error *error)
{
    struct json_writer w;
    enum err code = embedding_need_texts(request, error);
    if (code != ERR_OK)
        return code;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_array(&w, "requests");
    for (size_t i = 0; i < request->input_count; i++) {
        json_begin_object(&w);
        write_model(&w, model);
        write_item(&w, &request->inputs[i]);
        json_end_object(&w);
    }
    json_end_array(&w);
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
    write_model(&w, model);
    write_item(&w, &request->inputs[0]);
    json_end_object(&w);
    note_losses(request, losses);
    return embedding_written(out, error);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void write_vector(struct json_writer *w, struct embedding_vector vector)
{
    json_begin_object(w);
    json_key(w, STR("values"));
    embedding_write_floats(w, vector);
    json_end_object(w);
}

/* Neither the model nor what was used has a place that the provider documents; its own clients read
 * the count where newer servers give it. */
static void end_answer(struct json_writer *w, const struct embedding_answer *answer,
                       unsigned *losses)
{
    if (answer->usage.input_total >= 0) {
        json_key_object(w, "usageMetadata");
        json_key_int(w, "promptTokenCount", answer->usage.input_total);
        json_end_object(w);
    }
    if (answer->model.len)
        *losses |= EMBEDDING_LOSS_ANSWER_MODEL;
    json_end_object(w);
}

static void batch_encode_answer(const struct embedding_answer *answer,
                                enum embedding_encoding encoding, struct buf *out, unsigned *losses)
{
    struct json_writer w;
    (void)encoding; /* there is one */
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_array(&w, "embeddings");
    for (size_t i = 0; i < answer->count; i++)
        write_vector(&w, answer->vectors[i]);
    json_end_array(&w);
    end_answer(&w, answer, losses);
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
    write_vector(&w, answer->count ? answer->vectors[0] : (struct embedding_vector){NULL, 0});
    end_answer(&w, answer, losses);
}

/* Of either method. */
static enum err gemini_decode_answer(struct arena *arena, yyjson_val *root,
                                     struct embedding_answer *ret_answer)
{
    struct embedding_answer answer = {.usage = LLM_USAGE_UNKNOWN};
    yyjson_val *one = json_get(root, "embedding");
    bool is_read =
        one ? embedding_read_one(arena, json_get(one, "values"), &answer)
            : embedding_read_vectors(arena, json_get(root, "embeddings"), "values", &answer);
    if (!is_read)
        return ERR_SERVER;
    embedding_read_count(json_get(root, "usageMetadata"), "promptTokenCount", &answer);
    *ret_answer = answer;
    return ERR_OK;
}

const struct embedding_codec embedding_gemini = {
    .name = "gemini",
    .dialect = &dialect_gemini,
    .encode_request = batch_encode_request,
    .decode_request = batch_decode_request,
    .encode_answer = batch_encode_answer,
    .decode_answer = gemini_decode_answer,
};

const struct embedding_codec embedding_gemini_single = {
    .name = "gemini_single",
    .dialect = &dialect_gemini,
    .is_single = true,
    .path = "/models/{model}:embedContent",
    .encode_request = single_encode_request,
    .decode_request = single_decode_request,
    .encode_answer = single_encode_answer,
    .decode_answer = gemini_decode_answer,
};
