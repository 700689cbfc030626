/* Run: one answer being written.
 *
 *   run_new --> STREAMING --on_event END, end_early--> SAVING --on_stored--> SAVED --> freed later
 *                  |                                     ^  |
 *                  \--start fails (a turn later)---------/  \--storage fails: save, on a timer
 *
 * Every event gets its sequence number from the log, goes into the journal, and wakes the
 * listeners. `finish` says that nothing more will be said; `saved`, after the commit, that it is on
 * disk. */
#include "chat/run.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "chat/chat_internal.h"
#include "route/governor.h"

enum {
    TEXT_BYTES_MAX = 64 * 1024, /* of one event: a longer increment is told in pieces */
    ROW_BYTES_MAX = RUN_LOG_EVENT_BYTES_MAX - 64 * 1024, /* of content: `saved` has it whole */
    SCRATCH_KEPT_BYTES = 64 * 1024,
    SAVE_AGAIN_MS = 2000
};
/* JSON may need six bytes for one. */
static_assert(ROW_BYTES_MAX > 7 * RUN_ANSWER_BYTES_MAX, "an answer fits into its event");

enum state { STATE_STREAMING, STATE_SAVING, STATE_SAVED };

struct run {
    struct list link;
    struct chat *chat;
    enum state state;
    struct run_options options;
    struct run_log *log;
    struct llm_builder *builder;
    struct route_call *call;
    struct buf scratch; /* of one event */
    struct llm_error error;
    bool failed;
    enum store_status status;
    struct loop_task start_task;
    struct loop_timer timer; /* saving again; then lingering */
    struct store_job job;
    struct store_message row; /* what is being saved */
    bool journal_failed;
};

struct list *run_link(struct run *run)
{
    return &run->link;
}

struct run *run_of_link(struct list *link)
{
    return LIST_ENTRY(link, struct run, link);
}

const struct id *run_id(const struct run *run)
{
    return &run->options.id;
}

bool run_is_saved(const struct run *run)
{
    return run->state == STATE_SAVED;
}

void run_merge_parts(struct arena *arena, const struct llm_part *base, size_t base_count,
                     const struct llm_part *parts, size_t part_count, struct llm_part **ret_parts,
                     size_t *ret_count)
{
    struct llm_part *all = ARENA_NEW_ARRAY(arena, base_count + part_count + 1, struct llm_part);
    size_t count = 0;
    for (size_t i = 0; i < base_count; i++)
        all[count++] = base[i];
    for (size_t i = 0; i < part_count; i++) {
        struct llm_part *last = count ? &all[count - 1] : NULL;
        bool goes_on = i == 0 && last && last->kind == LLM_PART_TEXT &&
                       parts[i].kind == LLM_PART_TEXT && !last->opaque_count;
        if (goes_on)
            last->text =
                arena_printf(arena, "%.*s%.*s", STR_ARG(last->text), STR_ARG(parts[i].text));
        else
            all[count++] = parts[i];
    }
    *ret_parts = all;
    *ret_count = count;
}

/* ---- Telling --------------------------------------------------------------------------------- */

/* Gives one event its number. An answer goes on when the journal cannot be written: then only a
 * crash could lose it, and the log says so once. */
static void publish(struct run *run, const char *type)
{
    ASSERT(buf_ok(&run->scratch));
    struct str json = buf_str(&run->scratch);
    uint64_t sequence = run_log_append(run->log, type, json);
    enum err code =
        journal_append(run->chat->options.journal,
                       &(struct journal_record){RUN_RECORD_EVENT, run->options.id, sequence, json});
    if (code != ERR_OK && !run->journal_failed) {
        run->journal_failed = true;
        log_error(run->chat->options.log, "the journal cannot be written",
                  LOG_STR("run", id_str(&run->options.id)));
    }
}

static struct json_writer begin_event(struct run *run, const char *type)
{
    struct json_writer w;
    buf_clear(&run->scratch);
    json_writer_init(&w, &run->scratch);
    json_begin_object(&w);
    json_key_str(&w, "type", str_from_cstr(type));
    return w;
}

