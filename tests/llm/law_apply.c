/* Applying losses: x minus what was reported, as src/llm/losses.h says, compared with y. */
#include <string.h>

#include "law.h"

/* A part on its way, with the place it had in x. */
struct piece {
    struct llm_part part;
    int message, number; /* -1: made up (PART_ADDED) */
};

struct group {
    enum llm_role role;
    struct str name;
    int message; /* in x */
    bool any_order;
    struct piece **pieces;
    size_t count;
};

struct work {
    struct arena *arena;
    const struct llm_losses *losses;
    size_t without;
    struct group **groups;
    size_t count;
    size_t pieces_max;
    bool inexact; /* the report does not cover what it implies */
};

static bool lost(const struct work *work, enum llm_field field, int message, int part)
{
    for (size_t i = 0; i < work->losses->count; i++) {
        const struct llm_loss *loss = &work->losses->items[i];
        if (i != work->without && loss->field == field && loss->message == message &&
            loss->part == part)
            return true;
    }
    return false;
}

/* ---- Setting up, dropping -------------------------------------------------------------------- */

static struct piece *new_piece(struct work *work, const struct llm_part *part, int message, int p)
{
    struct piece *piece = ARENA_NEW(work->arena, struct piece);
    *piece = (struct piece){*part, message, p};
    if (part->kind == LLM_PART_REFUSAL && lost(work, LLM_FIELD_PART_KIND, message, p))
        piece->part.kind = LLM_PART_TEXT;
    return piece;
}

static struct group *new_group(struct work *work, const struct llm_message *message, int m)
{
    struct group *group = ARENA_NEW(work->arena, struct group);
    group->role = message->role;
    group->name = message->name;
    group->message = m;
    group->pieces = ARENA_NEW_ARRAY(work->arena, work->pieces_max, struct piece *);
    for (size_t p = 0; p < message->part_count; p++)
        if (!lost(work, LLM_FIELD_PART, m, (int)p))
            group->pieces[group->count++] = new_piece(work, &message->parts[p], m, (int)p);
    return group;
}

static void set_up(struct work *work, const struct llm_message *messages, size_t count, int first)
{
    for (size_t m = 0; m < count; m++)
        work->pieces_max += 2 * messages[m].part_count;
    work->groups = ARENA_NEW_ARRAY(work->arena, count + work->pieces_max + 1, struct group *);
    for (size_t m = 0; m < count; m++) {
        int number = first + (int)m;
        if (lost(work, LLM_FIELD_MESSAGE, number, -1))
            continue;
        struct group *group = new_group(work, &messages[m], number);
        if (first >= 0 && group->count == 0 && messages[m].part_count)
            work->inexact = true;
        if (lost(work, LLM_FIELD_MESSAGE_ROLE, number, -1))
            group->role = LLM_USER;
        work->groups[work->count++] = group;
    }
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void remove_group(struct work *work, size_t at)
{
    memmove(&work->groups[at], &work->groups[at + 1],
            (--work->count - at) * sizeof(struct group *));
}

static void insert_group(struct work *work, size_t at, struct group *group)
{
    memmove(&work->groups[at + 1], &work->groups[at],
            (work->count++ - at) * sizeof(struct group *));
    work->groups[at] = group;
}

static size_t moved_place(const struct work *work, size_t at)
{
    size_t to = at;
    if (work->groups[at]->role == LLM_TOOL) {
        while (to > 0 && work->groups[to - 1]->role == LLM_USER)
            to--;
        return to;
    }
    for (to = 0; to < at && work->groups[to]->role == LLM_SYSTEM; to++)
        continue;
    return to;
}

static void move_messages(struct work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        struct group *group = work->groups[i];
        if (!lost(work, LLM_FIELD_MESSAGE_MOVED, group->message, -1))
            continue;
        size_t to = moved_place(work, i);
        remove_group(work, i);
        insert_group(work, to, group);
    }
}

