/* Import of what is not model_list: names of routes, aliases, fallbacks, and the settings, of which
 * most become keys of router.* or a note. */
#include <stdio.h>
#include <string.h>

#include "app/import_litellm_internal.h"
#include "base/vec.h"

enum { NAME_BYTES_MAX = 64 };

static struct str member_path(struct import *import, const char *section, struct str name)
{
    return arena_printf(import->arena, "%s.%.*s", section, (int)(name.len < 100 ? name.len : 100),
                        name.data);
}

/* ---- Names of routes --------------------------------------------------------------------------- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-_.:/", c);
}

static bool begins_with_provider(const struct import *import, struct str name)
{
    struct str before = str_slice(name, 0, str_find_char(name, '/'));
    if (before.len == name.len)
        return false;
    for (size_t i = 0; i < import->provider_count; i++)
        if (str_eq(import->providers[i].name, before))
            return true;
    return str_eq(before, STR("parley")) || str_eq(before, STR("ollama"));
}

static bool is_ours(const struct import *import, struct str name)
{
    for (size_t i = 0; i < import->route_count; i++)
        if (str_eq(import->routes[i].ours, name))
            return true;
    return false;
}

/* The nearest name that a route may have. */
static struct str allowed_name(struct import *import, struct str theirs)
{
    char *text = arena_cstr(import->arena, str_slice(theirs, 0, NAME_BYTES_MAX - 4));
    size_t length = strlen(text);
    bool has_provider = begins_with_provider(import, theirs);
    for (size_t i = 0; i < length; i++)
        if (!text[i] || !is_name_char(text[i]) || (has_provider && text[i] == '/') ||
            (text[i] == '.' && (i == 0 || i + 1 == length || text[i - 1] == '.')))
            text[i] = '-';
    struct str base = length ? STR_FROM(text, length) : STR("route"), name = base;
    for (int i = 2; is_ours(import, name); i++)
        name = arena_printf(import->arena, "%.*s-%d", STR_ARG(base), i);
    return name;
}

static void name_route(struct import *import, struct import_route *route)
{
    route->ours = STR("");
    if (route->target_count == 1 &&
        str_eq(import_target_id(import, &route->targets[0]), route->theirs))
        return; /* it is asked for by that name already */
    route->ours = allowed_name(import, route->theirs);
    if (!str_eq(route->ours, route->theirs))
        import_note(import, STR("model_list"),
                    "the name '%.*s' cannot be a route's: it is '%.*s' here, so change it in "
                    "programs",
                    (int)(route->theirs.len < 100 ? route->theirs.len : 100), route->theirs.data,
                    STR_ARG(route->ours));
}

/* ---- Aliases ----------------------------------------------------------------------------------- */

static void add_alias(struct import *import, struct str name, struct yaml_value value)
{
    struct str path = member_path(import, "router_settings.model_group_alias", name);
    struct yaml_map map = yaml_map_of(value, import->arena);
    struct str theirs = yaml_text(yaml_is_map(value) ? yaml_map_get(&map, "model") : value);
    struct import_route *route = import_find_route(import, theirs);
    if (!route || import_find_route(import, name)) {
        import_note(import, path,
                    route ? "is a model_name too: the alias was left out"
                          : "leads to no model_name that was taken over");
        return;
    }
    if (import->route_count == IMPORT_ROUTES_MAX) {
        import_note(import, path, "there are more than %d names: it was left out",
                    IMPORT_ROUTES_MAX);
        return;
    }
    struct import_route *alias = &import->routes[import->route_count++];
    *alias = (struct import_route){.theirs = name,
                                   .targets = route->targets,
                                   .target_count = route->target_count,
                                   .target_capacity = route->target_capacity,
                                   .alias_of = (size_t)(route - import->routes) + 1};
}

static void read_aliases(struct import *import, const struct yaml_map *router)
{
    struct yaml_map aliases = yaml_map_of(yaml_map_get(router, "model_group_alias"), import->arena);
    for (size_t i = 0; i < aliases.count; i++)
        add_alias(import, aliases.pairs[i].name, aliases.pairs[i].value);
}

/* ---- Fallbacks --------------------------------------------------------------------------------- */

static struct import_route *find_ours(struct import *import, struct str ours)
{
    for (size_t i = 0; ours.len && i < import->route_count; i++)
        if (str_eq(import->routes[i].ours, ours))
            return &import->routes[i];
    return NULL;
}

/* Whether `from` reaches `to` over fallbacks. Each route is visited once. */
static bool reaches(struct import *import, struct import_route *from, const struct import_route *to,
                    bool *seen)
{
    if (from == to)
        return true;
    seen[from - import->routes] = true;
    for (size_t i = 0; i < from->fallback_count; i++) {
        struct import_route *next = find_ours(import, from->fallbacks[i]);
        if (next && !seen[next - import->routes] && reaches(import, next, to, seen))
            return true;
    }
    return false;
}

