/* Routes out of the configuration: routes.NAME.*, router.* and prices.* to what the registry takes.
 * What a route must be is checked by the registry's own rules; here its lists become lists, and a
 * complaint gets the place where the setting was made. */
#include "app/routes.h"

#include <stdio.h>

#include "app/policy_keys.h"
#include "app/settings.h"
#include "base/vec.h"

enum { ROUTES_MAX = 256, PRICES_MAX = 1024, KEY_BYTES_MAX = 256, WEIGHT_MAX = 1000000 };

struct reading {
    const struct config *config;
    struct log *log;
    struct arena *arena;
};

/* ---- Policy ---------------------------------------------------------------------------------- */

enum policy_kind { INT, US /* set in ms */, MS, BOOL, OPTION, NANO /* set in US dollars */ };

struct policy_field {
    const char *name;
    enum policy_kind kind;
    size_t offset; /* in struct route_policy */
};

#define FIELD(name, kind, member, type, default_text, options, minimum, maximum, check,            \
              description)                                                                         \
    {name, kind, offsetof(struct route_policy, member)},
static const struct policy_field policy_fields[] = {POLICY_KEYS(FIELD)};

/* The number of the option that `text` is. */
static int option_index(const char *options, struct str text)
{
    struct str rest = str_from_cstr(options);
    for (int i = 0; rest.data; i++)
        if (str_eq(str_next(&rest, '|'), text))
            return i;
    return 0;
}

/* `value` was checked when it was set. */
static void set_field(struct route_policy *policy, const struct policy_field *field,
                      const struct config_value *value)
{
    void *member = (char *)policy + field->offset;
    uint64_t number = 0;
    if (field->kind == BOOL) {
        *(bool *)member = config_text_is_true(value->text);
    } else if (field->kind == OPTION) {
        *(enum route_mode *)member =
            (enum route_mode)option_index(value->key->options, value->text);
    } else if (field->kind == NANO) {
        *(int64_t *)member = 0;
        settings_usd(value->text, member);
    } else if (str_to_u64(value->text, &number)) {
        if (field->kind == INT)
            *(int *)member = (int)number;
        else
            *(uint64_t *)member = field->kind == US ? number * 1000 : number;
    }
}

/* Whatever is set below `prefix` ("router", "routes.NAME") goes into *policy. */
static void read_policy(const struct config *config, struct str prefix, struct route_policy *policy)
{
    for (size_t i = 0; i < sizeof policy_fields / sizeof policy_fields[0]; i++) {
        char key[KEY_BYTES_MAX];
        struct config_value value;
        snprintf(key, sizeof key, "%.*s.%s", STR_ARG(prefix), policy_fields[i].name);
        if (config_find(config, str_from_cstr(key), &value) && value.text.data)
            set_field(policy, &policy_fields[i], &value);
    }
}

/* ---- One route ------------------------------------------------------------------------------- */

static bool find(const struct reading *reading, struct str name, const char *setting,
                 struct config_value *ret)
{
    char key[KEY_BYTES_MAX];
    int len = snprintf(key, sizeof key, "routes.%.*s.%s", STR_ARG(name), setting);
    return len > 0 && (size_t)len < sizeof key &&
           config_find(reading->config, arena_str(reading->arena, str_from_cstr(key)), ret) &&
           ret->text.data;
}

/* A comma-separated list without its white space and empty places. */
static struct str *list_of(const struct reading *reading, struct str name, const char *setting,
                           size_t *ret_count)
{
    struct config_value value;
    struct str *items = NULL;
    size_t count = 0, capacity = 0;
    struct str rest = find(reading, name, setting, &value) ? value.text : STR_NONE;
    while (rest.data) {
        struct str item = str_trim(str_next(&rest, ','));
        if (item.len)
            *VEC_PUSH(reading->arena, items, count, capacity) = item;
    }
    *ret_count = count;
    return items;
}

static enum err read_weights(const struct reading *reading, struct registry_route *route,
                             struct error *error)
{
    struct str *texts = list_of(reading, route->name, "weights", &route->weight_count);
    uint32_t *weights = ARENA_NEW_ARRAY(reading->arena, route->weight_count, uint32_t);
    route->weights = weights;
    for (size_t i = 0; i < route->weight_count; i++) {
        uint64_t number;
        char field[KEY_BYTES_MAX];
        if (str_to_u64(texts[i], &number) && number <= WEIGHT_MAX) {
            weights[i] = (uint32_t)number;
            continue;
        }
        snprintf(field, sizeof field, "routes.%.*s.weights", STR_ARG(route->name));
        return error_set(error, ERR_INVALID, field, "a weight is a number from 0 to %d, not '%.*s'",
                         WEIGHT_MAX, (int)(texts[i].len < 80 ? texts[i].len : 80), texts[i].data);
    }
    return ERR_OK;
}