static void end_event(struct run *run, struct json_writer *w, const char *type)
{
    json_end_object(w);
    publish(run, type);
    if (run->scratch.capacity > SCRATCH_KEPT_BYTES)
        buf_release(&run->scratch);
}

/* One increment of a text, or (index >= 0) of a call's arguments. */
static void tell_piece(struct run *run, const char *type, int index, struct str text)
{
    struct json_writer w = begin_event(run, type);
    if (index >= 0)
        json_key_int(&w, "index", index);
    json_key_str(&w, "text", text);
    end_event(run, &w, type);
}

/* A whole answer may come as one increment: no event is to be larger than the journal takes. */
static void tell_text(struct run *run, const char *type, int index, struct str text)
{
    while (text.len > TEXT_BYTES_MAX) {
        size_t cut = utf8_cut(text, TEXT_BYTES_MAX);
        tell_piece(run, type, index, str_slice(text, 0, cut));
        text = str_skip(text, cut);
    }
    tell_piece(run, type, index, text.data ? text : STR(""));
}

static void tell_tool_start(struct run *run, const struct llm_event *event)
{
    struct json_writer w = begin_event(run, "tool_start");
    json_key_int(&w, "index", event->index);
    json_key_str(&w, "id", event->id);
    json_key_str(&w, "name", event->name);
    end_event(run, &w, "tool_start");
}

/* Who answers may change while it does. */
static void note_target(struct run *run)
{
    struct str id = route_target(run->call).id;
    if (!str_eq(run->options.message.model, id))
        run->options.message.model = arena_str(run->options.arena, id);
}

static size_t text_bytes_of(const struct llm_part *parts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += parts[i].kind == LLM_PART_TEXT ? parts[i].text.len : 0;
    return bytes;
}

static size_t base_text_bytes(const struct run *run)
{
    return text_bytes_of(run->options.base, run->options.base_count);
}

/* Why it is who it is, when there is anything to say. There are few attempts, and so few versions
 * of the story in the arena. */
static void note_story(struct run *run)
{
    struct json_writer w;
    if (!route_has_story(run->call))
        return;
    buf_clear(&run->scratch);
    json_writer_init(&w, &run->scratch);
    route_write_story(run->call, base_text_bytes(run), &w);
    ASSERT(buf_ok(&run->scratch));
    if (!str_eq(run->options.message.route, buf_str(&run->scratch)))
        run->options.message.route = arena_str(run->options.arena, buf_str(&run->scratch));
}

static void tell_start(struct run *run)
{
    note_target(run);
    struct json_writer w = begin_event(run, "start");
    json_key_str(&w, "model", run->options.message.model);
    end_event(run, &w, "start");
}

static void tell_usage(struct run *run, const struct llm_usage *usage)
{
    struct json_writer w = begin_event(run, "usage");
    json_key(&w, STR("usage"));
    content_write_usage(&w, usage);
    end_event(run, &w, "usage");
}

static enum llm_finish finish_of(const struct run *run)
{
    return llm_builder_response(run->builder)->finish;
}

static struct str finish_text(const struct run *run)
{
    return finish_of(run) == LLM_FINISH_NONE ? STR("")
                                             : str_from_cstr(llm_finish_name(finish_of(run)));
}

static void tell_finish(struct run *run)
{
    struct json_writer w = begin_event(run, "finish");
    json_key_str(&w, "status", str_from_cstr(store_status_name(run->status)));
    json_key_str(&w, "finish", finish_text(run));
    json_key(&w, STR("error"));
    if (run->failed)
        content_write_error(&w, &run->error);
    else
        json_put_null(&w);
    end_event(run, &w, "finish");
}

/* ---- Saving ---------------------------------------------------------------------------------- */

