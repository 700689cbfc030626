/* OpenAI Responses: the response object and its items, for whole answers and for the last event of
 * a stream. A run of texts and refusals is one message item; reasoning and calls are items of
 * their own. Item ids are made of the answer's and the output index. */
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "llm/dialect_openai_responses.h"
#include "llm/encoder.h"

/* ---- Finish ---------------------------------------------------------------------------------- */

struct str openai_responses_status_word(enum llm_finish finish, struct str *ret_reason)
{
    *ret_reason = finish == LLM_FINISH_LENGTH             ? STR("max_output_tokens")
                  : finish == LLM_FINISH_CONTENT_FILTERED ? STR("content_filter")
                                                          : STR("");
    return ret_reason->len ? STR("incomplete") : STR("completed");
}

void openai_responses_note_finish(enum llm_finish finish, struct str raw, bool has_calls,
                                  bool has_refusal, struct llm_losses *losses)
{
    struct str reason;
    struct str status = openai_responses_status_word(finish, &reason);
    if (openai_responses_finish(status, reason, has_calls, has_refusal) != finish)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH, -1, -1);
    if (!str_eq(raw, reason.len ? reason : status))
        llm_losses_add(losses, LLM_FIELD_RESPONSE_FINISH_RAW, -1, -1);
}

/* ---- Items ----------------------------------------------------------------------------------- */

/* The id that Parley gave an answer makes those of its items unique: "resp_ID" has "msg_ID_0". */
static struct str id_of_answer(const struct openai_responses_head *head)
{
    struct id id;
    struct str rest = str_skip(head->id, strlen("resp_"));
    bool is_ours = str_starts_with(head->id, STR("resp_")) && id_parse(rest, &id);
    return is_ours ? rest : STR_NONE;
}

void openai_responses_put_item_id(struct json_writer *w, const char *key,
                                  const struct openai_responses_head *head, enum llm_part_kind kind,
                                  int64_t number)
{
    const char *prefix = kind == LLM_PART_TOOL_CALL   ? "fc"
                         : kind == LLM_PART_REASONING ? "rs"
                                                      : "msg";
    struct str answer = id_of_answer(head);
    struct buf *out = w->out;
    if (head->item_id.len && head->item_number == number) {
        json_key_str(w, key, head->item_id);
        return;
    }
    json_key(w, str_from_cstr(key));
    json_begin_str(w);
    buf_printf(out, "%s_%.*s%s%lld", prefix, STR_ARG(answer), answer.len ? "_" : "",
               (long long)number);
    json_end_str(w);
}

static void put_item_head(struct json_writer *w, const char *type,
                          const struct openai_responses_head *head, enum llm_part_kind kind,
                          int64_t number, bool is_done)
{
    json_begin_object(w);
    json_key_str(w, "type", str_from_cstr(type));
    openai_responses_put_item_id(w, "id", head, kind, number);
    json_key_str(w, "status", is_done ? STR("completed") : STR("in_progress"));
}

/* Open: the content array and the object are the caller's to end. */
void openai_responses_put_message_head(struct json_writer *w,
                                       const struct openai_responses_head *head, int64_t number,
                                       bool is_done)
{
    put_item_head(w, "message", head, LLM_PART_TEXT, number, is_done);
    json_key_str(w, "role", STR("assistant"));
    json_key_array(w, "content");
}

void openai_responses_put_message_part(struct json_writer *w, enum llm_part_kind kind,
                                       struct str text)
{
    bool is_refusal = kind == LLM_PART_REFUSAL;
    json_begin_object(w);
    json_key_str(w, "type", is_refusal ? STR("refusal") : STR("output_text"));
    json_key_str(w, is_refusal ? "refusal" : "text", text.data ? text : STR(""));
    if (!is_refusal) {
        json_key_array(w, "annotations");
        json_end_array(w);
    }
    json_end_object(w);
}

