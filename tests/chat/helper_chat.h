/* For tests of the chat floor: everything a chat stands on, real, in a folder of its own. The
 * providers are the built-in one without delay, "fake" (a server driven by hand), "away" (nobody
 * listens there). The route "both" asks fake/m, then fake/n, each once. */
#pragma once

#include "../llm/helper_call.h"

#include <sys/stat.h>

#include "chat/chat.h"
#include "chat/run.h"

struct chat_fixture {
    struct call_fixture *net;
    char *directory;
    struct store *store;
    struct journal *journal;
    struct cells *cells;
    struct registry *registry;
    struct metric_registry *metrics;
    struct router *router;
    struct hub *hub;
    struct chat *chat;
    struct id owner;
    bool drained;
    int log_fd;
    struct log *log;
};

static inline void chat_providers(struct chat_fixture *f, uint64_t eliza_delay_ms)
{
    struct provider *parley = NULL, *away = NULL;
    struct provider_options here = {.name = STR("parley"), .eliza_delay_ms = eliza_delay_ms};
    struct provider_options gone = {.name = STR("away"),
                                    .kind = STR("openai-compatible"),
                                    .base_url = STR("http://127.0.0.1:1")};
    assert_int_equal(provider_new(&here, &parley, NULL), ERR_OK);
    assert_int_equal(provider_new(&gone, &away, NULL), ERR_OK);
    const struct registry_entry entries[] = {
        {.provider = parley, .name = STR("parley"), .source = "default"},
        {.provider = away, .name = STR("away"), .source = "file"},
        {.provider = f->net->provider, .name = STR("fake"), .source = "file"},
        {.name = STR("broken"), .error = STR("no key"), .source = "file"}};
    struct route_policy policy = route_policy_default;
    policy.attempts_max =
        1; /* what fails has failed: asking again is the router's, and tested there */
    const struct str both[] = {STR("fake/m"), STR("fake/n")};
    const struct registry_route route = {.name = STR("both"),
                                         .source = "file",
                                         .policy = policy,
                                         .targets = both,
                                         .target_count = 2};
    registry_configure(f->registry,
                       &(struct registry_configuration){.entries = entries,
                                                        .entry_count = 4,
                                                        .policy = &policy,
                                                        .routes = &route,
                                                        .route_count = 1,
                                                        .default_model = STR("parley/eliza")});
    provider_unref(parley);
    provider_unref(away);
}

static inline enum err chat_insert_owner(struct store_tx *tx, void *user, struct error *error)
{
    struct chat_fixture *f = user;
    const struct store_user row = {.id = f->owner,
                                   .email = STR("a@b.c"),
                                   .name = STR("A"),
                                   .role = STR("user"),
                                   .password_hash = STR(""),
                                   .created_ms = 1};
    return store_user_insert(tx, &row, error);
}

static inline void chat_open(struct chat_fixture *f)
{
    struct error error = {0};
    if (store_open(&(struct store_options){.directory = f->directory}, &f->store, &error) != ERR_OK)
        fail_msg("store_open: %s", error.message);
}

/* Opens journal and chat; recovery, if any, comes before. */
static inline void chat_begin(struct chat_fixture *f)
{
    struct error error = {0};
    if (journal_open(f->net->loop, &(struct journal_options){.directory = f->directory},
                     &f->journal, &error) != ERR_OK)
        fail_msg("journal_open: %s", error.message);
    f->router = router_new(&(struct router_options){.loop = f->net->loop,
                                                    .client = f->net->client,
                                                    .registry = f->registry,
                                                    .metrics = f->metrics});
    f->hub = hub_new();
    f->chat = chat_new(&(struct chat_options){.loop = f->net->loop,
                                              .router = f->router,
                                              .registry = f->registry,
                                              .store = f->store,
                                              .journal = f->journal,
                                              .hub = f->hub,
                                              .log = f->log,
                                              .metrics = f->metrics});
}