/* Fills the row with everything known up to now; what it points to is in `arena`. */
static void fill_row(struct run *run, struct arena *arena, struct store_message *row)
{
    const struct llm_response *response = llm_builder_response(run->builder);
    struct llm_part *parts;
    size_t count;
    struct buf out;
    struct json_writer w;
    run_merge_parts(arena, run->options.base, run->options.base_count, response->parts,
                    response->part_count, &parts, &count);
    buf_init(&out, ROW_BYTES_MAX);
    json_writer_init(&w, &out);
    content_write(&w, parts, count, true);
    ASSERT(buf_ok(&out));
    *row = run->options.message;
    row->content = arena_str(arena, buf_str(&out));
    row->status = run->status;
    row->finish = finish_text(run);
    buf_clear(&out);
    json_writer_init(&w, &out);
    content_write_usage(&w, &response->usage);
    row->usage = str_eq(buf_str(&out), STR("null")) ? STR("") : arena_str(arena, buf_str(&out));
    row->error = STR("");
    if (run->failed) {
        buf_clear(&out);
        json_writer_init(&w, &out);
        content_write_error(&w, &run->error);
        row->error = arena_str(arena, buf_str(&out));
    }
    buf_done(&out);
}

/* On a store thread. */
static enum err store_run(struct store_tx *tx, void *user, struct error *error)
{
    struct run *run = user;
    struct store_conversation conversation;
    struct arena *arena = arena_new(SIZE_MAX);
    enum err code = store_message_update(tx, &run->row, error);
    if (code == ERR_OK)
        code = store_conversation_get(tx, arena, &run->row.owner, &run->row.conversation,
                                      &conversation, error);
    if (code == ERR_OK) {
        conversation.updated_ms = clock_wall_ms();
        code = store_conversation_update(tx, &conversation, error);
    }
    arena_free(arena);
    return code;
}

static void linger_fired(void *user)
{
    run_free(user);
}

/* Nothing will come any more; who is listening still hears what there is. */
static void end_run(struct run *run)
{
    struct chat *chat = run->chat;
    bool linger = !chat->draining && chat->run_count <= CHAT_RUNS_MAX;
    run->state = STATE_SAVED;
    buf_release(&run->scratch);
    run_log_close(run->log);
    loop_timer_set(chat->options.loop, &run->timer, linger ? RUN_LINGER_MS : 0, linger_fired, run);
    metric_add(chat->metric_active, -1);
    chat_note_saved(chat);
}

static void tell_saved(struct run *run)
{
    struct json_writer w = begin_event(run, "saved");
    json_key(&w, STR("message"));
    chat_write_message(&w, &run->row);
    json_end_object(&w);
    ASSERT(buf_ok(&run->scratch));
    run_log_append(run->log, "saved", buf_str(&run->scratch));
    hub_publish(run->chat->options.hub, &run->row.owner, &run->row.conversation, NULL);
}

static void save(void *user);

static void on_stored(void *user, enum err code, const struct error *error)
{
    struct run *run = user;
    struct chat *chat = run->chat;
    if (code == ERR_OK || code == ERR_NOT_FOUND) { /* its conversation was deleted meanwhile */
        if (code == ERR_OK)
            tell_saved(run);
        journal_release(chat->options.journal, &run->options.id);
        end_run(run);
        return;
    }
    bool give_up = chat->interrupting || (chat->draining && code == ERR_UNAVAILABLE);
    log_error(chat->options.log,
              give_up ? "an answer could not be saved; it stays in the journal"
                      : "an answer could not be saved; trying again",
              LOG_STR("run", id_str(&run->options.id)), LOG_CSTR("error", error_message(error)));
    if (give_up)
        end_run(run);
    else
        loop_timer_set(chat->options.loop, &run->timer, SAVE_AGAIN_MS, save, run);
}

static void save(void *user)
{
    struct run *run = user;
    run->job = (struct store_job){.run = store_run, .done = on_stored, .user = run};
    store_write(run->chat->options.store, run->chat->options.loop, &run->job);
}

static void begin_saving(struct run *run, enum store_status status)
{
    run->state = STATE_SAVING;
    run->status = status;
    tell_finish(run);
    fill_row(run, run->options.arena, &run->row);
    save(run);
}

