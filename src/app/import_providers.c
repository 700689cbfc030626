/* Import: our providers: which of theirs are one, what they are called, and where their keys come
 * from. */
#include <stdio.h>
#include <string.h>

#include "app/import_litellm_internal.h"
#include "app/settings.h"
#include "base/vec.h"

/* ---- Keys -------------------------------------------------------------------------------------- */

const char *import_our_variable(const char *kind)
{
    char key[100];
    snprintf(key, sizeof key, "providers.%s.api_key", kind);
    for (size_t i = 0; i < settings_schema.environment_count; i++)
        if (strcmp(settings_schema.environment[i].key, key) == 0)
            return settings_schema.environment[i].alias;
    return NULL;
}

bool import_is_variable_of(const char *kind, struct str variable)
{
    char key[100];
    snprintf(key, sizeof key, "providers.%s.api_key", kind);
    for (size_t i = 0; i < settings_schema.environment_count; i++)
        if (strcmp(settings_schema.environment[i].key, key) == 0 &&
            str_eq(variable, str_from_cstr(settings_schema.environment[i].alias)))
            return true;
    return false;
}

/* ---- Which are one ----------------------------------------------------------------------------- */

static bool is_same(const struct import_provider *a, const struct import_provider *b)
{
    return strcmp(a->kind, b->kind) == 0 && str_eq(a->base_url, b->base_url) &&
           str_eq(a->key, b->key) && a->requests_per_minute == b->requests_per_minute &&
           a->tokens_per_minute == b->tokens_per_minute && a->concurrency == b->concurrency &&
           a->timeout_ms == b->timeout_ms && a->first_content_ms == b->first_content_ms;
}

size_t import_add_provider(struct import *import, const struct import_provider *provider)
{
    size_t i = 0;
    while (i < import->provider_count && !is_same(&import->providers[i], provider))
        i++;
    if (i == import->provider_count && i < IMPORT_PROVIDERS_MAX)
        import->providers[import->provider_count++] = *provider;
    return i;
}

void import_add_model(struct import *import, struct import_provider *provider, struct str model)
{
    for (size_t i = 0; i < provider->model_count; i++)
        if (str_eq(provider->models[i], model))
            return;
    *VEC_PUSH(import->arena, provider->models, provider->model_count, provider->model_capacity) =
        model;
}

/* ---- Names of providers ------------------------------------------------------------------------ */

static bool is_taken(const struct import *import, struct str name)
{
    for (size_t i = 0; i < import->provider_count; i++)
        if (str_eq(import->providers[i].name, name))
            return true;
    return str_eq(name, STR("parley"));
}

/* "localhost-8000" of an address. */
static struct str host_name(struct import *import, struct str base)
{
    char text[32];
    size_t length = 0;
    if (str_starts_with(base, STR(IMPORT_PLACEHOLDER_BASE)))
        return STR("server");
    size_t at = str_find(base, STR("://"));
    struct str host = at == SIZE_MAX ? base : str_skip(base, at + 3);
    host = str_slice(host, 0, str_find_char(host, '/'));
    for (size_t i = 0; i < host.len && length < sizeof text; i++) {
        char c = host.data[i];
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '.';
        text[length++] = is_plain ? c : '-';
    }
    while (length && (text[length - 1] == '.' || text[length - 1] == '-'))
        length--;
    size_t from = 0;
    while (from < length && (text[from] == '.' || text[from] == '-'))
        from++;
    struct str name = STR_FROM(text + from, length - from);
    bool is_odd = str_find(name, STR("..")) != SIZE_MAX;
    return name.len && !is_odd ? arena_str(import->arena, name) : STR("server");
}

/* `base`, unless it is taken or must not be; else with a number behind it. */
static void name_provider(struct import *import, struct import_provider *provider, struct str base,
                          bool may_be_base)
{
    struct str name = base;
    for (int i = 2; is_taken(import, name) || (!may_be_base && i == 2); i++)
        name = arena_printf(import->arena, "%.*s-%d", STR_ARG(base), i);
    provider->name = name;
}

/* The first whose key our own variable brings is named like its kind: so the variable finds it. One
 * that stands there with a key of its own must not be, or the variable would bring it another's. */
static void name_all(struct import *import)
{
    for (size_t i = 0; i < import->provider_count; i++) {
        struct import_provider *provider = &import->providers[i];
        struct str kind = str_from_cstr(provider->kind);
        if (provider->is_default_key && !is_taken(import, kind))
            provider->name = kind;
    }
    for (size_t i = 0; i < import->provider_count; i++) {
        struct import_provider *provider = &import->providers[i];
        struct str kind = str_from_cstr(provider->kind);
        if (provider->name.len)
            continue;
        bool is_server = strcmp(provider->kind, "openai-compatible") == 0;
        bool may_be_kind = is_server || !provider->key.len || !import_our_variable(provider->kind);
        name_provider(import, provider, is_server ? host_name(import, provider->base_url) : kind,
                      may_be_kind);
        provider->needs_placeholder = provider->key.len > 0;
    }
}

static void note_key(struct import *import, const struct import_provider *provider)
{
    if (provider->needs_placeholder && provider->key_variable.len)
        import_note(import, provider->key_path,
                    "put what %.*s holds in place of " IMPORT_PLACEHOLDER
                    " at providers.%.*s.api_key, or start with --set providers.%.*s.api_key=...",
                    (int)(provider->key_variable.len < 100 ? provider->key_variable.len : 100),
                    provider->key_variable.data, STR_ARG(provider->name), STR_ARG(provider->name));
    else if (provider->needs_placeholder)
        import_note(import, provider->key_path,
                    "secrets are not copied: put the key in place of " IMPORT_PLACEHOLDER
                    " at providers.%.*s.api_key",
                    STR_ARG(provider->name));
    else if (provider->is_default_key && !provider->key_variable.len)
        import_note(import, provider->key_path, "is taken from %s here",
                    import_our_variable(provider->kind));
}

void import_name_providers(struct import *import)
{
    name_all(import);
    for (size_t i = 0; i < import->provider_count; i++)
        note_key(import, &import->providers[i]);
}
