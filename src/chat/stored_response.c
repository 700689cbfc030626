/* Stored responses: between the responses door, which hears and tells, and the records of store. Items
 * are kept as the client wrote them, each with an id; the answer twice: as the client saw it, and in
 * the canonical form, where the opaque parts of any provider have a place. */
#include "chat/stored_response.h"

#include <stdio.h>

#include "base/vec.h"
#include "chat/content.h"

enum { ROW_BYTES_MAX = 512 * 1024 * 1024 };

static struct str type_of(yyjson_val *item)
{
    struct str type = json_get_str(item, "type");
    return type.data ? type : STR("message");
}

static struct str take(struct arena *arena, struct buf *out)
{
    struct str text = arena_str(arena, buf_str(out));
    buf_done(out);
    return text;
}

/* ---- Items as they are kept -------------------------------------------------------------------- */

/* A text alone in the list of parts that OpenAI shows it as. */
static void put_content(struct json_writer *w, struct str role, yyjson_val *content)
{
    if (!yyjson_is_str(content)) {
        json_put_val(w, content);
        return;
    }
    bool is_answer = str_eq(role, STR("assistant"));
    json_begin_array(w);
    json_begin_object(w);
    json_key_str(w, "type", is_answer ? STR("output_text") : STR("input_text"));
    json_key_str(w, "text", json_str(content));
    if (is_answer) {
        json_key_array(w, "annotations");
        json_end_array(w);
    }
    json_end_object(w);
    json_end_array(w);
}

static struct str make_item_id(struct arena *arena, struct str type, struct str response,
                               size_t index)
{
    const char *prefix = str_eq(type, STR("message"))                ? "msg"
                         : str_eq(type, STR("function_call"))        ? "fc"
                         : str_eq(type, STR("function_call_output")) ? "fco"
                         : str_eq(type, STR("reasoning"))            ? "rs"
                                                                     : "item";
    return arena_printf(arena, "%s_%.*s_%zu", prefix, STR_ARG(response), index);
}

/* One item of the input with an id and a type; everything else as it was. */
static void put_kept_item(struct arena *arena, struct json_writer *w, struct str response,
                          size_t index, yyjson_val *item)
{
    struct str type = type_of(item), id = json_get_str(item, "id");
    yyjson_obj_iter members = yyjson_obj_iter_with(item);
    json_begin_object(w);
    json_key_str(w, "id", id.len ? id : make_item_id(arena, type, response, index));
    json_key_str(w, "type", type);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        struct str name = json_str(key);
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        if (str_eq(name, STR("id")) || str_eq(name, STR("type")))
            continue;
        json_key(w, name);
        if (str_eq(name, STR("content")) && str_eq(type, STR("message")))
            put_content(w, json_get_str(item, "role"), value);
        else
            json_put_val(w, value);
    }
    json_end_object(w);
}

static void put_text_item(struct arena *arena, struct json_writer *w, struct str response,
                          yyjson_val *text)
{
    json_begin_object(w);
    json_key_str(w, "id", make_item_id(arena, STR("message"), response, 0));
    json_key_str(w, "type", STR("message"));
    json_key_str(w, "role", STR("user"));
    json_key(w, STR("content"));
    put_content(w, STR("user"), text);
    json_end_object(w);
}

