/* Whole answers of the Gemini dialect, and what whole and streamed ones have in common: finish
 * reasons, usage. A whole answer is read as a stream of one frame (or of several: the route that
 * streams without SSE answers with a JSON array of them), so that both are understood alike. */
#include "llm/dialect_gemini.h"
#include "llm/encoder.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

/* ---- Finish reasons -------------------------------------------------------------------------- */

struct finish_row {
    const char *word;
    enum llm_finish finish;
};
/* The first word of each reason is the one to send for it. */
static const struct finish_row finish_rows[] = {
    {"STOP", LLM_FINISH_STOP},
    {"MAX_TOKENS", LLM_FINISH_LENGTH},
    {"SAFETY", LLM_FINISH_CONTENT_FILTERED},
    {"RECITATION", LLM_FINISH_CONTENT_FILTERED},
    {"BLOCKLIST", LLM_FINISH_CONTENT_FILTERED},
    {"PROHIBITED_CONTENT", LLM_FINISH_CONTENT_FILTERED},
    {"SPII", LLM_FINISH_CONTENT_FILTERED},
    {"IMAGE_SAFETY", LLM_FINISH_CONTENT_FILTERED},
    {"IMAGE_PROHIBITED_CONTENT", LLM_FINISH_CONTENT_FILTERED},
    {"IMAGE_RECITATION", LLM_FINISH_CONTENT_FILTERED},
    {"CONTINUATION", LLM_FINISH_PAUSED},
    {"MALFORMED_FUNCTION_CALL", LLM_FINISH_ERROR},
    {"UNEXPECTED_TOOL_CALL", LLM_FINISH_ERROR},
    {"TOO_MANY_TOOL_CALLS", LLM_FINISH_ERROR},
    {"OTHER", LLM_FINISH_OTHER},
    {"LANGUAGE", LLM_FINISH_OTHER},
    {"IMAGE_OTHER", LLM_FINISH_OTHER},
    {"NO_IMAGE", LLM_FINISH_OTHER},
    {"FINISH_REASON_UNSPECIFIED", LLM_FINISH_OTHER},
};
static const size_t finish_row_count = sizeof finish_rows / sizeof *finish_rows;

static const struct finish_row *row_of_word(struct str word)
{
    for (size_t i = 0; i < finish_row_count; i++)
        if (str_eq(word, str_from_cstr(finish_rows[i].word)))
            return &finish_rows[i];
    return NULL;
}

enum llm_finish gemini_finish(struct str word, bool has_calls)
{
    const struct finish_row *row = row_of_word(word);
    if (!row)
        return LLM_FINISH_OTHER;
    return row->finish == LLM_FINISH_STOP && has_calls ? LLM_FINISH_TOOL_CALLS : row->finish;
}

/* What to say for `finish` when the provider's own word is not one of ours. A failure of another
 * dialect was none of Gemini's three kinds of failure: it is said as OTHER. */
static struct str default_word(enum llm_finish finish)
{
    if (finish == LLM_FINISH_TOOL_CALLS)
        return STR("STOP");
    for (size_t i = 0; finish != LLM_FINISH_ERROR && i < finish_row_count; i++)
        if (finish_rows[i].finish == finish)
            return str_from_cstr(finish_rows[i].word);
    return STR("OTHER");
}

struct str gemini_finish_word(enum llm_finish finish, struct str raw, bool has_calls,
                              struct llm_losses *losses)
{
    if (row_of_word(raw) && gemini_finish(raw, has_calls) == finish)
        return raw;
    struct str word = default_word(finish);
    if (gemini_finish(word, has_calls) != finish)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH, -1, -1);
    if (!str_eq(word, raw))
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH_RAW, -1, -1);
    return word;
}

/* ---- Usage ----------------------------------------------------------------------------------- */

static int64_t read_count(yyjson_val *metadata, const char *name)
{
    int64_t count = 0;
    return json_int(gemini_get(metadata, name), &count) && count >= 0 ? count : -1;
}

