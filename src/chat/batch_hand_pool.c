/* What a hand does with many lines: finding out where they go, and what came of them. On a thread of
 * the pool, while the loop leaves the run's input and the hand's own members alone. */
#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "chat/batch_hand_internal.h"
#include "llm/passthrough.h"

enum { LINE_ARENA_BYTES_MAX = 1024 * 1024 * 1024, LINE_BYTES_MAX = 128 * 1024 * 1024 };

/* ---- Where they go --------------------------------------------------------------------------- */

struct choosing {
    struct batch_hand *hand;
    struct arena *scratch; /* of one line */
    const struct catalog *catalog;
    size_t count; /* of lines that are handed on */
};

/* The one target of that name. */
static enum err find_target(const struct catalog *catalog, struct arena *arena, struct str model,
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
    if (!policy_allows_model(hand->policy, model, target->id))
        return error_set(error, ERR_FORBIDDEN, "model", "this key may not use the model %.*s",
                         STR_ARG(target->id));
    if (!hand_kind_fits(provider->kind, hand->run->endpoint->form))
        return error_set(error, ERR_UNSUPPORTED, "model",
                         "%.*s has no batches of this form of its own", STR_ARG(provider->name));
    if (hand->provider.len && !str_eq(hand->provider, provider->name))
        return error_set(error, ERR_UNSUPPORTED, "model",
                         "the batch asks several providers: %.*s and %.*s", STR_ARG(hand->provider),
                         STR_ARG(provider->name));
    return ERR_OK;
}

static enum err choose_line(struct choosing *choosing, const struct batch_line *line,
                            struct error *error)
{
    struct batch_hand *hand = choosing->hand;
    const struct batch_endpoint *endpoint = hand->run->endpoint;
    const struct target *target = NULL;
    yyjson_val *root;
    struct str text;
    arena_reset(choosing->scratch);
    enum err code = batch_line_body(choosing->scratch, endpoint, line, &root, &text, error);
    struct str model = code == ERR_OK ? json_get_str(root, "model") : STR_NONE;
    if (code == ERR_OK)
        code = find_target(choosing->catalog, choosing->scratch, model, &target, error);
    if (code == ERR_OK)
        code = check_target(choosing, model, target, error);
    if (code != ERR_OK)
        return code;
    if (!hand->provider.len) {
        hand->provider = arena_str(hand->arena, target->provider->name);
        hand->model = arena_str(hand->arena, target->model);
    }
    struct buf body;
    buf_init(&body, LINE_BYTES_MAX);
    passthrough_with_model(text, NULL, target->model, &body);
    if (buf_ok(&body))
        hand_write_line(endpoint, line, buf_str(&body), choosing->count++ == 0, &hand->content);
    else
        code = error_set(error, ERR_TOO_BIG, NULL, "a line is too long");
    buf_done(&body);
    return code;
}

static enum err choose_lines(struct choosing *choosing, struct error *error)
{
    struct batch_hand *hand = choosing->hand;
    const struct batch_input *input = &hand->run->input;
    enum batch_form form = hand->run->endpoint->form;
    enum err code = ERR_OK;
    struct error why = {0};
    hand_write_begin(form, hand->boundary, &hand->content);
    for (size_t i = 0; code == ERR_OK && i < input->count; i++) {
        const struct batch_line *line = &input->lines[i];
        if (line->wrong || line->is_done)
            continue;
        code = choose_line(choosing, line, &why);
        if (code != ERR_OK)
            error_set(error, code, why.field, "line %lld cannot be handed on: %s",
                      (long long)line->number, error_message(&why));
    }
    hand_write_end(form, hand->boundary, &hand->content);
    if (code == ERR_OK && choosing->count == 0)
        return error_set(error, ERR_UNSUPPORTED, NULL, "no line of it can be handed on");
    if (code == ERR_OK && !buf_ok(&hand->content))
        return error_set(error, ERR_TOO_BIG, NULL, "the batch is too large to be handed on");
    return code;
}