static inline int chat_setup(void **state)
{
    struct chat_fixture *f = calloc(1, sizeof *f);
    const char *parent = getenv("TMPDIR");
    assert_true(asprintf(&f->directory, "%s/parley-test-XXXXXX", parent ? parent : "/tmp") > 0);
    assert_non_null(mkdtemp(f->directory));
    call_setup((void **)&f->net);
    f->owner = id_new(clock_wall_ms());
    f->cells = cells_new();
    f->registry = registry_new(NULL, f->cells);
    f->metrics = metric_registry_new();
    f->log_fd = -1;
    f->log = log_new(-1, LOG_INFO, LOG_FORMAT_TEXT);
    chat_providers(f, 0);
    chat_open(f);
    assert_int_equal(store_write_now(f->store, chat_insert_owner, f, NULL), ERR_OK);
    chat_begin(f);
    *state = f;
    return 0;
}

static inline void chat_on_drained(void *user)
{
    struct chat_fixture *f = user;
    assert_false(f->drained);
    f->drained = true;
}

/* Ends the chat as a shutting down program does. */
static inline void chat_end(struct chat_fixture *f, uint64_t limit_ms)
{
    f->drained = false;
    chat_drain(f->chat, limit_ms, chat_on_drained, f);
    assert_false(f->drained);
    TURN_UNTIL(f->net->loop, f->drained);
    chat_free(f->chat);
    journal_close(f->journal);
    router_free(f->router);
    hub_free(f->hub);
    f->chat = NULL;
}

