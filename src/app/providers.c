/* Providers out of the configuration: providers.NAME.* to registry entries. Routes and prices are
 * read in routes.c. */
#include "app/providers.h"

#include <stdio.h>

#include "app/routes.h"
#include "app/settings.h"

enum { PROVIDERS_MAX = 200, URL_BYTES_MAX = 2048 };

struct building {
    const struct config *config;
    struct log *log;
    struct arena *arena;
    struct registry_entry entries[PROVIDERS_MAX + 2];
    size_t count;
};

static bool find(const struct building *b, struct str name, const char *setting,
                 struct config_value *ret)
{
    char key[128];
    int len = snprintf(key, sizeof key, "providers.%.*s.%s", STR_ARG(name), setting);
    return len > 0 && (size_t)len < sizeof key &&
           config_find(b->config, arena_str(b->arena, str_from_cstr(key)), ret) && ret->text.data;
}

static struct str text_of(const struct building *b, struct str name, const char *setting)
{
    struct config_value value;
    return find(b, name, setting, &value) ? value.text : STR("");
}

static bool is_true(const struct building *b, struct str name, const char *setting, bool otherwise)
{
    struct config_value value;
    return find(b, name, setting, &value) ? config_text_is_true(value.text) : otherwise;
}

/* The provider's own value, else the one for all. */
static uint64_t timeout_of(const struct building *b, struct str name, const char *setting,
                           const char *general)
{
    struct config_value value;
    uint64_t number;
    if (find(b, name, setting, &value) && str_to_u64(value.text, &number))
        return number;
    return (uint64_t)config_get_int(b->config, general);
}

static int64_t number_of(const struct building *b, struct str name, const char *setting)
{
    struct config_value value;
    int64_t number = 0;
    if (find(b, name, setting, &value))
        str_to_i64(value.text, &number);
    return number;
}

static struct cell_limits limits_of(const struct building *b, struct str name)
{
    return (struct cell_limits){
        .concurrency_max = (int)number_of(b, name, "concurrency"),
        .requests_per_minute = number_of(b, name, "requests_per_minute"),
        .tokens_per_minute = number_of(b, name, "tokens_per_minute"),
        .waiters_max = (int)number_of(b, name, "waiters"),
    };
}

/* OLLAMA_HOST may be a bare host or port; everything else must be a URL already. */
static struct str base_url_of(struct building *b, struct str name, struct str kind)
{
    struct str text = text_of(b, name, "base_url");
    char url[URL_BYTES_MAX];
    if (str_eq(kind, STR("ollama")) && text.len && provider_ollama_base_url(text, url, sizeof url))
        return arena_str(b->arena, str_from_cstr(url));
    return text;
}

static struct provider_options options_of(struct building *b, struct str name)
{
    struct str kind = text_of(b, name, "kind");
    if (kind.len == 0)
        kind = name;
    return (struct provider_options){
        .name = name,
        .kind = kind,
        .base_url = base_url_of(b, name, kind),
        .api_key = text_of(b, name, "api_key"),
        .models = text_of(b, name, "models"),
        .models_only = is_true(b, name, "models_only", false),
        .connect_timeout_ms = timeout_of(b, name, "connect_timeout_ms", "timeouts.connect_ms"),
        .headers_timeout_ms = timeout_of(b, name, "headers_timeout_ms", "timeouts.headers_ms"),
        .first_content_timeout_ms =
            timeout_of(b, name, "first_content_timeout_ms", "timeouts.first_content_ms"),
        .content_idle_timeout_ms =
            timeout_of(b, name, "content_idle_timeout_ms", "timeouts.content_idle_ms"),
        .total_timeout_ms = timeout_of(b, name, "total_timeout_ms", "timeouts.total_ms"),
        .eliza_delay_ms = (uint64_t)config_get_int(b->config, "eliza.delay_ms"),
    };
}

/* Where the provider was named: the source of the first of its settings that has one. */
static struct config_value origin_of(const struct building *b, struct str name)
{
    static const char *const settings[] = {"kind", "base_url", "api_key", "models"};
    struct config_value value = {.source = CONFIG_DEFAULT, .where = STR_NONE};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (find(b, name, settings[i], &value) && value.source != CONFIG_DEFAULT)
            return value;
    return (struct config_value){.source = CONFIG_DEFAULT, .where = STR_NONE};
}

static void add(struct building *b, struct str name, bool optional)
{
    struct provider_options options = options_of(b, name);
    struct config_value origin = origin_of(b, name);
    struct registry_entry *entry = &b->entries[b->count++];
    struct error error = {0};
    *entry = (struct registry_entry){.name = arena_str(b->arena, name),
                                     .source = config_source_name(origin.source),
                                     .optional = optional,
                                     .limits = limits_of(b, name)};
    if (provider_new(&options, &entry->provider, &error) == ERR_OK)
        return;
    entry->provider = NULL;
    entry->error = settings_complaint(b->arena, origin.where, &error);
    log_warning(b->log, "a provider is not usable", LOG_STR("provider", name),
                LOG_STR("error", entry->error));
}

void providers_configure(struct registry *registry, const struct config *config, struct log *log)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct building b = {.config = config, .log = log, .arena = arena};
    struct str name;
    size_t position = 0;
    bool has_ollama = false;
    while (b.count < PROVIDERS_MAX && config_next_member(config, "providers", &position, &name)) {
        if (str_eq(name, STR("parley")) || !is_true(&b, name, "enabled", true))
            continue;
        has_ollama = has_ollama || str_eq(name, STR("ollama"));
        add(&b, name, false);
    }
    if (!has_ollama && is_true(&b, STR("ollama"), "enabled", true))
        add(&b, STR("ollama"), true);
    add(&b, STR("parley"), false);
    struct registry_configuration configuration = {
        .entries = b.entries,
        .entry_count = b.count,
        .default_model = config_get(config, "chat.default_model"),
    };
    routes_read(config, log, arena, &configuration);
    registry_configure(registry, &configuration);
    for (size_t i = 0; i < b.count; i++)
        provider_unref(b.entries[i].provider);
    arena_free(arena);
}
