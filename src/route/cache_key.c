/* Cache key: see cache.c for what it opens. */
#include "route/cache_key.h"

static void add_part(struct buf *out, struct str part)
{
    const uint64_t len = part.len;
    buf_append(out, STR_FROM((const char *)&len, sizeof len));
    buf_append(out, part);
}

static void add_number(struct buf *out, uint64_t number)
{
    buf_append(out, STR_FROM((const char *)&number, sizeof number));
}

static void add_list(struct buf *out, const struct str *items, size_t count)
{
    add_number(out, count);
    for (size_t i = 0; i < count; i++)
        add_part(out, items[i]);
}

/* No policy is another scope than an empty list, which allows everything: nothing crosses. */
static void add_scope(struct buf *out, const struct policy *policy)
{
    buf_append_char(out, policy ? 1 : 0);
    if (!policy)
        return;
    add_list(out, policy->models.items, policy->models.count);
    add_list(out, policy->doors.items, policy->doors.count);
    add_list(out, policy->addresses.items, policy->addresses.count);
}

/* A budget or a scope may have taken targets out of it. */
static void add_plan(struct buf *out, const struct route_plan *plan)
{
    add_part(out, plan->name);
    add_number(out, plan->target_count);
    for (size_t i = 0; i < plan->group_count; i++)
        for (size_t j = 0; j < plan->groups[i].count; j++)
            add_part(out, plan->groups[i].targets[j]->id);
}

static void add_headers(struct buf *out, const struct http_headers *headers,
                        const char *const *names)
{
    for (; headers && names && *names; names++)
        add_part(out, http_headers_get(headers, *names));
}

void cache_key_write(const struct cache_key *key, struct buf *out)
{
    add_part(out, key->tenant);
    add_scope(out, key->policy);
    add_part(out, str_from_cstr(key->door->name));
    add_plan(out, key->plan);
    add_part(out, key->model);
    add_list(out, key->chain, key->chain_count);
    add_number(out, key->routes_version);
    add_number(out, key->guardrails_version);
    buf_append_char(out, key->strict ? 1 : 0);
    add_headers(out, key->headers, key->door->forwarded);
}

bool cache_flags_find(const struct dialect *door, struct str body,
                      const struct passthrough_members *members, struct cache_flags *ret)
{
    ret->count = door->model_in_path ? 0 : passthrough_cuts(body, members, ret->cuts);
    return ret->count <= PASSTHROUGH_CUTS_MAX;
}

size_t cache_flags_split(const struct cache_flags *flags, struct str body,
                         struct str ret_parts[CACHE_BODY_PARTS_MAX])
{
    size_t at = 0;
    for (size_t i = 0; i < flags->count; i++) {
        ret_parts[i] = str_slice(body, at, flags->cuts[i].from - at);
        at = flags->cuts[i].to;
    }
    ret_parts[flags->count] = str_skip(body, at);
    return flags->count + 1;
}

void cache_flags_write(const struct cache_flags *flags, struct str body, struct buf *out)
{
    for (size_t i = 0; i < flags->count; i++) {
        const struct passthrough_cut *cut = &flags->cuts[i];
        buf_append(out, str_slice(body, cut->start, cut->end - cut->start));
        buf_append_char(out, ',');
    }
}
