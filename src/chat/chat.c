/* Chat: its life, stopping runs, shutting down, and how its records look to clients. Asking for an
 * answer is in ask.c, the answer itself in run.c. */
#include "chat/chat.h"

#include <stdlib.h>

#include "base/assert.h"
#include "chat/chat_internal.h"
#include "chat/response_run.h"

static const struct metric_definition metric_active = {
    "parley_runs_active", "Answers being written.", METRIC_GAUGE, NULL, 0};

struct chat *chat_new(const struct chat_options *options)
{
    struct chat *chat = calloc(1, sizeof *chat);
    ASSERT(chat);
    chat->options = *options;
    chat->metric_active = metric_get(options->metrics, &metric_active, "");
    list_init(&chat->runs);
    list_init(&chat->responses);
    return chat;
}

void chat_free(struct chat *chat)
{
    if (!chat)
        return;
    ASSERT(chat->unsaved_count == 0);
    LIST_EACH (&chat->runs, link)
        run_free(run_of_link(link));
    LIST_EACH (&chat->responses, link)
        response_run_free(response_run_of_link(link));
    loop_timer_cancel(chat->options.loop, &chat->drain_timer);
    loop_task_cancel(&chat->drain_task);
    free(chat);
}

/* ---- Shutting down --------------------------------------------------------------------------- */

static void drained(void *user)
{
    struct chat *chat = user;
    void (*on_drained)(void *) = chat->on_drained;
    loop_timer_cancel(chat->options.loop, &chat->drain_timer);
    chat->on_drained = NULL; /* asks that are refused from now on come and go unnoticed */
    if (on_drained)
        on_drained(chat->drain_user);
}

void chat_note_unsaved(struct chat *chat)
{
    chat->unsaved_count++;
}

void chat_note_saved(struct chat *chat)
{
    chat->unsaved_count--;
    if (chat->draining && chat->unsaved_count == 0)
        loop_defer(chat->options.loop, &chat->drain_task, drained, chat);
}

static void interrupt_rest(void *user)
{
    struct chat *chat = user;
    chat->interrupting = true;
    LIST_EACH (&chat->runs, link)
        run_interrupt(run_of_link(link));
    LIST_EACH (&chat->responses, link)
        response_run_interrupt(response_run_of_link(link));
}

void chat_drain(struct chat *chat, uint64_t limit_ms, void (*on_done)(void *user), void *user)
{
    chat->draining = true;
    chat->on_drained = on_done;
    chat->drain_user = user;
    if (chat->unsaved_count == 0)
        loop_defer(chat->options.loop, &chat->drain_task, drained, chat);
    else
        loop_timer_set(chat->options.loop, &chat->drain_timer, limit_ms, interrupt_rest, chat);
}

/* ---- Stopping -------------------------------------------------------------------------------- */

/* A request to stop, on its way to the run's home loop. */
struct stop_message {
    struct loop_task task;
    struct hub *hub;
    struct id run;
    bool is_response;
};

static enum err find(struct hub *hub, const struct id *id, bool is_response,
                     struct hub_run *ret_found)
{
    return is_response ? hub_find_response(hub, id, ret_found) : hub_find_run(hub, id, ret_found);
}

static void stop_run(struct chat *chat, const struct id *id)
{
    LIST_EACH (&chat->runs, link) {
        struct run *run = run_of_link(link);
        if (id_eq(run_id(run), id)) {
            run_stop(run);
            return;
        }
    }
}

static void stop_response(struct chat *chat, const struct id *id)
{
    LIST_EACH (&chat->responses, link) {
        struct response_run *run = response_run_of_link(link);
        if (id_eq(response_run_id(run), id)) {
            response_run_stop(run);
            return;
        }
    }
}

/* The chat may have been freed while this was on its way; it takes its runs out of the hub first.
 */
static void stop_at_home(void *user)
{
    struct stop_message *message = user;
    struct hub_run found;
    if (find(message->hub, &message->run, message->is_response, &found) == ERR_OK) {
        run_log_unref(found.log);
        (message->is_response ? stop_response : stop_run)(found.home, &message->run);
    }
    free(message);
}

static enum err stop(struct chat *chat, const struct id *owner, const struct id *run,
                     bool is_response)
{
    struct hub_run found;
    if (find(chat->options.hub, run, is_response, &found) != ERR_OK)
        return ERR_NOT_FOUND;
    run_log_unref(found.log);
    if (!id_eq(&found.owner, owner))
        return ERR_NOT_FOUND;
    struct stop_message *message = calloc(1, sizeof *message);
    ASSERT(message);
    message->hub = chat->options.hub;
    message->run = *run;
    message->is_response = is_response;
    if (!loop_post(found.loop, &message->task, stop_at_home, message))
        free(message); /* it is shutting down: the run ends anyway */
    return ERR_OK;
}

enum err chat_stop(struct chat *chat, const struct id *owner, const struct id *run)
{
    return stop(chat, owner, run, false);
}

enum err chat_stop_response(struct chat *chat, const struct id *owner, const struct id *response)
{
    return stop(chat, owner, response, true);
}

/* ---- In our protocol's form ------------------------------------------------------------------ */

static void key_id(struct json_writer *w, const char *key, const struct id *id)
{
    json_key_str(w, key, id_str(id)); /* none writes null */
}

void chat_write_conversation(struct json_writer *w, const struct store_conversation *conversation)
{
    json_begin_object(w);
    key_id(w, "id", &conversation->id);
    json_key_str(w, "title", conversation->title);
    json_key_str(w, "model", conversation->model);
    key_id(w, "leaf_id", &conversation->leaf);
    json_key_time(w, "created_at", conversation->created_ms);
    json_key_time(w, "updated_at", conversation->updated_ms);
    json_end_object(w);
}

/* The content without what only providers need; a damaged one shows as empty. */
static void write_content(struct json_writer *w, struct str content)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct llm_part *parts = NULL;
    size_t count = 0;
    if (content_read(arena, content, &parts, &count) != ERR_OK)
        count = 0;
    content_write(w, parts, count, false);
    arena_free(arena);
}

void chat_write_message(struct json_writer *w, const struct store_message *message)
{
    json_begin_object(w);
    key_id(w, "id", &message->id);
    key_id(w, "conversation_id", &message->conversation);
    key_id(w, "parent_id", &message->parent);
    json_key_str(w, "role", message->role);
    json_key_str(w, "status", str_from_cstr(store_status_name(message->status)));
    json_key(w, STR("content"));
    write_content(w, message->content);
    json_key_str(w, "model", message->model);
    json_key_str(w, "finish", message->finish);
    json_key_raw(w, "error", message->error);
    json_key_raw(w, "usage", message->usage);
    json_key_raw(w, "route", message->route);
    key_id(w, "run_id", &message->run);
    json_key_time(w, "created_at", message->created_ms);
    json_end_object(w);
}

void chat_write_accepted(struct json_writer *w, const struct chat_accepted *accepted)
{
    json_key(w, STR("conversation"));
    chat_write_conversation(w, &accepted->conversation);
    json_key(w, STR("user_message"));
    if (id_is_none(&accepted->user_message.id))
        json_put_null(w);
    else
        chat_write_message(w, &accepted->user_message);
    json_key(w, STR("message"));
    chat_write_message(w, &accepted->message);
    key_id(w, "run_id", &accepted->run);
}