static void push_fallback(struct import *import, struct import_route *route, struct str name)
{
    for (size_t i = 0; i < route->fallback_count; i++)
        if (str_eq(route->fallbacks[i], name))
            return;
    for (size_t i = 0; i < route->target_count; i++)
        if (str_eq(import_target_id(import, &route->targets[i]), name))
            return;
    if (route->fallback_count < ROUTE_TARGETS_MAX)
        *VEC_PUSH(import->arena, route->fallbacks, route->fallback_count,
                  route->fallback_capacity) = name;
}

/* A route, or, where that would lead back here, its targets. */
static void link_route(struct import *import, struct import_route *route, struct import_route *next)
{
    bool seen[IMPORT_ROUTES_MAX] = {false};
    if (next->ours.len && !reaches(import, next, route, seen)) {
        push_fallback(import, route, next->ours);
        return;
    }
    for (size_t i = 0; i < next->target_count; i++)
        push_fallback(import, route, import_target_id(import, &next->targets[i]));
}

static void add_fallback(struct import *import, struct import_route *route, struct str path,
                         struct str theirs)
{
    struct import_route *next = import_find_route(import, theirs);
    if (next)
        link_route(import, route, next);
    else
        import_note(import, path, "'%.*s' is no model_name that was taken over",
                    (int)(theirs.len < 100 ? theirs.len : 100), theirs.data ? theirs.data : "");
}

/* An alias has the fallbacks of what it leads to. */
static void share_fallbacks(struct import *import, struct import_route *alias)
{
    struct import_route *route = &import->routes[alias->alias_of - 1];
    for (size_t i = 0; i < route->fallback_count; i++) {
        struct import_route *next = find_ours(import, route->fallbacks[i]);
        if (next)
            link_route(import, alias, next);
        else
            push_fallback(import, alias, route->fallbacks[i]);
    }
}

static void add_fallbacks(struct import *import, struct str path, struct str theirs,
                          struct yaml_value list)
{
    struct import_route *route = import_find_route(import, theirs);
    if (!route || !route->ours.len) {
        import_note(import, path,
                    route ? "is provider/model here, which has no fallbacks: make it a route"
                          : "is no model_name that was taken over");
        return;
    }
    for (size_t i = 0; i < yaml_list_count(list) && i < ROUTE_TARGETS_MAX; i++) {
        struct str name = yaml_text(yaml_list_item(list, i));
        if (name.data)
            add_fallback(import, route, path, name);
        else
            import_note(import, path, "has a fallback that is no name: it was left out");
    }
}

/* [{"a": ["b", "c"]}, ...] */
static void read_fallbacks(struct import *import, const char *section, const struct yaml_map *map,
                           const char *key)
{
    struct yaml_value list = yaml_map_get(map, key);
    struct str path = arena_printf(import->arena, "%s.%s", section, key);
    if (!yaml_is_null(list) && !yaml_is_list(list))
        import_note(import, path, "is no list: it was left out");
    for (size_t i = 0; i < yaml_list_count(list) && i < IMPORT_ROUTES_MAX; i++) {
        struct yaml_map one = yaml_map_of(yaml_list_item(list, i), import->arena);
        for (size_t j = 0; j < one.count; j++)
            add_fallbacks(import, member_path(import, path.data, one.pairs[j].name),
                          one.pairs[j].name, one.pairs[j].value);
    }
    if (yaml_list_count(list) && strcmp(key, "context_window_fallbacks") == 0)
        import_note(import, path,
                    "whether there is room is looked at before asking here: they are fallbacks "
                    "for every failure");
}

/* For those that have none of their own. */
static void read_default_fallbacks(struct import *import, const char *section,
                                   const struct yaml_map *map)
{
    struct yaml_value list = yaml_map_get(map, "default_fallbacks");
    struct str path = arena_printf(import->arena, "%s.default_fallbacks", section);
    bool had_none[IMPORT_ROUTES_MAX];
    for (size_t i = 0; i < import->route_count; i++)
        had_none[i] = !import->routes[i].fallback_count;
    for (size_t i = 0; i < yaml_list_count(list) && i < ROUTE_TARGETS_MAX; i++) {
        struct str name = yaml_text(yaml_list_item(list, i));
        struct import_route *route = import_find_route(import, name);
        if (!route)
            import_note(import, path, "'%.*s' is no model_name that was taken over",
                        (int)(name.len < 100 ? name.len : 100), name.data ? name.data : "");
        for (size_t j = 0; route && j < import->route_count; j++)
            if (had_none[j] && !import->routes[j].alias_of && import->routes[j].ours.len &&
                &import->routes[j] != route)
                add_fallback(import, &import->routes[j], path, name);
    }
}

