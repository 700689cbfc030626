/* Providers: the table of kinds, and instances of them. */
#include "llm/provider.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "wire/url.h"

enum { NAME_BYTES_MAX = 40, URL_BYTES_MAX = 16 * 1024, OLLAMA_PORT = 11434 };

#define CHAT_PATHS "/chat/completions", "/chat/completions", "/models"
#define PATHS      CHAT_PATHS, "/embeddings", NULL
#define CLONE      (LLM_QUIRK_MAX_TOKENS | LLM_QUIRK_NO_DEVELOPER_ROLE)

/* Adding an OpenAI-compatible provider is one row here, or three lines of configuration with kind
 * openai-compatible. Facts: the providers' own documents. */
const struct provider_kind provider_kinds[] = {
    {"openai", "OpenAI", &dialect_openai_chat, "https://api.openai.com/v1", PROVIDER_AUTH_BEARER,
     true, PATHS, NULL, NULL, 0},
    {"openai-responses", "OpenAI (Responses)", &dialect_openai_responses,
     "https://api.openai.com/v1", PROVIDER_AUTH_BEARER, true, "/responses", "/responses", "/models",
     "/embeddings", NULL, NULL, NULL, LLM_QUIRK_STORE_FALSE},
    {"anthropic", "Anthropic", &dialect_anthropic, "https://api.anthropic.com",
     PROVIDER_AUTH_X_API_KEY, true, "/v1/messages", "/v1/messages", "/v1/models?limit=1000", NULL,
     "/v1/messages/count_tokens", "anthropic-version", "2023-06-01", 0},
    {"gemini", "Google Gemini", &dialect_gemini, "https://generativelanguage.googleapis.com/v1beta",
     PROVIDER_AUTH_X_GOOG_API_KEY, true, "/models/{model}:generateContent",
     "/models/{model}:streamGenerateContent?alt=sse", "/models?pageSize=1000",
     "/models/{model}:batchEmbedContents", "/models/{model}:countTokens", NULL, NULL, 0},
    {"ollama", "Ollama", &dialect_ollama, "http://127.0.0.1:11434", PROVIDER_AUTH_BEARER, false,
     "/api/chat", "/api/chat", "/api/tags", "/api/embed", NULL, NULL, NULL, 0},
    {"openai-compatible", "OpenAI-compatible", &dialect_openai_chat, NULL, PROVIDER_AUTH_BEARER,
     false, PATHS, NULL, NULL, CLONE},
    {"openrouter", "OpenRouter", &dialect_openai_chat, "https://openrouter.ai/api/v1",
     PROVIDER_AUTH_BEARER, true, PATHS, NULL, NULL, CLONE},
    {"groq", "Groq", &dialect_openai_chat, "https://api.groq.com/openai/v1", PROVIDER_AUTH_BEARER,
     true, CHAT_PATHS, NULL, NULL, NULL, NULL, LLM_QUIRK_NO_DEVELOPER_ROLE | LLM_QUIRK_NO_NAME},
    {"mistral", "Mistral", &dialect_openai_chat, "https://api.mistral.ai/v1", PROVIDER_AUTH_BEARER,
     true, PATHS, NULL, NULL, CLONE | LLM_QUIRK_MISTRAL | LLM_QUIRK_NO_STREAM_OPTIONS},
    {"deepseek", "DeepSeek", &dialect_openai_chat, "https://api.deepseek.com", PROVIDER_AUTH_BEARER,
     true, CHAT_PATHS, NULL, NULL, NULL, NULL, CLONE | LLM_QUIRK_REASONING_BACK},
    {"xai", "xAI", &dialect_openai_chat, "https://api.x.ai/v1", PROVIDER_AUTH_BEARER, true, PATHS,
     NULL, NULL, CLONE},
    {"together", "Together", &dialect_openai_chat, "https://api.together.xyz/v1",
     PROVIDER_AUTH_BEARER, true, PATHS, NULL, NULL, CLONE},
    {"azure", "Azure OpenAI", &dialect_openai_chat, NULL, PROVIDER_AUTH_API_KEY, true, PATHS, NULL,
     NULL, 0},
    {"vllm", "vLLM", &dialect_openai_chat, "http://127.0.0.1:8000/v1", PROVIDER_AUTH_BEARER, false,
     PATHS, NULL, NULL, CLONE},
    {"llama.cpp", "llama.cpp", &dialect_openai_chat, NULL, PROVIDER_AUTH_BEARER, false, PATHS, NULL,
     NULL, CLONE},
    {"parley", "Built in", NULL, "", PROVIDER_AUTH_NONE, false, NULL, NULL, NULL, NULL, NULL, NULL,
     NULL, 0},
    {0},
};