struct str stored_items(struct arena *arena, struct str response, yyjson_val *input)
{
    struct buf out;
    struct json_writer w;
    size_t index, count;
    yyjson_val *item;
    buf_init(&out, ROW_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_array(&w);
    if (yyjson_is_str(input))
        put_text_item(arena, &w, response, input);
    if (yyjson_is_arr(input))
        yyjson_arr_foreach (input, index, count, item)
            if (yyjson_is_obj(item))
                put_kept_item(arena, &w, response, index, item);
    json_end_array(&w);
    return take(arena, &out);
}

/* ---- The answer as it is kept ------------------------------------------------------------------ */

/* What a response object repeats of its request. */
static const char *const echoed[] = {
    "previous_response_id", "instructions", "metadata",          "tools",
    "tool_choice",          "text",         "reasoning",         "parallel_tool_calls",
    "temperature",          "top_p",        "max_output_tokens", "max_tool_calls",
    "truncation",           "user",         "safety_identifier", "store",
};
enum { ECHOED = sizeof echoed / sizeof echoed[0] };

static size_t echoed_index(struct str name)
{
    size_t i = 0;
    while (i < ECHOED && !str_eq(name, str_from_cstr(echoed[i])))
        i++;
    return i;
}

/* What the request said of it, when that is to stand in the object instead of `own` (NULL: the object
 * has none). A provider's own word goes before, for it says what was really done. */
static yyjson_val *echo_of(const struct stored_exchange *exchange, size_t index, yyjson_val *own)
{
    yyjson_val *asked = json_get(exchange->request, echoed[index]);
    bool has_own = own && !yyjson_is_null(own);
    return asked && !yyjson_is_null(asked) && (exchange->built || !has_own) ? asked : NULL;
}

struct str stored_thread_named(yyjson_val *request)
{
    yyjson_val *value = json_get(request, "conversation");
    return yyjson_is_str(value) ? json_str(value) : json_get_str(value, "id");
}

static void put_echoes(struct json_writer *w, const struct stored_exchange *exchange,
                       const bool *written)
{
    for (size_t i = 0; i < ECHOED; i++) {
        yyjson_val *asked = echo_of(exchange, i, NULL);
        if (written[i] || !asked)
            continue;
        json_key(w, str_from_cstr(echoed[i]));
        json_put_val(w, asked);
    }
    struct str thread = stored_thread_named(exchange->request);
    if (thread.len) {
        json_key_object(w, "conversation");
        json_key_str(w, "id", thread);
        json_end_object(w);
    }
    if (!written[echoed_index(STR("store"))] && !json_get(exchange->request, "store"))
        json_key_bool(w, "store", true);
}

/* The object once more, with what the request asked beside it. */
static struct str kept_answer(struct arena *arena, const struct stored_exchange *exchange,
                              yyjson_val *answer)
{
    struct buf out;
    struct json_writer w;
    bool written[ECHOED] = {false};
    yyjson_obj_iter members = yyjson_obj_iter_with(answer);
    buf_init(&out, ROW_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        yyjson_val *own = yyjson_obj_iter_get_val(key);
        if (str_eq(json_str(key), STR("conversation")))
            continue;
        size_t index = echoed_index(json_str(key));
        yyjson_val *asked = index < ECHOED ? echo_of(exchange, index, own) : NULL;
        if (index < ECHOED)
            written[index] = true;
        json_key(&w, json_str(key));
        json_put_val(&w, asked ? asked : own);
    }
    put_echoes(&w, exchange, written);
    json_end_object(&w);
    return take(arena, &out);
}

/* The canonical parts; of an answer that failed those that it has. */
static struct str kept_parts(struct arena *arena, const struct stored_exchange *exchange)
{
    struct llm_response read = {0};
    struct llm_error error;
    struct buf out;
    struct json_writer w;
    const struct llm_response *response = exchange->built;
    if (!response &&
        dialect_openai_responses.decode_response(arena, exchange->answer, &read, &error) != ERR_OK)
        read.part_count = 0;
    if (!response)
        response = &read;
    buf_init(&out, ROW_BYTES_MAX);
    json_writer_init(&w, &out);
    content_write(&w, response->parts, response->part_count, true);
    return take(arena, &out);
}

static struct str text_or_empty(struct arena *arena, yyjson_val *object, const char *key)
{
    struct str text = json_get_str(object, key);
    return text.data ? arena_str(arena, text) : STR("");
}

enum err stored_response_make(struct arena *arena, const struct stored_exchange *exchange,
                              struct store_response *ret)
{
    yyjson_val *answer;
    if (json_read(arena, exchange->answer, &answer, NULL) != ERR_OK || !yyjson_is_obj(answer) ||
        !json_get_str(answer, "id").len)
        return ERR_INVALID;
    struct str id = json_get_str(answer, "id");
    *ret = (struct store_response){
        .owner = exchange->owner,
        .id = id,
        .previous = text_or_empty(arena, exchange->request, "previous_response_id"),
        .created_ms = exchange->now_ms,
        .expires_ms = exchange->now_ms + exchange->keep_ms,
        .model = text_or_empty(arena, exchange->request, "model"),
        .input = stored_items(arena, id, json_get(exchange->request, "input")),
        .answer = kept_answer(arena, exchange, answer),
        .parts = kept_parts(arena, exchange),
    };
    return ERR_OK;
}

/* ---- The chain --------------------------------------------------------------------------------- */

static enum err chain_too_big(struct error *error)
{
    error_set(
        error, ERR_TOO_BIG, "previous_response_id",
        "the conversation behind it has more than %d turns, or is larger than a request may be",
        STORED_TURNS_MAX);
    error_remedy(error, "Send what matters of it as input.");
    return ERR_TOO_BIG;
}

static void reverse(struct stored_chain *chain)
{
    for (size_t i = 0; i < chain->count / 2; i++) {
        struct store_response swapped = chain->turns[i];
        chain->turns[i] = chain->turns[chain->count - 1 - i];
        chain->turns[chain->count - 1 - i] = swapped;
    }
}

bool stored_response_is_under_way(const struct store_response *response)
{
    return !response->parts.len;
}

enum err stored_chain_load(struct store_tx *tx, struct arena *arena, const struct id *owner,
                           struct str id, int64_t now_ms, struct stored_chain *ret,
                           struct error *error)
{
    struct stored_chain chain = {0};
    size_t capacity = 0;
    while (id.len) {
        struct store_response turn;
        if (chain.count == STORED_TURNS_MAX)
            return chain_too_big(error);
        enum err code = store_response_get(tx, arena, owner, id, now_ms, &turn, error);
        if (code == ERR_NOT_FOUND)
            return error_set(error, code, "previous_response_id",
                             "Previous response with id '%.*s' not found.",
                             (int)(id.len < 200 ? id.len : 200), id.data);
        if (code == ERR_TOO_BIG || (code == ERR_OK && arena_exceeded(arena)))
            return chain_too_big(error);
        if (code != ERR_OK)
            return code;
        if (stored_response_is_under_way(&turn))
            return error_set(error, ERR_INVALID, "previous_response_id",
                             "Response '%.*s' has no answer to go on from.",
                             (int)(id.len < 200 ? id.len : 200), id.data);
        *VEC_PUSH(arena, chain.turns, chain.count, capacity) = turn;
        id = turn.previous;
    }
    reverse(&chain);
    *ret = chain;
    return ERR_OK;
}

static enum err cannot_read(const struct store_response *turn, struct error *error)
{
    return error_set(error, ERR_CORRUPT, "previous_response_id", "'%.*s' cannot be read again",
                     (int)(turn->id.len < 200 ? turn->id.len : 200), turn->id.data);
}

/* ---- The chain as canonical messages ----------------------------------------------------------- */

struct messages {
    struct llm_message *items;
    size_t count, capacity;
};

static void add_messages(struct arena *arena, struct messages *all,
                         const struct llm_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        *VEC_PUSH(arena, all->items, all->count, all->capacity) = messages[i];
}

/* The items of one turn, read as a request of their own. */
static enum err add_input(struct arena *arena, const struct store_response *turn,
                          struct messages *all)
{
    struct llm_request request = {0};
    yyjson_val *root;
    struct str text = arena_printf(arena, "{\"model\":\"-\",\"input\":%.*s}", STR_ARG(turn->input));
    if (json_read(arena, text, &root, NULL) != ERR_OK ||
        dialect_openai_responses.decode_request(arena, root, &request, NULL) != ERR_OK)
        return ERR_CORRUPT;
    add_messages(arena, all, request.messages, request.message_count);
    return ERR_OK;
}

static enum err add_answer(struct arena *arena, const struct store_response *turn,
                           struct messages *all)
{
    struct llm_message message = {.role = LLM_ASSISTANT};
    if (content_read(arena, turn->parts, &message.parts, &message.part_count) != ERR_OK)
        return ERR_CORRUPT;
    add_messages(arena, all, &message, message.part_count ? 1 : 0);
    return ERR_OK;
}

enum err stored_chain_prepend(const struct stored_chain *chain, struct arena *arena,
                              yyjson_val *body, struct llm_request *request, struct error *error)
{
    struct messages all = {0};
    size_t instructions = json_get_str(body, "instructions").data && request->message_count ? 1 : 0;
    add_messages(arena, &all, request->messages, instructions);
    for (size_t i = 0; i < chain->count; i++)
        if (add_input(arena, &chain->turns[i], &all) != ERR_OK ||
            add_answer(arena, &chain->turns[i], &all) != ERR_OK)
            return cannot_read(&chain->turns[i], error);
    add_messages(arena, &all, request->messages + instructions,
                 request->message_count - instructions);
    request->messages = all.items;
    request->message_count = all.count;
    llm_request_name_results(request);
    return ERR_OK;
}

/* ---- The chain as items ------------------------------------------------------------------------ */

/* Ids of items mean something only to a provider that has kept them: what it can do without goes
 * without. */
static bool goes_without_id(struct str type)
{
    return str_eq(type, STR("message")) || str_eq(type, STR("function_call")) ||
           str_eq(type, STR("function_call_output")) || str_eq(type, STR("reasoning"));
}

static void put_item(struct json_writer *w, yyjson_val *item, bool keeps_reasoning)
{
    struct str type = type_of(item);
    bool is_reasoning = str_eq(type, STR("reasoning"));
    if (is_reasoning && !(keeps_reasoning && json_get_str(item, "encrypted_content").len))
        return;
    yyjson_obj_iter members = yyjson_obj_iter_with(item);
    json_begin_object(w);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        if (str_eq(json_str(key), STR("id")) && goes_without_id(type))
            continue;
        json_key(w, json_str(key));
        json_put_val(w, yyjson_obj_iter_get_val(key));
    }
    json_end_object(w);
}