/* ---- The router -------------------------------------------------------------------------------- */

static void read_strategy(struct import *import, struct yaml_value value)
{
    static const struct {
        const char *theirs, *ours;
        bool is_near;
    } rows[] = {
        {"simple-shuffle", "weighted", false},       {"least-busy", "least_busy", false},
        {"latency-based-routing", "latency", false}, {"cost-based-routing", "cost", false},
        {"usage-based-routing", "least_busy", true}, {"usage-based-routing-v2", "least_busy", true},
    };
    struct str name = yaml_text(value), path = STR("router_settings.routing_strategy");
    import->strategy = "weighted"; /* LiteLLM's default is simple-shuffle */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (!str_eq(name, str_from_cstr(rows[i].theirs)))
            continue;
        import->strategy = rows[i].ours;
        if (rows[i].is_near)
            import_note(import, path,
                        "is least_busy here: calls under way are counted, not "
                        "tokens of the last minute");
        return;
    }
    if (!yaml_is_null(value))
        import_note(import, path, "is not known here: routes of several targets are weighted");
}

/* Numbers that become one of ours: value * scale + offset. */
static const struct {
    const char *section, *name;
    bool is_timeout; /* below timeouts, else below router */
    const char *ours;
    double scale, offset, minimum, maximum;
} numbers[] = {
    {"router_settings", "num_retries", false, "attempts", 1, 1, 0, 19},
    {"litellm_settings", "num_retries", false, "attempts", 1, 1, 0, 19},
    {"router_settings", "timeout", true, "total_ms", 1000, 0, 0.01, 86400},
    {"litellm_settings", "request_timeout", true, "total_ms", 1000, 0, 0.01, 86400},
    {"router_settings", "stream_timeout", true, "first_content_ms", 1000, 0, 0.01, 86400},
    {"router_settings", "allowed_fails", false, "breaker_failures", 1, 1, 0, 999},
    {"litellm_settings", "allowed_fails", false, "breaker_failures", 1, 1, 0, 999},
    {"router_settings", "cooldown_time", false, "breaker_cooldown_ms", 1000, 0, 0.01, 600},
};

static bool has_line(struct str *lines, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (str_starts_with(lines[i], str_from_cstr(key)))
            return true;
    return false;
}

/* What stands in router_settings counts before the same in litellm_settings. */
static void take_number(struct import *import, size_t row, struct yaml_value value)
{
    double number;
    const char *ours = numbers[row].ours;
    struct str path = arena_printf(import->arena, "%s.%s", numbers[row].section, numbers[row].name);
    bool is_timeout = numbers[row].is_timeout;
    if (has_line(is_timeout ? import->timeouts : import->router,
                 is_timeout ? import->timeout_count : import->router_count, ours)) {
        if (!yaml_is_null(value))
            import_note(import, path, "is set in router_settings too, which was taken");
        return;
    }
    if (!import_number(import, path, value, numbers[row].minimum, numbers[row].maximum, &number))
        return;
    struct str line = arena_printf(import->arena, "%s: %lld", ours,
                                   (long long)(number * numbers[row].scale + numbers[row].offset));
    if (is_timeout)
        *VEC_PUSH(import->arena, import->timeouts, import->timeout_count,
                  import->timeout_capacity) = line;
    else
        *VEC_PUSH(import->arena, import->router, import->router_count, import->router_capacity) =
            line;
}

static bool is_number(const char *section, struct str name)
{
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(section, numbers[i].section) == 0 &&
            str_eq(name, str_from_cstr(numbers[i].name)))
            return true;
    return false;
}

/* ---- What has no equivalent -------------------------------------------------------------------- */

struct advice {
    const char *section, *name, *text; /* text NULL: it was taken over */
};

