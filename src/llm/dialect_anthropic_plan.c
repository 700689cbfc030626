/* Anthropic: the order of turns. The API wants user and assistant in turn, the results of all
 * calls at the start of the user turn that follows them, and no call or result without the other.
 *
 *   system (leading) -> system blocks        tool, user, later system -> user turn
 *   assistant        -> assistant turn       same side as before      -> the open turn goes on
 *
 * Assistant parts never move: thinking must stay exactly where it was. */
#include "llm/dialect_anthropic.h"

#include "base/map.h"
#include "base/vec.h"

/* A call that was put into an assistant turn. */
struct anthropic_call {
    int message;
    int index;
    struct str name;
    struct str wire_id;
    bool is_answered;
};

static const struct llm_message *message_at(const struct anthropic_plan *plan, int message)
{
    return &plan->request->messages[message];
}

static struct anthropic_item *add_item(struct anthropic_plan *plan, struct anthropic_items *items,
                                       int message, int index)
{
    struct anthropic_item *item =
        VEC_PUSH(plan->arena, items->items, items->count, items->capacity);
    *item = (struct anthropic_item){.message = message, .index = index};
    if (message >= 0)
        item->part = &message_at(plan, message)->parts[index];
    return item;
}

/* ---- Call ids -------------------------------------------------------------------------------- */

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* With only the characters that the API takes; "call" when nothing is there. */
static struct str clean_id(struct arena *arena, struct str id)
{
    if (!id.len)
        return STR("call");
    bool is_clean = true;
    char *text = arena_alloc(arena, id.len);
    for (size_t i = 0; i < id.len; i++) {
        text[i] = is_id_char(id.data[i]) ? id.data[i] : '_';
        is_clean = is_clean && text[i] == id.data[i];
    }
    return is_clean ? id : STR_FROM(text, id.len);
}

/* The wire id of a new call: clean, and not used by an earlier one. The same history always gives
 * the same ids. */
static struct str new_wire_id(struct anthropic_plan *plan, struct str id)
{
    struct str base = clean_id(plan->arena, id);
    struct str wire_id = base;
    uintptr_t used = (uintptr_t)map_get(plan->wire_ids, base);
    while (used && map_get(plan->wire_ids, wire_id))
        wire_id = arena_printf(plan->arena, "%.*s_%zu", STR_ARG(base), (size_t)++used);
    map_set(plan->wire_ids, base, (void *)(used ? used : 1));
    if (!str_eq(base, wire_id))
        map_set(plan->wire_ids, wire_id, (void *)(uintptr_t)1);
    return wire_id;
}

static void note_id(struct anthropic_plan *plan, const struct anthropic_item *item)
{
    if (!str_eq(item->part->call_id, item->id))
        llm_losses_add(plan->losses, LLM_FIELD_PART_CALL_ID, item->message, item->index);
}

static void add_call(struct anthropic_plan *plan, struct anthropic_item *item)
{
    if (!plan->call_by_id) { /* most requests have no calls */
        plan->call_by_id = map_new();
        plan->wire_ids = map_new();
    }
    item->id = new_wire_id(plan, item->part->call_id);
    note_id(plan, item);
    struct anthropic_call *call =
        VEC_PUSH(plan->arena, plan->calls, plan->call_count, plan->call_capacity);
    *call = (struct anthropic_call){item->message, item->index, item->part->name, item->id, false};
    map_set(plan->call_by_id, item->part->call_id, (void *)(uintptr_t)plan->call_count);
}

