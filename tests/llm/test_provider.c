/* Providers: the table of kinds, what is refused and how it says so, addresses and signatures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/provider.h"
#include "wire/url.h"

static struct provider *make(const struct provider_options *options)
{
    struct provider *provider = NULL;
    struct error error = {0};
    enum err code = provider_new(options, &provider, &error);
    assert_string_equal(error.message, "");
    assert_int_equal(code, ERR_OK);
    return provider;
}

static void test_every_kind_is_usable(void **state)
{
    (void)state;
    for (const struct provider_kind *kind = provider_kinds; kind->name; kind++) {
        struct url url;
        assert_ptr_equal(provider_kind_find(str_from_cstr(kind->name)), kind);
        assert_true(strlen(kind->title) > 0);
        assert_int_equal(kind->header_name == NULL, kind->header_value == NULL);
        if (!kind->dialect) {
            assert_int_equal(kind->auth, PROVIDER_AUTH_NONE);
            continue;
        }
        assert_int_not_equal(kind->auth, PROVIDER_AUTH_NONE);
        const char *const paths[] = {kind->path_complete, kind->path_stream, kind->path_models};
        for (size_t i = 0; i < 3; i++)
            assert_true(paths[i] && paths[i][0] == '/');
        if (!kind->base_url)
            continue;
        assert_int_equal(url_parse(str_from_cstr(kind->base_url), &url, NULL), ERR_OK);
        assert_true(url.tls || str_eq(url.host, STR("127.0.0.1")));
        assert_int_equal(url.query.len, 0);
        assert_false(str_ends_with(str_from_cstr(kind->base_url), STR("/")));
        assert_int_equal(kind->key_required, url.tls);
    }
    assert_null(provider_kind_find(STR("nobody")));
    assert_null(provider_kind_find(STR("")));
}

static void test_kinds_make_providers(void **state)
{
    (void)state;
    for (const struct provider_kind *kind = provider_kinds; kind->name; kind++) {
        struct provider *provider = make(&(struct provider_options){
            .name = STR("mine"),
            .kind = str_from_cstr(kind->name),
            .base_url = kind->base_url ? STR("") : STR("https://example.com/v1/"),
            .api_key = kind->key_required ? STR("k") : STR("")});
        assert_ptr_equal(provider->kind, kind);
        assert_true(str_eq(provider->base_url, kind->base_url ? str_from_cstr(kind->base_url)
                                                              : STR("https://example.com/v1")));
        provider_unref(provider);
    }
}

static void test_the_kind_is_the_name_unless_given(void **state)
{
    (void)state;
    struct provider *provider = make(&(struct provider_options){.name = STR("ollama")});
    assert_string_equal(provider->kind->name, "ollama");
    assert_ptr_equal(provider_ref(provider), provider);
    provider_unref(provider);
    assert_string_equal(provider->kind->name, "ollama");
    provider_unref(provider);
    provider_unref(NULL);
}

static void test_wrong_options_name_the_setting(void **state)
{
    (void)state;
    static const struct {
        struct provider_options options;
        const char *field, *message, *remedy; /* parts of them */
    } rows[] = {
        {{.name = {"", 0}}, "providers", "1 to 40", ""},
        {{.name = {"a/b", 3}}, "providers", "letters", ""},
        {{.name = {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 41}}, "providers", "40", ""},
        {{.name = {"opnai", 5}}, "providers.opnai.kind", "no such kind", "'openai'"},
        {{.name = {"x", 1}, .kind = {"zzzzzzzzzzzz", 12}},
         "providers.x.kind",
         "no such kind",
         "openai-compatible"},
        {{.name = {"azure", 5}, .api_key = {"k", 1}}, "providers.azure.base_url", "is needed", ""},
        {{.name = {"openai", 6}}, "providers.openai.api_key", "is needed", ""},
        {{.name = {"openai", 6}, .api_key = {"a\nb", 3}},
         "providers.openai.api_key",
         "character",
         ""},
        {{.name = {"ollama", 6}, .base_url = {"ftp://h", 7}}, "providers.ollama.base_url", "", ""},
        {{.name = {"ollama", 6}, .base_url = {"http://a b", 10}},
         "providers.ollama.base_url",
         "",
         ""},
        {{.name = {"ollama", 6}, .base_url = {"http://h/v1?a=b", 15}},
         "providers.ollama.base_url",
         "query",
         ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct provider *provider = NULL;
        struct error error = {0};
        assert_int_equal(provider_new(&rows[i].options, &provider, &error), ERR_INVALID);
        assert_int_equal(provider_new(&rows[i].options, &provider, NULL), ERR_INVALID);
        assert_null(provider);
        assert_string_equal(error.field, rows[i].field);
        assert_true(error.message[0]);
        assert_non_null(strstr(error.message, rows[i].message));
        assert_non_null(strstr(error.remedy, rows[i].remedy));
    }
}

