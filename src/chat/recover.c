/* After a crash: what the journals hold of unfinished answers goes into their messages.
 *
 * The journals are read whole into one builder per run (in memory: an answer is bounded), then one
 * transaction writes every message that is still marked streaming; only then are the journals
 * removed. A crash in between repeats all of it with the same result. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"
#include "chat/chat.h"
#include "chat/run.h"

/* What the journal knows of one run. What its answer held before, when it was continued, is in the
 * message: that is not written until the end. */
struct remains {
    struct arena *arena;
    struct llm_builder *builder;
    bool ended; /* the rest is set then; else of what came before, or STR_NONE */
    enum store_status status;
    struct str model;
    struct str finish;
    struct str error;
    struct str usage;
    struct str route;
    size_t base_text_bytes; /* of its message, which the places in events are counted with */
    uint64_t sequence;      /* of the last event taken: records are in order, repeats are dropped */
};

struct recovery {
    struct map *runs;      /* id -> struct remains */
    struct arena *scratch; /* of one record */
    struct log *log;
    size_t recovered;
};

static struct remains *remains_of(struct recovery *recovery, const struct id *run)
{
    struct remains *remains = map_get(recovery->runs, id_str(run));
    if (remains)
        return remains;
    remains = calloc(1, sizeof *remains);
    ASSERT(remains);
    remains->arena = arena_new(SIZE_MAX);
    remains->builder = llm_builder_new(remains->arena, RUN_ANSWER_BYTES_MAX);
    map_set(recovery->runs, id_str(run), remains);
    return remains;
}

/* A member that is an object, as JSON text; empty when it is null. */
static struct str object_text(struct remains *remains, yyjson_val *value)
{
    return yyjson_is_obj(value) ? json_text(remains->arena, value) : STR("");
}

/* Whom the story names last has answered, or was asked. */
static void take_route(struct remains *remains, yyjson_val *route)
{
    if (!yyjson_is_obj(route))
        return;
    remains->route = json_text(remains->arena, route);
    remains->model = arena_str(remains->arena, json_get_str(route, "target"));
}

/* Another provider went on from further back. */
static void take_rewind(struct remains *remains, yyjson_val *root)
{
    int64_t text_bytes;
    if (str_eq(json_get_str(root, "type"), STR("rewind")) &&
        json_get_int(root, "text_bytes", &text_bytes) &&
        text_bytes >= (int64_t)remains->base_text_bytes)
        llm_builder_rewind(remains->builder, (size_t)text_bytes - remains->base_text_bytes);
}

static void take_begin(struct remains *remains, yyjson_val *root)
{
    int64_t text_bytes;
    if (json_get_int(root, "text_bytes", &text_bytes) && text_bytes > 0)
        remains->base_text_bytes = (size_t)text_bytes;
}

/* What is not in the parts of the answer: who answered and why, the counts, and how it ended. */
static void take_about(struct remains *remains, yyjson_val *root)
{
    struct str type = json_get_str(root, "type");
    struct str status = json_get_str(root, "status");
    if (str_eq(type, STR("start")))
        remains->model = arena_str(remains->arena, json_get_str(root, "model"));
    if (str_eq(type, STR("usage")))
        remains->usage = object_text(remains, json_get(root, "usage"));
    if (str_eq(type, STR("route")))
        take_route(remains, json_get(root, "route"));
    if (!str_eq(type, STR("finish")))
        return;
    remains->finish = arena_str(remains->arena, json_get_str(root, "finish"));
    remains->error = object_text(remains, json_get(root, "error"));
    for (int i = STORE_STATUS_COMPLETE; i <= STORE_STATUS_INTERRUPTED; i++) {
        if (i == STORE_STATUS_STREAMING || !str_eq(status, str_from_cstr(store_status_name(i))))
            continue;
        remains->status = (enum store_status)i;
        remains->ended = true;
    }
}

/* An event of our protocol back to a canonical one; false for those that add nothing to a message.
 */
static bool event_of(yyjson_val *root, struct llm_event *event)
{
    static const struct {
        const char *type;
        enum llm_event_kind kind;
    } kinds[] = {
        {"text", LLM_EVENT_TEXT},
        {"reasoning", LLM_EVENT_REASONING},
        {"refusal", LLM_EVENT_REFUSAL},
        {"tool_start", LLM_EVENT_TOOL_START},
        {"tool_arguments", LLM_EVENT_TOOL_ARGUMENTS},
    };
    struct str type = json_get_str(root, "type");
    int64_t index = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!str_eq(type, str_from_cstr(kinds[i].type)))
            continue;
        json_get_int(root, "index", &index);
        *event = (struct llm_event){.kind = kinds[i].kind,
                                    .index = (int)index,
                                    .text = json_get_str(root, "text"),
                                    .id = json_get_str(root, "id"),
                                    .name = json_get_str(root, "name")};
        return true;
    }
    return false;
}

