/* Governor: see governor.h. What it counts is the limiter's, what it writes the ledger's, what it
 * obeys the policy's; it only knows the order.
 *
 *   governor_open --reserve--> OPEN --check, begin, reached, end, for each attempt--> governor_close
 *        |                                                                               (settle)
 *        \--refused: a row, and a charge that holds nothing--> governor_close
 *
 * The row of an attempt that has ended waits until the next one begins or the charge is closed:
 * what the caller's form lost of the answer is known by then. */
#include "route/governor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "route/plan.h"

enum {
    TEXT_BYTES_MAX = 128,
    LOSSES_BYTES_MAX = 1000,
    CHARGE_BYTES_MAX = 64 * 1024,
    OUTPUT_UNKNOWN = 1000 /* tokens of an answer of which nothing is known */
};

struct governor {
    struct governor_options options;
};

/* An attempt under way. */
struct attempt {
    struct ledger_open *open; /* NULL: there is no ledger, or no attempt */
    bool reached;
    int http_status;
    int64_t start_ms;
};

struct charge {
    struct governor *governor;
    struct policy *policy; /* NULL: nobody's */
    struct str address;
    const struct str *names; /* as they were asked for: the model and the chain behind it */
    size_t name_count;
    bool are_names_cut; /* then they say nothing of the scope */
    bool is_own;
    bool are_names_allowed; /* all of them, by the scope: then so is what they lead to */
    bool is_narrowed;
    struct limiter_lease *lease; /* NULL: nothing was reserved */
    struct limiter_view view;
    int64_t tokens; /* of all attempts */
    int64_t cost_nano;
    struct attempt attempts[FLOW_SLOTS];
    bool has_ended;                 /* `row` waits */
    struct ledger_open *ended_open; /* of it */
    struct str losses;              /* malloc'ed */
    /* Of the attempt that began or ended last, as there is never more than one at hand; what is the
     * request's stays in it. */
    struct ledger_row row;
};

struct governor *governor_new(const struct governor_options *options)
{
    struct governor *governor = calloc(1, sizeof *governor);
    ASSERT(governor);
    governor->options = *options;
    return governor;
}

void governor_free(struct governor *governor)
{
    free(governor);
}

static struct limiter_time time_of(const struct charge *charge)
{
    struct loop *loop = charge->governor->options.loop;
    return (struct limiter_time){loop_now_us(loop), loop_wall_ms(loop)};
}

static int64_t wall_ms_of(const struct charge *charge)
{
    return loop_wall_ms(charge->governor->options.loop);
}

/* ---- Who asks -------------------------------------------------------------------------------- */

static struct str cut(struct str text)
{
    return str_slice(text, 0, text.len < TEXT_BYTES_MAX ? text.len : TEXT_BYTES_MAX);
}

static bool is_cut(struct str text)
{
    return text.len > TEXT_BYTES_MAX;
}

static struct str own(char **at, struct str text)
{
    text = cut(text);
    if (text.len)
        memcpy(*at, text.data, text.len);
    *at += text.len;
    return STR_FROM(*at - text.len, text.len);
}

static size_t tag_count_of(const struct governor_ask *ask)
{
    size_t count = ask->origin->tag_count;
    return count < LEDGER_TAGS_MAX ? count : LEDGER_TAGS_MAX;
}

/* Of all that is copied behind the charge. */
static size_t text_bytes_of(const struct governor_ask *ask, struct str model)
{
    const struct governor_origin *from = ask->origin;
    size_t bytes = cut(from->address).len + cut(from->request_id).len + cut(from->door).len +
                   cut(model).len + cut(ask->model).len;
    for (size_t i = 0; i < tag_count_of(ask); i++)
        bytes += cut(from->tags[i]).len;
    for (size_t i = 0; i < ask->chain_count; i++)
        bytes += cut(ask->chain[i]).len;
    return bytes;
}

/* Everything in one piece: the charge, its lists, their texts. */
static struct charge *charge_alloc(const struct governor_ask *ask, struct arena *arena,
                                   struct str model, char **ret_at)
{
    size_t list_bytes = (tag_count_of(ask) + ask->chain_count + 1) * sizeof(struct str);
    struct charge *charge =
        arena_alloc(arena, sizeof *charge + list_bytes + text_bytes_of(ask, model));
    memset(charge, 0, sizeof *charge);
    *ret_at = (char *)(charge + 1) + list_bytes;
    return charge;
}

