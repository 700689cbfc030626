/* Asking for an answer: one transaction stores the person's message and an empty answer, and reads
 * the path from the root; after its commit the run begins. Nothing is stored when anything in the
 * request is wrong. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "chat/chat_internal.h"

struct ask {
    struct chat *chat;
    struct chat_ask request;
    struct arena *arena;
    chat_ask_done_fn *done;
    void *user;
    struct chat_accepted accepted;
    struct store_message *path; /* what the answer is to, from the root */
    size_t path_count;
    struct llm_part *base;
    size_t base_count;
    struct store_job job;
    struct loop_task refuse_task;
    struct error error;
};

/* Said to a model that is to go on with an answer of its own that was cut off. */
static const char continue_prompt[] = "Continue your last answer exactly where it stopped. Do not "
                                      "repeat any of it, do not comment on "
                                      "the interruption.";

/* ---- Inside the transaction ------------------------------------------------------------------ */

static enum err open_conversation(struct ask *ask, struct store_tx *tx, struct error *error)
{
    struct store_conversation *conversation = &ask->accepted.conversation;
    struct chat_ask *request = &ask->request;
    int64_t now = clock_wall_ms();
    if (!id_is_none(&request->conversation))
        return store_conversation_get(tx, ask->arena, &request->owner, &request->conversation,
                                      conversation, error);
    if (!id_is_none(&request->parent))
        return error_set(error, ERR_INVALID, "parent_id", "needs a conversation_id");
    *conversation = (struct store_conversation){
        .owner = request->owner,
        .id = id_new(now),
        .title = content_title(ask->arena, request->parts, request->part_count),
        .model = request->model.data ? request->model : STR(""),
        .created_ms = now,
        .updated_ms = now,
    };
    return store_conversation_insert(tx, conversation, error);
}

static struct store_message new_message(const struct ask *ask, const char *role,
                                        const struct id *parent)
{
    int64_t now = clock_wall_ms();
    return (struct store_message){
        .owner = ask->request.owner,
        .conversation = ask->accepted.conversation.id,
        .id = id_new(now),
        .parent = *parent,
        .role = str_from_cstr(role),
        .content = STR("[]"),
        .model = STR(""),
        .finish = STR(""),
        .error = STR(""),
        .usage = STR(""),
        .route = STR(""),
        .created_ms = now,
    };
}

static enum err insert_user_message(struct ask *ask, struct store_tx *tx, struct error *error)
{
    struct store_message *message = &ask->accepted.user_message;
    struct buf content;
    struct json_writer w;
    *message = new_message(ask, "user", &ask->request.parent);
    buf_init(&content, 4 * (size_t)CONTENT_IMAGE_BYTES_MAX * CONTENT_PARTS_MAX);
    json_writer_init(&w, &content);
    content_write(&w, ask->request.parts, ask->request.part_count, true);
    message->content = arena_str(ask->arena, buf_str(&content));
    buf_done(&content);
    if (!id_is_none(&message->parent)) {
        struct store_message parent;
        enum err code = store_message_get(tx, ask->arena, &message->owner, &message->conversation,
                                          &message->parent, &parent, error);
        if (code == ERR_NOT_FOUND)
            return error_set(error, code, "parent_id", "there is no such message here");
        if (code != ERR_OK)
            return code;
        if (!str_eq(parent.role, STR("assistant")))
            return error_set(error, ERR_INVALID, "parent_id", "must be an answer, or null");
        if (parent.status == STORE_STATUS_STREAMING)
            return error_set(error, ERR_CONFLICT, "parent_id",
                             "is still being written: wait for its end or stop it");
    }
    return store_message_insert(tx, message, error);
}

static enum err insert_answer(struct ask *ask, struct store_tx *tx, const struct id *parent,
                              struct error *error)
{
    struct store_message *message = &ask->accepted.message;
    *message = new_message(ask, "assistant", parent);
    message->status = STORE_STATUS_STREAMING;
    message->model = ask->request.model;
    message->run = ask->accepted.run;
    return store_message_insert(tx, message, error);
}

