/* Checking a configured route, before anything is made of it: every message says which setting is
 * wrong and what to do. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "route/catalog.h"

enum { NAME_BYTES_MAX = 64, SHOWN_BYTES_MAX = 100 };

struct check {
    const struct registry_configuration *configuration;
    const struct registry_route *route;
    struct error *error;
};

/* For printf's "%.*s". */
#define SHOWN(s) (int)((s).len < SHOWN_BYTES_MAX ? (s).len : SHOWN_BYTES_MAX), (s).data

/* The name of one of the route's settings, for error_set. */
struct field {
    char text[128];
};

static struct field field_of(const struct check *check, const char *setting)
{
    struct field field;
    snprintf(field.text, sizeof field.text, "routes.%.*s.%s", SHOWN(check->route->name), setting);
    return field;
}
#define WRONG(check, setting, ...)                                                                 \
    error_set((check)->error, ERR_INVALID, field_of((check), (setting)).text, __VA_ARGS__)

static const struct registry_entry *find_entry(const struct check *check, struct str name)
{
    for (size_t i = 0; i < check->configuration->entry_count; i++)
        if (str_eq(check->configuration->entries[i].name, name))
            return &check->configuration->entries[i];
    return NULL;
}

/* Its number, or the count of all. */
static size_t find_route(const struct check *check, struct str name)
{
    size_t i = 0;
    while (i < check->configuration->route_count &&
           !str_eq(check->configuration->routes[i].name, name))
        i++;
    return i;
}

/* ---- Name ------------------------------------------------------------------------------------ */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-_.:/", c));
}

static enum err check_name(const struct check *check)
{
    struct str name = check->route->name;
    bool ok = name.len > 0 && name.len <= NAME_BYTES_MAX;
    for (size_t i = 0; ok && i < name.len; i++)
        ok = is_name_char(name.data[i]);
    if (!ok)
        return WRONG(check, "targets",
                     "a route's name is 1 to %d letters, digits, '-', '_', '.', ':' or '/'",
                     NAME_BYTES_MAX);
    size_t slash = str_find_char(name, '/');
    struct str before = str_slice(name, 0, slash);
    if (slash == SIZE_MAX || !find_entry(check, before))
        return ERR_OK;
    WRONG(check, "targets", "the name means a model of provider '%.*s'", SHOWN(before));
    error_remedy(check->error, "Give the route another name, such as '%.*s'.",
                 SHOWN(str_skip(name, slash + 1)));
    return ERR_INVALID;
}

/* ---- Targets --------------------------------------------------------------------------------- */

static enum err unknown_provider(const struct check *check, const char *setting, struct str id,
                                 struct str name)
{
    struct str_nearest nearest = str_nearest_begin(name, name.len / 3 + 2);
    for (size_t i = 0; i < check->configuration->entry_count; i++)
        str_nearest_try(&nearest, check->configuration->entries[i].name);
    const struct provider_kind *kind = provider_kind_find(name);
    WRONG(check, setting, "there is no provider '%.*s' for '%.*s'", SHOWN(name), SHOWN(id));
    if (kind)
        error_remedy(check->error, "Set providers.%.*s.%s.", SHOWN(name),
                     kind->key_required ? "api_key" : "base_url");
    else if (nearest.found.data)
        error_remedy(check->error, "Did you mean '%.*s%.*s'?", SHOWN(nearest.found),
                     SHOWN(str_skip(id, name.len)));
    else
        error_remedy(check->error, "Set providers.%.*s.kind and its base_url.", SHOWN(name));
    return ERR_INVALID;
}

static enum err no_target(const struct check *check, const char *setting, struct str id)
{
    WRONG(check, setting, "'%.*s' is not provider/model", SHOWN(id));
    if (find_route(check, id) < check->configuration->route_count)
        error_remedy(check->error, "It is a route: those can be fallbacks.");
    return ERR_INVALID;
}

static enum err check_target(const struct check *check, const char *setting, struct str id)
{
    size_t slash = str_find_char(id, '/');
    if (slash == SIZE_MAX || slash == 0 || slash + 1 == id.len)
        return no_target(check, setting, id);
    struct str name = str_slice(id, 0, slash);
    const struct registry_entry *entry = find_entry(check, name);
    if (!entry)
        return unknown_provider(check, setting, id, name);
    bool is_built_in = entry->provider && !entry->provider->kind->dialect;
    if (!is_built_in || str_eq(str_skip(id, slash + 1), STR(REGISTRY_BUILT_IN)))
        return ERR_OK;
    WRONG(check, setting, "there is no model '%.*s'", SHOWN(id));
    error_remedy(check->error, "Did you mean '%.*s/%s'?", SHOWN(name), REGISTRY_BUILT_IN);
    return ERR_INVALID;
}

static enum err check_targets(const struct check *check)
{
    const struct registry_route *route = check->route;
    if (route->target_count == 0) {
        WRONG(check, "targets", "a route needs targets");
        error_remedy(check->error, "List them as provider/model.");
        return ERR_INVALID;
    }
    if (route->target_count > ROUTE_TARGETS_MAX)
        return WRONG(check, "targets", "has %zu targets, more than %d", route->target_count,
                     ROUTE_TARGETS_MAX);
    for (size_t i = 0; i < route->target_count; i++) {
        enum err code = check_target(check, "targets", route->targets[i]);
        if (code != ERR_OK)
            return code;
        for (size_t before = 0; before < i; before++)
            if (str_eq(route->targets[before], route->targets[i]))
                return WRONG(check, "targets", "'%.*s' stands there twice",
                             SHOWN(route->targets[i]));
    }
    return ERR_OK;
}