static void join_messages(struct work *work)
{
    for (size_t i = 0; i < work->count; i++) {
        struct group *group = work->groups[i];
        if (!lost(work, LLM_FIELD_MESSAGE_BOUNDARY, group->message, -1))
            continue;
        struct group *before = i ? work->groups[i - 1] : NULL;
        if (!before || before->role != group->role) {
            work->inexact = true;
            continue;
        }
        bool name_is_lost = lost(work, LLM_FIELD_MESSAGE_NAME, group->message, -1);
        if (group->name.len && !name_is_lost)
            work->inexact = true;
        for (size_t p = 0; p < group->count; p++)
            before->pieces[before->count++] = group->pieces[p];
        remove_group(work, i--);
    }
}

static void add_results(struct work *work)
{
    static const struct llm_part result = {.kind = LLM_PART_TOOL_RESULT};
    static const struct llm_message tool = {.role = LLM_TOOL};
    for (size_t i = 0; i < work->count; i++) {
        struct group *group = work->groups[i];
        for (size_t p = 0; p < group->count; p++) {
            struct piece *piece = group->pieces[p];
            if (!lost(work, LLM_FIELD_PART_ADDED, piece->message, piece->number))
                continue;
            if (i + 1 == work->count || work->groups[i + 1]->role != LLM_TOOL)
                insert_group(work, i + 1, new_group(work, &tool, -2));
            struct group *behind = work->groups[i + 1];
            behind->pieces[behind->count] = new_piece(work, &result, -1, -1);
            behind->pieces[behind->count++]->part.call_id = piece->part.call_id;
            behind->any_order = true;
        }
    }
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static int rank(enum llm_part_kind kind)
{
    static const int ranks[] = {
        [LLM_PART_TOOL_RESULT] = 0, [LLM_PART_REASONING] = 1, [LLM_PART_TEXT] = 2,
        [LLM_PART_IMAGE] = 3,       [LLM_PART_DOCUMENT] = 3,  [LLM_PART_AUDIO] = 3,
        [LLM_PART_REFUSAL] = 4,     [LLM_PART_TOOL_CALL] = 5};
    return ranks[kind];
}

static void move_parts(struct work *work, struct group *group)
{
    for (size_t p = 0; p < group->count; p++) {
        struct piece *piece = group->pieces[p];
        if (!lost(work, LLM_FIELD_PART_MOVED, piece->message, piece->number))
            continue;
        group->any_order |= group->role == LLM_TOOL;
        size_t to = 0;
        while (to < p && rank(group->pieces[to]->part.kind) <= rank(piece->part.kind))
            to++;
        memmove(&group->pieces[to + 1], &group->pieces[to], (p - to) * sizeof(struct piece *));
        group->pieces[to] = piece;
    }
}

static bool is_text(enum llm_part_kind kind)
{
    return kind == LLM_PART_TEXT || kind == LLM_PART_REASONING || kind == LLM_PART_REFUSAL;
}

static void join_parts(struct work *work, struct group *group)
{
    for (size_t p = 0; p < group->count; p++) {
        struct piece *piece = group->pieces[p];
        if (!lost(work, LLM_FIELD_PART_BOUNDARY, piece->message, piece->number))
            continue;
        struct piece *before = p ? group->pieces[p - 1] : NULL;
        if (!before || before->part.kind != piece->part.kind || !is_text(piece->part.kind)) {
            work->inexact = true;
            continue;
        }
        if (piece->part.opaque_count &&
            !lost(work, LLM_FIELD_PART_OPAQUE, piece->message, piece->number))
            work->inexact = true;
        struct str a = before->part.text, b = piece->part.text;
        char *joined = arena_alloc(work->arena, a.len + b.len);
        memcpy(joined, a.data ? a.data : "", a.len);
        memcpy(joined + a.len, b.data ? b.data : "", b.len);
        before->part.text = STR_FROM(joined, a.len + b.len);
        memmove(&group->pieces[p], &group->pieces[p + 1],
                (--group->count - p) * sizeof(struct piece *));
        p--;
    }
}

/* ---- Fields ---------------------------------------------------------------------------------- */

static void forgive_part(const struct work *work, struct piece *piece, const struct llm_part *y)
{
    struct llm_part *x = &piece->part;
    int m = piece->message, p = piece->number;
    if (p == -1 && x->kind == LLM_PART_TOOL_RESULT && y->kind == x->kind)
        *x = *y; /* made up */
    if (x->kind == LLM_PART_TEXT && lost(work, LLM_FIELD_MESSAGE_ROLE, m, -1) &&
        str_find(y->text, x->text) != SIZE_MAX)
        x->text = y->text; /* inside a marker */
#define FORGIVE(field, member)                                                                     \
    if (lost(work, LLM_FIELD_PART_##field, m, p))                                                  \
    x->member = y->member
    FORGIVE(OPAQUE, opaque);
    FORGIVE(OPAQUE, opaque_count);
    FORGIVE(NAME, name);
    FORGIVE(CALL_ID, call_id);
    FORGIVE(ARGUMENTS, arguments);
    FORGIVE(IS_ERROR, is_error);
    FORGIVE(CONTENT, content);
    FORGIVE(CONTENT, content_count);
    FORGIVE(MIME, media.mime);
    FORGIVE(FILENAME, media.filename);
    FORGIVE(DETAIL, media.detail);
#undef FORGIVE
}

/* Where y has its results in another order, finds the piece that became y's part number `at`. */
static void fetch_piece(const struct work *work, struct group *group, size_t at,
                        const struct llm_part *y)
{
    size_t found = at;
    for (size_t i = group->count; i-- > at;) {
        struct piece *piece = group->pieces[i];
        struct llm_part x = piece->part;
        if (str_eq(x.call_id, y->call_id) ||
            (lost(work, LLM_FIELD_PART_CALL_ID, piece->message, piece->number) &&
             str_eq(x.name, y->name)))
            found = i;
    }
    struct piece *piece = group->pieces[found];
    memmove(&group->pieces[at + 1], &group->pieces[at], (found - at) * sizeof(struct piece *));
    group->pieces[at] = piece;
}

static bool parts_match(struct work *work, struct group *group, const struct llm_part *y,
                        size_t y_count)
{
    if (group->count != y_count)
        return false;
    struct llm_part *x = ARENA_NEW_ARRAY(work->arena, y_count, struct llm_part);
    for (size_t i = 0; i < y_count; i++) {
        if (group->any_order)
            fetch_piece(work, group, i, &y[i]);
        forgive_part(work, group->pieces[i], &y[i]);
        x[i] = group->pieces[i]->part;
    }
    return llm_parts_equal(work->arena, x, y_count, y, y_count);
}

static void apply(struct work *work)
{
    move_messages(work);
    join_messages(work);
    add_results(work);
    for (size_t i = 0; i < work->count; i++) {
        move_parts(work, work->groups[i]);
        join_parts(work, work->groups[i]);
    }
}

static bool messages_match(struct work *work, const struct llm_request *y)
{
    if (work->inexact || work->count != y->message_count)
        return false;
    for (size_t i = 0; i < work->count; i++) {
        struct group *group = work->groups[i];
        const struct llm_message *message = &y->messages[i];
        bool same_name = str_eq(group->name, message->name) ||
                         lost(work, LLM_FIELD_MESSAGE_NAME, group->message, -1);
        if (group->role != message->role || !same_name ||
            !parts_match(work, group, message->parts, message->part_count))
            return false;
    }
    return true;
}

static void forgive_tools(const struct work *work, struct llm_request *x,
                          const struct llm_request *y)
{
    if (lost(work, LLM_FIELD_TOOLS, -1, -1)) {
        x->tools = y->tools;
        x->tool_count = y->tool_count;
    }
    if (x->tool_count != y->tool_count)
        return;
    struct llm_tool *tools = ARENA_NEW_ARRAY(work->arena, x->tool_count, struct llm_tool);
    for (size_t i = 0; i < x->tool_count; i++) {
        tools[i] = x->tools[i];
        if (lost(work, LLM_FIELD_TOOL_DESCRIPTION, (int)i, -1))
            tools[i].description = y->tools[i].description;
        if (lost(work, LLM_FIELD_TOOL_SCHEMA, (int)i, -1))
            tools[i].schema = y->tools[i].schema;
        if (lost(work, LLM_FIELD_TOOL_STRICT, (int)i, -1))
            tools[i].strict = y->tools[i].strict;
    }
    x->tools = tools;
}

static void forgive_format(const struct work *work, struct llm_request *x,
                           const struct llm_request *y)
{
    bool all = lost(work, LLM_FIELD_FORMAT, -1, -1);
    if (all) {
        x->format = y->format;
        x->format_schema = y->format_schema;
    }
    if (all || lost(work, LLM_FIELD_FORMAT_NAME, -1, -1))
        x->format_name = y->format_name;
    if (all || lost(work, LLM_FIELD_FORMAT_DESCRIPTION, -1, -1))
        x->format_description = y->format_description;
    if (all || lost(work, LLM_FIELD_FORMAT_STRICT, -1, -1))
        x->format_strict = y->format_strict;
}

static void forgive_request(const struct work *work, struct llm_request *x,
                            const struct llm_request *y)
{
#define FORGIVE(field, member)                                                                     \
    if (lost(work, LLM_FIELD_##field, -1, -1))                                                     \
    x->member = y->member
    FORGIVE(TOOL_CHOICE, tool_choice);
    FORGIVE(TOOL_CHOICE, tool_choice_name);
    FORGIVE(PARALLEL_TOOL_CALLS, parallel_tool_calls);
    FORGIVE(EFFORT, effort);
    FORGIVE(MAX_OUTPUT_TOKENS, max_output_tokens);
    FORGIVE(SEED, seed);
    FORGIVE(TOP_K, top_k);
    FORGIVE(TEMPERATURE, temperature);
    FORGIVE(TOP_P, top_p);
    FORGIVE(FREQUENCY_PENALTY, frequency_penalty);
    FORGIVE(PRESENCE_PENALTY, presence_penalty);
    FORGIVE(STOPS, stops);
    FORGIVE(STOPS, stop_count);
    FORGIVE(USER, user);
    FORGIVE(STREAM_USAGE, stream_usage);
#undef FORGIVE
    forgive_tools(work, x, y);
    forgive_format(work, x, y);
}

bool law_request_matches(struct arena *arena, const struct llm_request *x,
                         const struct llm_request *y, const struct llm_losses *losses,
                         size_t without)
{
    struct work work = {.arena = arena, .losses = losses, .without = without};
    set_up(&work, x->messages, x->message_count, 0);
    apply(&work);
    if (!messages_match(&work, y))
        return false;
    struct llm_request rest = *x;
    rest.messages = y->messages;
    rest.message_count = y->message_count;
    forgive_request(&work, &rest, y);
    return llm_request_equal(arena, &rest, y);
}

/* ---- Responses ------------------------------------------------------------------------------- */

static void forgive_response(const struct work *work, struct llm_response *x,
                             const struct llm_response *y)
{
#define FORGIVE(field, member)                                                                     \
    if (lost(work, LLM_FIELD_RESPONSE_##field, -1, -1))                                            \
    x->member = y->member
    FORGIVE(ID, id);
    FORGIVE(MODEL, model);
    FORGIVE(FINISH, finish);
    FORGIVE(FINISH_RAW, finish_raw);
    FORGIVE(USAGE, usage);
    FORGIVE(USAGE_CACHE_READ, usage.input_cache_read);
    FORGIVE(USAGE_CACHE_WRITE, usage.input_cache_write);
    FORGIVE(USAGE_REASONING, usage.output_reasoning);
    FORGIVE(USAGE_ESTIMATED, usage.is_estimated);
#undef FORGIVE
}

bool law_response_matches(struct arena *arena, const struct llm_response *x,
                          const struct llm_response *y, const struct llm_losses *losses,
                          size_t without)
{
    struct work work = {.arena = arena, .losses = losses, .without = without};
    struct llm_message message = {
        .role = LLM_ASSISTANT, .parts = x->parts, .part_count = x->part_count};
    set_up(&work, &message, 1, -1);
    apply(&work);
    if (work.inexact || !parts_match(&work, work.groups[0], y->parts, y->part_count))
        return false;
    struct llm_response rest = *x;
    rest.parts = y->parts;
    rest.part_count = y->part_count;
    forgive_response(&work, &rest, y);
    return llm_response_equal(arena, &rest, y);
}
