/* Policies: made by the directory, asked by doors and governor. A policy lies in an arena of its
 * own, with its networks parsed, so that asking it allocates nothing. */
#include "account/policy.h"

#include "account/operation.h"
#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"

enum { FIRST_BYTES = 512, POLICY_BYTES_MAX = 1024 * 1024, LIST_BYTES_MAX = 256 * 1024 };

struct counted {
    struct policy policy; /* first: what everybody else sees */
    struct arena *arena;
    struct address_range *ranges; /* of policy.addresses */
    size_t range_count;
    _Atomic size_t references;
};

const char *const policy_doors[] = {"openai",   "anthropic", "gemini", "ollama",
                                    "provider", "parley",    NULL};

/* ---- Life ------------------------------------------------------------------------------------ */

static struct policy_patterns copy_patterns(struct arena *arena,
                                            const struct policy_patterns *patterns)
{
    struct str *items = ARENA_NEW_ARRAY(arena, patterns->count, struct str);
    for (size_t i = 0; i < patterns->count; i++)
        items[i] = arena_str(arena, patterns->items[i]);
    return (struct policy_patterns){items, patterns->count};
}

static void parse_addresses(struct counted *counted)
{
    const struct policy_patterns *addresses = &counted->policy.addresses;
    counted->ranges = ARENA_NEW_ARRAY(counted->arena, addresses->count, struct address_range);
    for (size_t i = 0; i < addresses->count; i++)
        if (address_range_parse(addresses->items[i], &counted->ranges[counted->range_count]))
            counted->range_count++;
}

struct policy *policy_new(const struct policy *like)
{
    struct arena *arena = arena_new_sized(POLICY_BYTES_MAX, FIRST_BYTES);
    struct counted *counted = ARENA_NEW(arena, struct counted);
    struct policy *policy = &counted->policy;
    struct id *groups = ARENA_NEW_ARRAY(arena, like->group_count, struct id);
    for (size_t i = 0; i < like->group_count; i++)
        groups[i] = like->groups[i];
    counted->arena = arena;
    atomic_init(&counted->references, 1);
    policy->who = like->who;
    policy->groups = groups;
    policy->group_count = like->group_count;
    policy->models = copy_patterns(arena, &like->models);
    policy->doors = copy_patterns(arena, &like->doors);
    policy->addresses = copy_patterns(arena, &like->addresses);
    policy->keeps_bodies = like->keeps_bodies;
    policy->keep_bodies_hours = like->keep_bodies_hours;
    policy->expires_ms = like->expires_ms;
    atomic_init(&policy->is_retired, false);
    parse_addresses(counted);
    return policy;
}

struct policy *policy_ref(struct policy *policy)
{
    atomic_fetch_add_explicit(&((struct counted *)policy)->references, 1, memory_order_relaxed);
    return policy;
}

void policy_unref(struct policy *policy)
{
    struct counted *counted = (struct counted *)policy;
    if (counted && atomic_fetch_sub_explicit(&counted->references, 1, memory_order_acq_rel) == 1)
        arena_free(counted->arena);
}

