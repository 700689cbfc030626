/* Price: the list prices, and sums. What a provider's bill says wins; this is for choosing the
 * cheapest, for budgets, and for the ledger. */
#include "llm/price.h"

#include "llm/names.h"

/* USD per million tokens. */
#define USD(x) ((x) < 0 ? -1 : (int64_t)((x) * (double)PRICE_PER_MILLION + 0.5))

/* Days since 1970-01-01, for years that begin in March: then the leap day is the last. */
#define MARCH_YEAR(y, m) ((y) - ((m) < 3))
#define MARCH_MONTH(m)   (((m) + 9) % 12)
#define YEAR_DAYS(y)     (365 * (y) + (y) / 4 - (y) / 100 + (y) / 400)
#define MONTH_DAYS(m)    ((153 * MARCH_MONTH(m) + 2) / 5)
#define DAY(y, m, d)     (YEAR_DAYS(MARCH_YEAR(y, m)) + MONTH_DAYS(m) + (d)-719469)

/* A set of hours of the day, UTC: from the first until the last begins. */
#define HOURS(from, until) ((1u << (until)) - (1u << (from)))

enum {
    HOUR_MS = 60 * 60 * 1000,
    DAY_MS = 24 * HOUR_MS,
    CHECKED = DAY(2026, 11, 22),
    DEEPSEEK_PEAK = HOURS(1, 4) | HOURS(6, 10)
};

struct row {
    const char *kind;
    const char *model;
    int valid_from; /* a day; of several rows of one model the newest that has begun counts */
    unsigned hours; /* only then, and then before the row without; 0: at any time */
    struct price price;
};

#define NONE (-1)
#define LONG(input, read, write, output, from, long_input, long_output)                            \
    {                                                                                              \
        USD(input), USD(read), USD(write), USD(output), (from), USD(long_input), USD(long_output), \
            0                                                                                      \
    }
#define PRICE(input, read, write, output) LONG(input, read, write, output, 0, NONE, NONE)

/* Dated: computed on 2026-11-22 by npm @pydantic/genai-prices 0.1.8 (MIT) for that date and checked
 * against npm @llmgateway/models 1.324.0. The columns of a price: input, cache read, cache write,
 * output, and where long requests begin with their input and output. Anthropic's cache writes are
 * those that live for five minutes. */