/* The call of the newest assistant turn that this result answers, or NULL. */
static struct anthropic_call *open_call(const struct anthropic_plan *plan,
                                        const struct llm_part *part)
{
    uintptr_t number = (uintptr_t)map_get(plan->call_by_id, part->call_id);
    if (number <= plan->calls_of_turn)
        return NULL;
    struct anthropic_call *call = &plan->calls[number - 1];
    return call->is_answered ? NULL : call;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

static struct anthropic_turn *last_turn(const struct anthropic_plan *plan)
{
    return plan->turn_count ? &plan->turns[plan->turn_count - 1] : NULL;
}

static struct anthropic_turn *push_turn(struct anthropic_plan *plan, bool is_user)
{
    struct anthropic_turn *turn =
        VEC_PUSH(plan->arena, plan->turns, plan->turn_count, plan->turn_capacity);
    turn->is_user = is_user;
    if (!is_user)
        plan->calls_of_turn = plan->call_count;
    return turn;
}

/* Calls that nobody answered get an error result, or the API refuses the request. */
static void answer_orphans(struct anthropic_plan *plan)
{
    for (size_t i = plan->calls_of_turn; i < plan->call_count; i++) {
        struct anthropic_call *call = &plan->calls[i];
        if (call->is_answered)
            continue;
        struct anthropic_turn *turn = last_turn(plan);
        if (!turn->is_user)
            turn = push_turn(plan, true);
        add_item(plan, &turn->results, -1, -1)->id = call->wire_id;
        call->is_answered = true;
        llm_losses_add(plan->losses, LLM_FIELD_PART_ADDED, call->message, call->index);
    }
}

static struct anthropic_turn *turn_for(struct anthropic_plan *plan, bool is_user)
{
    struct anthropic_turn *turn = last_turn(plan);
    if (turn && turn->is_user == is_user)
        return turn;
    if (!is_user && turn)
        answer_orphans(plan);
    return push_turn(plan, is_user);
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void add_result(struct anthropic_plan *plan, int message, int index)
{
    const struct llm_part *part = &message_at(plan, message)->parts[index];
    struct anthropic_call *call = open_call(plan, part);
    struct anthropic_turn *turn = turn_for(plan, true);
    struct anthropic_item *item = add_item(plan, &turn->results, message, index);
    item->id = call->wire_id;
    call->is_answered = true;
    note_id(plan, item);
    if (!str_eq(part->name, call->name))
        llm_losses_add(plan->losses, LLM_FIELD_PART_NAME, message, index);
    if (turn->others.count) /* results go first */
        llm_losses_add(plan->losses, LLM_FIELD_MESSAGE_MOVED, message, -1);
}

static void add_other(struct anthropic_plan *plan, int message, int index)
{
    enum llm_role role = message_at(plan, message)->role;
    struct anthropic_turn *turn = turn_for(plan, role != LLM_ASSISTANT);
    struct anthropic_item *item = add_item(plan, &turn->others, message, index);
    item->is_marked = role == LLM_SYSTEM;
    if (item->part->kind == LLM_PART_TOOL_CALL)
        add_call(plan, item);
}

static bool fits(struct anthropic_plan *plan, int message, int index)
{
    const struct llm_part *part = &message_at(plan, message)->parts[index];
    if (part->kind == LLM_PART_TOOL_RESULT && !open_call(plan, part)) {
        llm_losses_add(plan->losses, LLM_FIELD_PART, message, index);
        return false;
    }
    return anthropic_part_fits(plan, message, index);
}

/* Whether its parts would go behind those of an earlier message, in the same list. */
static bool joins(const struct anthropic_plan *plan, const struct llm_message *message)
{
    const struct anthropic_turn *turn = last_turn(plan);
    if (!turn || turn->is_user != (message->role != LLM_ASSISTANT))
        return false;
    return message->role == LLM_TOOL ? turn->results.count > 0 : turn->others.count > 0;
}

/* Notes what became of a message as a whole. */
static void close_message(struct anthropic_plan *plan, int message, size_t kept, bool joined)
{
    if (!kept) {
        llm_losses_add(plan->losses, LLM_FIELD_MESSAGE, message, -1);
        return;
    }
    if (message_at(plan, message)->name.len)
        llm_losses_add(plan->losses, LLM_FIELD_MESSAGE_NAME, message, -1);
    if (joined)
        llm_losses_add(plan->losses, LLM_FIELD_MESSAGE_BOUNDARY, message, -1);
}

static void add_message(struct anthropic_plan *plan, int message)
{
    const struct llm_message *source = message_at(plan, message);
    bool joined = joins(plan, source);
    size_t kept = 0;
    for (int i = 0; i < (int)source->part_count; i++) {
        if (!fits(plan, message, i))
            continue;
        if (source->parts[i].kind == LLM_PART_TOOL_RESULT)
            add_result(plan, message, i);
        else
            add_other(plan, message, i);
        kept++;
    }
    close_message(plan, message, kept, joined);
    if (kept && source->role == LLM_SYSTEM)
        llm_losses_add(plan->losses, LLM_FIELD_MESSAGE_ROLE, message, -1);
}

static void add_leading_system(struct anthropic_plan *plan, int message)
{
    bool joined = plan->system.count > 0;
    size_t kept = 0;
    for (int i = 0; i < (int)message_at(plan, message)->part_count; i++) {
        if (!fits(plan, message, i))
            continue;
        add_item(plan, &plan->system, message, i);
        kept++;
    }
    close_message(plan, message, kept, joined);
}

void anthropic_plan_make(struct anthropic_plan *plan, struct arena *arena,
                         const struct llm_request *request, const struct dialect_target *target,
                         struct llm_losses *losses)
{
    *plan = (struct anthropic_plan){
        .arena = arena, .request = request, .target = target, .losses = losses};
    int message = 0;
    while (message < (int)request->message_count && request->messages[message].role == LLM_SYSTEM)
        add_leading_system(plan, message++);
    while (message < (int)request->message_count)
        add_message(plan, message++);
    if (plan->turn_count)
        answer_orphans(plan);
    map_free(plan->call_by_id);
    map_free(plan->wire_ids);
    plan->call_by_id = plan->wire_ids = NULL;
}
