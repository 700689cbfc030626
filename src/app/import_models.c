/* Import of model_list: each entry is a target of the route of its name, at a provider that is made
 * for everything that shares address, key and limits with it. */
#include <stdio.h>
#include <string.h>

#include "app/import_litellm_internal.h"
#include "base/vec.h"
#include "wire/url.h"

static const struct import_family families[] = {
    {"openai", "openai", false},
    {"azure", "azure", true},
    {"anthropic", "anthropic", false},
    {"gemini", "gemini", false},
    {"ollama", "ollama", false},
    {"ollama_chat", "ollama", false},
    {"groq", "groq", false},
    {"mistral", "mistral", false},
    {"deepseek", "deepseek", false},
    {"xai", "xai", false},
    {"together_ai", "together", false},
    {"openrouter", "openrouter", false},
    {"hosted_vllm", "vllm", true},
    {"openai_like", "openai-compatible", true},
    {"custom_openai", "openai-compatible", true},
    {"litellm_proxy", "openai-compatible", true},
    {"lm_studio", "openai-compatible", true},
    {"llamafile", "openai-compatible", true},
    {"xinference", "openai-compatible", true},
};

/* Names without a family that LiteLLM knows by heart. */
static const struct {
    const char *begins;
    const char *family;
} known_models[] = {
    {"gpt-", "openai"}, {"chatgpt-", "openai"},        {"o1", "openai"},         {"o3", "openai"},
    {"o4", "openai"},   {"text-embedding-", "openai"}, {"claude-", "anthropic"},
};

/* One entry that is being read. */
struct entry {
    struct import *import;
    struct str path; /* "model_list[3]" */
    struct yaml_map self, params, info, credentials;
    const struct import_family *family;
    struct str model; /* without its family */
    struct import_provider provider;
};

static struct str path_of(const struct entry *entry, const char *member)
{
    return arena_printf(entry->import->arena, "%.*s.litellm_params.%s", STR_ARG(entry->path),
                        member);
}

/* A parameter of the call, or of the credentials that the entry names. */
static struct yaml_value param(const struct entry *entry, const char *name)
{
    struct yaml_value value = yaml_map_get(&entry->params, name);
    return yaml_is_null(value) ? yaml_map_get(&entry->credentials, name) : value;
}

/* ---- Which family ------------------------------------------------------------------------------ */

static const struct import_family *find_family(struct str prefix)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (str_eq(prefix, str_from_cstr(families[i].prefix)))
            return &families[i];
    return NULL;
}

static struct str family_by_heart(struct str model)
{
    for (size_t i = 0; i < sizeof known_models / sizeof known_models[0]; i++)
        if (str_starts_with(model, str_from_cstr(known_models[i].begins)))
            return str_from_cstr(known_models[i].family);
    return STR_NONE;
}

static void note_wildcard(struct entry *entry)
{
    import_note(entry->import, path_of(entry, "model"),
                "stands for many models: here every model of a provider can be asked for as "
                "provider/model, without a route");
}

static bool read_family(struct entry *entry)
{
    struct str model = yaml_text(param(entry, "model"));
    struct str prefix = yaml_text(param(entry, "custom_llm_provider"));
    size_t slash = str_find_char(model, '/');
    struct str before = slash == SIZE_MAX ? STR("") : str_slice(model, 0, slash);
    if (!prefix.len && before.len)
        prefix = before;
    else if (!prefix.len)
        prefix = family_by_heart(model);
    entry->model = before.len && str_eq(before, prefix) ? str_skip(model, slash + 1) : model;
    entry->family = find_family(prefix);
    if (!model.len)
        import_note(entry->import, path_of(entry, "model"), "is missing: the entry was left out");
    else if (!entry->family && str_find_char(model, '*') != SIZE_MAX)
        note_wildcard(entry);
    else if (!prefix.len)
        import_note(entry->import, path_of(entry, "model"),
                    "does not say at which provider: write provider/model, and import again");
    else if (!entry->family)
        import_note(entry->import, path_of(entry, "model"),
                    "there is no provider '%.*s' here: if it speaks OpenAI's protocol, add it to "
                    "providers with kind openai-compatible and its base_url",
                    (int)(prefix.len < 60 ? prefix.len : 60), prefix.data);
    return model.len && entry->family;
}

static bool check_model(struct entry *entry)
{
    bool is_good = entry->model.len > 0 && entry->model.len <= 200;
    if (str_find_char(entry->model, '*') != SIZE_MAX) {
        note_wildcard(entry);
        return false;
    }
    for (size_t i = 0; is_good && i < entry->model.len; i++)
        is_good = (unsigned char)entry->model.data[i] > ' ' && entry->model.data[i] != ',';
    if (!is_good)
        import_note(entry->import, path_of(entry, "model"),
                    "is no name that can be used here: the entry was left out");
    return is_good;
}