static const struct row rows[] = {
    {"openai", "gpt-6-astra", CHECKED, 0, LONG(10, 1, 12.5, 50, 272000, 20, 75)},
    {"openai", "gpt-6-sol", CHECKED, 0, LONG(2, 0.2, 2.5, 10, 272000, 4, 15)},
    {"openai", "gpt-6-luna", CHECKED, 0, LONG(0.1, 0.01, 0.125, 0.5, 272000, 0.2, 0.75)},
    {"openai", "gpt-5.6-sol", CHECKED, 0, LONG(4, 0.4, 5, 20, 272000, 8, 30)},
    {"openai", "gpt-5.6-terra", CHECKED, 0, LONG(2, 0.2, 2.5, 12, 272000, 4, 18)},
    {"openai", "gpt-5.6-luna", CHECKED, 0, LONG(0.2, 0.02, 0.25, 1.2, 272000, 0.4, 1.8)},
    {"openai", "gpt-5.5", CHECKED, 0, LONG(5, 0.5, NONE, 30, 272000, 10, 45)},
    {"openai", "gpt-5.4", CHECKED, 0, LONG(2.5, 0.25, NONE, 15, 272000, 5, 22.5)},
    {"openai", "gpt-5.4-mini", CHECKED, 0, PRICE(0.75, 0.075, NONE, 4.5)},
    {"openai", "gpt-5", CHECKED, 0, PRICE(1.25, 0.125, NONE, 10)},
    {"openai", "gpt-5-mini", CHECKED, 0, PRICE(0.25, 0.025, NONE, 2)},
    {"openai", "gpt-4.1", CHECKED, 0, PRICE(2, 0.5, NONE, 8)},
    {"openai", "gpt-4o", CHECKED, 0, PRICE(2.5, 1.25, NONE, 10)},
    {"openai", "gpt-4o-mini", CHECKED, 0, PRICE(0.15, 0.075, NONE, 0.6)},
    {"openai", "o3", CHECKED, 0, PRICE(2, 0.5, NONE, 8)},
    {"openai", "o4-mini", CHECKED, 0, PRICE(1.1, 0.275, NONE, 4.4)},
    {"openai", "text-embedding-3-small", CHECKED, 0, PRICE(0.02, NONE, NONE, 0)},
    {"openai", "text-embedding-3-large", CHECKED, 0, PRICE(0.13, NONE, NONE, 0)},
    {"anthropic", "claude-opus-5-5", CHECKED, 0, PRICE(4, 0.2, 5, 20)},
    {"anthropic", "claude-opus-5", CHECKED, 0, PRICE(5, 0.5, 6.25, 25)},
    {"anthropic", "claude-opus-4-8", CHECKED, 0, PRICE(5, 0.5, 6.25, 25)},
    {"anthropic", "claude-sonnet-5", CHECKED, 0, PRICE(2, 0.2, 2.5, 10)},
    {"anthropic", "claude-sonnet-4-6", CHECKED, 0, PRICE(3, 0.3, 3.75, 15)},
    {"anthropic", "claude-haiku-4-5", CHECKED, 0, PRICE(1, 0.1, 1.25, 5)},
    {"anthropic", "claude-fable-5-1", CHECKED, 0, PRICE(10, 0.25, 12.5, 50)},
    {"anthropic", "claude-fable-5", CHECKED, 0, PRICE(10, 1, 12.5, 50)},
    {"gemini", "gemini-3.8-flash", CHECKED, 0, PRICE(0.75, 0.075, NONE, 3.75)},
    {"gemini", "gemini-3.8-flash", DAY(2027, 1, 1), 0, PRICE(1.5, 0.15, NONE, 7.5)},
    {"gemini", "gemini-3.5-flash", CHECKED, 0, PRICE(1.5, 0.15, NONE, 9)},
    {"gemini", "gemini-3.5-flash-lite", CHECKED, 0, PRICE(0.3, 0.03, NONE, 2.5)},
    {"gemini", "gemini-3.1-pro-preview", CHECKED, 0, LONG(2, 0.2, NONE, 12, 200000, 4, 18)},
    {"gemini", "gemini-2.5-pro", CHECKED, 0, LONG(1.25, 0.125, NONE, 10, 200000, 2.5, 15)},
    {"gemini", "gemini-2.5-flash", CHECKED, 0, PRICE(0.3, 0.03, NONE, 2.5)},
    {"gemini", "gemini-embedding-001", CHECKED, 0, PRICE(0.15, NONE, NONE, 0)},
    {"deepseek", "deepseek-v4-pro", CHECKED, 0, PRICE(0.66, 0.022, NONE, 1.98)},
    {"deepseek", "deepseek-v4-pro", CHECKED, DEEPSEEK_PEAK, PRICE(1.32, 0.044, NONE, 3.96)},
    {"deepseek", "deepseek-v4-flash", CHECKED, 0, PRICE(0.22, 0.007, NONE, 0.66)},
    {"deepseek", "deepseek-v4-flash", CHECKED, DEEPSEEK_PEAK, PRICE(0.44, 0.014, NONE, 1.32)},
    {"xai", "grok-4.6", CHECKED, 0, LONG(2, 0.5, NONE, 6, 200000, 4, 12)},
    {"groq", "openai/gpt-oss-120b", CHECKED, 0, PRICE(0.15, 0.075, NONE, 0.6)},
    {0},
};

static const struct price nothing = PRICE(0, 0, 0, 0);

/* What batches cost of it: half, for each of the three who say so (2026-11). */
static const struct {
    const char *kind;
    int64_t share;
} batch_shares[] = {
    {"openai", PRICE_WHOLE / 2},
    {"openai-responses", PRICE_WHOLE / 2},
    {"anthropic", PRICE_WHOLE / 2},
    {"gemini", PRICE_WHOLE / 2},
};

int64_t price_batch_share(struct str kind)
{
    for (size_t i = 0; i < sizeof batch_shares / sizeof batch_shares[0]; i++)
        if (str_eq(kind, str_from_cstr(batch_shares[i].kind)))
            return batch_shares[i].share;
    return 0;
}

/* ---- Finding --------------------------------------------------------------------------------- */

static bool is_local(struct str kind)
{
    static const char *const names[] = {"ollama", "vllm", "llama.cpp", "parley"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(kind, str_from_cstr(names[i])))
            return true;
    return false;
}

/* The kind whose rows count: STR_NONE when there are none of that kind, so all do. */
static struct str kind_with_rows(struct str kind)
{
    if (str_eq(kind, STR("openai-responses")))
        return STR("openai");
    for (const struct row *row = rows; row->kind; row++)
        if (str_eq(kind, str_from_cstr(row->kind)))
            return kind;
    return STR_NONE;
}