static void put_items(struct json_writer *w, yyjson_val *items, bool keeps_reasoning)
{
    size_t index, count;
    yyjson_val *item;
    if (!yyjson_is_arr(items))
        return;
    yyjson_arr_foreach (items, index, count, item)
        if (yyjson_is_obj(item))
            put_item(w, item, keeps_reasoning);
}

static enum err put_turn(struct json_writer *w, struct arena *scratch,
                         const struct store_response *turn, struct str model, struct error *error)
{
    yyjson_val *input, *answer;
    if (json_read(scratch, turn->input, &input, NULL) != ERR_OK ||
        json_read(scratch, turn->answer, &answer, NULL) != ERR_OK)
        return cannot_read(turn, error);
    put_items(w, input, true); /* it is the client's own, who knows for whom it is */
    put_items(w, json_get(answer, "output"), str_eq(turn->model, model));
    return ERR_OK;
}

static void put_new_input(struct json_writer *w, yyjson_val *input)
{
    size_t index, count;
    yyjson_val *item;
    if (yyjson_is_str(input)) {
        json_begin_object(w);
        json_key_str(w, "role", STR("user"));
        json_key_str(w, "content", json_str(input));
        json_end_object(w);
    }
    if (yyjson_is_arr(input))
        yyjson_arr_foreach (input, index, count, item)
            json_put_val(w, item);
}