void hand_pool_choose(void *user)
{
    struct batch_hand *hand = user;
    struct registry *registry = hand->run->queue->options.registry;
    struct choosing choosing = {.hand = hand,
                                .scratch = arena_new(LINE_ARENA_BYTES_MAX),
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

/* ---- What came of them ----------------------------------------------------------------------- */

struct reading {
    struct batch_hand *hand;
    struct arena *scratch; /* of one line */
    const struct catalog *catalog;
    struct map *lines; /* by custom id: those without a result */
    struct buf out;    /* of one line */
};

static struct hand_row *add_row(struct reading *reading, struct batch_line *line, bool is_failure)
{
    struct batch_hand *hand = reading->hand;
    struct hand_row *row = VEC_PUSH(hand->arena, hand->rows, hand->row_count, hand->row_capacity);
    *row = (struct hand_row){.line = line,
                             .is_failure = is_failure,
                             .result = arena_str(hand->arena, buf_str(&reading->out)),
                             .usage = LLM_USAGE_UNKNOWN,
                             .cost_nano = -1};
    return row;
}

static struct llm_usage usage_of(struct reading *reading, yyjson_val *body)
{
    const struct batch_endpoint *endpoint = reading->hand->run->endpoint;
    struct llm_response response = {.usage = LLM_USAGE_UNKNOWN};
    struct embedding_answer vectors = {.usage = LLM_USAGE_UNKNOWN};
    struct llm_error error;
    if (endpoint->embedding) {
        bool is_read =
            endpoint->embedding->decode_answer(reading->scratch, body, &vectors) == ERR_OK;
        vectors.usage.output_total = 0;
        return is_read ? vectors.usage : LLM_USAGE_UNKNOWN;
    }
    struct str text = json_text(reading->scratch, body);
    bool is_read =
        endpoint->dialect->decode_response(reading->scratch, text, &response, &error) == ERR_OK;
    return is_read ? response.usage : LLM_USAGE_UNKNOWN;
}

/* For the ledger: which model it was, and what it cost as a line of a batch. */
static void fill_use(struct reading *reading, struct hand_row *row, yyjson_val *body)
{
    struct batch_hand *hand = reading->hand;
    const struct target *target = NULL;
    yyjson_val *asked;
    struct str text;
    if (batch_line_body(reading->scratch, hand->run->endpoint, row->line, &asked, &text, NULL) !=
        ERR_OK)
        return;
    struct str model = json_get_str(asked, "model");
    row->is_used = true;
    row->model = arena_str(hand->arena, model);
    row->target.id = row->model;
    row->usage = usage_of(reading, body);
    if (find_target(reading->catalog, reading->scratch, model, &target, NULL) != ERR_OK)
        return; /* not there any more */
    row->target.id = arena_str(hand->arena, target->id);
    if (target->has_price && (row->usage.input_total >= 0 || row->usage.output_total >= 0))
        row->cost_nano = price_batch_cost_nano(&target->price, &row->usage);
}

/* What cannot be read is no result: its line gets none, and says so. */
static void read_result(struct reading *reading, struct str text)
{
    struct batch_hand *hand = reading->hand;
    const struct batch_endpoint *endpoint = hand->run->endpoint;
    struct hand_result result;
    yyjson_val *root;
    arena_reset(reading->scratch);
    if (json_read(reading->scratch, text, &root, NULL) != ERR_OK ||
        !hand_read_result(endpoint->form, root, &result))
        return;
    struct batch_line *line = map_get(reading->lines, result.custom_id);
    hand->end.is_expired |= result.outcome == HAND_EXPIRED;
    hand->end.is_cancelled |= result.outcome == HAND_CANCELLED;
    if (!line || result.outcome == HAND_EXPIRED || result.outcome == HAND_CANCELLED)
        return;
    buf_clear(&reading->out);
    batch_write_handed(&reading->out, endpoint, id_str(&hand->run->batch.id), line, root);
    if (!buf_ok(&reading->out))
        return;
    struct hand_row *row = add_row(reading, line, result.outcome != HAND_DONE);
    if (result.outcome == HAND_DONE)
        fill_use(reading, row, result.body);
    map_remove(reading->lines, line->custom_id);
}

/* Lines that were wrong, and those the provider says nothing of though it had them. */
static void add_rest(struct reading *reading)
{
    struct batch_hand *hand = reading->hand;
    struct batch_run *run = hand->run;
    struct llm_error lost = {.class = ERR_SERVER, .retry_after_ms = -1};
    str_copy(STR("the provider gave no result of this line"), lost.message, sizeof lost.message);
    const struct batch_answer answer = {.error = hand->is_refused ? &hand->refusal : &lost,
                                        .request_id = id_str(&run->batch.id)};
    bool are_excused = !hand->is_refused && (hand->end.is_expired || hand->end.is_cancelled);
    for (size_t i = 0; i < run->input.count; i++) {
        struct batch_line *line = &run->input.lines[i];
        buf_clear(&reading->out);
        if (line->is_done)
            continue;
        if (line->wrong)
            batch_write_wrong(&reading->out, run->endpoint, id_str(&run->batch.id), line);
        else if (!are_excused && map_get(reading->lines, line->custom_id) == line)
            batch_write_answer(&reading->out, run->endpoint, id_str(&run->batch.id), line, &answer);
        else
            continue;
        add_row(reading, line, true);
    }
}

static void index_lines(struct reading *reading)
{
    struct batch_input *input = &reading->hand->run->input;
    for (size_t i = 0; i < input->count; i++)
        if (!input->lines[i].wrong && !input->lines[i].is_done)
            map_set(reading->lines, input->lines[i].custom_id, &input->lines[i]);
}

void hand_pool_read(void *user)
{
    struct batch_hand *hand = user;
    struct reading reading = {.hand = hand,
                              .scratch = arena_new(LINE_ARENA_BYTES_MAX),
                              .catalog = registry_acquire(hand->run->queue->options.registry),
                              .lines = map_new()};
    struct str results = buf_str(&hand->results);
    buf_init(&reading.out, LINE_BYTES_MAX);
    index_lines(&reading);
    while (results.data && results.len) {
        struct str text = str_trim(str_next(&results, '\n'));
        if (text.len)
            read_result(&reading, text);
    }
    add_rest(&reading);
    buf_done(&reading.out);
    map_free(reading.lines);
    catalog_unref(reading.catalog);
    arena_free(reading.scratch);
}