/* wire/ollama.md section 12. */
static void test_ollama_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *host, *url; /* NULL: refused */
    } rows[] = {
        {"", "http://127.0.0.1:11434"},
        {"example", "http://example:11434"},
        {"example:8080", "http://example:8080"},
        {":8080", "http://127.0.0.1:8080"},
        {"1.2.3.4", "http://1.2.3.4:11434"},
        {"http://example", "http://example:80"},
        {"http://example:11434/", "http://example:11434"},
        {"https://example", "https://example:443"},
        {"HTTPS://example", "HTTPS://example:443"},
        {"ollama.com", "https://ollama.com:443"},
        {"https://h/prefix", "https://h:443/prefix"},
        {"https://h:1/prefix/", "https://h:1/prefix"},
        {"h/prefix", "http://h:11434/prefix"},
        {"[::1]:1234", "http://[::1]:1234"},
        {"[::1]", "http://[::1]:11434"},
        {"::1", "http://[::1]:11434"},
        {"fe80::1", "http://[fe80::1]:11434"},
        {"0.0.0.0", "http://127.0.0.1:11434"},
        {"0.0.0.0:99", "http://127.0.0.1:99"},
        {"::", "http://[::1]:11434"},
        {"[::]:99", "http://[::1]:99"},
        {" \"example\" ", "http://example:11434"},
        {"' example:1 '", "http://example:1"},
        {"example:65536", "http://example:11434"},
        {"example:0", "http://example:11434"},
        {"example:-1", "http://example:11434"},
        {"example:", "http://example:11434"},
        {"example:abc", "http://example:11434"},
        {"ftp://example", NULL},
        {"a b", NULL},
        {"http://user@example", NULL},
        {"http://unix:/run/ollama.sock:", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char url[64] = "";
        bool ok = provider_ollama_base_url(str_from_cstr(rows[i].host), url, sizeof url);
        assert_int_equal(ok, rows[i].url != NULL);
        if (rows[i].url)
            assert_string_equal(url, rows[i].url);
    }
    char small[20];
    assert_false(provider_ollama_base_url(STR("example.com"), small, sizeof small));
}

static void test_urls_encode_the_model(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct provider *gemini = make(&(struct provider_options){
        .name = STR("gemini"), .base_url = STR("http://h/v1beta//"), .api_key = STR("k")});
    struct str url = provider_url(arena, gemini, gemini->kind->path_stream, STR("a/b c?d"));
    assert_true(
        str_eq(url, STR("http://h/v1beta/models/a%2Fb%20c%3Fd:streamGenerateContent?alt=sse")));
    url = provider_url(arena, gemini, gemini->kind->path_models, STR("ignored"));
    assert_true(str_eq(url, STR("http://h/v1beta/models?pageSize=1000")));
    char *long_model = arena_alloc(arena, 20000);
    memset(long_model, '/', 20000);
    url = provider_url(arena, gemini, gemini->kind->path_complete, STR_FROM(long_model, 20000));
    assert_null(url.data);
    provider_unref(gemini);
    arena_free(arena);
}

static void test_headers_sign(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *header, *value;
    } rows[] = {
        {"openai", "authorization", "Bearer the key"},
        {"anthropic", "x-api-key", "the key"},
        {"azure", "api-key", "the key"},
        {"gemini", "x-goog-api-key", "the key"},
    };
    struct arena *arena = arena_new(1024 * 1024);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_headers headers = {0};
        struct provider *provider =
            make(&(struct provider_options){.name = STR("p"),
                                            .kind = str_from_cstr(rows[i].kind),
                                            .base_url = STR("http://h"),
                                            .api_key = STR("the key")});
        provider_headers(arena, provider, &headers);
        assert_true(
            str_eq(http_headers_get(&headers, rows[i].header), str_from_cstr(rows[i].value)));
        assert_true(str_starts_with(http_headers_get(&headers, "user-agent"), STR("parley/")));
        bool is_anthropic = strcmp(rows[i].kind, "anthropic") == 0;
        assert_int_equal(http_headers_get(&headers, "anthropic-version").data != NULL,
                         is_anthropic);
        assert_int_equal(headers.count, is_anthropic ? 3 : 2);
        provider_unref(provider);
    }
    struct http_headers headers = {0};
    struct provider *keyless = make(&(struct provider_options){.name = STR("ollama")});
    provider_headers(arena, keyless, &headers);
    assert_null(http_headers_get(&headers, "authorization").data);
    provider_unref(keyless);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_is_usable),
        cmocka_unit_test(test_kinds_make_providers),
        cmocka_unit_test(test_the_kind_is_the_name_unless_given),
        cmocka_unit_test(test_wrong_options_name_the_setting),
        cmocka_unit_test(test_ollama_hosts),
        cmocka_unit_test(test_urls_encode_the_model),
        cmocka_unit_test(test_headers_sign),
    };
    return cmocka_run_group_tests_name("llm/provider", tests, NULL, NULL);
}