/* Members that mean something here only, and the one that the chain stands in. */
static bool is_replaced(struct str name)
{
    return str_eq(name, STR("previous_response_id")) || str_eq(name, STR("conversation")) ||
           str_eq(name, STR("background")) || str_eq(name, STR("input"));
}

enum err stored_chain_expand(const struct stored_chain *chain, struct arena *scratch,
                             yyjson_val *body, struct buf *out, struct error *error)
{
    struct json_writer w;
    struct str model = json_get_str(body, "model");
    yyjson_obj_iter members = yyjson_obj_iter_with(body);
    json_writer_init(&w, out);
    json_begin_object(&w);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        struct str name = json_str(key);
        if (is_replaced(name))
            continue;
        json_key(&w, name);
        json_put_val(&w, yyjson_obj_iter_get_val(key));
    }
    json_key_array(&w, "input");
    for (size_t i = 0; i < chain->count; i++) {
        enum err code = put_turn(&w, scratch, &chain->turns[i], model, error);
        if (code != ERR_OK)
            return code;
    }
    put_new_input(&w, json_get(body, "input"));
    json_end_array(&w);
    json_end_object(&w);
    return buf_ok(out) ? ERR_OK : chain_too_big(error);
}

/* ---- References -------------------------------------------------------------------------------- */

/* "msg_ID_0" is of the answer "resp_ID": its id in the arena, or STR_NONE. */
static struct str answer_of_item(struct arena *arena, struct str item)
{
    struct id id;
    str_next(&item, '_');
    struct str answer = str_next(&item, '_');
    if (!item.len || !id_parse(answer, &id))
        return STR_NONE;
    return arena_printf(arena, "resp_%.*s", STR_ARG(answer));
}

static bool is_reference(yyjson_val *item)
{
    return str_eq(json_get_str(item, "type"), STR("item_reference"));
}

