/* Cache control: used by the doors that speak providers' dialects. */
#include "api/cache_control.h"

enum { SECONDS_DEFAULT = 300, SECONDS_MAX = 30 * 24 * 3600 };

/* What cannot be read is as short as can be: an answer too new is no harm. */
static uint32_t seconds_of(struct str text)
{
    uint64_t seconds;
    if (!str_to_u64(text, &seconds))
        return 0;
    return seconds < SECONDS_MAX ? (uint32_t)seconds : SECONDS_MAX;
}

static void read_directive(struct str directive, struct route_cache_ask *ask)
{
    struct str value = directive;
    struct str name = str_trim(str_next(&value, '='));
    if (str_eq_nocase(name, STR("no-store"))) {
        ask->is_alone = true;
    } else if (str_eq_nocase(name, STR("no-cache"))) {
        ask->skips = true;
    } else if (str_eq_nocase(name, STR("only-if-cached"))) {
        ask->insists = true;
    } else if (str_eq_nocase(name, STR("max-age"))) {
        uint32_t seconds = seconds_of(str_trim(value));
        if (!ask->has_age_max || seconds < ask->age_max_seconds)
            ask->age_max_seconds = seconds;
        ask->has_age_max = true;
    }
}

static enum err read_own(struct str value, struct route_cache_ask *ask, struct error *error)
{
    uint64_t seconds;
    bool is_on = str_eq_nocase(value, STR("true"));
    ask->has_seconds = true;
    if (is_on || str_eq_nocase(value, STR("false")))
        ask->seconds = is_on ? SECONDS_DEFAULT : 0;
    else if (str_to_u64(value, &seconds))
        ask->seconds = seconds_of(value);
    else
        return error_set(error, ERR_INVALID, "x-parley-cache",
                         "must be a number of seconds, true or false");
    return ERR_OK;
}

enum err api_cache_control_read(const struct http_headers *headers, struct route_cache_ask *ret_ask,
                                struct error *error)
{
    struct route_cache_ask ask = {0};
    struct str own = http_headers_get(headers, "x-parley-cache");
    for (size_t i = 0; i < headers->count; i++) {
        struct str rest = headers->items[i].value;
        if (!http_name_eq(headers->items[i].name, STR("cache-control")))
            continue;
        while (rest.data)
            read_directive(str_trim(str_next(&rest, ',')), &ask);
    }
    enum err code = own.data ? read_own(own, &ask, error) : ERR_OK;
    if (code == ERR_OK)
        *ret_ask = ask;
    return code;
}
