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

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

/* What the journal knows of one run. */
struct remains {
    struct arena *arena;
    struct id message;
    struct llm_part *base;
    size_t base_count;
    struct llm_builder *builder;
    uint64_t sequence; /* of the last event taken: records are in order, repeats are dropped */
};

struct recovery {
    struct map *runs; /* id -> struct remains */
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
    remains->builder = llm_builder_new(remains->arena, ANSWER_BYTES_MAX);
    map_set(recovery->runs, id_str(run), remains);
    return remains;
}

static void take_begin(struct remains *remains, yyjson_val *root)
{
    id_parse(json_get_str(root, "message"), &remains->message);
    if (content_read(remains->arena, json_text(remains->arena, json_get(root, "content")),
                     &remains->base, &remains->base_count) != ERR_OK)
        remains->base_count = 0;
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
    struct remains *remains = remains_of(recovery, &record->id);
    yyjson_val *root;
    struct llm_event event;
    if (json_read(remains->arena, arena_str(remains->arena, record->payload), &root, NULL) !=
        ERR_OK)
        return ERR_OK; /* its checksum was right, so this is from another version: leave it */
    if (record->kind == RUN_RECORD_BEGIN) {
        take_begin(remains, root);
    } else if (record->kind == RUN_RECORD_EVENT && record->sequence > remains->sequence) {
        remains->sequence = record->sequence;
        if (event_of(root, &event) && llm_builder_add(remains->builder, &event) != ERR_OK)
            log_warning(recovery->log, "a recovered answer is too long and was cut");
    }
    return ERR_OK;
}

static struct str recovered_content(struct remains *remains)
{
    const struct llm_response *response = llm_builder_response(remains->builder);
    struct llm_part *parts;
    size_t count;
    struct buf out;
    struct json_writer w;
    run_merge_parts(remains->arena, remains->base, remains->base_count, response->parts,
                    response->part_count, &parts, &count);
    buf_init(&out, SIZE_MAX / 2);
    json_writer_init(&w, &out);
    content_write(&w, parts, count, true);
    struct str content = arena_str(remains->arena, buf_str(&out));
    buf_done(&out);
    return content;
}

static enum err interrupt_messages(struct store_tx *tx, void *user, struct error *error)
{
    struct recovery *recovery = user;
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_message *messages = NULL;
    size_t count = 0;
    enum err code = store_message_list_streaming(tx, arena, &messages, &count, error);
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        struct store_message *message = &messages[i];
        struct remains *remains = map_get(recovery->runs, id_str(&message->run));
        if (remains && id_eq(&remains->message, &message->id))
            message->content = recovered_content(remains);
        message->status = STORE_STATUS_INTERRUPTED;
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
}

enum err chat_recover(struct store *store, const char *directory, struct log *log,
                      struct error *error)
{
    struct recovery recovery = {.runs = map_new(), .log = log};
    struct journal_replay_result result = {0};
    enum err code = journal_replay(directory, on_record, &recovery, &result, error);
    if (code == ERR_OK)
        code = store_write_now(store, interrupt_messages, &recovery, error);
    if (code == ERR_OK)
        code = journal_remove_all(directory, error);
    if (code == ERR_OK && recovery.recovered)
        log_warning(log, "answers were interrupted by the last stop and kept as they stood",
                    LOG_INT("answers", recovery.recovered),
                    LOG_INT("journal_records", result.records),
                    LOG_INT("torn_segments", result.damaged));
    recovery_done(&recovery);
    return code;
}
