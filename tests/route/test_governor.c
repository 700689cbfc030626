/* The governor: what a scope and a budget leave of a plan, what is refused and how, what is settled,
 * and which rows tell of it. */
#include "helper_charge.h"

/* ---- Scopes ------------------------------------------------------------------------------------ */

static const char *left(const struct fixture *f, char ret[100])
{
    size_t count = 0;
    ret[0] = '\0';
    for (size_t g = 0; g < f->plan.group_count; g++) {
        for (size_t i = 0; i < f->plan.groups[g].count; i++, count++)
            snprintf(ret + strlen(ret), 100 - strlen(ret), "%s%.*s", count ? " " : "",
                     STR_ARG(f->plan.groups[g].targets[i]->id));
        assert_true(f->plan.groups[g].count > 0);
    }
    assert_int_equal(count, f->plan.target_count);
    return ret;
}

static void test_scopes(void **state)
{
    struct fixture *f = *state;
    const struct {
        struct policy_patterns models;
        const char *asked, *next;
        const char *left; /* NULL: refused */
    } rows[] = {
        {PATTERNS(STR("fast")), "fast", NULL, "dear/a cheap/b local/c"},
        {PATTERNS(STR("*")), "fast", NULL, "dear/a cheap/b local/c"},
        {PATTERNS(STR("cheap/*")), "fast", NULL, "cheap/b"},
        {PATTERNS(STR("local/*"), STR("b")), "fast", NULL, "cheap/b local/c"},
        {PATTERNS(STR("slow")), "fast", NULL, NULL},
        /* A chain: all of its names, or each target by itself. */
        {PATTERNS(STR("fast"), STR("slow")), "fast", "slow", "dear/a cheap/b local/c"},
        {PATTERNS(STR("fast")), "fast", "slow", NULL},
        {PATTERNS(STR("slow")), "fast", "slow", NULL},
        {PATTERNS(STR("fast"), STR("dear/*")), "fast", "slow", "dear/a"},
        {PATTERNS(STR("f*"), STR("local/c")), "fast", "slow", "local/c"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct llm_error error = {.retry_after_ms = -1};
        const struct str chain[] = {str_from_cstr(rows[i].next ? rows[i].next : "")};
        struct charge *charge;
        char text[100];
        give_targets(f);
        set_scope(f, rows[i].models);
        enum err code = open_like(f,
                                  (struct governor_ask){.model = str_from_cstr(rows[i].asked),
                                                        .chain = chain,
                                                        .chain_count = rows[i].next != NULL},
                                  &charge, &error);
        assert_int_equal(code, rows[i].left ? ERR_OK : ERR_FORBIDDEN);
        assert_string_equal(left(f, text), rows[i].left ? rows[i].left : "dear/a cheap/b local/c");
        assert_int_equal(charge_is_narrowed(charge), rows[i].left && f->plan.target_count < 3);
        for (int t = 0; t < TARGETS && rows[i].left; t++)
            assert_int_equal(governor_check(charge, &f->targets[t], &error) == ERR_OK,
                             strstr(rows[i].left, f->targets[t].id.data) != NULL);
        governor_close(charge);
    }
}

static void test_refused_by_scope(void **state)
{
    struct fixture *f = *state;
    struct llm_error error = {.retry_after_ms = 5};
    struct charge *charge;
    limiter_set(f->limiter, KEY, &(struct quota){.requests_per_minute = 5, .streams_max = 5});
    set_scope(f, PATTERNS(STR("other")));
    assert_int_equal(open_like(f, (struct governor_ask){.is_streamed = true}, &charge, &error),
                     ERR_FORBIDDEN);
    assert_int_equal(error.class, ERR_FORBIDDEN);
    assert_int_equal(error.retry_after_ms, -1);
    assert_string_equal(error.field, "model");
    assert_non_null(strstr(error.message, "fast"));
    assert_int_equal(f->ledger.row_count, 1);
    const struct kept *kept = &f->ledger.rows[0];
    assert_int_equal(kept->row.outcome, LEDGER_REFUSED);
    assert_int_equal(kept->row.error_class, ERR_FORBIDDEN);
    assert_false(kept->had_attempt);
    assert_true(kept->row.is_streamed);
    assert_string_equal(kept->target, "");
    assert_string_equal(kept->model, "fast");
    assert_string_equal(kept->door, "openai");
    assert_string_equal(kept->request_id, "request-1");
    assert_string_equal(kept->tag, "user:ann");
    governor_close(charge);
    assert_int_equal(streams_of(f, KEY), 0); /* nothing was reserved */
}

/* Something that the caller made there is the caller's, whatever its key may ask for. */
static void test_ones_own_needs_no_scope(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    char text[100];
    set_scope(f, PATTERNS(STR("cheap/b")));
    assert_int_equal(open_like(f, (struct governor_ask){.is_own = true}, &charge, &error), ERR_OK);
    assert_string_equal(left(f, text), "dear/a cheap/b local/c");
    set_scope(f, PATTERNS(STR("nothing"))); /* also when it is narrowed again */
    assert_int_equal(governor_check(charge, &f->targets[DEAR], &error), ERR_OK);
    governor_close(charge);
}

static void test_names_are_counted_as_routed(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    set_scope(f, PATTERNS(STR("alias"))); /* as it was written counts for the scope */
    assert_int_equal(open_like(f, (struct governor_ask){.model = STR("alias")}, &charge, &error),
                     ERR_OK);
    governor_note(charge, LEDGER_CACHED, STR("dear/a"), 7);
    governor_close(charge);
    assert_string_equal(f->ledger.rows[0].model, "fast"); /* what it led to, for limits and rows */
}

/* ---- Keys that change while a request goes on ------------------------------------------------------ */

static void test_narrowed_between_attempts(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    set_scope(f, PATTERNS(STR("fast")));
    assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_OK);
    assert_int_equal(governor_check(charge, f->order[DEAR], &error), ERR_OK);
    assert_int_equal(f->directory.asked, 0); /* while it is current nobody is asked */
    governor_begin(charge, 0, f->order[DEAR], 1, ROUTE_WHOLE, false);
    end_attempt(f, charge, 0, DEAR, 1, FLOW_FAILED, 0, 0);
    set_scope(f, PATTERNS(STR("local/*")));
    assert_int_equal(governor_check(charge, f->order[CHEAP], &error), ERR_FORBIDDEN);
    assert_int_equal(error.class, ERR_FORBIDDEN);
    assert_non_null(strstr(error.message, "cheap/b"));
    assert_int_equal(governor_check(charge, f->order[LOCAL], &error), ERR_OK);
    assert_ptr_equal(charge_policy(charge), f->directory.now);
    assert_int_equal(f->directory.asked, 1);
    governor_close(charge);
    assert_int_equal(f->ledger.row_count, 2);
    assert_int_equal(f->ledger.rows[0].row.outcome, LEDGER_REFUSED);
    assert_int_equal(f->ledger.rows[1].row.outcome, LEDGER_FAILED);
}