/* `model`: as it is counted; ask->model: as it was written. */
static void copy_texts(struct charge *charge, const struct governor_ask *ask, struct str model,
                       char *at)
{
    const struct governor_origin *from = ask->origin;
    struct str *names = (struct str *)(charge + 1);
    struct str *tags = names + 1 + ask->chain_count;
    charge->address = own(&at, from->address);
    charge->row.origin.request_id = own(&at, from->request_id);
    charge->row.origin.door = own(&at, from->door);
    charge->row.origin.model = own(&at, model);
    names[0] = ask->model.len ? own(&at, ask->model) : charge->row.origin.model;
    for (size_t i = 0; i < ask->chain_count; i++)
        names[i + 1] = own(&at, ask->chain[i]);
    charge->are_names_cut = is_cut(ask->model.len ? ask->model : model);
    for (size_t i = 0; i < ask->chain_count; i++)
        charge->are_names_cut |= is_cut(ask->chain[i]);
    charge->names = names;
    charge->name_count = 1 + ask->chain_count;
    charge->row.origin.tags = tags;
    charge->row.origin.tag_count = tag_count_of(ask);
    for (size_t i = 0; i < charge->row.origin.tag_count; i++)
        tags[i] = own(&at, from->tags[i]);
}

static void follow_policy(struct charge *charge, struct policy *policy)
{
    charge->policy = policy;
    charge->row.origin.user = policy->who.user;
    charge->row.origin.key = policy->who.key;
    charge->row.origin.groups = policy->groups;
    charge->row.origin.group_count = policy->group_count;
    charge->are_names_allowed = charge->is_own || !charge->are_names_cut;
    for (size_t i = 0; i < charge->name_count && !charge->is_own; i++)
        charge->are_names_allowed &= policy_allows_model(policy, charge->names[i], STR(""));
}

static struct charge *charge_new(struct governor *governor, const struct governor_ask *ask,
                                 struct arena *arena, struct str model)
{
    char *at;
    struct charge *charge = charge_alloc(ask, arena, model, &at);
    charge->governor = governor;
    charge->row.is_streamed = ask->is_streamed;
    charge->row.is_batch = ask->is_batch;
    charge->is_own = ask->is_own;
    charge->view = (struct limiter_view){-1, -1, 0, -1, -1, 0};
    copy_texts(charge, ask, model, at);
    if (ask->origin->policy)
        follow_policy(charge, policy_ref(ask->origin->policy));
    return charge;
}

static size_t list_subjects(const struct charge *charge,
                            struct limiter_subject ret[LIMITER_SUBJECTS_MAX])
{
    const struct ledger_origin *origin = &charge->row.origin;
    size_t count = 0;
    if (!id_is_none(&origin->key))
        ret[count++] = (struct limiter_subject){QUOTA_KEY, id_str(&origin->key)};
    if (!id_is_none(&origin->user))
        ret[count++] = (struct limiter_subject){QUOTA_USER, id_str(&origin->user)};
    for (size_t i = 0; i < origin->group_count; i++)
        ret[count++] = (struct limiter_subject){QUOTA_GROUP, id_str(&origin->groups[i])};
    if (origin->model.len)
        ret[count++] = (struct limiter_subject){QUOTA_MODEL, origin->model};
    if (charge->address.len)
        ret[count++] = (struct limiter_subject){QUOTA_ADDRESS, charge->address};
    for (size_t i = 0; i < origin->tag_count; i++)
        ret[count++] = (struct limiter_subject){QUOTA_TAG, origin->tags[i]};
    return count;
}

/* ---- How much -------------------------------------------------------------------------------- */

/* What of the answer is reserved: the lesser of what is asked for at most and what such answers
 * have lately. */
static int64_t estimate_output(const struct charge *charge, const struct governor_ask *ask)
{
    int64_t usual = limiter_output_p95(charge->governor->options.limiter, charge->row.origin.model);
    if (usual <= 0)
        usual = OUTPUT_UNKNOWN;
    return ask->output_tokens > 0 && ask->output_tokens < usual ? ask->output_tokens : usual;
}

static int64_t cost_at(const struct target *target, int64_t input, int64_t output)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = input;
    usage.output_total = output;
    return target->has_price ? price_cost_nano(&target->price, &usage) : 0;
}

/* 0 only where nothing costs anything. */
static int64_t estimate_cost(const struct target *target, int64_t input, int64_t output)
{
    int64_t cost = cost_at(target, input, output);
    return cost == 0 && cost_at(target, 1000000, 1000000) > 0 ? 1 : cost;
}