struct counted_provider {
    struct provider provider; /* first: the two share their address */
    struct arena *arena;
    _Atomic int references;
};

const struct provider_kind *provider_kind_find(struct str name)
{
    for (const struct provider_kind *kind = provider_kinds; kind->name; kind++)
        if (str_eq(name, str_from_cstr(kind->name)))
            return kind;
    return NULL;
}

static enum err wrong(struct error *error, struct str name, const char *setting, const char *what)
{
    char field[128];
    snprintf(field, sizeof field, "providers.%.*s.%s", STR_ARG(name), setting);
    return error_set(error, ERR_INVALID, field, "%s", what);
}

static enum err check_name(struct str name, struct error *error)
{
    bool ok = name.len > 0 && name.len <= NAME_BYTES_MAX;
    for (size_t i = 0; ok && i < name.len; i++) {
        char c = name.data[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_' || c == '.';
    }
    return ok ? ERR_OK
              : error_set(error, ERR_INVALID, "providers",
                          "a provider's name is 1 to %d letters, digits, '-', '_' or '.'",
                          NAME_BYTES_MAX);
}

static enum err unknown_kind(struct str name, struct str kind, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(kind, 4);
    for (const struct provider_kind *row = provider_kinds; row->name; row++)
        str_nearest_try(&nearest, str_from_cstr(row->name));
    wrong(error, name, "kind", "there is no such kind of provider");
    if (nearest.found.data)
        error_remedy(error,
                     "Did you mean '%.*s'? Any server that speaks OpenAI's protocol is kind "
                     "'openai-compatible' with a base_url.",
                     STR_ARG(nearest.found));
    else
        error_remedy(error, "Use kind 'openai-compatible' with a base_url for any server that "
                            "speaks OpenAI's protocol.");
    return ERR_INVALID;
}

static bool is_unix_url(struct str url)
{
    return str_starts_with(url, STR("http://unix:"));
}

static enum err check_base_url(struct str name, struct str base_url, struct error *error)
{
    struct url url;
    struct error detail = {0};
    if (is_unix_url(base_url))
        return ERR_OK; /* the client parses it */
    if (url_parse(base_url, &url, &detail) != ERR_OK)
        return wrong(error, name, "base_url", error_message(&detail));
    if (url.query.len) /* paths are appended: they would end up in it */
        return wrong(error, name, "base_url", "must not have a query");
    return ERR_OK;
}

static enum err check_options(const struct provider_options *options,
                              const struct provider_kind *kind, struct error *error)
{
    if (!kind->base_url && options->base_url.len == 0)
        return wrong(error, options->name, "base_url", "is needed for this kind of provider");
    if (options->base_url.len) {
        enum err code = check_base_url(options->name, options->base_url, error);
        if (code != ERR_OK)
            return code;
    }
    if (kind->key_required && options->api_key.len == 0)
        return wrong(error, options->name, "api_key", "is needed for this provider");
    if (!http_header_is_valid(STR("authorization"), options->api_key))
        return wrong(error, options->name, "api_key", "contains a character no key can have");
    return ERR_OK;
}

static struct str without_trailing_slash(struct str url)
{
    while (url.len && url.data[url.len - 1] == '/')
        url.len--;
    return url;
}

/* The same for every request, so they are made once. */
static void make_headers(struct arena *arena, struct provider *provider)
{
    static const struct {
        const char *name;
        const char *prefix;
    } forms[] = {
        [PROVIDER_AUTH_BEARER] = {"authorization", "Bearer "},
        [PROVIDER_AUTH_X_API_KEY] = {"x-api-key", ""},
        [PROVIDER_AUTH_API_KEY] = {"api-key", ""},
        [PROVIDER_AUTH_X_GOOG_API_KEY] = {"x-goog-api-key", ""},
    };
    const struct provider_kind *kind = provider->kind;
    struct http_headers *headers = &provider->headers;
    if (kind->auth != PROVIDER_AUTH_NONE && provider->api_key.len)
        http_headers_add(
            headers, arena, str_from_cstr(forms[kind->auth].name),
            arena_printf(arena, "%s%.*s", forms[kind->auth].prefix, STR_ARG(provider->api_key)));
    if (kind->header_name)
        http_headers_add(headers, arena, str_from_cstr(kind->header_name),
                         str_from_cstr(kind->header_value));
    http_headers_add(headers, arena, STR("user-agent"), STR("parley/" PARLEY_VERSION));
}

enum err provider_new(const struct provider_options *options, struct provider **ret_provider,
                      struct error *error)
{
    enum err code = check_name(options->name, error);
    if (code != ERR_OK)
        return code;
    struct str kind_name = options->kind.len ? options->kind : options->name;
    const struct provider_kind *kind = provider_kind_find(kind_name);
    if (!kind)
        return unknown_kind(options->name, kind_name, error);
    code = check_options(options, kind, error);
    if (code != ERR_OK)
        return code;
    struct arena *arena = arena_new(SIZE_MAX);
    struct counted_provider *counted = ARENA_NEW(arena, struct counted_provider);
    struct str base_url = options->base_url.len ? options->base_url : str_from_cstr(kind->base_url);
    counted->arena = arena;
    counted->references = 1;
    counted->provider = (struct provider){
        .kind = kind,
        .name = arena_str(arena, options->name),
        .base_url = arena_str(arena, without_trailing_slash(base_url)),
        .api_key = arena_str(arena, options->api_key),
        .models = arena_str(arena, options->models),
        .models_only = options->models_only,
        .connect_timeout_ms = options->connect_timeout_ms,
        .headers_timeout_ms = options->headers_timeout_ms,
        .first_content_timeout_ms = options->first_content_timeout_ms,
        .content_idle_timeout_ms = options->content_idle_timeout_ms,
        .total_timeout_ms = options->total_timeout_ms,
        .eliza_delay_ms = options->eliza_delay_ms,
    };
    make_headers(arena, &counted->provider);
    *ret_provider = &counted->provider;
    return ERR_OK;
}

struct provider *provider_ref(struct provider *provider)
{
    atomic_fetch_add(&((struct counted_provider *)provider)->references, 1);
    return provider;
}

void provider_unref(struct provider *provider)
{
    struct counted_provider *counted = (struct counted_provider *)provider;
    if (counted && atomic_fetch_sub(&counted->references, 1) == 1)
        arena_free(counted->arena);
}

/* Whether `host` is an IPv6 address written without brackets. */
static bool is_bare_ipv6(struct str host)
{
    size_t colon = str_find_char(host, ':');
    return host.len && host.data[0] != '[' && colon != SIZE_MAX &&
           str_find_char(str_skip(host, colon + 1), ':') != SIZE_MAX;
}

/* Spaces and quotes around it, as a shell or a unit file may leave them. */
static struct str unquote(struct str text)
{
    text = str_trim(text);
    while (text.len > 1 && (text.data[0] == '"' || text.data[0] == '\'') &&
           text.data[text.len - 1] == text.data[0])
        text = str_trim(str_slice(text, 1, text.len - 2));
    return text;
}

/* The parts of an OLLAMA_HOST. */
struct ollama_host {
    struct str scheme;
    struct str host; /* an IPv6 address in brackets or not */
    struct str path;
    uint64_t port;
};

/* Cuts the scheme off, and sets the port that goes with it. */
static struct ollama_host begin_host(struct str text)
{
    struct ollama_host parts = {STR("http"), text, STR(""), OLLAMA_PORT};
    size_t mark = str_find(text, STR("://"));
    if (mark != SIZE_MAX) {
        parts.scheme = str_slice(text, 0, mark);
        parts.host = str_skip(text, mark + 3);
        parts.port = str_eq_nocase(parts.scheme, STR("https")) ? 443 : 80;
    } else if (str_eq(text, STR("ollama.com"))) {
        parts.scheme = STR("https");
        parts.port = 443;
    }
    return parts;
}

/* Cuts path and port off the host. */
static void split_host(struct ollama_host *parts)
{
    size_t slash = str_find_char(parts->host, '/');
    parts->path = without_trailing_slash(str_skip(parts->host, slash));
    parts->host = str_slice(parts->host, 0, slash);
    if (is_bare_ipv6(parts->host))
        return;
    struct str tail = str_skip(parts->host, str_find_char(parts->host, ']'));
    if (!tail.len)
        tail = parts->host;
    size_t colon = str_find_char(tail, ':');
    if (colon == SIZE_MAX)
        return;
    struct str port = str_skip(tail, colon + 1);
    parts->host.len -= port.len + 1;
    if (!str_to_u64(port, &parts->port) || parts->port == 0 || parts->port > 65535)
        parts->port = OLLAMA_PORT;
}

bool provider_ollama_base_url(struct str host, char *ret, size_t size)
{
    struct url url;
    host = unquote(host);
    if (is_unix_url(host))
        return false;
    struct ollama_host parts = begin_host(host);
    split_host(&parts);
    if (parts.host.len == 0 || str_eq(parts.host, STR("0.0.0.0")))
        parts.host = STR("127.0.0.1"); /* what a server listens on everywhere with */
    if (str_eq(parts.host, STR("::")) || str_eq(parts.host, STR("[::]")))
        parts.host = STR("[::1]");
    bool bracket = is_bare_ipv6(parts.host);
    int len = snprintf(ret, size, "%.*s://%s%.*s%s:%llu%.*s", STR_ARG(parts.scheme),
                       bracket ? "[" : "", STR_ARG(parts.host), bracket ? "]" : "",
                       (unsigned long long)parts.port, STR_ARG(parts.path));
    return len > 0 && (size_t)len < size && url_parse(str_from_cstr(ret), &url, NULL) == ERR_OK;
}

/* Mostly both are as they are in the end. */
static struct str join(struct arena *arena, struct str base, struct str path)
{
    size_t length = base.len + path.len;
    if (length > URL_BYTES_MAX)
        return STR_NONE;
    char *text = arena_alloc(arena, length + 1);
    memcpy(text, base.data, base.len);
    memcpy(text + base.len, path.data, path.len);
    text[length] = '\0';
    return STR_FROM(text, length);
}

static struct str base_and_path(struct arena *arena, struct str base, const char *path,
                                struct str model)
{
    struct str rest = str_from_cstr(path);
    size_t at = str_find_char(rest, '{');
    if (at != SIZE_MAX)
        at = str_find(rest, STR("{model}"));
    if (at == SIZE_MAX)
        return join(arena, base, rest);
    struct buf url;
    if (!strchr(path, '{')) { /* as a rule it has no model's name in it */
        size_t len = strlen(path);
        char *text = arena_alloc(arena, base.len + len + 1);
        memcpy(text, base.data, base.len);
        memcpy(text + base.len, path, len + 1);
        return STR_FROM(text, base.len + len);
    }
    buf_init(&url, URL_BYTES_MAX);
    buf_append(&url, base);
    buf_append(&url, str_slice(rest, 0, at));
    url_encode(&url, model);
    buf_append(&url, str_skip(rest, at + 7));
    struct str copy = buf_ok(&url) ? arena_str(arena, buf_str(&url)) : STR_NONE;
    buf_done(&url);
    return copy;
}

struct str provider_path(struct arena *arena, const char *path, struct str model)
{
    return base_and_path(arena, STR(""), path, model);
}

struct str provider_url(struct arena *arena, const struct provider *provider, const char *path,
                        struct str model)
{
    return base_and_path(arena, provider->base_url, path, model);
}

void provider_headers(struct arena *arena, const struct provider *provider,
                      struct http_headers *headers)
{
    size_t said = headers->count; /* by the caller, in the same dialect: that stands */
    for (size_t i = 0; i < provider->headers.count; i++) {
        struct str name = provider->headers.items[i].name;
        bool is_said = false;
        for (size_t k = 0; k < said; k++)
            is_said = is_said || str_eq_nocase(headers->items[k].name, name);
        if (!is_said)
            http_headers_add_view(headers, arena, name, provider->headers.items[i].value);
    }
}