static void test_revoked_between_attempts(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    set_scope(f, (struct policy_patterns){0});
    assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_OK);
    governor_begin(charge, 0, f->order[DEAR], 1, ROUTE_WHOLE, false);
    end_attempt(f, charge, 0, DEAR, 1, FLOW_FAILED, 0, 0);
    revoke_key(f);
    for (int t = CHEAP; t < TARGETS; t++) {
        assert_int_equal(governor_check(charge, f->order[t], &error), ERR_UNAUTHENTICATED);
        assert_int_equal(error.class, ERR_UNAUTHENTICATED);
    }
    governor_close(charge);
    assert_int_equal(f->ledger.rows[0].row.outcome, LEDGER_REFUSED);
    assert_int_equal(f->ledger.rows[0].row.error_class, ERR_UNAUTHENTICATED);
}

static void test_revoked_before(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    set_scope(f, (struct policy_patterns){0});
    struct policy *old = policy_ref(f->directory.now);
    const struct governor_origin origin = {.policy = old};
    const struct governor_ask ask = {.origin = &origin, .model = STR("fast")};
    revoke_key(f);
    assert_int_equal(governor_open(f->governor, &ask, f->arena, &f->plan, &charge, &error),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(f->ledger.row_count, 1);
    assert_int_equal(f->ledger.rows[0].row.error_class, ERR_UNAUTHENTICATED);
    governor_close(charge);
    policy_unref(old);
}

/* ---- Budgets and limits ------------------------------------------------------------------------------ */

static void use_up(struct fixture *f, int64_t cost_nano)
{
    struct limiter_lease lease;
    struct limiter_refusal why;
    struct limiter_subject key = KEY;
    const struct limiter_ask ask = {&key, 1, 0, 0, now()};
    assert_true(limiter_reserve(f->limiter, &ask, &lease, &why, NULL, NULL));
    limiter_settle(f->limiter, &lease, 0, cost_nano, now());
}

static void test_budget_leaves_what_is_free(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    char text[100];
    limiter_set(f->limiter, KEY, &(struct quota){.hard_nano = {USD}, .streams_max = 9});
    set_scope(f, (struct policy_patterns){0});
    use_up(f, USD);
    assert_int_equal(open_like(f, (struct governor_ask){.input_tokens = 10}, &charge, &error),
                     ERR_OK);
    assert_string_equal(left(f, text), "local/c");
    assert_true(charge_is_narrowed(charge));
    assert_int_equal(streams_of(f, KEY), 1);
    governor_close(charge);
    assert_int_equal(streams_of(f, KEY), 0);
    assert_int_equal(f->ledger.row_count, 0);
}

static void test_budget_without_anything_free(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    char text[100];
    limiter_set(f->limiter, KEY, &(struct quota){.hard_nano = {USD}, .streams_max = 9});
    set_scope(f, PATTERNS(STR("dear/*")));
    struct governor_ask ask = {.input_tokens = 10, .output_tokens = 2000};
    assert_int_equal(open_like(f, ask, &charge, &error), ERR_QUOTA_EXHAUSTED);
    assert_int_equal(error.retry_after_ms, -1); /* no wait helps: it alone may cost more */
    assert_non_null(strstr(error.message, "alone"));
    governor_close(charge);
    give_targets(f);
    set_scope(f, PATTERNS(STR("dear/*"), STR("cheap/*"))); /* the free one is not in the scope */
    use_up(f, USD);
    ask.output_tokens = 10;
    assert_int_equal(open_like(f, ask, &charge, &error), ERR_QUOTA_EXHAUSTED);
    assert_int_equal(error.class, ERR_QUOTA_EXHAUSTED);
    assert_in_range(error.retry_after_ms, 1, 86400 * 1000); /* the day ends */
    assert_non_null(strstr(error.message, "1.00 USD"));
    assert_string_equal(left(f, text), "dear/a cheap/b");
    assert_int_equal(streams_of(f, KEY), 0);
    assert_int_equal(f->ledger.row_count, 2);
    assert_int_equal(f->ledger.rows[1].row.outcome, LEDGER_REFUSED);
    assert_int_equal(f->ledger.rows[1].row.error_class, ERR_QUOTA_EXHAUSTED);
    governor_close(charge);
}

/* The dearest way is reserved, so that the budget cannot be passed by it. */
static void test_budget_holds_the_dearest(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *first, *second;
    char text[100];
    struct governor_ask ask = {.input_tokens = 500, .output_tokens = 500};
    limiter_set(f->limiter, KEY, &(struct quota){.hard_nano = {USD + USD / 2}});
    set_scope(f, (struct policy_patterns){0});
    assert_int_equal(open_like(f, ask, &first, &error), ERR_OK); /* holds 1 USD */
    assert_string_equal(left(f, text), "dear/a cheap/b local/c");
    assert_int_equal(open_like(f, ask, &second, &error), ERR_OK);
    assert_string_equal(left(f, text), "cheap/b local/c");
    governor_close(first);
    governor_close(second);
    give_targets(f);
    assert_int_equal(open_like(f, ask, &first, &error), ERR_OK); /* nothing was spent */
    assert_string_equal(left(f, text), "dear/a cheap/b local/c");
    governor_close(first);
}

/* What costs less than what is too dear is asked, and what it costs is held. */
static void test_budget_leaves_what_it_pays_for(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charges[3];
    char text[100];
    struct governor_ask ask = {.input_tokens = 500, .output_tokens = 500};
    const char *const left_over[] = {"cheap/b local/c", "cheap/b local/c", "local/c"};
    limiter_set(f->limiter, KEY, &(struct quota){.hard_nano = {USD}});
    set_scope(f, (struct policy_patterns){0});
    use_up(f, USD - 2 * (USD / 1000)); /* what two such requests cost at the cheap one */
    for (int i = 0; i < 3; i++) {
        give_targets(f);
        assert_int_equal(open_like(f, ask, &charges[i], &error), ERR_OK);
        assert_string_equal(left(f, text), left_over[i]);
        assert_true(charge_is_narrowed(charges[i]));
    }
    for (int i = 0; i < 3; i++)
        governor_close(charges[i]);
    give_targets(f);
    ask.input_tokens = 0;
    ask.output_tokens = 1; /* for a thousandth of a dollar the dear one answers, too */
    assert_int_equal(open_like(f, ask, &charges[0], &error), ERR_OK);
    assert_string_equal(left(f, text), "dear/a cheap/b local/c");
    assert_false(charge_is_narrowed(charges[0]));
    governor_close(charges[0]);
    assert_int_equal(f->ledger.row_count, 0);
}

static void test_rate_limit(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    limiter_set(f->limiter, KEY, &(struct quota){.requests_per_minute = 60, .requests_burst = 2});
    set_scope(f, (struct policy_patterns){0});
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_OK);
        assert_int_equal(charge_view(charge)->requests_limit, 2);
        assert_int_equal(charge_view(charge)->requests_remaining, 1 - i);
        governor_close(charge);
    }
    assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_RATE_LIMITED);
    assert_in_range(error.retry_after_ms, 1, 1000);
    assert_non_null(strstr(error.message, "key"));
    assert_int_equal(charge_view(charge)->requests_remaining, 0);
    governor_close(charge);
    assert_int_equal(f->ledger.rows[0].row.error_class, ERR_RATE_LIMITED);
    assert_int_equal(f->plan.target_count, TARGETS);
}

