/* For tests of calls: a call to the scripted server, what it says, and what to do when it says it. */
#pragma once

#include "helper_call.h"

#define CHUNK(text)                                                                                \
    "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":"       \
    "[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH                                                                                     \
    "data: {\"id\":\"c1\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},"                 \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,"         \
    "\"total_tokens\":9}}\n\ndata: [DONE]\n\n"
#define STREAM_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
#define STREAM      STREAM_HEAD "Connection: close\r\n\r\n"
#define WHOLE                                                                                      \
    "{\"id\":\"c1\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,"     \
    "\"message\":{\"role\":\"assistant\",\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],"     \
    "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2,\"total_tokens\":9}}"

enum action { NOTHING, CANCEL, PAUSE, PAUSE_RESUME };

/* What a call said, and what to do when it says it. */
struct heard_llm {
    struct llm_call *call;
    struct buf text;
    struct buf raw;
    struct buf raw_type;
    struct llm_error error;
    struct llm_usage usage;
    struct llm_timeouts timeouts;
    struct llm_call_head head;
    int starts, texts, finishes, errors, ends, raws, heads;
    int texts_behind_raw;
    bool raw_is_over; /* no more bytes come */
    bool cancelled;
    enum llm_event_kind at;
    enum action action;
    enum action raw_action;
    enum action head_action;
};

static inline void act(struct heard_llm *heard, enum action action)
{
    if (action == CANCEL) {
        llm_call_cancel(heard->call, &heard->usage);
        heard->cancelled = true;
    }
    if (action == PAUSE || action == PAUSE_RESUME)
        llm_call_pause(heard->call);
    if (action == PAUSE_RESUME)
        llm_call_resume(heard->call);
}

static inline void on_event(void *user, const struct llm_event *event)
{
    struct heard_llm *heard = user;
    assert_false(heard->cancelled);
    assert_int_equal(heard->ends, 0);
    heard->starts += event->kind == LLM_EVENT_START;
    heard->texts += event->kind == LLM_EVENT_TEXT;
    heard->finishes += event->kind == LLM_EVENT_FINISH;
    heard->ends += event->kind == LLM_EVENT_END;
    heard->texts_behind_raw += event->kind == LLM_EVENT_TEXT && heard->raw_is_over;
    if (event->kind == LLM_EVENT_TEXT)
        buf_append(&heard->text, event->text);
    if (event->kind == LLM_EVENT_USAGE)
        heard->usage = event->usage;
    if (event->kind == LLM_EVENT_ERROR) {
        heard->errors++;
        heard->error = *event->error;
    }
    if (event->kind == heard->at)
        act(heard, heard->action);
}

static inline void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct heard_llm *heard = user;
    assert_false(heard->cancelled || heard->raw_is_over);
    heard->raws++;
    heard->raw_is_over = bytes.len == 0;
    buf_clear(&heard->raw_type);
    buf_append(&heard->raw_type, content_type);
    buf_append(&heard->raw, bytes);
    act(heard, heard->raw_action);
}

static inline void on_head(void *user, const struct llm_call_head *head)
{
    struct heard_llm *heard = user;
    assert_int_equal(heard->starts, 0);
    heard->heads++;
    heard->head = *head;
    act(heard, heard->head_action);
}

static inline void heard_done(struct heard_llm *heard)
{
    buf_done(&heard->text);
    buf_done(&heard->raw);
    buf_done(&heard->raw_type);
}

static const struct llm_call_events call_events = {on_event, on_raw, on_head};

static inline struct llm_request *hello(bool stream)
{
    static struct llm_part part = {.kind = LLM_PART_TEXT, .text = {"hello", 5}};
    static struct llm_message message = {.role = LLM_USER, .parts = &part, .part_count = 1};
    static struct llm_request requests[2] = {
        {.messages = &message, .message_count = 1},
        {.messages = &message, .message_count = 1, .stream = true, .stream_usage = true}};
    return &requests[stream];
}

static inline void start_with(struct call_fixture *f, struct heard_llm *heard, bool stream,
                              struct str raw_body)
{
    struct error error = {0};
    const struct llm_call_request request = {.provider = f->provider,
                                             .request = hello(stream),
                                             .model = STR("m"),
                                             .raw_body = raw_body,
                                             .timeouts = heard->timeouts};
    buf_init(&heard->text, 64 * 1024 * 1024);
    buf_init(&heard->raw, 64 * 1024 * 1024);
    buf_init(&heard->raw_type, 1024);
    enum err code =
        llm_call_start(f->client, f->loop, &request, &call_events, heard, &heard->call, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, ERR_OK);
    assert_int_equal(heard->starts + heard->errors + heard->ends, 0);
}

static inline void start(struct call_fixture *f, struct heard_llm *heard, bool stream)
{
    start_with(f, heard, stream, STR_NONE);
}

static inline void expect_text(const struct heard_llm *heard, const char *text)
{
    assert_true(str_eq(buf_str(&heard->text), str_from_cstr(text)));
}

static inline void expect_whole(struct call_fixture *f, struct heard_llm *heard, const char *text)
{
    TURN_UNTIL(f->loop, heard->ends);
    assert_string_equal(heard->error.message, "");
    assert_int_equal(heard->errors, 0);
    assert_int_equal(heard->starts, 1);
    assert_int_equal(heard->finishes, 1);
    expect_text(heard, text);
}

static inline void expect_error(struct call_fixture *f, struct heard_llm *heard, enum err class,
                                const char *part)
{
    TURN_UNTIL(f->loop, heard->ends);
    assert_int_equal(heard->errors, 1);
    assert_int_equal(heard->finishes, 0);
    assert_string_equal(err_info(heard->error.class)->name, err_info(class)->name);
    if (!strstr(heard->error.message, part))
        fail_msg("'%s' is not in '%s'", part, heard->error.message);
    assert_null(strstr(heard->error.message, "secret-key"));
}

static inline void turn(struct call_fixture *f, int times)
{
    while (times--)
        helper_turn(f->loop);
}
