/* Thread: items are kept as their client wrote them, those of answers as the client saw them, so that
 * an answer that is kept beside can be told to be the same. */
#include "chat/thread.h"

#include "base/clock.h"
#include "base/vec.h"
#include "chat/content.h"
#include "store/record_kept.h"

enum { TURN_BYTES_MAX = 512 * 1024 * 1024 };

bool thread_parse_id(struct str text, struct id *ret)
{
    return str_starts_with(text, STR("conv_")) && id_parse(str_skip(text, 5), ret);
}

struct str thread_name(struct arena *arena, const struct id *id)
{
    return arena_printf(arena, "conv_%.*s", STR_ARG(id_str(id)));
}

enum err thread_not_found(struct str name, struct error *error)
{
    return error_set(error, ERR_NOT_FOUND, "conversation", "Conversation with id '%.*s' not found.",
                     (int)(name.len < 200 ? name.len : 200), name.data);
}

/* ---- Items that come ------------------------------------------------------------------------- */

/* A message says how far it is, as OpenAI shows it. */
static struct str item_text(struct arena *arena, yyjson_val *item)
{
    struct json_writer w;
    struct buf out;
    if (!str_eq(json_get_str(item, "type"), STR("message")) || json_get(item, "status"))
        return json_text(arena, item);
    yyjson_obj_iter members = yyjson_obj_iter_with(item);
    buf_init(&out, TURN_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        json_key(&w, json_str(key));
        json_put_val(&w, yyjson_obj_iter_get_val(key));
    }
    json_key_str(&w, "status", STR("completed"));
    json_end_object(&w);
    struct str text = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

/* A list of a client's own, as stored_items makes it. */
static enum err add_own(struct arena *arena, struct str list, struct thread_items *items)
{
    yyjson_val *root, *item;
    size_t index, count;
    if (json_read(arena, list, &root, NULL) != ERR_OK || !yyjson_is_arr(root))
        return ERR_CORRUPT;
    yyjson_arr_foreach (root, index, count, item)
        *VEC_PUSH(arena, items->items, items->count, items->capacity) =
            (struct store_thread_item){.id = json_get_str(item, "id"),
                                       .model = STR(""),
                                       .response = STR(""),
                                       .item = item_text(arena, item)};
    return ERR_OK;
}

enum err thread_items_read(struct arena *arena, yyjson_val *list, struct thread_items *ret,
                           struct error *error)
{
    struct llm_request request = {0};
    struct thread_items items = {0};
    struct id name = id_new(clock_wall_ms());
    yyjson_val *root;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > THREAD_ITEMS_AT_ONCE_MAX)
        return error_set(error, ERR_INVALID, "items", "must be a list of up to %d items",
                         THREAD_ITEMS_AT_ONCE_MAX);
    struct str input =
        arena_printf(arena, "{\"model\":\"-\",\"input\":%.*s}", STR_ARG(json_text(arena, list)));
    enum err code = json_read(arena, input, &root, error);
    if (code == ERR_OK)
        code = dialect_openai_responses.decode_request(arena, root, &request, error);
    if (code == ERR_OK)
        code = add_own(arena, stored_items(arena, id_str(&name), list), &items);
    if (code == ERR_OK)
        *ret = items;
    return code;
}

static bool ended_well(yyjson_val *answer)
{
    struct str status = json_get_str(answer, "status");
    return str_eq(status, STR("completed")) || str_eq(status, STR("incomplete"));
}

enum err thread_items_of(struct arena *arena, const struct store_response *response,
                         struct thread_items *ret)
{
    struct thread_items items = {0};
    yyjson_val *answer, *item;
    size_t index, count;
    enum err code = json_read(arena, response->answer, &answer, NULL);
    if (code == ERR_OK && !ended_well(answer)) {
        *ret = items;
        return ERR_OK;
    }
    if (code == ERR_OK)
        code = add_own(arena, response->input, &items);
    if (code != ERR_OK)
        return code;
    yyjson_val *output = json_get(answer, "output");
    if (yyjson_is_arr(output))
        yyjson_arr_foreach (output, index, count, item)
            *VEC_PUSH(arena, items.items, items.count, items.capacity) =
                (struct store_thread_item){.id = json_get_str(item, "id"),
                                           .model = response->model,
                                           .response = response->id,
                                           .item = json_text(arena, item)};
    *ret = items;
    return ERR_OK;
}

/* ---- Items as turns -------------------------------------------------------------------------- */

/* Items that follow one another: of one answer, or of clients. */
struct group {
    const struct store_thread_item *items;
    size_t count;
};

static struct str list_of(struct arena *arena, const struct group *group)
{
    struct buf out;
    buf_init(&out, TURN_BYTES_MAX);
    buf_append_char(&out, '[');
    for (size_t i = 0; i < group->count; i++) {
        if (i)
            buf_append_char(&out, ',');
        buf_append(&out, group->items[i].item);
    }
    buf_append_char(&out, ']');
    struct str list = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return list;
}

static struct str parts_of(struct arena *arena, struct str answer)
{
    struct llm_response read = {0};
    struct llm_error error;
    struct json_writer w;
    struct buf out;
    if (dialect_openai_responses.decode_response(arena, answer, &read, &error) != ERR_OK)
        read.part_count = 0;
    buf_init(&out, TURN_BYTES_MAX);
    json_writer_init(&w, &out);
    content_write(&w, read.parts, read.part_count, true);
    struct str parts = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return parts;
}