/* ---- Answering ------------------------------------------------------------------------------- */

static void fail(struct run *run, enum err class, const char *message)
{
    run->failed = true;
    run->error = (struct llm_error){.class = class, .retry_after_ms = -1};
    str_copy(str_from_cstr(message), run->error.message, sizeof run->error.message);
}

static void tell_event(struct run *run, const struct llm_event *event)
{
    switch (event->kind) {
    case LLM_EVENT_START:
        tell_start(run);
        break;
    case LLM_EVENT_TEXT:
        tell_text(run, "text", -1, event->text);
        break;
    case LLM_EVENT_REASONING:
        tell_text(run, "reasoning", -1, event->text);
        break;
    case LLM_EVENT_REFUSAL:
        tell_text(run, "refusal", -1, event->text);
        break;
    case LLM_EVENT_TOOL_START:
        tell_tool_start(run, event);
        break;
    case LLM_EVENT_TOOL_ARGUMENTS:
        tell_text(run, "tool_arguments", event->index, event->text);
        break;
    case LLM_EVENT_USAGE:
        tell_usage(run, &event->usage);
        break;
    case LLM_EVENT_ERROR:
        run->failed = true;
        run->error = *event->error;
        break;
    case LLM_EVENT_OPAQUE:
    case LLM_EVENT_TOOL_END:
    case LLM_EVENT_FINISH:
    case LLM_EVENT_END:
        break;
    }
}

static void on_event(void *user, const struct llm_event *event)
{
    struct run *run = user;
    if (event->kind == LLM_EVENT_END) {
        note_target(run);
        note_story(run);
        run->call = NULL;
        begin_saving(run, run->failed ? STORE_STATUS_FAILED : STORE_STATUS_COMPLETE);
        return;
    }
    if (llm_builder_add(run->builder, event) != ERR_OK) {
        route_cancel(run->call, NULL);
        run->call = NULL;
        fail(run, ERR_TOO_BIG, "The answer is longer than Parley keeps.");
        begin_saving(run, STORE_STATUS_FAILED);
        return;
    }
    tell_event(run, event);
}

/* Another provider goes on, from further back than what was shown. */
static void on_rewind(void *user, size_t text_bytes)
{
    struct run *run = user;
    llm_builder_rewind(run->builder, text_bytes);
    struct json_writer w = begin_event(run, "rewind");
    json_key_int(&w, "text_bytes", (int64_t)(base_text_bytes(run) + text_bytes));
    end_event(run, &w, "rewind");
}

/* An attempt failed, another one began, or an answer was joined. */
static void on_story(void *user)
{
    struct run *run = user;
    note_target(run);
    note_story(run);
    struct json_writer w = begin_event(run, "route");
    json_key_raw(&w, "route", run->options.message.route);
    end_event(run, &w, "route");
}

/* Who asks, for limits and the ledger; its policy is the caller's to give back. */
static enum err find_origin(struct run *run, struct governor_origin *ret_origin,
                            struct error *error)
{
    struct account *account = run->chat->options.account;
    *ret_origin = (struct governor_origin){.address = run->options.address,
                                           .door = STR("parley"),
                                           .request_id = run->options.request_id};
    if (!account)
        return ERR_OK;
    enum err code = account_policy(account, &run->options.who, &ret_origin->policy);
    return code == ERR_OK ? ERR_OK
                          : error_set(error, code, NULL, "the caller may not ask any more");
}