static const struct advice advices[] = {
    {"router_settings", "routing_strategy", NULL},
    {"router_settings", "model_group_alias", NULL},
    {"router_settings", "fallbacks", NULL},
    {"router_settings", "context_window_fallbacks", NULL},
    {"router_settings", "default_fallbacks", NULL},
    {"litellm_settings", "fallbacks", NULL},
    {"litellm_settings", "context_window_fallbacks", NULL},
    {"litellm_settings", "default_fallbacks", NULL},
    {"litellm_settings", "drop_params",
     "is not needed: what a provider cannot take is left out and named in x-parley-dropped; with "
     "x-parley-strict it is refused"},
    {"litellm_settings", "set_verbose", "set log.level: debug instead"},
    {"litellm_settings", "json_logs", "set log.format: json instead"},
    {"litellm_settings", "cache", "answers are cached only where a route or a request asks for it"},
    {"litellm_settings", "cache_params",
     "answers are cached only where a route or a request asks for it, in memory"},
    {"litellm_settings", "success_callback", "nothing is sent to others: see /metrics and the log"},
    {"litellm_settings", "failure_callback", "nothing is sent to others: see /metrics and the log"},
    {"litellm_settings", "callbacks", "nothing is sent to others: see /metrics and the log"},
    {"router_settings", "enable_pre_call_checks",
     "is always so: targets that lack what a request needs are passed over"},
    {"router_settings", "redis_host", "is not needed: one process knows the state of all targets"},
    {"router_settings", "redis_port", "is not needed: one process knows the state of all targets"},
    {"router_settings", "redis_password",
     "is not needed: one process knows the state of all targets"},
    {"router_settings", "retry_policy", "which failures are tried again is fixed: docs/routing.md"},
    {"router_settings", "disable_cooldowns",
     "set router.breaker_failures: 1000 and router.breaker_ratio_percent: 0 instead"},
    {"general_settings", "master_key",
     "keys are not copied: make an account, then keys with parley key create NAME"},
    {"general_settings", "database_url",
     "keys, users and spend are not copied: Parley keeps its own in data.directory"},
    {"general_settings", "completion_model", "set chat.default_model instead"},
    {"general_settings", "store_model_in_db", "models can be set in the browser without it"},
    {"general_settings", "max_parallel_requests",
     "set providers.*.concurrency instead, for each model of a provider"},
};

static const struct advice *advice_for(const char *section, struct str name)
{
    for (size_t i = 0; i < sizeof advices / sizeof advices[0]; i++)
        if (strcmp(section, advices[i].section) == 0 &&
            str_eq(name, str_from_cstr(advices[i].name)))
            return &advices[i];
    return NULL;
}

static void note_section(struct import *import, const char *section)
{
    struct yaml_value value = yaml_map_get(&import->root, section);
    struct yaml_map map = yaml_map_of(value, import->arena);
    if (!yaml_is_null(value) && !yaml_is_map(value))
        import_note(import, str_from_cstr(section), "is no mapping: it was left out");
    for (size_t i = 0; i < map.count; i++) {
        const struct advice *advice = advice_for(section, map.pairs[i].name);
        if (is_number(section, map.pairs[i].name) || (advice && !advice->text))
            continue;
        import_note(import, member_path(import, section, map.pairs[i].name), "%s",
                    advice ? advice->text : "has no equivalent here");
    }
}

static void note_variables(struct import *import)
{
    struct yaml_map map =
        yaml_map_of(yaml_map_get(&import->root, "environment_variables"), import->arena);
    for (size_t i = 0; i < map.count; i++)
        import_note(import, member_path(import, "environment_variables", map.pairs[i].name),
                    "set it in Parley's own environment, or in its .env file");
}

static void note_sections(struct import *import)
{
    static const char *const known[] = {"model_list",       "router_settings",
                                        "litellm_settings", "general_settings",
                                        "credential_list",  "environment_variables"};
    for (size_t i = 0; i < import->root.count; i++) {
        bool is_known = false;
        for (size_t j = 0; j < sizeof known / sizeof known[0]; j++)
            is_known |= str_eq(import->root.pairs[i].name, str_from_cstr(known[j]));
        if (!is_known)
            import_note(import, import->root.pairs[i].name, "has no equivalent here");
    }
    note_section(import, "router_settings");
    note_section(import, "litellm_settings");
    note_section(import, "general_settings");
    note_variables(import);
}

/* ---- All of it --------------------------------------------------------------------------------- */

void import_settings(struct import *import)
{
    static const char *const sections[] = {"router_settings", "litellm_settings"};
    struct yaml_map maps[2];
    for (size_t i = 0; i < 2; i++)
        maps[i] = yaml_map_of(yaml_map_get(&import->root, sections[i]), import->arena);
    read_aliases(import, &maps[0]);
    for (size_t i = 0; i < import->route_count; i++)
        name_route(import, &import->routes[i]);
    read_strategy(import, yaml_map_get(&maps[0], "routing_strategy"));
    for (size_t i = 0; i < 2; i++)
        read_fallbacks(import, sections[i], &maps[i], "fallbacks");
    for (size_t i = 0; i < 2; i++)
        read_fallbacks(import, sections[i], &maps[i], "context_window_fallbacks");
    for (size_t i = 0; i < 2; i++)
        read_default_fallbacks(import, sections[i], &maps[i]);
    for (size_t i = 0; i < import->route_count; i++)
        if (import->routes[i].alias_of && !import->routes[i].fallback_count)
            share_fallbacks(import, &import->routes[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        take_number(
            import, i,
            yaml_map_get(&maps[strcmp(numbers[i].section, sections[0]) != 0], numbers[i].name));
    note_sections(import);
}