static uint32_t place_in(const struct str *names, size_t count, struct str name)
{
    uint32_t i = 0;
    while (i < count && !str_eq(names[i], name))
        i++;
    return i;
}

/* Where each target's region stands in the order; those that are not in it come last. Without
 * regions the targets are ranked as they stand. */
static void read_ranks(const struct reading *reading, struct registry_route *route)
{
    size_t region_count, order_count;
    struct str *regions = list_of(reading, route->name, "regions", &region_count);
    struct str *order = list_of(reading, route->name, "region_order", &order_count);
    route->rank_count = region_count ? region_count : route->target_count;
    uint32_t *ranks = ARENA_NEW_ARRAY(reading->arena, route->rank_count, uint32_t);
    for (size_t i = 0; i < route->rank_count; i++)
        ranks[i] = !region_count ? (uint32_t)i
                   : order_count ? place_in(order, order_count, regions[i])
                                 : place_in(regions, region_count, regions[i]);
    route->ranks = ranks;
}

/* Where the setting that is wrong was made, else any of the route's. */
static struct str where_of(const struct reading *reading, struct str name, const char *field)
{
    static const char *const settings[] = {"targets", "fallbacks", "strategy", "weights"};
    struct config_value value;
    if (config_find(reading->config, str_from_cstr(field), &value) && value.where.len)
        return value.where;
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (find(reading, name, settings[i], &value) && value.where.len)
            return value.where;
    return STR_NONE;
}

static const char *source_of(const struct reading *reading, struct str name)
{
    struct config_value value;
    return config_source_name(find(reading, name, "targets", &value) ? value.source
                                                                     : CONFIG_DEFAULT);
}

static void complain(const struct reading *reading, struct registry_route *route,
                     const struct error *error)
{
    route->error =
        settings_complaint(reading->arena, where_of(reading, route->name, error->field), error);
    log_warning(reading->log, "a route is not usable", LOG_STR("route", route->name),
                LOG_STR("error", route->error));
}

static void read_route(const struct reading *reading, const struct route_policy *general,
                       struct str name, struct registry_route *route)
{
    struct config_value strategy;
    struct error error = {0};
    *route = (struct registry_route){
        .name = name, .source = source_of(reading, name), .policy = *general};
    read_policy(reading->config, arena_printf(reading->arena, "routes.%.*s", STR_ARG(name)),
                &route->policy);
    if (find(reading, name, "strategy", &strategy))
        route->strategy = (enum route_strategy)option_index(strategy.key->options, strategy.text);
    route->targets = list_of(reading, name, "targets", &route->target_count);
    route->fallbacks = list_of(reading, name, "fallbacks", &route->fallback_count);
    if (route->strategy == ROUTE_REGION)
        read_ranks(reading, route);
    if (read_weights(reading, route, &error) != ERR_OK)
        complain(reading, route, &error);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static void read_routes(const struct reading *reading, struct registry_configuration *configuration)
{
    struct registry_route *routes = NULL;
    struct str name;
    size_t position = 0, count = 0, capacity = 0;
    while (config_next_member(reading->config, "routes", &position, &name)) {
        if (count == ROUTES_MAX) {
            log_warning(reading->log, "there are too many routes", LOG_INT("maximum", ROUTES_MAX));
            break;
        }
        read_route(reading, configuration->policy, name,
                   VEC_PUSH(reading->arena, routes, count, capacity));
    }
    configuration->routes = routes;
    configuration->route_count = count;
    for (size_t i = 0; i < count; i++) {
        struct error error = {0};
        if (!routes[i].error.len && registry_check_route(configuration, i, &error) != ERR_OK)
            complain(reading, &routes[i], &error);
    }
}

static void read_prices(const struct reading *reading, struct registry_configuration *configuration)
{
    struct registry_price *prices = NULL;
    struct str model;
    size_t position = 0, count = 0, capacity = 0;
    while (count < PRICES_MAX && config_next_member(reading->config, "prices", &position, &model)) {
        char key[KEY_BYTES_MAX];
        struct price price;
        snprintf(key, sizeof key, "prices.%.*s", STR_ARG(model));
        if (price_parse(config_get(reading->config, key), &price, NULL) == ERR_OK)
            *VEC_PUSH(reading->arena, prices, count, capacity) =
                (struct registry_price){model, price};
    }
    configuration->prices = prices;
    configuration->price_count = count;
}

void routes_read(const struct config *config, struct log *log, struct arena *arena,
                 struct registry_configuration *configuration)
{
    const struct reading reading = {config, log, arena};
    struct route_policy *general = ARENA_NEW(arena, struct route_policy);
    *general = route_policy_default;
    read_policy(config, STR("router"), general);
    configuration->policy = general;
    read_routes(&reading, configuration);
    read_prices(&reading, configuration);
}