/* The first row of the model: of the same name, else of the longest similar one. */
static const struct row *find_model(struct str kind, struct str model, bool *ret_same)
{
    const struct row *found = NULL;
    size_t found_len = 0;
    const struct llm_name_firsts firsts = llm_name_firsts(model);
    *ret_same = false;
    for (const struct row *row = rows; row->kind; row++) {
        if (!llm_name_may_match(firsts, row->model))
            continue;
        struct str known = str_from_cstr(row->model);
        if (kind.data && !str_eq(kind, str_from_cstr(row->kind)))
            continue;
        enum llm_name_match match = llm_name_match(model, known);
        if (match == LLM_NAME_SAME) {
            *ret_same = true;
            return row;
        }
        if (match == LLM_NAME_SIMILAR && known.len > found_len) {
            found = row;
            found_len = known.len;
        }
    }
    return found;
}

/* Of the rows of a model, which stand together in order of their days, the one in force. */
static const struct row *in_force(const struct row *first, int64_t wall_ms)
{
    int64_t day = wall_ms / DAY_MS;
    unsigned hour = (unsigned)(wall_ms % DAY_MS / HOUR_MS);
    const struct row *found = first;
    for (const struct row *row = first;
         row->kind && str_eq(str_from_cstr(row->model), str_from_cstr(first->model)); row++)
        if (day >= row->valid_from && (!row->hours || row->hours >> hour & 1))
            found = row;
    return found;
}

bool price_find(struct str kind, struct str model, int64_t wall_ms, struct price *ret_price,
                bool *ret_is_estimate)
{
    bool ignored, same;
    if (!ret_is_estimate)
        ret_is_estimate = &ignored;
    *ret_is_estimate = false;
    if (is_local(kind) || (str_eq(kind, STR("openrouter")) && str_ends_with(model, STR(":free")))) {
        *ret_price = nothing;
        return true;
    }
    struct str rows_kind = kind_with_rows(kind);
    const struct row *row = find_model(rows_kind, model, &same);
    if (!row)
        return false;
    row = in_force(row, wall_ms < 0 ? 0 : wall_ms);
    *ret_price = row->price;
    ret_price->batch_share = price_batch_share(kind);
    *ret_is_estimate = !same || !rows_kind.data || wall_ms / DAY_MS < row->valid_from;
    return true;
}

/* ---- Sums ------------------------------------------------------------------------------------ */

/* Adds what so many tokens cost; stays at the largest number instead of going over it. */
static void add_cost(int64_t *pico, int64_t tokens, int64_t rate)
{
    int64_t cost;
    if (__builtin_mul_overflow(tokens, rate, &cost) || __builtin_add_overflow(*pico, cost, pico))
        *pico = INT64_MAX;
}

/* A price of its own, grown as the input's did, or the input's. */
static int64_t cache_rate(int64_t rate, int64_t input_now, int64_t input)
{
    int64_t grown;
    if (rate < 0)
        return input_now;
    if (input <= 0 || input_now == input || __builtin_mul_overflow(rate, input_now, &grown))
        return rate;
    return grown / input;
}

static int64_t known(int64_t count)
{
    return count < 0 ? 0 : count;
}

static int64_t at_most(int64_t count, int64_t limit)
{
    return count < limit ? count : limit;
}

static int64_t cost_pico(const struct price *price, const struct llm_usage *usage)
{
    int64_t read = known(usage->input_cache_read), write = known(usage->input_cache_write);
    int64_t total = usage->input_total, pico = 0;
    if (total < 0 && __builtin_add_overflow(read, write, &total))
        total = INT64_MAX;
    read = at_most(read, total); /* both are parts of it, whatever a provider says */
    write = at_most(write, total - read);
    bool is_long = price->long_from_tokens > 0 && total > price->long_from_tokens;
    int64_t input = is_long && price->long_input >= 0 ? price->long_input : price->input;
    int64_t output = is_long && price->long_output >= 0 ? price->long_output : price->output;
    add_cost(&pico, total - read - write, input);
    add_cost(&pico, read, cache_rate(price->cache_read, input, price->input));
    add_cost(&pico, write, cache_rate(price->cache_write, input, price->input));
    add_cost(&pico, known(usage->output_total), output);
    return pico;
}

static int64_t nano_of(int64_t pico)
{
    return pico / 1000 + (pico % 1000 != 0);
}

int64_t price_cost_nano(const struct price *price, const struct llm_usage *usage)
{
    return nano_of(cost_pico(price, usage));
}

int64_t price_batch_cost_nano(const struct price *price, const struct llm_usage *usage)
{
    int64_t pico = cost_pico(price, usage), share = price->batch_share;
    if (share > 0 && share < PRICE_WHOLE) /* in two parts: the product could be too large */
        pico = pico / PRICE_WHOLE * share +
               (pico % PRICE_WHOLE * share + PRICE_WHOLE - 1) / PRICE_WHOLE;
    return nano_of(pico);
}