/* Whoever is meant by a quota is asked: each alone refuses. */
static void test_every_subject_counts(void **state)
{
    struct fixture *f = *state;
    const struct limiter_subject subjects[] = {
        KEY,
        USER,
        {QUOTA_GROUP, STR("01kaqqqqqqqqqqqqqqqqqqqqq3")},
        {QUOTA_MODEL, STR("fast")},
        {QUOTA_ADDRESS, STR("192.0.2.7")},
        {QUOTA_TAG, STR("user:ann")},
    };
    set_scope(f, PATTERNS(STR("fast")));
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        struct llm_error error;
        struct charge *charge;
        bool is_tag = subjects[i].kind == QUOTA_TAG;
        struct quota quota = {.streams_max = is_tag ? 0 : 1, .hard_nano = {is_tag ? 1 : 0}};
        limiter_set(f->limiter, subjects[i], &quota);
        give_targets(f);
        f->plan.group_count = 1; /* what costs something */
        f->plan.target_count = 2;
        struct charge *held = NULL;
        if (!is_tag)
            assert_int_equal(open_like(f, (struct governor_ask){0}, &held, &error), ERR_OK);
        assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error),
                         is_tag ? ERR_QUOTA_EXHAUSTED : ERR_RATE_LIMITED);
        assert_non_null(strstr(error.message, quota_kind_name(subjects[i].kind)));
        governor_close(charge);
        governor_close(held);
        limiter_set(f->limiter, subjects[i], NULL);
    }
}