/* Whether the answer is kept with these very items. */
static enum err find_kept(struct store_tx *tx, struct arena *arena, const struct id *owner,
                          const struct group *group, struct str list, int64_t now_ms,
                          struct store_response *ret, bool *ret_is_same)
{
    struct store_response row;
    yyjson_val *answer;
    *ret_is_same = false;
    enum err code =
        store_response_get(tx, arena, owner, group->items[0].response, now_ms, &row, NULL);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code != ERR_OK)
        return code;
    *ret = row;
    *ret_is_same = !stored_response_is_under_way(&row) &&
                   json_read(arena, row.answer, &answer, NULL) == ERR_OK &&
                   str_eq(json_text(arena, json_get(answer, "output")), list);
    return ERR_OK;
}

static enum err make_turn(struct store_tx *tx, struct arena *arena, const struct id *owner,
                          const struct group *group, int64_t now_ms, struct store_response *ret)
{
    bool is_answer = group->items[0].response.len > 0, is_same = false;
    struct str list = list_of(arena, group);
    struct store_response turn = {.owner = *owner,
                                  .id = group->items[0].id,
                                  .model = group->items[0].model,
                                  .input = is_answer ? STR("[]") : list,
                                  .answer = STR("{}"),
                                  .parts = STR("[]")};
    struct store_response kept;
    enum err code =
        is_answer ? find_kept(tx, arena, owner, group, list, now_ms, &kept, &is_same) : ERR_OK;
    if (code != ERR_OK)
        return code;
    if (is_same) {
        turn.answer = kept.answer;
        turn.parts = kept.parts;
    } else if (is_answer) {
        turn.answer = arena_printf(arena,
                                   "{\"id\":\"-\",\"object\":\"response\",\"status\":\"completed\","
                                   "\"output\":%.*s}",
                                   STR_ARG(list));
        turn.parts = parts_of(arena, turn.answer);
    }
    *ret = turn;
    return ERR_OK;
}

static size_t group_length(const struct store_thread_item *items, size_t count)
{
    size_t length = 1;
    while (length < count && str_eq(items[length].response, items[0].response))
        length++;
    return length;
}

static enum err too_big(struct error *error)
{
    error_set(error, ERR_TOO_BIG, "conversation", "it is larger than a request may be");
    error_remedy(error, "Delete items of it, or begin another one.");
    return ERR_TOO_BIG;
}

enum err thread_load(struct store_tx *tx, struct arena *arena, const struct id *owner,
                     const struct id *id, int64_t now_ms, struct stored_chain *ret,
                     struct error *error)
{
    static const struct store_thread_page all = {.limit = STORE_THREAD_ITEMS_MAX};
    struct store_thread_item *items = NULL;
    struct stored_chain chain = {0};
    size_t count = 0, capacity = 0;
    enum err code = store_thread_list(tx, arena, owner, id, now_ms, &all, &items, &count, error);
    if (code == ERR_NOT_FOUND)
        return thread_not_found(thread_name(arena, id), error);
    for (size_t i = 0; code == ERR_OK && i < count;) {
        const struct group group = {items + i, group_length(items + i, count - i)};
        struct store_response *turn = VEC_PUSH(arena, chain.turns, chain.count, capacity);
        code = make_turn(tx, arena, owner, &group, now_ms, turn);
        if (arena_exceeded(arena))
            code = ERR_TOO_BIG;
        i += group.count;
    }
    if (code == ERR_OK)
        *ret = chain;
    return code == ERR_TOO_BIG ? too_big(error) : code;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

enum err thread_addition_of(struct arena *arena, const struct store_response *response,
                            const struct id *thread, int64_t keep_ms, int64_t bytes_max,
                            struct thread_addition *ret)
{
    int64_t now_ms = clock_wall_ms();
    struct thread_addition addition = {.owner = response->owner,
                                       .thread = *thread,
                                       .now_ms = now_ms,
                                       .expires_ms = now_ms + keep_ms,
                                       .bytes_max = bytes_max};
    enum err code = id_is_none(thread) ? ERR_OK : thread_items_of(arena, response, &addition.items);
    if (code == ERR_OK)
        *ret = addition;
    return code;
}

enum err thread_add(struct store_tx *tx, const struct thread_addition *addition,
                    struct error *error)
{
    if (id_is_none(&addition->thread))
        return ERR_OK;
    enum err code = store_thread_append(tx, &addition->owner, &addition->thread, addition->now_ms,
                                        addition->expires_ms, addition->items.items,
                                        addition->items.count, error);
    return code == ERR_OK
               ? store_kept_make_room(tx, KEPT_THREAD, &addition->owner, addition->bytes_max, error)
               : code;
}

enum err thread_add_answer(struct store_tx *tx, const struct thread_addition *addition,
                           struct error *error)
{
    enum err code = addition->items.count ? thread_add(tx, addition, error) : ERR_OK;
    return code == ERR_NOT_FOUND || code == ERR_TOO_BIG ? ERR_OK : code;
}
