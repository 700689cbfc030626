/* Lines of results. OpenAI puts failures into a file of their own, where what never reached a model
 * has an error, and what failed there the answer's status and body. Anthropic has one file, in which
 * the type of the result says it; Gemini one, in the order of the requests. */
#include "chat/batch_result.h"

#include <stdio.h>

#include "chat/batch_status.h"

enum { ERROR_BYTES_MAX = 16 * 1024 };

/* ---- OpenAI ---------------------------------------------------------------------------------- */

static void begin_openai(struct json_writer *w, struct buf *out, struct str name,
                         const struct batch_line *line)
{
    char id[96];
    int len =
        snprintf(id, sizeof id, "batch_req_%.*s_%lld", STR_ARG(name), (long long)line->number);
    json_writer_init(w, out);
    json_begin_object(w);
    json_key_str(w, "id", STR_FROM(id, (size_t)len));
    json_key_str(w, "custom_id", line->custom_id);
}

static void end_line(struct json_writer *w, struct buf *out)
{
    json_end_object(w);
    buf_append_char(out, '\n');
}

static void put_member(struct json_writer *w, yyjson_val *object, const char *name)
{
    yyjson_val *value = json_get(object, name);
    json_key(w, str_from_cstr(name));
    if (value)
        json_put_val(w, value);
    else
        json_put_null(w);
}

static void write_openai_answer(struct buf *out, const struct batch_endpoint *endpoint,
                                struct str name, const struct batch_line *line,
                                const struct batch_answer *answer)
{
    struct json_writer w;
    struct buf failure;
    struct str body = answer->body;
    int status = 200;
    buf_init(&failure, ERROR_BYTES_MAX);
    if (answer->error) {
        status = endpoint->dialect->encode_error(answer->error, &failure);
        body = buf_str(&failure);
    }
    begin_openai(&w, out, name, line);
    json_key_object(&w, "response");
    json_key_int(&w, "status_code", status);
    json_key_str(&w, "request_id", answer->request_id);
    if (answer->dropped.len)
        json_key_str(&w, "parley_dropped", answer->dropped);
    json_key_raw(&w, "body", body);
    json_end_object(&w);
    json_key_null(&w, "error");
    end_line(&w, out);
    buf_done(&failure);
}

/* An error that is no answer's. */
static void write_openai_error(struct buf *out, struct str name, const struct batch_line *line,
                               const char *code, const char *message, bool tells_line)
{
    struct json_writer w;
    char text[256];
    int len = snprintf(text, sizeof text, "line %lld: %s", (long long)line->number, message);
    begin_openai(&w, out, name, line);
    json_key_null(&w, "response");
    json_key_object(&w, "error");
    json_key_str(&w, "code", str_from_cstr(code));
    json_key_str(&w, "message", tells_line ? STR_FROM(text, (size_t)len) : str_from_cstr(message));
    if (tells_line)
        json_key_int(&w, "line", line->number);
    json_end_object(&w);
    end_line(&w, out);
}

static void write_openai_handed(struct buf *out, struct str name, const struct batch_line *line,
                                yyjson_val *result)
{
    struct json_writer w;
    begin_openai(&w, out, name, line);
    put_member(&w, result, "response");
    put_member(&w, result, "error");
    end_line(&w, out);
}

static void write_openai_wrong(struct buf *out, const struct batch_endpoint *endpoint,
                               struct str name, const struct batch_line *line)
{
    (void)endpoint;
    write_openai_error(out, name, line, "invalid_request", line->wrong, true);
}

static void write_openai_undone(struct buf *out, struct str name, const struct batch_line *line,
                                bool is_expired)
{
    write_openai_error(out, name, line, is_expired ? "batch_expired" : "batch_cancelled",
                       is_expired ? "This request could not be executed before the completion "
                                    "window expired."
                                  : "This request was not executed: the batch was cancelled.",
                       false);
}

/* ---- Anthropic ------------------------------------------------------------------------------- */

static void begin_anthropic(struct json_writer *w, struct buf *out, const struct batch_line *line,
                            const char *type)
{
    json_writer_init(w, out);
    json_begin_object(w);
    json_key_str(w, "custom_id", line->custom_id);
    json_key_object(w, "result");
    json_key_str(w, "type", str_from_cstr(type));
}

static void end_anthropic(struct json_writer *w, struct buf *out)
{
    json_end_object(w);
    end_line(w, out);
}

static void write_anthropic_answer(struct buf *out, const struct batch_endpoint *endpoint,
                                   struct str name, const struct batch_line *line,
                                   const struct batch_answer *answer)
{
    (void)name;
    struct json_writer w;
    struct buf failure;
    buf_init(&failure, ERROR_BYTES_MAX);
    begin_anthropic(&w, out, line, answer->error ? "errored" : "succeeded");
    if (answer->error) {
        endpoint->dialect->encode_error(answer->error, &failure);
        json_key_raw(&w, "error", buf_str(&failure));
    } else {
        json_key_raw(&w, "message", answer->body);
    }
    if (answer->dropped.len)
        json_key_str(&w, "parley_dropped", answer->dropped);
    end_anthropic(&w, out);
    buf_done(&failure);
}