/* ---- Address ----------------------------------------------------------------------------------- */

static struct str without_end(struct str text, const char *end)
{
    return str_ends_with(text, str_from_cstr(end)) ? str_slice(text, 0, text.len - strlen(end))
                                                   : text;
}

static struct str without_slashes(struct str url)
{
    while (str_ends_with(url, STR("/")))
        url.len--;
    return url;
}

/* LiteLLM's addresses end where its own paths begin, ours where ours do. */
static struct str our_base(struct entry *entry, struct str url)
{
    const char *kind = entry->family->kind;
    url = without_slashes(str_slice(url, 0, str_find_char(url, '?')));
    url = without_slashes(without_end(url, "/chat/completions"));
    if (strcmp(kind, "anthropic") == 0)
        return without_slashes(without_end(without_end(url, "/messages"), "/v1"));
    if (strcmp(kind, "azure") != 0)
        return url;
    url = str_slice(url, 0, str_find(url, STR("/openai")));
    return arena_printf(entry->import->arena, "%.*s/openai/v1", STR_ARG(url));
}

/* The address as it stands, or as the variable says that stands there. */
static struct str stated_base(struct entry *entry)
{
    struct import *import = entry->import;
    struct yaml_value value = param(entry, "api_base");
    struct str text = yaml_text(yaml_is_null(value) ? param(entry, "base_url") : value);
    struct str name = import_variable(text);
    if (!name.data)
        return str_trim(text);
    const char *found =
        import->environment->get(import->environment->user, arena_cstr(import->arena, name));
    if (found)
        return arena_str(import->arena, str_from_cstr(found));
    import_note(import, path_of(entry, "api_base"),
                "comes from the variable %.*s, which is not set now: put its value in place of "
                "the address with " IMPORT_PLACEHOLDER,
                (int)(name.len < 100 ? name.len : 100), name.data);
    return STR(IMPORT_PLACEHOLDER_BASE);
}

static void read_base(struct entry *entry)
{
    struct url url;
    struct import_provider *provider = &entry->provider;
    struct str base = stated_base(entry);
    provider->kind = entry->family->kind;
    provider->base_url = STR("");
    if (base.len && url_parse(our_base(entry, base), &url, NULL) != ERR_OK) {
        import_note(entry->import, path_of(entry, "api_base"),
                    "is no address that can be used here (or holds a password): put it in place "
                    "of the one with " IMPORT_PLACEHOLDER);
        base = STR(IMPORT_PLACEHOLDER_BASE);
    }
    if (!base.len && entry->family->needs_base) {
        import_note(entry->import, path_of(entry, "api_base"),
                    "is missing: put the address in place of the one with " IMPORT_PLACEHOLDER);
        base = STR(IMPORT_PLACEHOLDER_BASE);
    }
    if (!base.len)
        return;
    base = arena_str(entry->import->arena, our_base(entry, base));
    bool is_openai = strcmp(provider->kind, "openai") == 0;
    if (is_openai && str_find(base, STR("//api.openai.com")) != SIZE_MAX)
        return; /* its own */
    provider->base_url = base;
    if (is_openai)
        provider->kind = "openai-compatible";
}

/* ---- Key and limits ---------------------------------------------------------------------------- */

/* Servers that want none are often given one of these. */
static bool is_no_key(struct str key)
{
    static const char *const words[] = {"",    "none", "empty", "null",       "dummy", "fake",
                                        "any", "na",   "n/a",   "not-needed", "ollama"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eq_nocase(key, str_from_cstr(words[i])))
            return true;
    return false;
}

static void read_key(struct entry *entry)
{
    struct import_provider *provider = &entry->provider;
    struct str text = yaml_text(param(entry, "api_key"));
    struct str variable = import_variable(text);
    provider->key_path = path_of(entry, "api_key");
    provider->key_variable = variable.data ? variable : STR("");
    provider->key = is_no_key(text) ? STR("") : text;
    provider->is_default_key =
        variable.data ? import_is_variable_of(provider->kind, variable)
                      : !provider->key.len && import_our_variable(provider->kind) != NULL;
    if (provider->is_default_key)
        provider->key = STR("(ours)");
}

/* A limit of the deployment: in litellm_params, or beside them. */
static int64_t limit_of(struct entry *entry, const char *name, double scale, double maximum)
{
    double number;
    struct yaml_value value = param(entry, name);
    if (yaml_is_null(value))
        value = yaml_map_get(&entry->self, name);
    return import_number(entry->import, path_of(entry, name), value, 0, maximum, &number)
               ? (int64_t)(number * scale)
               : 0;
}