/* At the dearest target of those that cost less than `below`; -1: there is none. */
static int64_t dearest_below(const struct route_plan *plan, int64_t input, int64_t output,
                             int64_t below)
{
    int64_t dearest = -1;
    for (size_t g = 0; plan && g < plan->group_count; g++) {
        for (size_t i = 0; i < plan->groups[g].count; i++) {
            int64_t cost = estimate_cost(plan->groups[g].targets[i], input, output);
            dearest = cost < below && cost > dearest ? cost : dearest;
        }
    }
    return dearest;
}

/* ---- Refusing -------------------------------------------------------------------------------- */

static void note(struct charge *charge, enum ledger_outcome outcome, struct str target,
                 enum err class, uint64_t duration_us)
{
    struct ledger *ledger = charge->governor->options.ledger;
    if (ledger)
        ledger_note(ledger, &(struct ledger_row){.start_ms = wall_ms_of(charge),
                                                 .origin = charge->row.origin,
                                                 .target = target,
                                                 .mode = route_mode_name(ROUTE_WHOLE),
                                                 .outcome = outcome,
                                                 .is_streamed = charge->row.is_streamed,
                                                 .is_batch = charge->row.is_batch,
                                                 .error_class = class,
                                                 .usage = LLM_USAGE_UNKNOWN,
                                                 .cost_nano = 0,
                                                 .duration_us = duration_us});
}

static enum err refuse(struct charge *charge, struct llm_error *ret_error, enum err class)
{
    ret_error->class = class;
    note(charge, LEDGER_REFUSED, STR(""), class, 0);
    return class;
}

static enum err refuse_scope(struct charge *charge, struct str model, struct llm_error *ret_error)
{
    *ret_error = (struct llm_error){.retry_after_ms = -1};
    str_copy(STR("model"), ret_error->field, sizeof ret_error->field);
    snprintf(ret_error->message, sizeof ret_error->message, "this key may not use the model %.*s",
             STR_ARG(model));
    return refuse(charge, ret_error, ERR_FORBIDDEN);
}

static enum err refuse_limit(struct charge *charge, const struct limiter_refusal *why,
                             struct llm_error *ret_error)
{
    *ret_error =
        (struct llm_error){.retry_after_ms = why->is_never ? -1 : (int64_t)why->retry_after_ms};
    if (why->is_budget)
        snprintf(ret_error->message, sizeof ret_error->message,
                 why->is_never ? "this request alone may cost more than the %s of this %s: %.2f USD"
                               : "the %s of this %s is used up: %.2f USD",
                 why->what, quota_kind_name(why->kind), (double)why->limit / 1e9);
    else
        snprintf(ret_error->message, sizeof ret_error->message,
                 "over the limit of this %s: %lld %s%s", quota_kind_name(why->kind),
                 (long long)why->limit, why->what,
                 why->is_never ? "; this request alone is larger" : "");
    return refuse(charge, ret_error, why->is_budget ? ERR_QUOTA_EXHAUSTED : ERR_RATE_LIMITED);
}

/* ---- Opening --------------------------------------------------------------------------------- */

/* The policy in force: keys are edited and revoked while requests go on. */
static enum err renew_policy(struct charge *charge, struct llm_error *ret_error)
{
    struct account *account = charge->governor->options.account;
    struct policy *renewed = NULL;
    if (!charge->policy || !account || policy_is_current(charge->policy, wall_ms_of(charge)))
        return ERR_OK;
    if (account_policy(account, &charge->policy->who, &renewed) != ERR_OK) {
        *ret_error = (struct llm_error){.class = ERR_UNAUTHENTICATED, .retry_after_ms = -1};
        str_copy(STR("this key is not valid any more"), ret_error->message,
                 sizeof ret_error->message);
        return ERR_UNAUTHENTICATED;
    }
    struct policy *before = charge->policy;
    follow_policy(charge, renewed);
    policy_unref(before);
    return ERR_OK;
}

static bool is_in_scope(const struct charge *charge, const struct target *target)
{
    return !charge->policy || charge->are_names_allowed ||
           policy_allows_model(charge->policy, STR(""), target->id);
}

static bool keep_in_scope(void *user, const struct target *target)
{
    return is_in_scope(user, target);
}

/* What a budget pays for. */
struct affordable {
    int64_t input;
    int64_t output;
    int64_t cost_nano; /* at most */
};

static bool keep_affordable(void *user, const struct target *target)
{
    const struct affordable *affordable = user;
    return estimate_cost(target, affordable->input, affordable->output) <= affordable->cost_nano;
}