static int64_t add_known(int64_t a, int64_t b)
{
    int64_t sum = 0;
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

/* Zeros are mostly not written; a total says that the other counts are meant. */
void gemini_usage_read(yyjson_val *metadata, struct llm_usage *usage)
{
    if (!yyjson_is_obj(metadata))
        return;
    int64_t visible = read_count(metadata, "candidatesTokenCount");
    int64_t thoughts = read_count(metadata, "thoughtsTokenCount");
    bool has_total = read_count(metadata, "totalTokenCount") >= 0;
    *usage = LLM_USAGE_UNKNOWN;
    usage->input_total = add_known(read_count(metadata, "promptTokenCount"),
                                   read_count(metadata, "toolUsePromptTokenCount"));
    usage->input_cache_read = read_count(metadata, "cachedContentTokenCount");
    usage->output_total = add_known(visible, thoughts);
    if (usage->output_total < 0 && has_total)
        usage->output_total = 0;
    usage->output_reasoning = thoughts;
}

bool gemini_usage_is_known(const struct llm_usage *usage)
{
    return usage->input_total >= 0 || usage->output_total >= 0 || usage->input_cache_read >= 0 ||
           usage->input_cache_write >= 0 || usage->output_reasoning >= 0;
}

static void note_usage(const struct llm_usage *usage, struct llm_losses *losses)
{
    if (usage->input_cache_write >= 0)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_CACHE_WRITE, -1, -1);
    if (usage->output_reasoning >= 0 && usage->output_reasoning > usage->output_total)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_REASONING, -1, -1);
    if (usage->is_estimated)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_ESTIMATED, -1, -1);
}

void gemini_put_usage(struct json_writer *w, const struct llm_usage *usage,
                      struct llm_losses *losses)
{
    if (usage->is_estimated || gemini_usage_is_known(usage))
        note_usage(usage, losses);
    if (!gemini_usage_is_known(usage))
        return;
    int64_t thoughts =
        usage->output_reasoning <= usage->output_total ? usage->output_reasoning : -1;
    json_key_object(w, "usageMetadata");
    if (usage->input_total >= 0)
        json_key_int(w, "promptTokenCount", usage->input_total);
    if (usage->input_cache_read >= 0)
        json_key_int(w, "cachedContentTokenCount", usage->input_cache_read);
    if (usage->output_total >= 0)
        json_key_int(w, "candidatesTokenCount",
                     usage->output_total - (thoughts > 0 ? thoughts : 0));
    if (thoughts >= 0)
        json_key_int(w, "thoughtsTokenCount", thoughts);
    if (usage->input_total >= 0 && usage->output_total >= 0)
        json_key_int(w, "totalTokenCount", add_known(usage->input_total, usage->output_total));
    json_end_object(w);
}

