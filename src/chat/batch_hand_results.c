/* What came of the lines that a provider was given: its results as rows to be stored. On a thread of
 * the pool, while the loop leaves the run's input and the hand's own members alone. */
#include "base/clock.h"
#include "base/map.h"
#include "base/vec.h"
#include "chat/batch_hand_internal.h"

struct reading {
    struct batch_hand *hand;
    struct arena *scratch; /* of one line */
    const struct catalog *catalog;
    struct map *lines; /* by the names that they were handed on by */
    bool *has_row;     /* by line */
    struct buf out;    /* of one line */
    bool is_failure;   /* what stands there */
};

static bool *has_row(struct reading *reading, const struct batch_line *line)
{
    return &reading->has_row[line - reading->hand->run->input.lines];
}

static struct hand_row *add_row(struct reading *reading, struct batch_line *line)
{
    struct batch_hand *hand = reading->hand;
    struct hand_row *row = VEC_PUSH(hand->arena, hand->rows, hand->row_count, hand->row_capacity);
    *has_row(reading, line) = true;
    *row = (struct hand_row){.line = line,
                             .is_failure = reading->is_failure,
                             .result = arena_str(hand->arena, buf_str(&reading->out)),
                             .usage = LLM_USAGE_UNKNOWN,
                             .cost_nano = -1};
    return row;
}

static struct llm_usage usage_of(struct reading *reading, yyjson_val *body)
{
    const struct batch_endpoint *endpoint = reading->hand->run->endpoint;
    const struct dialect *dialect = reading->hand->form->dialect;
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
    bool is_read = (dialect ? dialect : endpoint->dialect)
                       ->decode_response(reading->scratch, text, &response, &error) == ERR_OK;
    return is_read ? response.usage : LLM_USAGE_UNKNOWN;
}

/* The target that a line asks for; NULL: it is not there any more. */
static const struct target *target_of(struct reading *reading, const struct batch_line *line,
                                      struct str *ret_model)
{
    const struct target *target = NULL;
    yyjson_val *asked;
    struct str text;
    *ret_model = STR_NONE;
    if (batch_line_body(reading->scratch, reading->hand->run->endpoint, line, &asked, &text,
                        NULL) != ERR_OK)
        return NULL;
    *ret_model = batch_line_model(line, asked);
    if (hand_find_target(reading->catalog, reading->scratch, *ret_model, &target, NULL) != ERR_OK)
        return NULL;
    return target;
}

/* For the ledger: which model it was, and what it cost as a line of a batch. */
static void fill_use(struct reading *reading, struct hand_row *row, yyjson_val *body)
{
    struct batch_hand *hand = reading->hand;
    struct str model;
    const struct target *target = target_of(reading, row->line, &model);
    row->is_used = true;
    row->model = arena_str(hand->arena, model);
    row->target.id = row->model;
    row->usage = usage_of(reading, body);
    if (!target)
        return;
    row->target.id = arena_str(hand->arena, target->id);
    if (target->has_price && (row->usage.input_total >= 0 || row->usage.output_total >= 0))
        row->cost_nano = price_batch_cost_nano(&target->price, &row->usage);
}

/* ---- Results in another dialect than the lines' ----------------------------------------------- */

/* The line as it was handed on, or would have been: what was lost of it, and whether it was at all. */
static enum err encode_again(struct reading *reading, const struct batch_line *line,
                             struct str *ret_dropped, struct error *error)
{
    struct str model;
    struct buf body;
    const struct target *target = target_of(reading, line, &model);
    *ret_dropped = STR_NONE;
    if (!target || !str_eq(target->provider->name, reading->hand->run->batch.provider))
        return ERR_OK; /* not there any more: nobody can tell */
    buf_init(&body, HAND_LINE_BYTES_MAX);
    enum err code =
        batch_encode_line(reading->scratch, reading->hand->run->endpoint, line,
                          target->provider->kind, target->model, &body, ret_dropped, error);
    buf_done(&body);
    return code;
}

static void write_translated(struct reading *reading, const struct batch_line *line,
                             const struct hand_result *result)
{
    struct batch_hand *hand = reading->hand;
    const struct batch_endpoint *endpoint = hand->run->endpoint;
    struct batch_answer answer = {0};
    struct llm_error failure = {.retry_after_ms = -1};
    struct buf encoded;
    answer.request_id = arena_printf(reading->scratch, "%s-%lld", hand->run->batch.id.text,
                                     (long long)line->number);
    buf_init(&encoded, HAND_LINE_BYTES_MAX);
    if (result->outcome != HAND_DONE) {
        hand->form->read_failure(reading->scratch, result->body, &failure);
        answer.error = &failure;
    } else if (batch_encode_answer(reading->scratch, endpoint, hand->form->dialect,
                                   json_text(reading->scratch, result->body), answer.request_id,
                                   &encoded, &failure) != ERR_OK) {
        answer.error = &failure;
    }
    if (encode_again(reading, line, &answer.dropped, NULL) != ERR_OK)
        answer.dropped = STR_NONE;
    answer.body = buf_str(&encoded);
    if (!buf_ok(&encoded))
        reading->out.overflowed = true;
    else
        batch_write_answer(&reading->out, endpoint, id_str(&hand->run->batch.id), line, &answer);
    reading->is_failure = answer.error != NULL;
    buf_done(&encoded);
}