static void read_limits(struct entry *entry)
{
    struct import_provider *provider = &entry->provider;
    provider->requests_per_minute = limit_of(entry, "rpm", 1, 1e9);
    provider->tokens_per_minute = limit_of(entry, "tpm", 1, 1e12);
    provider->concurrency = limit_of(entry, "max_parallel_requests", 1, 1e5);
    provider->timeout_ms = limit_of(entry, "timeout", 1000, 86400);
    provider->first_content_ms = limit_of(entry, "stream_timeout", 1000, 86400);
}

/* ---- Prices ------------------------------------------------------------------------------------ */

/* A price a token, which may stand in two places; -1: not said. */
static double price_part(struct entry *entry, const char *name)
{
    double number;
    struct yaml_value value = param(entry, name);
    if (yaml_is_null(value))
        value = yaml_map_get(&entry->info, name);
    return import_number(entry->import, path_of(entry, name), value, 0, 0.01, &number)
               ? number * 1e6
               : -1;
}

static void put_price(struct buf *out, const char *name, double usd)
{
    char text[64];
    if (usd < 0)
        return;
    int length = snprintf(text, sizeof text, "%.6f", usd);
    while (length > 1 && text[length - 1] == '0')
        length--;
    length -= text[length - 1] == '.';
    buf_printf(out, "%s%s=%.*s", out->len ? " " : "", name, length, text);
}

static struct str read_price(struct entry *entry)
{
    double in = price_part(entry, "input_cost_per_token");
    double output = price_part(entry, "output_cost_per_token");
    double cached = price_part(entry, "cache_read_input_token_cost");
    double write = price_part(entry, "cache_creation_input_token_cost");
    struct buf out;
    if (in < 0 && output < 0)
        return STR("");
    if (in < 0 || output < 0) {
        import_note(entry->import, path_of(entry, "input_cost_per_token"),
                    "a price needs output_cost_per_token too: write it below prices");
        return STR("");
    }
    buf_init(&out, 200);
    put_price(&out, "in", in);
    put_price(&out, "out", output);
    put_price(&out, "cached", cached);
    put_price(&out, "write", write);
    struct str text = arena_str(entry->import->arena, buf_str(&out));
    buf_done(&out);
    return text;
}

/* ---- What is left ------------------------------------------------------------------------------ */

/* Parameters that are read above, or that change nothing. */
static bool is_read(struct str name)
{
    static const char *const names[] = {
        "model",
        "custom_llm_provider",
        "api_base",
        "base_url",
        "api_key",
        "rpm",
        "tpm",
        "max_parallel_requests",
        "timeout",
        "stream_timeout",
        "weight",
        "order",
        "input_cost_per_token",
        "output_cost_per_token",
        "cache_read_input_token_cost",
        "cache_creation_input_token_cost",
        "litellm_credential_name",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_eq(name, str_from_cstr(names[i])))
            return true;
    return false;
}

