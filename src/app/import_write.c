/* Import: our parley.yaml. Every name and text is quoted, as JSON is, which YAML understands. */
#include <stdio.h>
#include <string.h>

#include "app/import_litellm_internal.h"
#include "base/json.h"

static const double weight_scale = 1000, weight_max = 1000000;

static void put_text(struct buf *out, struct str text)
{
    buf_append_char(out, '"');
    json_escape(out, text);
    buf_append_char(out, '"');
}

static void put_member(struct buf *out, const char *key, struct str text)
{
    buf_printf(out, "    %s: ", key);
    put_text(out, text);
    buf_append_char(out, '\n');
}

static void put_number(struct buf *out, const char *key, int64_t number)
{
    if (number > 0)
        buf_printf(out, "    %s: %lld\n", key, (long long)number);
}

static void put_list(struct buf *out, const char *key, const struct str *items, size_t count)
{
    if (!count)
        return;
    buf_printf(out, "    %s: [", key);
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append(out, STR(", "));
        put_text(out, items[i]);
    }
    buf_append(out, STR("]\n"));
}

static void put_name(struct buf *out, struct str name)
{
    buf_append(out, STR("  "));
    put_text(out, name);
    buf_append(out, STR(":\n"));
}

/* ---- Providers --------------------------------------------------------------------------------- */

static void write_provider(const struct import_provider *provider, struct buf *out)
{
    put_name(out, provider->name);
    put_member(out, "kind", str_from_cstr(provider->kind));
    if (provider->base_url.len)
        put_member(out, "base_url", provider->base_url);
    if (provider->needs_placeholder)
        put_member(out, "api_key", STR(IMPORT_PLACEHOLDER));
    put_number(out, "requests_per_minute", provider->requests_per_minute);
    put_number(out, "tokens_per_minute", provider->tokens_per_minute);
    put_number(out, "concurrency", provider->concurrency);
    put_number(out, "total_timeout_ms", provider->timeout_ms);
    put_number(out, "first_content_timeout_ms", provider->first_content_ms);
}

/* The list of models that a provider is given ends where a setting's text must. */
static void write_models(struct import *import, const struct import_provider *provider,
                         struct buf *out)
{
    enum { LIST_BYTES_MAX = 7000 };
    size_t count = 0, bytes = 0;
    while (count < provider->model_count &&
           bytes + provider->models[count].len + 1 < LIST_BYTES_MAX)
        bytes += provider->models[count++].len + 1;
    if (count < provider->model_count)
        import_note(import, STR("model_list"),
                    "provider '%.*s' has too many models to list: those it lists itself are "
                    "offered all the same",
                    STR_ARG(provider->name));
    put_list(out, "models", provider->models, count);
}

static void write_providers(struct import *import, struct buf *out)
{
    if (import->provider_count)
        buf_append(out, STR("\nproviders:\n"));
    for (size_t i = 0; i < import->provider_count; i++) {
        write_provider(&import->providers[i], out);
        write_models(import, &import->providers[i], out);
    }
}

/* ---- Prices ------------------------------------------------------------------------------------ */

/* The first price that a target was given; its others are the same, or their mistake. */
static bool is_priced_before(struct import *import, size_t route, size_t target, struct str id)
{
    for (size_t i = 0; i <= route; i++)
        for (size_t j = 0; j < import->routes[i].target_count; j++) {
            if (i == route && j == target)
                return false;
            if (import->routes[i].targets[j].price.len &&
                str_eq(import_target_id(import, &import->routes[i].targets[j]), id))
                return true;
        }
    return false;
}

static void write_prices(struct import *import, struct buf *out)
{
    bool has_any = false;
    for (size_t i = 0; i < import->route_count; i++)
        for (size_t j = 0; j < import->routes[i].target_count; j++) {
            const struct import_target *target = &import->routes[i].targets[j];
            struct str id = import_target_id(import, target);
            bool is_odd =
                str_find(id, STR("..")) != SIZE_MAX || str_ends_with(id, STR(".")) || id.len > 180;
            if (!target->price.len || is_odd || is_priced_before(import, i, j, id))
                continue;
            buf_append(out, has_any ? STR("") : STR("\nprices:\n"));
            has_any = true;
            buf_append(out, STR("  "));
            put_text(out, id);
            buf_append(out, STR(": "));
            put_text(out, target->price);
            buf_append_char(out, '\n');
        }
}

