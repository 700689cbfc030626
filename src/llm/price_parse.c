/* Price: what a configuration says of it. Decimals are read without floating point: a price is a
 * whole number of pico-dollars a token. */
#include <stddef.h>

#include "llm/price.h"

struct setting {
    const char *name;
    size_t offset; /* in struct price, an int64_t */
    enum { MONEY, TOKENS, SHARE } form;
    bool is_needed;
};

static const struct setting settings[] = {
    {"in", offsetof(struct price, input), MONEY, true},
    {"out", offsetof(struct price, output), MONEY, true},
    {"cached", offsetof(struct price, cache_read), MONEY, false},
    {"write", offsetof(struct price, cache_write), MONEY, false},
    {"long_from", offsetof(struct price, long_from_tokens), TOKENS, false},
    {"long_in", offsetof(struct price, long_input), MONEY, false},
    {"long_out", offsetof(struct price, long_output), MONEY, false},
    {"batch", offsetof(struct price, batch_share), SHARE, false},
};
enum { SETTING_COUNT = sizeof settings / sizeof settings[0], TOKENS_MAX = 1000000000 };

/* "0.25" to 250 000. */
static bool parse_usd(struct str text, int64_t *ret)
{
    enum { PLACES = 6 };
    uint64_t whole, part = 0;
    bool has_point = str_find_char(text, '.') != SIZE_MAX;
    struct str digits = str_next(&text, '.');
    if (!str_to_u64(digits, &whole) || whole > PRICE_USD_MAX || text.len > PLACES)
        return false;
    if (has_point && !str_to_u64(text, &part))
        return false;
    for (size_t i = text.len; i < PLACES; i++)
        part *= 10;
    *ret = (int64_t)(whole * PRICE_PER_MILLION + part);
    return *ret <= (int64_t)PRICE_USD_MAX * PRICE_PER_MILLION;
}

static bool parse_tokens(struct str text, int64_t *ret)
{
    uint64_t number;
    if (!str_to_u64(text, &number) || number == 0 || number > TOKENS_MAX)
        return false;
    *ret = (int64_t)number;
    return true;
}

/* "0.5" to half of PRICE_WHOLE: as many places as money has. */
static bool parse_share(struct str text, int64_t *ret)
{
    int64_t share;
    if (!parse_usd(text, &share) || share <= 0 || share > PRICE_WHOLE)
        return false;
    *ret = share;
    return true;
}

static enum err parse_value(const struct setting *setting, struct str value, int64_t *field,
                            struct error *error)
{
    if (setting->form == TOKENS)
        return parse_tokens(value, field)
                   ? ERR_OK
                   : error_set(error, ERR_INVALID, NULL,
                               "'%s' must be a whole number of tokens from 1 to %d", setting->name,
                               TOKENS_MAX);
    if (setting->form == SHARE)
        return parse_share(value, field)
                   ? ERR_OK
                   : error_set(error, ERR_INVALID, NULL,
                               "'%s' must be a share of the price: above 0, 1 at most, with at "
                               "most six decimals",
                               setting->name);
    return parse_usd(value, field)
               ? ERR_OK
               : error_set(error, ERR_INVALID, NULL,
                           "'%s' must be USD per million tokens, from 0 to %d with at most six "
                           "decimals",
                           setting->name, PRICE_USD_MAX);
}

static enum err wrong_name(struct str name, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(name, 4);
    for (size_t i = 0; i < SETTING_COUNT; i++)
        str_nearest_try(&nearest, str_from_cstr(settings[i].name));
    error_set(error, ERR_INVALID, NULL, "'%.*s' is no part of a price", STR_ARG(name));
    if (nearest.found.data)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(nearest.found));
    else
        error_remedy(error, "Write for example: in=2 out=10 cached=0.2 write=2.5");
    return ERR_INVALID;
}

static enum err parse_one(struct str item, struct price *price, bool *seen, struct error *error)
{
    struct str value = item, name = str_next(&value, '=');
    size_t i = 0;
    while (i < SETTING_COUNT && !str_eq(name, str_from_cstr(settings[i].name)))
        i++;
    if (i == SETTING_COUNT)
        return wrong_name(name, error);
    const struct setting *setting = &settings[i];
    if (seen[i])
        return error_set(error, ERR_INVALID, NULL, "'%s' is given twice", setting->name);
    seen[i] = true;
    int64_t *field = (int64_t *)(void *)((char *)price + setting->offset);
    return parse_value(setting, value, field, error);
}

static enum err check_whole(const struct price *price, const bool *seen, struct error *error)
{
    for (size_t i = 0; i < SETTING_COUNT; i++)
        if (settings[i].is_needed && !seen[i])
            return error_set(error, ERR_INVALID, NULL, "'%s' is missing", settings[i].name);
    if ((price->long_input >= 0 || price->long_output >= 0) != (price->long_from_tokens > 0))
        return error_set(error, ERR_INVALID, NULL,
                         "'long_from' and 'long_in' or 'long_out' need each other");
    return ERR_OK;
}

enum err price_parse(struct str text, struct price *ret, struct error *error)
{
    struct price price = {-1, -1, -1, -1, 0, -1, -1, 0};
    bool seen[SETTING_COUNT] = {false};
    for (size_t at = 0; at < text.len;) {
        size_t end = at;
        while (end < text.len && text.data[end] != ' ' && text.data[end] != ',')
            end++;
        if (end > at) {
            enum err code = parse_one(str_slice(text, at, end - at), &price, seen, error);
            if (code != ERR_OK)
                return code;
        }
        at = end + 1;
    }
    enum err code = check_whole(&price, seen, error);
    if (code == ERR_OK)
        *ret = price;
    return code;
}