static void test_soft_budget_is_told_once(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    char text[2000] = "";
    limiter_set(f->limiter, KEY, &(struct quota){.soft_nano = {USD}});
    set_scope(f, (struct policy_patterns){0});
    use_up(f, USD);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_OK);
        governor_close(charge);
    }
    assert_true(read(f->log_fds[0], text, sizeof text - 1) > 0);
    const char *first = strstr(text, "budget is nearly used up");
    assert_non_null(first);
    assert_null(strstr(first + 1, "budget is nearly used up"));
    assert_int_equal(f->plan.target_count, TARGETS);
}

/* ---- Settling ---------------------------------------------------------------------------------------- */

static struct limiter_used used_today(struct fixture *f)
{
    struct limiter_used used = {0};
    assert_true(limiter_used(f->limiter, KEY, QUOTA_DAY, clock_wall_ms(), &used));
    return used;
}

static void test_settles_all_attempts(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    struct quota quota = {.tokens = {1000000}, .hard_nano = {1000 * USD}, .requests = {10}};
    limiter_set(f->limiter, KEY, &quota);
    set_scope(f, (struct policy_patterns){0});
    assert_int_equal(open_like(f, (struct governor_ask){.input_tokens = 10}, &charge, &error),
                     ERR_OK);
    governor_begin(charge, 0, f->order[DEAR], 1, ROUTE_WHOLE, false);
    end_attempt(f, charge, 0, DEAR, 1, FLOW_CUT, 100, 20);
    governor_begin(charge, 0, f->order[CHEAP], 2, ROUTE_CONTINUE, false);
    end_attempt(f, charge, 0, CHEAP, 2, FLOW_FAILED, -1, -1); /* nobody knows what */
    governor_begin(charge, 0, f->order[CHEAP], 3, ROUTE_CONTINUE, false);
    end_attempt(f, charge, 0, CHEAP, 3, FLOW_ANSWERED, 130, 50);
    governor_close(charge);
    struct limiter_used used = used_today(f);
    assert_int_equal(used.requests, 1);
    assert_int_equal(used.tokens, 300);
    assert_int_equal(used.cost_nano, 120 * USD / 1000 + 180 * USD / 1000000);
}