/* ---- Routes ------------------------------------------------------------------------------------ */

/* What LiteLLM's shuffle goes by: weights where any are given, else requests, else tokens a minute. */
static double raw_weight(const struct import_route *route, const struct import_target *target)
{
    bool has_weights = false, has_requests = false, has_tokens = false;
    for (size_t i = 0; i < route->target_count; i++) {
        has_weights |= route->targets[i].weight >= 0;
        has_requests |= route->targets[i].requests_per_minute > 0;
        has_tokens |= route->targets[i].tokens_per_minute > 0;
    }
    if (has_weights)
        return target->weight >= 0 ? target->weight : 0;
    if (has_requests)
        return (double)target->requests_per_minute;
    return has_tokens ? (double)target->tokens_per_minute : 1;
}

static void write_weights(const struct import_route *route, struct buf *out)
{
    double largest = 0;
    bool is_whole = true, is_even = true;
    for (size_t i = 0; i < route->target_count; i++) {
        double weight = raw_weight(route, &route->targets[i]);
        largest = weight > largest ? weight : largest;
        is_whole = is_whole && weight == (double)(int64_t)weight;
        is_even = is_even && weight == raw_weight(route, &route->targets[0]);
    }
    if (is_even || largest <= 0)
        return;
    double scale = is_whole && largest <= weight_max ? 1 : weight_scale / largest;
    buf_append(out, STR("    weights: ["));
    for (size_t i = 0; i < route->target_count; i++)
        buf_printf(out, "%s%lld", i ? ", " : "",
                   (long long)(raw_weight(route, &route->targets[i]) * scale + 0.5));
    buf_append(out, STR("]\n"));
}

/* Lower orders are asked first; those without one come last. */
static bool sort_by_order(struct import_route *route)
{
    bool has_order = false;
    for (size_t i = 0; i < route->target_count; i++)
        has_order |= route->targets[i].order > 0;
    for (size_t i = 1; has_order && i < route->target_count; i++)
        for (size_t j = i; j > 0; j--) {
            struct import_target *a = &route->targets[j - 1], *b = &route->targets[j];
            if ((a->order ? a->order : INT64_MAX) <= (b->order ? b->order : INT64_MAX))
                break;
            struct import_target swapped = *a;
            *a = *b;
            *b = swapped;
        }
    return has_order;
}

static void write_route(struct import *import, struct import_route *route, struct buf *out)
{
    bool has_order = sort_by_order(route);
    const char *strategy = has_order ? "priority" : import->strategy;
    struct str *ids = ARENA_NEW_ARRAY(import->arena, route->target_count, struct str);
    for (size_t i = 0; i < route->target_count; i++)
        ids[i] = import_target_id(import, &route->targets[i]);
    put_name(out, route->ours);
    put_list(out, "targets", ids, route->target_count);
    if (route->target_count > 1)
        put_member(out, "strategy", str_from_cstr(strategy));
    if (route->target_count > 1 && strcmp(strategy, "weighted") == 0)
        write_weights(route, out);
    put_list(out, "fallbacks", route->fallbacks, route->fallback_count);
}

static void write_routes(struct import *import, struct buf *out)
{
    bool has_any = false;
    for (size_t i = 0; i < import->route_count; i++) {
        if (!import->routes[i].ours.len)
            continue;
        buf_append(out, has_any ? STR("") : STR("\nroutes:\n"));
        has_any = true;
        write_route(import, &import->routes[i], out);
    }
}

static void write_lines(struct buf *out, const char *group, const struct str *lines, size_t count)
{
    if (count)
        buf_printf(out, "\n%s:\n", group);
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "  %.*s\n", STR_ARG(lines[i]));
}

void import_write(struct import *import, struct buf *out)
{
    buf_append(out, STR("# Made by parley import litellm. What it could not take over it said on "
                        "standard error.\n"));
    write_providers(import, out);
    write_prices(import, out);
    write_routes(import, out);
    write_lines(out, "router", import->router, import->router_count);
    write_lines(out, "timeouts", import->timeouts, import->timeout_count);
}