/* False when nothing is left. */
static bool narrow(struct charge *charge, struct route_plan *plan, struct arena *arena,
                   bool (*keep)(void *user, const struct target *target), void *user)
{
    size_t before = plan->target_count;
    bool is_left = plan_narrow(plan, arena, keep, user);
    charge->is_narrowed |= plan->target_count < before;
    return is_left;
}

static bool reserve(struct charge *charge, const struct limiter_ask *ask,
                    struct limiter_refusal *ret_why)
{
    const struct governor_options *options = &charge->governor->options;
    char soft[256];
    bool is_granted =
        limiter_reserve(options->limiter, ask, charge->lease, ret_why, &charge->view, soft);
    if (soft[0])
        log_warning(options->log, "a budget is nearly used up", LOG_CSTR("budget", soft));
    return is_granted;
}

/* Reserves the dearest way; while only money lacks, the dearest of those that cost less, and then none
 * that costs more is asked. */
static enum err reserve_best(struct charge *charge, const struct governor_ask *ask,
                             struct arena *arena, struct route_plan *plan,
                             struct llm_error *ret_error)
{
    struct limiter_refusal why;
    struct limiter_subject subjects[LIMITER_SUBJECTS_MAX];
    struct limiter *limiter = charge->governor->options.limiter;
    if (!limiter || !limiter_has_rules(limiter))
        return ERR_OK;
    int64_t output = estimate_output(charge, ask), input = ask->input_tokens;
    int64_t dearest = dearest_below(plan, input, output, INT64_MAX), cost = dearest;
    struct limiter_ask held = {.subjects = subjects,
                               .count = list_subjects(charge, subjects),
                               .tokens = input + output,
                               .cost_nano = dearest < 0 ? 0 : dearest,
                               .now = time_of(charge)};
    charge->lease = arena_alloc(arena, limiter_lease_bytes(held.count));
    bool is_granted = reserve(charge, &held, &why);
    while (!is_granted && why.is_budget && (cost = dearest_below(plan, input, output, cost)) >= 0) {
        held.cost_nano = cost;
        is_granted = reserve(charge, &held, &why);
    }
    if (!is_granted)
        return refuse_limit(charge, &why, ret_error);
    struct affordable affordable = {input, output, cost};
    bool is_left = cost == dearest || narrow(charge, plan, arena, keep_affordable, &affordable);
    ASSERT(is_left); /* it is what one of them costs */
    return ERR_OK;
}

enum err governor_open(struct governor *governor, const struct governor_ask *ask,
                       struct arena *arena, struct route_plan *plan, struct charge **ret_charge,
                       struct llm_error *ret_error)
{
    struct charge *charge = charge_new(governor, ask, arena, plan ? plan->name : ask->model);
    *ret_charge = charge;
    enum err code = renew_policy(charge, ret_error);
    if (code != ERR_OK)
        return refuse(charge, ret_error, code);
    if (plan && !narrow(charge, plan, arena, keep_in_scope, charge))
        return refuse_scope(charge, charge->names[0], ret_error);
    return ask->is_free ? ERR_OK : reserve_best(charge, ask, arena, plan, ret_error);
}

/* ---- Attempts -------------------------------------------------------------------------------- */

enum err governor_check(struct charge *charge, const struct target *target,
                        struct llm_error *ret_error)
{
    enum err code = renew_policy(charge, ret_error);
    if (code != ERR_OK)
        return refuse(charge, ret_error, code);
    return is_in_scope(charge, target) ? ERR_OK : refuse_scope(charge, target->id, ret_error);
}

/* What is known of an attempt when it begins. Nothing waits any more in the charge's row. */
static struct ledger_row *describe(struct charge *charge, const struct target *target, int number,
                                   enum route_mode mode, bool is_hedge, int64_t start_ms)
{
    struct ledger_row *row = &charge->row;
    row->start_ms = start_ms;
    row->number = number;
    row->target = target->id;
    row->mode = route_mode_name(mode);
    row->is_hedge = is_hedge;
    return row;
}

/* Gives the row that waits to the ledger. */
static void write_ended(struct charge *charge)
{
    struct ledger *ledger = charge->governor->options.ledger;
    if (!charge->has_ended)
        return;
    charge->has_ended = false;
    charge->row.losses = charge->losses;
    if (charge->ended_open)
        ledger_end(ledger, charge->ended_open, &charge->row);
    else
        ledger_note(ledger, &charge->row);
}