void gemini_put_names(struct json_writer *w, struct str model, struct str id)
{
    if (model.len)
        json_key_str(w, "modelVersion", model);
    if (id.len)
        json_key_str(w, "responseId", id);
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct answer_writer {
    struct arena *arena;
    struct json_writer w;
    struct llm_losses *losses;
    struct str model;
    bool has_calls;
    struct gemini_run run;
};

/* Text and reasoning; a second and further signature stand on empty texts behind. */
static void put_texts(struct answer_writer *answer, const struct llm_part *part,
                      const struct gemini_place *place)
{
    bool is_thought = part->kind == LLM_PART_REASONING;
    if (part->text.len)
        gemini_run_text(&answer->run, place, part->kind);
    struct str text = part->text;
    for (size_t i = 0; i < part->opaque_count; i++) {
        if (!gemini_is_signature(&part->opaque[i], answer->model)) {
            gemini_lose(place, LLM_FIELD_PART_OPAQUE);
            continue;
        }
        gemini_put_text(&answer->w, text, is_thought, part->opaque[i].data);
        gemini_run_signature(&answer->run, place, part->kind);
        text = STR_NONE;
    }
    if (text.len)
        gemini_put_text(&answer->w, text, is_thought, STR_NONE);
    if (answer->run.part != place->part)
        gemini_lose(place, LLM_FIELD_PART);
}

/* There are no refusals on this wire: it is said in plain words. */
static void put_refusal(struct answer_writer *answer, const struct llm_part *part,
                        const struct gemini_place *place)
{
    if (!part->text.len) {
        gemini_lose(place, LLM_FIELD_PART);
        return;
    }
    gemini_lose(place, LLM_FIELD_PART_KIND);
    gemini_run_text(&answer->run, place, LLM_PART_TEXT);
    gemini_put_text(&answer->w, part->text, false, STR_NONE);
}

static void put_call(struct answer_writer *answer, const struct llm_part *part,
                     const struct gemini_place *place)
{
    const struct llm_opaque *signature = gemini_signature(part, answer->model);
    if (part->opaque_count > (signature ? 1 : 0))
        gemini_lose(place, LLM_FIELD_PART_OPAQUE);
    gemini_put_call(answer->arena, &answer->w, part, signature ? signature->data : STR_NONE, place);
    answer->has_calls = true;
    answer->run = GEMINI_RUN_NONE;
}

static void put_part(struct answer_writer *answer, const struct llm_response *response, int index)
{
    const struct llm_part *part = &response->parts[index];
    const struct gemini_place place = {answer->losses, -1, index};
    if (part->kind == LLM_PART_TEXT || part->kind == LLM_PART_REASONING)
        put_texts(answer, part, &place);
    else if (part->kind == LLM_PART_TOOL_CALL)
        put_call(answer, part, &place);
    else if (part->kind == LLM_PART_REFUSAL)
        put_refusal(answer, part, &place);
    else
        gemini_lose(&place, LLM_FIELD_PART);
}

static void put_candidate(struct answer_writer *answer, const struct llm_response *response)
{
    struct json_writer *w = &answer->w;
    json_key_array(w, "candidates");
    json_begin_object(w);
    json_key_object(w, "content");
    json_key_array(w, "parts");
    for (size_t i = 0; i < response->part_count; i++)
        put_part(answer, response, (int)i);
    json_end_array(w);
    json_key_str(w, "role", STR("model"));
    json_end_object(w);
    json_key_str(w, "finishReason",
                 gemini_finish_word(response->finish, response->finish_raw, answer->has_calls,
                                    answer->losses));
    json_key_int(w, "index", 0);
    json_end_object(w);
    json_end_array(w);
}

void gemini_encode_response(struct arena *arena, const struct llm_response *response,
                            int64_t created_ms, struct buf *out, struct llm_losses *losses)
{
    (void)created_ms;
    struct answer_writer answer = {
        .arena = arena, .losses = losses, .model = response->model, .run = GEMINI_RUN_NONE};
    struct json_writer *w = &answer.w;
    json_writer_init(w, out);
    json_begin_object(w);
    put_candidate(&answer, response);
    gemini_put_usage(w, &response->usage, losses);
    gemini_put_names(w, response->model, response->id);
    llm_put_extension(w, response->extension, losses);
    json_end_object(w);
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct reader {
    struct llm_builder *builder;
    enum err err;
};

static void add_event(void *user, const struct llm_event *event)
{
    struct reader *reader = user;
    enum err err = llm_builder_add_view(reader->builder, event);
    if (reader->err == ERR_OK)
        reader->err = err;
}

static enum err fail(struct llm_error *ret_error, const char *message)
{
    *ret_error = (struct llm_error){.class = ERR_SERVER, .retry_after_ms = -1};
    str_copy(str_from_cstr(message), ret_error->message, sizeof ret_error->message);
    return ret_error->class;
}

enum err gemini_decode_response(struct arena *arena, struct str body,
                                struct llm_response *ret_response, struct llm_error *ret_error)
{
    yyjson_val *root = NULL;
    if (json_read(arena, body, &root, NULL) != ERR_OK)
        return fail(ret_error, "the answer is not valid JSON");
    struct reader reader = {llm_builder_new(arena, ANSWER_BYTES_MAX), ERR_OK};
    struct dialect_decoder *decoder = gemini_decoder_new(arena);
    gemini_decoder_is_whole(decoder);
    gemini_decode_value(decoder, arena, root, add_event, &reader);
    gemini_decode_end(decoder, add_event, &reader);
    const struct llm_error *error = llm_builder_error(reader.builder);
    if (error) {
        *ret_error = *error;
        return error->class;
    }
    if (reader.err != ERR_OK)
        return fail(ret_error, "the answer is too long");
    *ret_response = *llm_builder_response(reader.builder);
    return ERR_OK;
}