static enum err on_record(void *user, const struct journal_record *record)
{
    struct recovery *recovery = user;
    yyjson_val *root;
    struct llm_event event;
    if (record->kind != RUN_RECORD_BEGIN && record->kind != RUN_RECORD_EVENT)
        return ERR_OK; /* the ledger's */
    struct remains *remains = remains_of(recovery, &record->id);
    arena_reset(recovery->scratch);
    if (json_read(recovery->scratch, record->payload, &root, NULL) != ERR_OK)
        return ERR_OK; /* its checksum was right, so this is from another version: leave it */
    if (record->kind == RUN_RECORD_BEGIN)
        take_begin(remains, root);
    if (record->kind != RUN_RECORD_EVENT || record->sequence <= remains->sequence)
        return ERR_OK;
    remains->sequence = record->sequence;
    take_about(remains, root);
    take_rewind(remains, root);
    if (event_of(root, &event) && llm_builder_add(remains->builder, &event) != ERR_OK)
        log_warning(recovery->log, "a recovered answer is too long and was cut");
    return ERR_OK;
}

/* What the message held with what came since. */
static struct str recovered_content(struct remains *remains, struct str held)
{
    const struct llm_response *response = llm_builder_response(remains->builder);
    struct llm_part *base = NULL, *parts;
    size_t base_count = 0, count;
    struct buf out;
    struct json_writer w;
    if (content_read(remains->arena, held, &base, &base_count) != ERR_OK)
        base_count = 0;
    run_merge_parts(remains->arena, base, base_count, response->parts, response->part_count, &parts,
                    &count);
    buf_init(&out, SIZE_MAX / 2);
    json_writer_init(&w, &out);
    content_write(&w, parts, count, true);
    struct str content = arena_str(remains->arena, buf_str(&out));
    buf_done(&out);
    return content;
}

static void apply_remains(struct remains *remains, struct store_message *message)
{
    message->content = recovered_content(remains, message->content);
    if (remains->model.data)
        message->model = remains->model;
    if (remains->usage.data)
        message->usage = remains->usage;
    if (remains->route.data)
        message->route = remains->route;
    if (!remains->ended)
        return;
    message->status = remains->status;
    message->finish = remains->finish.data ? remains->finish : STR("");
    message->error = remains->error;
}

static enum err recover_messages(struct store_tx *tx, void *user, struct error *error)
{
    struct recovery *recovery = user;
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_message *messages = NULL;
    size_t count = 0;
    enum err code = store_message_list_streaming(tx, arena, &messages, &count, error);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        struct store_message *message = &messages[i];
        struct remains *remains = map_get(recovery->runs, id_str(&message->run));
        message->status = STORE_STATUS_INTERRUPTED;
        if (remains)
            apply_remains(remains, message);
        code = store_message_update(tx, message, error);
        recovery->recovered++;
    }
    arena_free(arena);
    return code;
}

static void recovery_done(struct recovery *recovery)
{
    size_t position = 0;
    for (struct remains *remains; (remains = map_next(recovery->runs, &position, NULL));) {
        arena_free(remains->arena);
        free(remains);
    }
    map_free(recovery->runs);
    arena_free(recovery->scratch);
}

enum err chat_recover(struct store *store, const char *directory, struct log *log,
                      struct error *error)
{
    struct recovery recovery = {.runs = map_new(), .scratch = arena_new(SIZE_MAX), .log = log};
    struct journal_replay_result result = {0};
    enum err code = journal_replay(directory, on_record, &recovery, &result, error);
    if (code == ERR_OK)
        code = store_write_now(store, recover_messages, &recovery, error);
    if (code == ERR_OK)
        code = journal_remove_all(directory, error);
    if (code == ERR_OK && recovery.recovered)
        log_warning(log, "answers that the last stop left unsaved were recovered",
                    LOG_INT("answers", recovery.recovered),
                    LOG_INT("journal_records", result.records),
                    LOG_INT("torn_segments", result.damaged));
    recovery_done(&recovery);
    return code;
}
