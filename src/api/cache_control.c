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
        ask->keeps_nothing = true;
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

enum err api_keep_seconds_read(const struct http_headers *headers, uint64_t usual,
                               uint64_t *seconds, struct error *error)
{
    struct str value = http_headers_get(headers, "x-parley-cache");
    uint64_t number = 0;
    if (!value.data)
        return ERR_OK;
    if (str_eq_nocase(value, STR("true")))
        number = usual;
    else if (!str_eq_nocase(value, STR("false")) && !str_to_u64(value, &number))
        return error_set(error, ERR_INVALID, "x-parley-cache",
                         "must be a number of seconds, true or false");
    *seconds = number < SECONDS_MAX ? number : SECONDS_MAX;
    return ERR_OK;
}

enum err api_cache_control_read(const struct http_headers *headers, struct route_cache_ask *ret_ask,
                                struct error *error)
{
    struct route_cache_ask ask = {0};
    uint64_t seconds = 0;
    for (size_t i = 0; i < headers->count; i++) {
        struct str rest = headers->items[i].value;
        if (!http_name_eq(headers->items[i].name, STR("cache-control")))
            continue;
        while (rest.data)
            read_directive(str_trim(str_next(&rest, ',')), &ask);
    }
    enum err code = api_keep_seconds_read(headers, SECONDS_DEFAULT, &seconds, error);
    ask.has_seconds = http_headers_get(headers, "x-parley-cache").data != NULL;
    ask.seconds = (uint32_t)seconds;
    if (code == ERR_OK)
        *ret_ask = ask;
    return code;
}