static enum err get_message(struct ask *ask, struct store_tx *tx, const char *role,
                            struct store_message *ret, struct error *error)
{
    const struct chat_ask *request = &ask->request;
    enum err code = store_message_get(tx, ask->arena, &request->owner, &request->conversation,
                                      &request->message, ret, error);
    if (code == ERR_NOT_FOUND)
        return error_set(error, code, "message_id", "there is no such message");
    if (code == ERR_OK && !str_eq(ret->role, str_from_cstr(role)))
        return error_set(error, ERR_INVALID, "message_id", "must be %s message",
                         role[0] == 'u' ? "a user's" : "an assistant's");
    return code;
}

/* A conversation may have been made empty (pictures go by REST, which makes it first): its first
 * message names it, unless somebody has given it a name already. */
static void name_conversation(struct ask *ask)
{
    struct store_conversation *conversation = &ask->accepted.conversation;
    if (id_is_none(&conversation->leaf) && str_eq(conversation->title, STR(CONTENT_TITLE_DEFAULT)))
        conversation->title =
            content_title(ask->arena, ask->request.parts, ask->request.part_count);
}

static enum err prepare_send(struct ask *ask, struct store_tx *tx, struct error *error)
{
    name_conversation(ask);
    enum err code = insert_user_message(ask, tx, error);
    return code == ERR_OK ? insert_answer(ask, tx, &ask->accepted.user_message.id, error) : code;
}

static enum err prepare_answer(struct ask *ask, struct store_tx *tx, struct error *error)
{
    struct store_message question;
    enum err code = get_message(ask, tx, "user", &question, error);
    return code == ERR_OK ? insert_answer(ask, tx, &question.id, error) : code;
}

static enum err prepare_continue(struct ask *ask, struct store_tx *tx, struct error *error)
{
    struct store_message *message = &ask->accepted.message;
    enum err code = get_message(ask, tx, "assistant", message, error);
    if (code != ERR_OK)
        return code;
    if (message->status == STORE_STATUS_STREAMING)
        return error_set(error, ERR_CONFLICT, "message_id", "is still being written");
    if (message->status == STORE_STATUS_COMPLETE && !str_eq(message->finish, STR("length")))
        return error_set(error, ERR_CONFLICT, "message_id", "is complete already");
    code = content_read(ask->arena, message->content, &ask->base, &ask->base_count);
    if (code != ERR_OK)
        return error_set(error, code, "message_id", "the stored answer cannot be read");
    message->status = STORE_STATUS_STREAMING;
    message->run = ask->accepted.run;
    message->finish = message->error = message->route = STR("");
    return store_message_update(tx, message, error);
}

/* On the store's writer thread. */
static enum err store_ask(struct store_tx *tx, void *user, struct error *error)
{
    static enum err (*const prepare[])(struct ask *, struct store_tx *, struct error *) = {
        [CHAT_SEND] = prepare_send,
        [CHAT_ANSWER] = prepare_answer,
        [CHAT_CONTINUE] = prepare_continue,
    };
    struct ask *ask = user;
    struct chat_accepted *accepted = &ask->accepted;
    enum err code = open_conversation(ask, tx, error);
    if (code == ERR_OK && !ask->request.model.len)
        ask->request.model = accepted->conversation.model;
    if (code == ERR_OK)
        code = prepare[ask->request.kind](ask, tx, error);
    if (code != ERR_OK)
        return code;
    accepted->conversation.leaf = accepted->message.id;
    accepted->conversation.model = ask->request.model;
    accepted->conversation.updated_ms = clock_wall_ms();
    code = store_conversation_update(tx, &accepted->conversation, error);
    if (code != ERR_OK || id_is_none(&accepted->message.parent))
        return code;
    return store_message_path(tx, ask->arena, &ask->request.owner, &accepted->conversation.id,
                              &accepted->message.parent, &ask->path, &ask->path_count, error);
}

/* ---- After it: the canonical request --------------------------------------------------------- */

static void add_message(struct llm_request *request, enum llm_role role, struct llm_part *parts,
                        size_t count)
{
    if (count)
        request->messages[request->message_count++] =
            (struct llm_message){.role = role, .parts = parts, .part_count = count};
}