/* ---- Rows -------------------------------------------------------------------------------------------- */

static void test_rows_of_a_hedge(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    set_scope(f, (struct policy_patterns){0});
    assert_int_equal(open_like(f, (struct governor_ask){.is_streamed = true}, &charge, &error),
                     ERR_OK);
    governor_begin(charge, 0, f->order[DEAR], 1, ROUTE_WHOLE, false);
    governor_begin(charge, 1, f->order[CHEAP], 2, ROUTE_WHOLE, true);
    assert_int_equal(f->ledger.open, 2);
    governor_reached(charge, 1, 200);
    governor_reached(charge, 1, 200); /* twice is told once */
    end_attempt(f, charge, 0, DEAR, 1, FLOW_LOST, 0, 0);
    governor_lost(charge, STR("reasoning.redacted"));
    governor_lost(charge, STR("later")); /* the first names stay */
    end_attempt(f, charge, 1, CHEAP, 2, FLOW_ANSWERED, 10, 5);
    assert_int_equal(f->ledger.row_count, 1); /* the last one waits for what may be lost */
    governor_close(charge);
    assert_int_equal(f->ledger.row_count, 2);
    const struct kept *first = &f->ledger.rows[0], *second = &f->ledger.rows[1];
    assert_string_equal(first->target, "dear/a");
    assert_int_equal(first->row.outcome, LEDGER_LOST);
    assert_false(first->row.reached || first->row.is_hedge);
    assert_int_equal(first->row.http_status, 0);
    assert_string_equal(second->target, "cheap/b");
    assert_int_equal(second->row.outcome, LEDGER_ANSWERED);
    assert_true(second->row.reached && second->row.is_hedge && second->row.is_streamed);
    assert_int_equal(second->row.http_status, 200);
    assert_int_equal(second->row.usage.output_total, 5);
    assert_int_equal(second->row.cost_nano, 15000);
    assert_int_equal(second->row.first_content_us, 2000);
    assert_int_equal(second->row.duration_us, 5000);
    assert_string_equal(second->losses, "reasoning.redacted");
    assert_true(first->had_attempt && second->had_attempt);
    assert_in_range(second->row.start_ms, clock_wall_ms() - 60000, clock_wall_ms());
}