static void start(void *user)
{
    struct run *run = user;
    struct error error = {0};
    static const struct route_events events = {
        .on_event = on_event, .on_rewind = on_rewind, .on_story = on_story};
    struct route_request request = {.request = run->options.request,
                                    .priority = CELL_INTERACTIVE,
                                    .request_id = run->options.request_id,
                                    .tenant = id_str(&run->options.conversation.owner)};
    struct governor_origin origin;
    enum err code = find_origin(run, &origin, &error);
    request.origin = origin.policy ? &origin : NULL;
    if (code == ERR_OK)
        code = route_start(run->chat->options.router, &request, &events, run, &run->call, &error);
    policy_unref(origin.policy);
    if (code == ERR_OK) {
        note_target(run);
        return;
    }
    error.code = code;
    fail(run, code, error_message(&error));
    begin_saving(run, STORE_STATUS_FAILED);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void snapshot(void *user, struct buf *out)
{
    struct run *run = user;
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_message row;
    struct json_writer w;
    if (run->state == STATE_STREAMING)
        fill_row(run, arena, &row);
    else
        row = run->row;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "type", STR("snapshot"));
    json_key(&w, STR("message"));
    chat_write_message(&w, &row);
    json_end_object(&w);
    arena_free(arena);
}

static void journal_begin(struct run *run)
{
    struct json_writer w;
    const struct store_message *message = &run->options.message;
    buf_clear(&run->scratch);
    json_writer_init(&w, &run->scratch);
    json_begin_object(&w);
    json_key_str(&w, "owner", id_str(&message->owner));
    json_key_str(&w, "conversation", id_str(&message->conversation));
    json_key_str(&w, "message", id_str(&message->id));
    json_key_int(&w, "text_bytes", (int64_t)base_text_bytes(run));
    json_end_object(&w);
    if (journal_append(run->chat->options.journal,
                       &(struct journal_record){RUN_RECORD_BEGIN, run->options.id, 0,
                                                buf_str(&run->scratch)}) != ERR_OK)
        run->journal_failed = true;
}

/* How much may still come to what the message holds. */
static size_t room_of(const struct run_options *options)
{
    size_t held = options->message.content.len;
    return held < RUN_ANSWER_BYTES_MAX ? RUN_ANSWER_BYTES_MAX - held : 0;
}

struct run *run_new(struct chat *chat, const struct run_options *options)
{
    struct run *run = calloc(1, sizeof *run);
    ASSERT(run);
    run->chat = chat;
    run->options = *options;
    run->status = STORE_STATUS_STREAMING;
    buf_init(&run->scratch, RUN_LOG_EVENT_BYTES_MAX);
    run->builder = llm_builder_new(options->arena, room_of(options));
    run->log = run_log_new(chat->options.loop, snapshot, run);
    list_append(&chat->runs, &run->link);
    chat->run_count++;
    metric_add(chat->metric_active, 1);
    chat_note_unsaved(chat);
    hub_add_run(chat->options.hub, &(struct hub_run){.id = options->id,
                                                     .owner = options->message.owner,
                                                     .conversation = options->message.conversation,
                                                     .message = options->message.id,
                                                     .loop = chat->options.loop,
                                                     .home = chat,
                                                     .log = run->log});
    journal_begin(run);
    loop_defer(chat->options.loop, &run->start_task, start, run);
    return run;
}

static void end_early(struct run *run, enum store_status status)
{
    loop_task_cancel(&run->start_task);
    if (run->call) {
        note_target(run);
        note_story(run);
        route_cancel(run->call, NULL);
    }
    run->call = NULL;
    begin_saving(run, status);
}

void run_stop(struct run *run)
{
    if (run->state == STATE_STREAMING)
        end_early(run, STORE_STATUS_STOPPED);
}

void run_interrupt(struct run *run)
{
    if (run->state == STATE_STREAMING)
        end_early(run, STORE_STATUS_INTERRUPTED);
    else if (run->state == STATE_SAVING && loop_timer_is_set(&run->timer))
        loop_timer_set(run->chat->options.loop, &run->timer, 0, save, run);
}

void run_free(struct run *run)
{
    struct chat *chat = run->chat;
    ASSERT(run->state == STATE_SAVED);
    loop_timer_cancel(chat->options.loop, &run->timer);
    hub_remove_run(chat->options.hub, &run->options.id);
    list_remove(&run->link);
    chat->run_count--;
    run_log_unref(run->log);
    buf_done(&run->scratch);
    arena_free(run->options.arena);
    free(run);
}