static const char *advice_for(struct str name)
{
    static const struct {
        const char *name, *advice;
    } rows[] = {
        {"api_version", "is not needed: Parley asks Azure's v1 API, which has no versions"},
        {"temperature", "a request's parameters have no defaults here: send it with requests"},
        {"max_tokens", "a request's parameters have no defaults here: send it with requests"},
        {"extra_headers", "headers cannot be added to a provider's requests here"},
        {"organization", "headers cannot be added here: use a key of that organization's project"},
        {"max_retries", "is decided for all together: see router.attempts"},
        {"num_retries", "is decided for all together: see router.attempts"},
        {"cooldown_time", "is decided for all together: see router.breaker_cooldown_ms"},
        {"azure_ad_token", "Azure is reached by key here: put one in providers.*.api_key"},
        {"drop_params", "is not needed: what a provider cannot take is left out and named in "
                        "x-parley-dropped"},
        {"tags", "requests are not routed by tags here"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (str_eq(name, str_from_cstr(rows[i].name)))
            return rows[i].advice;
    return "has no equivalent here";
}

static void note_rest(struct entry *entry)
{
    for (size_t i = 0; i < entry->params.count; i++) {
        struct str name = entry->params.pairs[i].name;
        if (!is_read(name) && !yaml_is_null(entry->params.pairs[i].value))
            import_note(entry->import, path_of(entry, arena_cstr(entry->import->arena, name)), "%s",
                        advice_for(name));
    }
    struct str mode = yaml_text(yaml_map_get(&entry->info, "mode"));
    if (mode.len && !str_eq(mode, STR("chat")) && !str_eq(mode, STR("embedding")))
        import_note(
            entry->import,
            arena_printf(entry->import->arena, "%.*s.model_info.mode", STR_ARG(entry->path)),
            "routes are for chats and embeddings: ask for other things at the provider");
}

/* ---- The route --------------------------------------------------------------------------------- */

static struct import_route *route_for(struct entry *entry, struct str name)
{
    struct import *import = entry->import;
    struct import_route *route = import_find_route(import, name);
    if (route)
        return route;
    if (import->route_count == IMPORT_ROUTES_MAX) {
        import_note(import, entry->path, "there are more than %d names: it was left out",
                    IMPORT_ROUTES_MAX);
        return NULL;
    }
    route = &import->routes[import->route_count++];
    route->theirs = name;
    return route;
}

static double weight_of(struct entry *entry)
{
    double weight;
    return import_number(entry->import, path_of(entry, "weight"), param(entry, "weight"), 0, 1e6,
                         &weight)
               ? weight
               : -1;
}

/* The same target twice is one of both weights. */
static void add_target(struct entry *entry, struct import_route *route, size_t provider)
{
    struct import_target target = {
        .provider = provider,
        .model = entry->model,
        .weight = weight_of(entry),
        .requests_per_minute = entry->provider.requests_per_minute,
        .tokens_per_minute = entry->provider.tokens_per_minute,
        .order = limit_of(entry, "order", 1, 1e6),
        .price = read_price(entry),
    };
    for (size_t i = 0; i < route->target_count; i++) {
        struct import_target *known = &route->targets[i];
        if (known->provider != provider || !str_eq(known->model, target.model))
            continue;
        known->weight =
            (known->weight < 0 ? 1 : known->weight) + (target.weight < 0 ? 1 : target.weight);
        return;
    }
    if (route->target_count == ROUTE_TARGETS_MAX) {
        import_note(entry->import, entry->path, "a route has %d targets at most: it was left out",
                    ROUTE_TARGETS_MAX);
        return;
    }
    *VEC_PUSH(entry->import->arena, route->targets, route->target_count, route->target_capacity) =
        target;
}

/* ---- Entries ----------------------------------------------------------------------------------- */

static struct yaml_map credentials_of(struct entry *entry)
{
    struct import *import = entry->import;
    struct str wanted = yaml_text(yaml_map_get(&entry->params, "litellm_credential_name"));
    struct yaml_value list = yaml_map_get(&import->root, "credential_list");
    for (size_t i = 0; wanted.len && i < yaml_list_count(list) && i < IMPORT_MODELS_MAX; i++) {
        struct yaml_map one = yaml_map_of(yaml_list_item(list, i), import->arena);
        if (str_eq(yaml_text(yaml_map_get(&one, "credential_name")), wanted))
            return yaml_map_of(yaml_map_get(&one, "credential_values"), import->arena);
    }
    if (wanted.len)
        import_note(import, path_of(entry, "litellm_credential_name"),
                    "there are no such credentials in the file");
    return (struct yaml_map){0};
}

static void read_entry(struct entry *entry)
{
    struct str name = yaml_text(yaml_map_get(&entry->self, "model_name"));
    if (!name.len) {
        import_note(entry->import, entry->path, "has no model_name: it was left out");
        return;
    }
    entry->credentials = credentials_of(entry);
    if (!read_family(entry))
        return;
    read_base(entry);
    read_key(entry);
    read_limits(entry);
    bool is_one = check_model(entry);
    size_t provider = import_add_provider(entry->import, &entry->provider);
    if (provider == IMPORT_PROVIDERS_MAX) {
        import_note(entry->import, entry->path, "there are more than %d providers: it was left out",
                    IMPORT_PROVIDERS_MAX);
        return;
    }
    note_rest(entry);
    struct import_route *route = is_one ? route_for(entry, name) : NULL;
    if (!route)
        return;
    import_add_model(entry->import, &entry->import->providers[provider], entry->model);
    add_target(entry, route, provider);
}

void import_models(struct import *import)
{
    struct yaml_value list = yaml_map_get(&import->root, "model_list");
    size_t count = yaml_list_count(list);
    if (!count)
        import_note(import, STR("model_list"), "has no entries: there is nothing to route to");
    if (count > IMPORT_MODELS_MAX)
        import_note(import, STR("model_list"), "only the first %d of %zu entries were read",
                    IMPORT_MODELS_MAX, count);
    for (size_t i = 0; i < count && i < IMPORT_MODELS_MAX; i++) {
        struct entry entry = {.import = import};
        entry.path = arena_printf(import->arena, "model_list[%zu]", i);
        entry.self = yaml_map_of(yaml_list_item(list, i), import->arena);
        entry.params = yaml_map_of(yaml_map_get(&entry.self, "litellm_params"), import->arena);
        entry.info = yaml_map_of(yaml_map_get(&entry.self, "model_info"), import->arena);
        read_entry(&entry);
    }
    import_name_providers(import);
}