static void test_losses_are_in_the_last_row(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    char long_text[2000];
    memset(long_text, 'a', sizeof long_text);
    set_scope(f, (struct policy_patterns){0});
    assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_OK);
    governor_begin(charge, 0, f->order[DEAR], 1, ROUTE_WHOLE, false);
    end_attempt(f, charge, 0, DEAR, 1, FLOW_FAILED, 0, 0);
    governor_begin(charge, 0, f->order[LOCAL], 2, ROUTE_WHOLE, false);
    governor_reached(charge, 0, 200);
    end_attempt(f, charge, 0, LOCAL, 2, FLOW_ANSWERED, 10, 5);
    governor_lost(charge, STR(""));
    governor_lost(charge, STR_FROM(long_text, sizeof long_text)); /* told after the end */
    governor_close(charge);
    assert_int_equal(f->ledger.row_count, 2);
    assert_string_equal(f->ledger.rows[0].losses, "");
    assert_int_equal(f->ledger.rows[0].row.error_class, ERR_OVERLOADED);
    assert_int_equal(f->ledger.rows[0].row.http_status, 503);
    assert_int_equal(strlen(f->ledger.rows[1].losses), 1000);
    assert_int_equal(f->ledger.rows[1].row.cost_nano, -1); /* no price is known */
}

/* It could not be started: a row, of no attempt. */
static void test_end_without_begin(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    set_scope(f, (struct policy_patterns){0});
    assert_int_equal(open_like(f, (struct governor_ask){0}, &charge, &error), ERR_OK);
    end_attempt(f, charge, 0, DEAR, 1, FLOW_FAILED, -1, -1);
    governor_close(charge);
    assert_int_equal(f->ledger.row_count, 1);
    assert_int_equal(f->ledger.begun, 0);
    assert_false(f->ledger.rows[0].had_attempt || f->ledger.rows[0].row.reached);
    assert_true(f->ledger.rows[0].row.start_ms > 0);
}

/* Longer texts than a row has room for. */
static void test_long_texts_are_cut(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    char long_text[300];
    memset(long_text, 'm', sizeof long_text);
    const struct str text = STR_FROM(long_text, sizeof long_text);
    struct str tags[LEDGER_TAGS_MAX + 3];
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++)
        tags[i] = text;
    set_scope(f, (struct policy_patterns){0});
    const struct governor_origin origin = {
        .policy = f->directory.now, .tags = tags, .tag_count = sizeof tags / sizeof tags[0]};
    const struct governor_ask ask = {
        .origin = &origin, .model = text, .chain = tags, .chain_count = 5};
    assert_int_equal(governor_open(f->governor, &ask, f->arena, &f->plan, &charge, &error), ERR_OK);
    governor_note(charge, LEDGER_CACHED, STR("dear/a"), 0);
    governor_close(charge);
    assert_int_equal(f->ledger.rows[0].row.origin.tag_count, LEDGER_TAGS_MAX);
    assert_int_equal(strlen(f->ledger.rows[0].tag), 128);
}