struct stored_references stored_references_find(yyjson_val *body, struct arena *arena)
{
    struct stored_references found = {0};
    yyjson_val *input = json_get(body, "input"), *item;
    size_t index, count;
    if (!yyjson_is_arr(input))
        return found;
    yyjson_arr_foreach (input, index, count, item) {
        struct str answer =
            is_reference(item) ? answer_of_item(arena, json_get_str(item, "id")) : STR_NONE;
        bool is_new = answer.len && found.count < STORED_TURNS_MAX;
        for (size_t i = 0; is_new && i < found.count; i++)
            is_new = !str_eq(found.responses[i], answer);
        if (is_new)
            *VEC_PUSH(arena, found.responses, found.count, found.capacity) = answer;
    }
    return found;
}

enum err stored_references_load(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                const struct stored_references *references, int64_t now_ms,
                                struct stored_chain *ret, struct error *error)
{
    struct stored_chain found = {0};
    size_t capacity = 0;
    for (size_t i = 0; i < references->count; i++) {
        struct store_response row;
        enum err code =
            store_response_get(tx, arena, owner, references->responses[i], now_ms, &row, NULL);
        if (code == ERR_NOT_FOUND)
            continue;
        if (code == ERR_TOO_BIG || (code == ERR_OK && arena_exceeded(arena)))
            return error_set(error, ERR_TOO_BIG, "input",
                             "the answers that it refers to are larger than a request may be");
        if (code != ERR_OK)
            return error_set(error, code, "input", "what it refers to cannot be read");
        *VEC_PUSH(arena, found.turns, found.count, capacity) = row;
    }
    *ret = found;
    return ERR_OK;
}

/* An answer whose items may be named. */
struct named {
    struct str id, model;
    yyjson_val *output;
};

static yyjson_val *find_named(const struct named *answers, size_t answer_count, struct arena *arena,
                              struct str id, const struct named **ret_answer)
{
    struct str wanted = answer_of_item(arena, id);
    size_t index, count;
    yyjson_val *item;
    for (size_t i = 0; wanted.len && i < answer_count; i++) {
        if (!str_eq(answers[i].id, wanted) || !yyjson_is_arr(answers[i].output))
            continue;
        yyjson_arr_foreach (answers[i].output, index, count, item)
            if (str_eq(json_get_str(item, "id"), id)) {
                *ret_answer = &answers[i];
                return item;
            }
    }
    return NULL;
}

static void put_resolved(struct json_writer *w, struct arena *scratch, const struct named *answers,
                         size_t answer_count, yyjson_val *body)
{
    yyjson_val *input = json_get(body, "input"), *item;
    size_t index, count;
    json_begin_array(w);
    yyjson_arr_foreach (input, index, count, item) {
        const struct named *answer = NULL;
        yyjson_val *named = is_reference(item) ? find_named(answers, answer_count, scratch,
                                                            json_get_str(item, "id"), &answer)
                                               : NULL;
        if (named)
            put_item(w, named, str_eq(answer->model, json_get_str(body, "model")));
        else
            json_put_val(w, item);
    }
    json_end_array(w);
}

enum err stored_references_resolve(const struct stored_chain *answers, struct arena *scratch,
                                   yyjson_val *body, struct buf *out, struct error *error)
{
    struct json_writer w;
    struct named *named = ARENA_NEW_ARRAY(scratch, answers->count + 1, struct named);
    yyjson_obj_iter members = yyjson_obj_iter_with(body);
    for (size_t i = 0; i < answers->count; i++) {
        const struct store_response *turn = &answers->turns[i];
        yyjson_val *answer;
        if (json_read(scratch, turn->answer, &answer, NULL) != ERR_OK)
            return cannot_read(turn, error);
        named[i] = (struct named){turn->id, turn->model, json_get(answer, "output")};
    }
    json_writer_init(&w, out);
    json_begin_object(&w);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        json_key(&w, json_str(key));
        if (str_eq(json_str(key), STR("input")) && yyjson_is_arr(yyjson_obj_iter_get_val(key)))
            put_resolved(&w, scratch, named, answers->count, body);
        else
            json_put_val(&w, yyjson_obj_iter_get_val(key));
    }
    json_end_object(&w);
    return buf_ok(out) ? ERR_OK : chain_too_big(error);
}