static bool is_translated(const struct batch_hand *hand)
{
    return hand->form->dialect && hand->form->dialect != hand->run->endpoint->dialect;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* What cannot be read is no result: its line gets none, and says so. */
static void read_result(void *user, yyjson_val *root)
{
    struct reading *reading = user;
    struct batch_hand *hand = reading->hand;
    struct hand_result result;
    arena_reset(reading->scratch);
    if (!hand->form->read_result(root, &result))
        return;
    struct batch_line *line = map_get(reading->lines, result.name);
    hand->end.is_expired |= result.outcome == HAND_EXPIRED;
    hand->end.is_cancelled |= result.outcome == HAND_CANCELLED;
    if (!line || *has_row(reading, line) || result.outcome == HAND_EXPIRED ||
        result.outcome == HAND_CANCELLED)
        return;
    buf_clear(&reading->out);
    reading->is_failure = result.outcome != HAND_DONE;
    if (is_translated(hand))
        write_translated(reading, line, &result);
    else
        batch_write_handed(&reading->out, hand->run->endpoint, id_str(&hand->run->batch.id), line,
                           root);
    if (!buf_ok(&reading->out))
        return;
    struct hand_row *row = add_row(reading, line);
    if (result.outcome == HAND_DONE)
        fill_use(reading, row, result.body);
}

/* Why a line was not handed on: what is wrong with it, or what the provider's form cannot say. */
static bool is_wrong(struct reading *reading, const struct batch_line *line,
                     struct batch_line *ret_wrong)
{
    struct batch_hand *hand = reading->hand;
    struct error error = {0};
    struct str dropped;
    *ret_wrong = *line;
    if (line->wrong || hand->is_refused || !hand->form || !hand->form->dialect)
        return line->wrong != NULL;
    arena_reset(reading->scratch);
    if (encode_again(reading, line, &dropped, &error) == ERR_OK)
        return false;
    ret_wrong->wrong = arena_printf(reading->scratch, "%s%s%s", error.field,
                                    error.field[0] ? ": " : "", error_message(&error))
                           .data;
    return true;
}

/* Lines that were not handed on, and those the provider says nothing of though it had them. */
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
        struct batch_line wrong;
        buf_clear(&reading->out);
        if (line->is_done || reading->has_row[i])
            continue;
        reading->is_failure = true;
        if (is_wrong(reading, line, &wrong))
            batch_write_wrong(&reading->out, run->endpoint, id_str(&run->batch.id), &wrong);
        else if (!are_excused)
            batch_write_answer(&reading->out, run->endpoint, id_str(&run->batch.id), line, &answer);
        else
            continue;
        add_row(reading, line);
    }
}

static void index_lines(struct reading *reading)
{
    const struct hand_form *form = reading->hand->form;
    struct batch_input *input = &reading->hand->run->input;
    for (size_t i = 0; form && i < input->count; i++) {
        struct batch_line *line = &input->lines[i];
        arena_reset(reading->scratch);
        if (!line->wrong && !line->is_done)
            map_set(reading->lines, hand_line_name(reading->scratch, form, line), line);
    }
}

void hand_pool_read(void *user)
{
    struct batch_hand *hand = user;
    struct arena *parsed = arena_new(SIZE_MAX);
    struct reading reading = {.hand = hand,
                              .scratch = arena_new(HAND_LINE_ARENA_BYTES_MAX),
                              .catalog = registry_acquire(hand->run->queue->options.registry),
                              .lines = map_new()};
    reading.has_row = ARENA_NEW_ARRAY(hand->arena, hand->run->input.count, bool);
    buf_init(&reading.out, HAND_LINE_BYTES_MAX);
    index_lines(&reading);
    if (hand->form)
        hand->form->each_result(parsed, buf_str(&hand->results), read_result, &reading);
    add_rest(&reading);
    buf_done(&reading.out);
    map_free(reading.lines);
    catalog_unref(reading.catalog);
    arena_free(reading.scratch);
    arena_free(parsed);
}