/* Parley itself: no policy, no limiter, no ledger, no plan. */
static void test_nothing_governs(void **state)
{
    struct fixture *f = *state;
    struct llm_error error;
    struct charge *charge;
    struct governor *free_governor =
        governor_new(&(struct governor_options){.loop = f->loop, .log = f->log});
    const struct governor_origin origin = {0};
    const struct governor_ask ask = {.origin = &origin};
    assert_int_equal(governor_open(free_governor, &ask, f->arena, NULL, &charge, &error), ERR_OK);
    assert_int_equal(governor_check(charge, f->order[DEAR], &error), ERR_OK);
    governor_begin(charge, 0, f->order[DEAR], 1, ROUTE_WHOLE, false);
    governor_reached(charge, 0, 200);
    end_attempt(f, charge, 0, DEAR, 1, FLOW_ANSWERED, 1, 1);
    governor_note(charge, LEDGER_CACHED, STR(""), 0);
    governor_lost(charge, STR("x"));
    assert_null(charge_policy(charge));
    assert_int_equal(charge_view(charge)->requests_limit, -1);
    governor_close(charge);
    governor_close(NULL);
    governor_free(free_governor);
    assert_int_equal(f->ledger.row_count, 0);
}

/* A provider has done it: nothing refuses it, and it counts for periods, not as a request. */
static void test_what_was_used_already(void **state)
{
    struct fixture *f = *state;
    limiter_set(
        f->limiter, KEY,
        &(struct quota){.requests[QUOTA_DAY] = 1, .tokens[QUOTA_DAY] = 10, .streams_max = 1});
    set_scope(f, PATTERNS(STR("*")));
    const struct governor_origin origin = {
        .policy = f->directory.now, .request_id = STR("b-7"), .door = STR("openai")};
    const struct governor_ask ask = {.origin = &origin, .model = STR("fast"), .is_batch = true};
    struct flow_row row = {.target = &f->targets[CHEAP],
                           .number = 1,
                           .outcome = FLOW_ANSWERED,
                           .usage = LLM_USAGE_UNKNOWN,
                           .cost_nano = 5};
    row.usage.input_total = 20;
    row.usage.output_total = 3;
    for (int i = 0; i < 2; i++)
        governor_record(f->governor, &ask, &row);
    struct limiter_used used = used_today(f);
    assert_int_equal(used.requests, 0);
    assert_int_equal(used.tokens, 46);
    assert_int_equal(used.cost_nano, 10);
    assert_int_equal(f->ledger.row_count, 2);
    const struct kept *kept = &f->ledger.rows[1];
    assert_true(kept->row.is_batch && kept->row.reached && !kept->had_attempt);
    assert_string_equal(kept->target, "cheap/b");
    assert_string_equal(kept->request_id, "b-7");
    assert_int_equal(kept->row.cost_nano, 5);
    assert_int_equal(kept->row.outcome, LEDGER_ANSWERED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_scopes),
        TEST(test_refused_by_scope),
        TEST(test_ones_own_needs_no_scope),
        TEST(test_names_are_counted_as_routed),
        TEST(test_narrowed_between_attempts),
        TEST(test_revoked_between_attempts),
        TEST(test_revoked_before),
        TEST(test_budget_leaves_what_is_free),
        TEST(test_budget_without_anything_free),
        TEST(test_budget_holds_the_dearest),
        TEST(test_budget_leaves_what_it_pays_for),
        TEST(test_rate_limit),
        TEST(test_every_subject_counts),
        TEST(test_soft_budget_is_told_once),
        TEST(test_settles_all_attempts),
        TEST(test_rows_of_a_hedge),
        TEST(test_losses_are_in_the_last_row),
        TEST(test_end_without_begin),
        TEST(test_long_texts_are_cut),
        TEST(test_what_was_used_already),
        TEST(test_nothing_governs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