void governor_begin(struct charge *charge, int slot, const struct target *target, int number,
                    enum route_mode mode, bool is_hedge)
{
    struct ledger *ledger = charge->governor->options.ledger;
    struct attempt *attempt = &charge->attempts[slot];
    *attempt = (struct attempt){.start_ms = wall_ms_of(charge)};
    if (!ledger)
        return;
    write_ended(charge);
    attempt->open =
        ledger_begin(ledger, describe(charge, target, number, mode, is_hedge, attempt->start_ms));
}

void governor_reached(struct charge *charge, int slot, int http_status)
{
    struct attempt *attempt = &charge->attempts[slot];
    attempt->http_status = http_status;
    if (!attempt->reached && attempt->open)
        ledger_reached(charge->governor->options.ledger, attempt->open);
    attempt->reached = true;
}

static void count(struct charge *charge, const struct flow_row *row)
{
    const struct llm_usage *usage = &row->usage;
    struct limiter *limiter = charge->governor->options.limiter;
    charge->tokens += usage->input_total > 0 ? usage->input_total : 0;
    charge->tokens += usage->output_total > 0 ? usage->output_total : 0;
    charge->cost_nano += row->cost_nano > 0 ? row->cost_nano : 0;
    if (limiter && row->outcome == FLOW_ANSWERED && usage->output_total > 0)
        limiter_note_output(limiter, charge->row.origin.model, usage->output_total);
}

void governor_end(struct charge *charge, int slot, const struct flow_row *from)
{
    struct attempt *attempt = &charge->attempts[slot];
    count(charge, from);
    if (!charge->governor->options.ledger)
        return;
    write_ended(charge);
    int64_t start_ms = attempt->start_ms ? attempt->start_ms : wall_ms_of(charge);
    struct ledger_row *row =
        describe(charge, from->target, from->number, from->mode, from->is_hedge, start_ms);
    row->outcome = (enum ledger_outcome)from->outcome;
    row->reached = attempt->reached;
    row->error_class = from->error ? from->error->class : ERR_OK;
    row->http_status = from->error ? from->error->http_status : attempt->http_status;
    row->usage = from->usage;
    row->cost_nano = from->cost_nano;
    row->first_content_us = from->first_content_us;
    row->duration_us = from->end_us;
    charge->has_ended = true;
    charge->ended_open = attempt->open;
    *attempt = (struct attempt){0};
}

void governor_note(struct charge *charge, enum ledger_outcome outcome, struct str target,
                   uint64_t duration_us)
{
    note(charge, outcome, target, ERR_OK, duration_us);
}

void governor_lost(struct charge *charge, struct str names)
{
    size_t len = names.len < LOSSES_BYTES_MAX ? names.len : LOSSES_BYTES_MAX;
    if (!len || charge->losses.data)
        return;
    char *copy = malloc(len);
    ASSERT(copy);
    charge->losses = STR_FROM(memcpy(copy, names.data, len), len);
}

void governor_close(struct charge *charge)
{
    struct limiter *limiter;
    if (!charge)
        return;
    limiter = charge->governor->options.limiter;
    if (charge->lease && charge->lease->count)
        limiter_settle(limiter, charge->lease, charge->tokens, charge->cost_nano, time_of(charge));
    write_ended(charge);
    policy_unref(charge->policy);
    free((char *)(uintptr_t)charge->losses.data);
}

/* ---- What was used already -------------------------------------------------------------------- */

static void count_used(struct charge *charge)
{
    struct limiter_subject subjects[LIMITER_SUBJECTS_MAX];
    struct limiter *limiter = charge->governor->options.limiter;
    size_t count = limiter ? list_subjects(charge, subjects) : 0;
    for (size_t i = 0; i < count; i++)
        for (int period = 0; period < QUOTA_PERIODS; period++)
            limiter_restore(limiter, subjects[i], (enum quota_period)period, 0, charge->tokens,
                            charge->cost_nano, wall_ms_of(charge));
}

void governor_record(struct governor *governor, const struct governor_ask *ask,
                     const struct flow_row *row)
{
    struct arena *arena = arena_new(CHARGE_BYTES_MAX);
    struct charge *charge = charge_new(governor, ask, arena, ask->model);
    charge->attempts[0] = (struct attempt){.reached = true, .http_status = 200};
    governor_end(charge, 0, row);
    count_used(charge);
    governor_close(charge);
    arena_free(arena);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

const struct policy *charge_policy(const struct charge *charge)
{
    return charge->policy;
}

bool charge_is_narrowed(const struct charge *charge)
{
    return charge->is_narrowed;
}

const struct limiter_view *charge_view(const struct charge *charge)
{
    return &charge->view;
}