void openai_responses_put_reasoning(struct json_writer *w, const struct openai_responses_head *head,
                                    int64_t number, const struct llm_part *part, bool is_done)
{
    const struct llm_opaque *encrypted = openai_responses_encrypted(part, STR(""));
    put_item_head(w, "reasoning", head, LLM_PART_REASONING, number, is_done);
    json_key_array(w, "summary");
    if (part->text.len) {
        json_begin_object(w);
        json_key_str(w, "type", STR("summary_text"));
        json_key_str(w, "text", part->text);
        json_end_object(w);
    }
    json_end_array(w);
    if (encrypted)
        json_key_str(w, "encrypted_content", encrypted->data);
    json_end_object(w);
}

void openai_responses_put_call(struct json_writer *w, const struct openai_responses_head *head,
                               int64_t number, const struct llm_part *part, bool is_done)
{
    put_item_head(w, "function_call", head, LLM_PART_TOOL_CALL, number, is_done);
    json_key_str(w, "call_id", part->call_id.data ? part->call_id : STR(""));
    json_key_str(w, "name", part->name.data ? part->name : STR(""));
    json_key_str(w, "arguments", part->arguments.data ? part->arguments : STR(""));
    json_end_object(w);
}

/* ---- Output ---------------------------------------------------------------------------------- */

static bool is_spoken(const struct llm_part *part)
{
    return part->kind == LLM_PART_TEXT || part->kind == LLM_PART_REFUSAL;
}

/* Whether a part is on the wire at all. */
static bool is_written(const struct llm_part *part)
{
    if (is_spoken(part))
        return part->text.len > 0;
    if (part->kind == LLM_PART_REASONING)
        return part->text.len || openai_responses_encrypted(part, STR(""));
    return part->kind == LLM_PART_TOOL_CALL;
}

/* One message item from the written parts up to the next item of another type. */
static size_t put_spoken(struct json_writer *w, const struct openai_responses_head *head,
                         const struct llm_response *response, size_t from, int64_t number)
{
    openai_responses_put_message_head(w, head, number, true);
    for (; from < response->part_count; from++) {
        const struct llm_part *part = &response->parts[from];
        if (is_written(part) && !is_spoken(part))
            break;
        if (is_written(part))
            openai_responses_put_message_part(w, part->kind, part->text);
    }
    json_end_array(w);
    json_end_object(w);
    return from;
}

static void put_output(struct json_writer *w, const struct openai_responses_head *head,
                       const struct llm_response *response)
{
    int64_t number = 0;
    for (size_t i = 0; i < response->part_count;) {
        const struct llm_part *part = &response->parts[i];
        if (is_written(part) && is_spoken(part)) {
            i = put_spoken(w, head, response, i, number++);
            continue;
        }
        if (is_written(part) && part->kind == LLM_PART_REASONING)
            openai_responses_put_reasoning(w, head, number++, part, true);
        else if (is_written(part))
            openai_responses_put_call(w, head, number++, part, true);
        i++;
    }
}

/* ---- The object ------------------------------------------------------------------------------ */

static void put_state(struct json_writer *w, const struct llm_response *response,
                      enum openai_responses_status status, const struct llm_error *error)
{
    struct str reason = STR("");
    struct str word = status == RESPONSES_IN_PROGRESS ? STR("in_progress")
                      : status == RESPONSES_FAILED
                          ? STR("failed")
                          : openai_responses_status_word(response->finish, &reason);
    json_key_str(w, "status", word);
    json_key(w, STR("error"));
    if (error) {
        json_begin_object(w);
        openai_put_error(w, error);
        json_end_object(w);
    } else {
        json_put_null(w);
    }
    json_key(w, STR("incomplete_details"));
    if (reason.len) {
        json_begin_object(w);
        json_key_str(w, "reason", reason);
        json_end_object(w);
    } else {
        json_put_null(w);
    }
}