enum err account_policy(struct account *account, const struct principal *who,
                        struct policy **ret_policy)
{
    struct policy *policy = directory_policy(account->directory, who, clock_wall_ms());
    if (!policy)
        return ERR_UNAUTHENTICATED;
    *ret_policy = policy;
    return ERR_OK;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

bool policy_is_current(const struct policy *policy, int64_t now_ms)
{
    return !atomic_load_explicit(&policy->is_retired, memory_order_acquire) &&
           (!policy->expires_ms || now_ms < policy->expires_ms);
}

/* Greedy, going back to the latest star alone: time at most the product of the lengths. */
static bool fits(struct str pattern, struct str text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, resumed = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            resumed = t;
        } else if (p < pattern.len && pattern.data[p] == text.data[t]) {
            p++;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++resumed;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*')
        p++;
    return p == pattern.len;
}

static bool fits_model(struct str pattern, struct str asked, struct str target_id)
{
    struct str bare = target_id;
    str_next(&bare, '/');
    bool is_bare = str_find_char(pattern, '/') == SIZE_MAX;
    return (asked.len && fits(pattern, asked)) || (target_id.len && fits(pattern, target_id)) ||
           (is_bare && bare.len && fits(pattern, bare));
}

bool policy_allows_model(const struct policy *policy, struct str asked, struct str target_id)
{
    const struct policy_patterns *models = &policy->models;
    for (size_t i = 0; i < models->count; i++)
        if (fits_model(models->items[i], asked, target_id))
            return true;
    return models->count == 0;
}

bool policy_allows_door(const struct policy *policy, struct str door)
{
    const struct policy_patterns *doors = &policy->doors;
    for (size_t i = 0; i < doors->count; i++)
        if (fits(doors->items[i], door))
            return true;
    return doors->count == 0;
}

bool policy_allows_address(const struct policy *policy, struct str text)
{
    const struct counted *counted = (const struct counted *)policy;
    struct address address;
    if (policy->addresses.count == 0)
        return true;
    if (!address_parse(text, &address))
        return false;
    for (size_t i = 0; i < counted->range_count; i++)
        if (address_range_has(&counted->ranges[i], &address))
            return true;
    return false;
}

/* ---- As they are stored ---------------------------------------------------------------------- */

enum err policy_patterns_read(struct arena *arena, struct str json, struct policy_patterns *ret)
{
    yyjson_val *root = NULL, *value;
    size_t index, count;
    *ret = (struct policy_patterns){0};
    if (json.len == 0)
        return ERR_OK;
    if (json_read(arena, json, &root, NULL) != ERR_OK || !yyjson_is_arr(root))
        return ERR_CORRUPT;
    struct str *items = ARENA_NEW_ARRAY(arena, yyjson_arr_size(root), struct str);
    yyjson_arr_foreach (root, index, count, value) {
        items[index] = json_str(value);
        if (!items[index].data)
            return ERR_CORRUPT;
    }
    *ret = (struct policy_patterns){items, count};
    return ERR_OK;
}

struct str policy_patterns_write(struct arena *arena, const struct policy_patterns *patterns)
{
    struct json_writer w;
    struct buf out;
    if (patterns->count == 0)
        return STR("");
    buf_init(&out, LIST_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_array(&w);
    for (size_t i = 0; i < patterns->count; i++)
        json_put_str(&w, patterns->items[i]);
    json_end_array(&w);
    struct str text = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

static bool is_door(struct str text)
{
    for (const char *const *door = policy_doors; *door; door++)
        if (str_eq(text, str_from_cstr(*door)))
            return true;
    return false;
}

static bool is_network(struct str text)
{
    struct address_range range;
    return address_range_parse(text, &range);
}

static bool is_pattern(struct str text)
{
    return text.len > 0;
}

static enum err check_patterns(const struct policy_patterns *patterns, const char *field,
                               bool (*is_good)(struct str text), const char *what,
                               struct error *error)
{
    if (patterns->count > POLICY_PATTERNS_MAX)
        return error_set(error, ERR_INVALID, field, "has more than %d entries",
                         (int)POLICY_PATTERNS_MAX);
    for (size_t i = 0; i < patterns->count; i++) {
        struct str item = patterns->items[i];
        enum err code = account_check_text(item, POLICY_PATTERN_BYTES_MAX, field, error);
        if (code != ERR_OK)
            return code;
        if (!is_good(item))
            return error_set(error, ERR_INVALID, field, "'%.*s' is not %s", STR_ARG(item), what);
    }
    return ERR_OK;
}

enum err policy_check_models(const struct policy_patterns *patterns, const char *field,
                             struct error *error)
{
    return check_patterns(patterns, field, is_pattern, "a name or pattern of models", error);
}

enum err policy_check_doors(const struct policy_patterns *patterns, const char *field,
                            struct error *error)
{
    return check_patterns(patterns, field, is_door,
                          "a door: openai, anthropic, gemini, ollama, provider, parley", error);
}

enum err policy_check_addresses(const struct policy_patterns *patterns, const char *field,
                                struct error *error)
{
    return check_patterns(patterns, field, is_network,
                          "an address or network like 192.0.2.7 or 10.0.0.0/8", error);
}