static void write_anthropic_handed(struct buf *out, struct str name, const struct batch_line *line,
                                   yyjson_val *result)
{
    struct json_writer w;
    (void)name;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "custom_id", line->custom_id);
    put_member(&w, result, "result");
    end_line(&w, out);
}

/* Where failures have no form of their own, a line that is wrong is one. */
static void write_wrong_answer(struct buf *out, const struct batch_endpoint *endpoint,
                               struct str name, const struct batch_line *line)
{
    struct llm_error error = {.class = ERR_INVALID, .retry_after_ms = -1};
    snprintf(error.message, sizeof error.message, "request %lld: %s", (long long)line->number,
             line->wrong);
    batch_write_answer(out, endpoint, name, line, &(struct batch_answer){.error = &error});
}

static void write_anthropic_undone(struct buf *out, struct str name, const struct batch_line *line,
                                   bool is_expired)
{
    struct json_writer w;
    (void)name;
    begin_anthropic(&w, out, line, is_expired ? "expired" : "canceled");
    end_anthropic(&w, out);
}

/* ---- Gemini ---------------------------------------------------------------------------------- */

static void begin_gemini(struct json_writer *w, struct buf *out, const struct batch_line *line)
{
    json_writer_init(w, out);
    json_begin_object(w);
    if (line->custom_id.len)
        json_key_str(w, "key", line->custom_id);
    if (line->metadata.len)
        json_key_raw(w, "metadata", line->metadata);
}

static void write_gemini_answer(struct buf *out, const struct batch_endpoint *endpoint,
                                struct str name, const struct batch_line *line,
                                const struct batch_answer *answer)
{
    struct json_writer w;
    (void)endpoint, (void)name;
    begin_gemini(&w, out, line);
    if (answer->error) {
        json_key(&w, STR("error"));
        batch_status_put(&w, answer->error);
    } else {
        json_key_raw(&w, "response", answer->body);
    }
    if (answer->dropped.len)
        json_key_str(&w, "parley_dropped", answer->dropped);
    end_line(&w, out);
}

static void write_gemini_handed(struct buf *out, struct str name, const struct batch_line *line,
                                yyjson_val *result)
{
    struct json_writer w;
    (void)name;
    begin_gemini(&w, out, line);
    put_member(&w, result, json_get(result, "response") ? "response" : "error");
    end_line(&w, out);
}

static void write_gemini_undone(struct buf *out, struct str name, const struct batch_line *line,
                                bool is_expired)
{
    struct llm_error error = {.class = is_expired ? ERR_TIMEOUT : ERR_CANCELLED,
                              .retry_after_ms = -1};
    str_copy(is_expired ? STR("the batch expired before this request was asked")
                        : STR("the batch was cancelled before this request was asked"),
             error.message, sizeof error.message);
    write_gemini_answer(out, NULL, name, line, &(struct batch_answer){.error = &error});
}

/* ---- All ------------------------------------------------------------------------------------- */

static const struct {
    void (*answer)(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                   const struct batch_line *line, const struct batch_answer *answer);
    void (*handed)(struct buf *out, struct str name, const struct batch_line *line,
                   yyjson_val *result);
    void (*wrong)(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                  const struct batch_line *line);
    void (*undone)(struct buf *out, struct str name, const struct batch_line *line,
                   bool is_expired);
} forms[] = {
    [BATCH_OPENAI] = {write_openai_answer, write_openai_handed, write_openai_wrong,
                      write_openai_undone},
    [BATCH_ANTHROPIC] = {write_anthropic_answer, write_anthropic_handed, write_wrong_answer,
                         write_anthropic_undone},
    [BATCH_GEMINI] = {write_gemini_answer, write_gemini_handed, write_wrong_answer,
                      write_gemini_undone},
};

void batch_write_answer(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                        const struct batch_line *line, const struct batch_answer *answer)
{
    forms[endpoint->form].answer(out, endpoint, name, line, answer);
}

void batch_write_handed(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                        const struct batch_line *line, yyjson_val *result)
{
    forms[endpoint->form].handed(out, name, line, result);
}

void batch_write_wrong(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                       const struct batch_line *line)
{
    forms[endpoint->form].wrong(out, endpoint, name, line);
}

void batch_write_undone(struct buf *out, const struct batch_endpoint *endpoint, struct str name,
                        const struct batch_line *line, bool is_expired)
{
    forms[endpoint->form].undone(out, name, line, is_expired);
}