static enum err check_lists(const struct check *check)
{
    const struct registry_route *route = check->route;
    const struct {
        const char *setting;
        size_t count;
    } lists[] = {{"weights", route->weight_count}, {"regions", route->rank_count}};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        if (lists[i].count == 0 || lists[i].count == route->target_count)
            continue;
        WRONG(check, lists[i].setting, "there are %zu %s for %zu targets", lists[i].count,
              lists[i].setting, route->target_count);
        error_remedy(check->error, "Give one for each target, in their order.");
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* ---- Fallbacks ------------------------------------------------------------------------------- */

static enum err unknown_fallback(const struct check *check, struct str name)
{
    struct str_nearest nearest = str_nearest_begin(name, name.len / 3 + 2);
    for (size_t i = 0; i < check->configuration->route_count; i++)
        str_nearest_try(&nearest, check->configuration->routes[i].name);
    WRONG(check, "fallbacks", "there is no route '%.*s'", SHOWN(name));
    if (nearest.found.data)
        error_remedy(check->error, "Did you mean '%.*s'?", SHOWN(nearest.found));
    else
        error_remedy(check->error, "Name a route, or provider/model.");
    return ERR_INVALID;
}

static enum err check_fallbacks(const struct check *check)
{
    const struct registry_route *route = check->route;
    if (route->fallback_count > ROUTE_TARGETS_MAX)
        return WRONG(check, "fallbacks", "there are %zu fallbacks, more than %d",
                     route->fallback_count, ROUTE_TARGETS_MAX);
    for (size_t i = 0; i < route->fallback_count; i++) {
        struct str name = route->fallbacks[i];
        if (find_route(check, name) < check->configuration->route_count)
            continue;
        if (str_find_char(name, '/') == SIZE_MAX)
            return unknown_fallback(check, name);
        enum err code = check_target(check, "fallbacks", name);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* Following the fallbacks of one route: each other is visited once. */
struct visit {
    const struct check *check;
    size_t start;
    bool *seen;
    struct str targets[ROUTE_TARGETS_MAX + 1];
    size_t target_count;
    bool is_loop;
};

static void count_target(struct visit *visit, struct str id)
{
    for (size_t i = 0; i < visit->target_count; i++)
        if (str_eq(visit->targets[i], id))
            return;
    if (visit->target_count <= ROUTE_TARGETS_MAX)
        visit->targets[visit->target_count++] = id;
}

static void visit_route(struct visit *visit, size_t index)
{
    const struct registry_route *route = &visit->check->configuration->routes[index];
    visit->seen[index] = true;
    for (size_t i = 0; i < route->target_count; i++)
        count_target(visit, route->targets[i]);
    for (size_t i = 0; i < route->fallback_count; i++) {
        size_t next = find_route(visit->check, route->fallbacks[i]);
        if (next == visit->check->configuration->route_count)
            count_target(visit, route->fallbacks[i]);
        else if (next == visit->start)
            visit->is_loop = true;
        else if (!visit->seen[next])
            visit_route(visit, next);
    }
}

/* Whether the route comes back to itself through that fallback. */
static bool leads_back(const struct check *check, struct arena *arena, size_t start,
                       struct str name)
{
    size_t next = find_route(check, name), count = check->configuration->route_count;
    struct visit visit = {.check = check, .start = start};
    if (next == count || next == start)
        return next == start;
    visit.seen = ARENA_NEW_ARRAY(arena, count, bool);
    visit_route(&visit, next);
    return visit.is_loop;
}

static enum err check_following(const struct check *check, size_t index)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct visit visit = {.check = check, .start = index};
    enum err code = ERR_OK;
    visit.seen = ARENA_NEW_ARRAY(arena, check->configuration->route_count, bool);
    visit_route(&visit, index);
    for (size_t i = 0; visit.is_loop && i < check->route->fallback_count; i++) {
        struct str name = check->route->fallbacks[i];
        if (!leads_back(check, arena, index, name))
            continue;
        code = WRONG(check, "fallbacks", "'%.*s' leads back to this route", SHOWN(name));
        error_remedy(check->error, "Take one of the fallbacks out of the loop.");
        break;
    }
    if (code == ERR_OK && visit.target_count > ROUTE_TARGETS_MAX)
        code = WRONG(check, "fallbacks", "with those of its fallbacks it has more than %d targets",
                     ROUTE_TARGETS_MAX);
    arena_free(arena);
    return code;
}

enum err registry_check_route(const struct registry_configuration *configuration, size_t index,
                              struct error *error)
{
    const struct check check = {configuration, &configuration->routes[index], error};
    enum err code = check_name(&check);
    if (code == ERR_OK)
        code = check_targets(&check);
    if (code == ERR_OK)
        code = check_lists(&check);
    if (code == ERR_OK)
        code = check_fallbacks(&check);
    return code == ERR_OK ? check_following(&check, index) : code;
}