/* What is asked of the model: the path, and when continuing what the answer holds already. */
static const struct llm_request *build_request(struct ask *ask)
{
    struct arena *arena = ask->arena;
    struct llm_request *request = ARENA_NEW(arena, struct llm_request);
    request->model = ask->request.model;
    request->stream = true;
    request->stream_usage = true;
    request->messages = ARENA_NEW_ARRAY(arena, ask->path_count + 2, struct llm_message);
    for (size_t i = 0; i < ask->path_count; i++) {
        const struct store_message *row = &ask->path[i];
        struct llm_part *parts;
        size_t count;
        if (content_read(arena, row->content, &parts, &count) == ERR_OK)
            add_message(request, str_eq(row->role, STR("user")) ? LLM_USER : LLM_ASSISTANT, parts,
                        count);
    }
    if (ask->base_count) {
        struct llm_part *prompt = ARENA_NEW(arena, struct llm_part);
        prompt->text = str_from_cstr(continue_prompt);
        add_message(request, LLM_ASSISTANT, ask->base, ask->base_count);
        add_message(request, LLM_USER, prompt, 1);
    }
    return request;
}

static void end_ask(struct ask *ask, enum err code)
{
    struct chat *chat = ask->chat;
    if (code != ERR_OK) {
        ask->error.code = code;
        ask->done(ask->user, code, &ask->error, NULL);
        arena_free(ask->arena);
        free(ask);
        chat_note_saved(chat);
        return;
    }
    struct run_options options = {
        .id = ask->accepted.run,
        .arena = ask->arena, /* the run's from here on */
        .request = build_request(ask),
        .conversation = ask->accepted.conversation,
        .message = ask->accepted.message,
        .base = ask->base,
        .base_count = ask->base_count,
        .request_id = ask->request.request_id,
        .who = ask->request.who,
        .address = ask->request.address,
    };
    struct run *run =
        run_new(chat, &options); /* it begins a turn later: `accepted` is said first */
    ask->done(ask->user, ERR_OK, NULL, &ask->accepted);
    hub_publish(chat->options.hub, &ask->request.owner, &ask->accepted.conversation.id,
                ask->request.asker);
    if (chat->interrupting)
        run_interrupt(run);
    free(ask);
    chat_note_saved(chat);
}

static void on_stored(void *user, enum err code, const struct error *error)
{
    struct ask *ask = user;
    if (code != ERR_OK && error)
        ask->error = *error;
    end_ask(ask, code);
}

static void refuse(void *user)
{
    struct ask *ask = user;
    end_ask(ask, ask->error.code);
}

/* What can be told without the database. An unknown model is refused before anything is stored; one
 * whose provider is away is not: the message is kept and says why. */
static enum err check(struct ask *ask)
{
    struct chat *chat = ask->chat;
    if (chat->draining)
        return error_set(&ask->error, ERR_UNAVAILABLE, NULL, "Parley is shutting down");
    if (chat->unsaved_count > CHAT_RUNS_MAX)
        return error_set(&ask->error, ERR_RATE_LIMITED, NULL, "too many answers are being written");
    if (!ask->request.model.len)
        return ERR_OK;
    const struct catalog *catalog = registry_acquire(chat->options.registry);
    enum err code = catalog_check(catalog, ask->request.model, &ask->error);
    catalog_unref(catalog);
    return code == ERR_MODEL_NOT_FOUND ? code : ERR_OK;
}

void chat_ask(struct chat *chat, const struct chat_ask *request, chat_ask_done_fn *done, void *user)
{
    struct ask *ask = calloc(1, sizeof *ask);
    ASSERT(ask);
    ask->chat = chat;
    ask->request = *request;
    ask->arena = request->arena;
    ask->request.model = arena_str(ask->arena, request->model.data ? request->model : STR(""));
    ask->request.request_id = arena_str(ask->arena, request->request_id);
    ask->request.address = arena_str(ask->arena, request->address);
    ask->done = done;
    ask->user = user;
    ask->accepted.run = id_new(clock_wall_ms());
    chat_note_unsaved(chat);
    enum err code = check(ask);
    if (code != ERR_OK) {
        ask->error.code = code;
        loop_defer(chat->options.loop, &ask->refuse_task, refuse, ask);
        return;
    }
    ask->job = (struct store_job){.run = store_ask, .done = on_stored, .user = ask};
    store_write(chat->options.store, chat->options.loop, &ask->job);
}