static inline int chat_teardown(void **state)
{
    struct chat_fixture *f = *state;
    if (f->chat)
        chat_end(f, 0);
    for (int i = 0; i < 3; i++)
        helper_turn(f->net->loop);
    if (f->store)
        store_close(f->store);
    registry_free(f->registry);
    cells_free(f->cells);
    metric_registry_free(f->metrics);
    log_free(f->log);
    call_teardown((void **)&f->net);
    char *command = NULL;
    assert_true(asprintf(&command, "chmod -R u+w '%s'; rm -rf '%s'", f->directory, f->directory) >
                0);
    assert_int_equal(system(command), 0);
    free(command);
    free(f->directory);
    free(f);
    return 0;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* What became of one ask. */
struct asked {
    struct chat_fixture *f;
    int dones;
    enum err code;
    struct error error;
    struct id conversation, user_message, message, run;
    char title[200];
    char status[20];
};

static inline void asked_done(void *user, enum err code, const struct error *error,
                              const struct chat_accepted *accepted)
{
    struct asked *asked = user;
    asked->dones++;
    asked->code = code;
    if (code != ERR_OK) {
        assert_null(accepted);
        assert_int_equal(error->code, code);
        asked->error = *error;
        return;
    }
    asked->conversation = accepted->conversation.id;
    asked->user_message = accepted->user_message.id;
    asked->message = accepted->message.id;
    asked->run = accepted->run;
    str_copy(accepted->conversation.title, asked->title, sizeof asked->title);
    str_copy(str_from_cstr(store_status_name(accepted->message.status)), asked->status,
             sizeof asked->status);
}

/* Asks and waits for the answer to that, not for the run. `text` NULL: none. */
static inline enum err ask(struct chat_fixture *f, struct asked *asked, struct chat_ask request,
                           const char *text)
{
    *asked = (struct asked){.f = f};
    request.arena = arena_new(64 * 1024 * 1024);
    if (id_is_none(&request.owner))
        request.owner = f->owner;
    if (text) {
        request.parts = ARENA_NEW(request.arena, struct llm_part);
        request.parts[0].text = arena_str(request.arena, str_from_cstr(text));
        request.part_count = 1;
    }
    chat_ask(f->chat, &request, asked_done, asked);
    assert_int_equal(asked->dones, 0);
    TURN_UNTIL(f->net->loop, asked->dones);
    assert_int_equal(asked->dones, 1);
    return asked->code;
}

static inline void send_first(struct chat_fixture *f, struct asked *asked, const char *model,
                              const char *text)
{
    if (ask(f, asked, (struct chat_ask){.model = str_from_cstr(model)}, text) != ERR_OK)
        fail_msg("send: %s: %s", asked->error.field, asked->error.message);
}

/* ---- Listening ------------------------------------------------------------------------------- */

/* Everything a run says from a sequence number on, "type " of each and the objects, a line each. */
struct listening {
    struct run_log *log;
    struct run_listener *listener;
    struct buf types, lines;
    uint64_t sequence;
    bool ended;
};

static inline void listening_ready(void *user)
{
    struct listening *l = user;
    const char *type;
    uint64_t sequence;
    enum run_pull pull;
    while ((pull = run_log_pull(l->listener, &sequence, &type, &l->lines)) == RUN_PULL_EVENT) {
        assert_true(sequence > l->sequence);
        l->sequence = sequence;
        buf_append_char(&l->lines, '\n');
        buf_printf(&l->types, "%s ", type);
    }
    l->ended = pull == RUN_PULL_END;
}

static inline void listening_begin(struct chat_fixture *f, struct listening *l,
                                   const struct id *run, uint64_t after)
{
    struct hub_run found;
    *l = (struct listening){.sequence = after};
    assert_int_equal(hub_find_run(f->hub, run, &found), ERR_OK);
    buf_init(&l->types, 1024 * 1024);
    buf_init(&l->lines, 512 * 1024 * 1024);
    l->log = found.log;
    l->listener = run_log_attach(found.log, f->net->loop, after, listening_ready, l);
}

static inline void listening_done(struct listening *l)
{
    run_log_detach(l->listener);
    run_log_unref(l->log);
    buf_done(&l->types);
    buf_done(&l->lines);
}

static inline bool listening_has(const struct listening *l, const char *part)
{
    return str_find(buf_str(&l->lines), str_from_cstr(part)) != SIZE_MAX;
}

/* Waits until the run has been saved and said so. */
static inline void wait_saved(struct chat_fixture *f, const struct asked *asked)
{
    struct listening l;
    listening_begin(f, &l, &asked->run, 0);
    TURN_UNTIL(f->net->loop, l.ended);
    assert_true(str_ends_with(buf_str(&l.types), STR("finish saved ")));
    listening_done(&l);
}

/* ---- Looking into the store ------------------------------------------------------------------ */

struct stored {
    const struct id *owner, *conversation, *id;
    struct arena *arena;
    struct store_message message;
    struct store_message *messages;
    struct store_conversation conversation_row;
    size_t count;
    int change_status; /* to, or -1 */
    struct str content;
};

static inline enum err stored_read(struct store_tx *tx, void *user, struct error *error)
{
    struct stored *stored = user;
    enum err code = store_conversation_get(tx, stored->arena, stored->owner, stored->conversation,
                                           &stored->conversation_row, error);
    if (code == ERR_OK)
        code = store_message_list(tx, stored->arena, stored->owner, stored->conversation,
                                  &stored->messages, &stored->count, error);
    if (code == ERR_OK && stored->id)
        code = store_message_get(tx, stored->arena, stored->owner, stored->conversation, stored->id,
                                 &stored->message, error);
    return code;
}

/* Reads a conversation and (`id` not NULL) one of its messages; free with arena_free(ret.arena). */
static inline struct stored stored_get(struct chat_fixture *f, const struct id *conversation,
                                       const struct id *id)
{
    struct stored stored = {.owner = &f->owner,
                            .conversation = conversation,
                            .id = id,
                            .arena = arena_new(256 * 1024 * 1024)};
    assert_int_equal(store_read_now(f->store, stored_read, &stored, NULL), ERR_OK);
    return stored;
}

static inline void expect_message(struct chat_fixture *f, const struct asked *asked,
                                  enum store_status status, const char *part)
{
    struct stored stored = stored_get(f, &asked->conversation, &asked->message);
    assert_string_equal(store_status_name(stored.message.status), store_status_name(status));
    if (str_find(stored.message.content, str_from_cstr(part)) == SIZE_MAX)
        fail_msg("no %s in %.*s", part, STR_ARG(stored.message.content));
    arena_free(stored.arena);
}

struct count_conversations {
    const struct id *owner;
    size_t count;
};

static inline enum err count_conversations(struct store_tx *tx, void *user, struct error *error)
{
    struct count_conversations *count = user;
    struct arena *arena = arena_new(1024 * 1024);
    struct store_conversation *rows;
    struct str next;
    enum err code = store_conversation_list(tx, arena, count->owner, STR(""), 100, &rows,
                                            &count->count, &next, error);
    arena_free(arena);
    return code;
}

static inline size_t conversation_count(struct chat_fixture *f)
{
    struct count_conversations count = {.owner = &f->owner};
    assert_int_equal(store_read_now(f->store, count_conversations, &count, NULL), ERR_OK);
    return count.count;
}
