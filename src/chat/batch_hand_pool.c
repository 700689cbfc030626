/* Where the lines of a batch go, and what their provider is given. On a thread of the pool, while the
 * loop leaves the run's input and the hand's own members alone. */
#include "base/clock.h"
#include "chat/batch_hand_internal.h"
#include "llm/passthrough.h"

struct choosing {
    struct batch_hand *hand;
    struct arena *scratch; /* of one line */
    const struct catalog *catalog;
    size_t count; /* of lines that are handed on */
};

enum err hand_find_target(const struct catalog *catalog, struct arena *arena, struct str model,
                          const struct target **ret, struct error *error)
{
    struct route_plan plan;
    enum err code = catalog_plan(catalog, arena, model, NULL, 0, &plan, error);
    if (code == ERR_OK && plan.target_count != 1)
        return error_set(error, ERR_UNSUPPORTED, "model",
                         "'%.*s' is a route to several models, and a batch goes to one provider",
                         (int)(model.len < 100 ? model.len : 100), model.data);
    for (size_t i = 0; code == ERR_OK && i < plan.group_count; i++)
        if (plan.groups[i].count)
            *ret = plan.groups[i].targets[0];
    return code;
}

static enum err check_target(const struct choosing *choosing, struct str model,
                             const struct target *target, struct error *error)
{
    const struct batch_hand *hand = choosing->hand;
    const struct provider *provider = target->provider;
    const struct hand_form *form = hand_form_find(provider->kind);
    if (!policy_allows_model(hand->policy, model, target->id))
        return error_set(error, ERR_FORBIDDEN, "model", "this key may not use the model %.*s",
                         STR_ARG(target->id));
    if (!form || !hand_form_takes(form, hand->run->endpoint))
        return error_set(error, ERR_UNSUPPORTED, "model",
                         "%.*s has no batches of this form of its own", STR_ARG(provider->name));
    if (hand->provider.len && !str_eq(hand->provider, provider->name))
        return error_set(error, ERR_UNSUPPORTED, "model",
                         "the batch asks several providers: %.*s and %.*s", STR_ARG(hand->provider),
                         STR_ARG(provider->name));
    if (hand->provider.len && form->dialect && !str_eq(hand->model, target->model))
        return error_set(error, ERR_UNSUPPORTED, "model",
                         "the batch asks several models: %.*s and %.*s, and those of %.*s ask one",
                         STR_ARG(hand->model), STR_ARG(target->model), STR_ARG(provider->name));
    return ERR_OK;
}

/* What another dialect cannot say at all is left out, and fails alone when the results are read. */
static enum err write_line(struct choosing *choosing, const struct batch_line *line,
                           struct str text, const struct target *target, struct error *error)
{
    struct batch_hand *hand = choosing->hand;
    struct hand_line handed = {.endpoint = hand->run->endpoint,
                               .name = hand_line_name(choosing->scratch, hand->form, line),
                               .is_first = choosing->count == 0};
    struct str dropped;
    struct buf body;
    enum err code = ERR_OK;
    buf_init(&body, HAND_LINE_BYTES_MAX);
    if (hand->form->dialect)
        code = batch_encode_line(choosing->scratch, hand->run->endpoint, line,
                                 target->provider->kind, target->model, &body, &dropped, NULL);
    else
        passthrough_with_model(text, NULL, target->model, &body);
    handed.body = buf_str(&body);
    if (code == ERR_OK && buf_ok(&body)) {
        hand->form->write_line(&handed, &hand->content);
        choosing->count++;
    }
    bool is_whole = buf_ok(&body);
    buf_done(&body);
    return is_whole ? ERR_OK : error_set(error, ERR_TOO_BIG, NULL, "a line is too long");
}

/* The first line decides for all. */
static void take_target(struct batch_hand *hand, const struct target *target)
{
    hand->provider = arena_str(hand->arena, target->provider->name);
    hand->model = arena_str(hand->arena, target->model);
    hand->form = hand_form_find(target->provider->kind);
    buf_done(&hand->content);
    buf_init(&hand->content, hand->form->content_bytes_max);
    hand->form->write_begin(hand->boundary, id_str(&hand->run->batch.id), &hand->content);
}

static enum err choose_line(struct choosing *choosing, const struct batch_line *line,
                            struct error *error)
{
    struct batch_hand *hand = choosing->hand;
    const struct target *target = NULL;
    yyjson_val *root;
    struct str text;
    arena_reset(choosing->scratch);
    enum err code =
        batch_line_body(choosing->scratch, hand->run->endpoint, line, &root, &text, error);
    struct str model = code == ERR_OK ? batch_line_model(line, root) : STR_NONE;
    if (code == ERR_OK)
        code = hand_find_target(choosing->catalog, choosing->scratch, model, &target, error);
    if (code == ERR_OK)
        code = check_target(choosing, model, target, error);
    if (code != ERR_OK)
        return code;
    if (!hand->provider.len)
        take_target(hand, target);
    return write_line(choosing, line, text, target, error);
}

static enum err choose_lines(struct choosing *choosing, struct error *error)
{
    struct batch_hand *hand = choosing->hand;
    const struct batch_input *input = &hand->run->input;
    enum err code = ERR_OK;
    struct error why = {0};
    for (size_t i = 0; code == ERR_OK && buf_ok(&hand->content) && i < input->count; i++) {
        const struct batch_line *line = &input->lines[i];
        if (line->wrong || line->is_done)
            continue;
        code = choose_line(choosing, line, &why);
        if (code != ERR_OK)
            error_set(error, code, why.field, "line %lld cannot be handed on: %s",
                      (long long)line->number, error_message(&why));
    }
    if (code == ERR_OK && choosing->count == 0)
        return error_set(error, ERR_UNSUPPORTED, NULL, "no line of it can be handed on");
    if (code == ERR_OK)
        hand->form->write_end(hand->boundary, &hand->content);
    if (code == ERR_OK && !buf_ok(&hand->content))
        return error_set(error, ERR_TOO_BIG, NULL, "the batch is too large to be handed on");
    return code;
}

void hand_pool_choose(void *user)
{
    struct batch_hand *hand = user;
    struct registry *registry = hand->run->queue->options.registry;
    struct choosing choosing = {.hand = hand,
                                .scratch = arena_new(HAND_LINE_ARENA_BYTES_MAX),
                                .catalog = registry_acquire(registry)};
    struct id boundary = id_new(clock_wall_ms());
    hand->boundary = arena_printf(hand->arena, "parley-%s", boundary.text);
    hand->provider = STR_NONE;
    hand->error = (struct error){0};
    buf_clear(&hand->content);
    hand->code = choose_lines(&choosing, &hand->error);
    catalog_unref(choosing.catalog);
    arena_free(choosing.scratch);
}