void openai_responses_put(struct json_writer *w, const struct openai_responses_head *head,
                          const struct llm_response *response, enum openai_responses_status status,
                          const struct llm_error *error)
{
    bool has_usage = status == RESPONSES_ENDED && openai_usage_is_known(&response->usage);
    json_begin_object(w);
    json_key_str(w, "id", head->id.data ? head->id : STR(""));
    json_key_str(w, "object", STR("response"));
    json_key_int(w, "created_at", head->created_s);
    put_state(w, response, status, error);
    json_key_str(w, "model", head->model.data ? head->model : STR(""));
    json_key_array(w, "output");
    if (status != RESPONSES_IN_PROGRESS)
        put_output(w, head, response);
    json_end_array(w);
    json_key_bool(w, "parallel_tool_calls", true);
    json_key_str(w, "tool_choice", STR("auto"));
    json_key_array(w, "tools");
    json_end_array(w);
    json_key(w, STR("usage"));
    if (has_usage)
        openai_put_usage(w, &openai_responses_usage, &response->usage);
    else
        json_put_null(w);
    if (status == RESPONSES_ENDED)
        llm_put_extension(w, response->extension, head->losses);
    json_end_object(w);
}

/* ---- Whole answers --------------------------------------------------------------------------- */

/* Of the opaque, one encrypted content goes along; the reader believes that the answering model
 * made it. */
static void note_opaque(struct openai_book *book, const struct llm_response *response, int index,
                        struct llm_losses *losses)
{
    const struct llm_part *part = &response->parts[index];
    const struct llm_opaque *encrypted = openai_responses_encrypted(part, STR(""));
    if (encrypted)
        openai_book_opaque(book, index, true, losses);
    bool same_model = encrypted && (!encrypted->model.len || !response->model.len ||
                                    str_eq(encrypted->model, response->model));
    if (part->opaque_count > (encrypted ? 1 : 0) || (encrypted && !same_model))
        llm_losses_add(losses, LLM_FIELD_PART_OPAQUE, -1, index);
}

static void note_part(struct openai_book *book, const struct llm_response *response, int index,
                      struct llm_losses *losses)
{
    const struct llm_part *part = &response->parts[index];
    if (!is_spoken(part) && part->kind != LLM_PART_REASONING && part->kind != LLM_PART_TOOL_CALL) {
        llm_losses_add(losses, LLM_FIELD_PART, -1, index);
        return;
    }
    openai_book_begin(book, index, part->kind, losses);
    openai_book_text(book, part->text.len, losses);
    note_opaque(book, response, index, losses);
    if (part->kind != LLM_PART_TOOL_CALL)
        return;
    if (!part->call_id.len)
        llm_losses_add(losses, LLM_FIELD_PART_CALL_ID, -1, index);
    if (!part->arguments.len)
        llm_losses_add(losses, LLM_FIELD_PART_ARGUMENTS, -1, index);
}

static void note_response(const struct llm_response *response, struct llm_losses *losses)
{
    struct openai_book book = {0};
    bool has_calls = false, has_refusal = false;
    for (size_t i = 0; i < response->part_count; i++) {
        const struct llm_part *part = &response->parts[i];
        note_part(&book, response, (int)i, losses);
        has_calls |= part->kind == LLM_PART_TOOL_CALL;
        has_refusal |= part->kind == LLM_PART_REFUSAL && part->text.len;
    }
    openai_book_end(&book, losses);
    openai_note_usage(&response->usage, losses);
    openai_responses_note_finish(response->finish, response->finish_raw, has_calls, has_refusal,
                                 losses);
}

void openai_responses_encode_response(struct arena *arena, const struct llm_response *response,
                                      int64_t created_ms, struct buf *out,
                                      struct llm_losses *losses)
{
    struct openai_responses_head head = {.id = response->id,
                                         .model = response->model,
                                         .created_s = created_ms / 1000,
                                         .losses = losses};
    struct json_writer w;
    (void)arena;
    json_writer_init(&w, out);
    note_response(response, losses);
    openai_responses_put(&w, &head, response, RESPONSES_ENDED, NULL);
}
