/* Import of LiteLLM's configuration: what becomes of it loads here, what does not is said, no secret
 * is ever told, and hostile files do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "app/config_load.h"
#include "app/import_litellm.h"
#include "app/providers.h"
#include "app/settings.h"
#include "app/yaml_tree.h"

/* One import; `config` is what became of it, loaded. */
struct fixture {
    struct buf out, notes;
    char *notes_text;
    struct config *config;
    struct error error;
    enum err code;
};

static const char *variable(void *user, const char *name)
{
    (void)user;
    return strcmp(name, "AZURE_API_BASE") == 0 ? "https://res.openai.azure.com" : NULL;
}

static void import_text(struct fixture *f, struct str text)
{
    static const struct import_environment environment = {variable, NULL};
    *f = (struct fixture){.config = config_new(&settings_schema)};
    buf_init(&f->out, 8 << 20);
    buf_init(&f->notes, 8 << 20);
    f->code = import_litellm(text, &environment, &f->out, &f->notes, &f->error);
    f->notes_text = strndup(buf_str(&f->notes).data, f->notes.len);
    struct error error = {0};
    if (f->code == ERR_OK &&
        config_load_yaml(f->config, buf_str(&f->out), "parley.yaml", &error) != ERR_OK)
        fail_msg("%s in:\n%.*s", error.message, STR_ARG(buf_str(&f->out)));
}

static void import(struct fixture *f, const char *text)
{
    import_text(f, str_from_cstr(text));
    if (f->code != ERR_OK)
        fail_msg("%s", f->error.message);
}

static void done(struct fixture *f)
{
    config_free(f->config);
    buf_done(&f->out);
    buf_done(&f->notes);
    free(f->notes_text);
}

static void expect(struct fixture *f, const char *name, const char *wanted)
{
    struct config_value value;
    bool found = config_find(f->config, str_from_cstr(name), &value) && value.text.data;
    if (!wanted && !found)
        return;
    if (!wanted || !found || !str_eq(value.text, str_from_cstr(wanted)))
        fail_msg("%s is '%.*s', not '%s', in:\n%.*s", name, found ? (int)value.text.len : 0,
                 found ? value.text.data : "", wanted ? wanted : "(nothing)",
                 STR_ARG(buf_str(&f->out)));
}

static void expect_note(struct fixture *f, const char *text)
{
    if (!strstr(f->notes_text, text))
        fail_msg("'%s' is not said, but:\n%s", text, f->notes_text);
}

/* All routes and providers are usable, given the keys that the variables would bring. */
static void expect_usable(struct fixture *f)
{
    struct cells *cells = cells_new();
    struct registry *registry = registry_new(NULL, cells);
    static const char *const keys[] = {"openai", "anthropic", "azure", "groq"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char name[100];
        snprintf(name, sizeof name, "providers.%s.api_key", keys[i]);
        assert_int_equal(config_set(f->config, CONFIG_ENVIRONMENT, str_from_cstr(name), STR("k"),
                                    STR("env"), NULL),
                         ERR_OK);
    }
    providers_configure(registry, f->config, NULL);
    const struct catalog *catalog = registry_acquire(registry);
    struct str route;
    size_t position = 0;
    while (config_next_member(f->config, "routes", &position, &route)) {
        struct error error = {0};
        if (catalog_check(catalog, route, &error) != ERR_OK)
            fail_msg("route %.*s: %s", STR_ARG(route), error.message);
    }
    catalog_unref(catalog);
    registry_free(registry);
    cells_free(cells);
}

/* ---- What is taken over ------------------------------------------------------------------------ */

static void test_load_balancing(void **state)
{
    struct fixture f;
    (void)state;
    import(&f,
           "model_list:\n"
           "  - model_name: gpt-4o\n"
           "    litellm_params: {model: azure/eu, api_base: 'https://eu.openai.azure.com/',\n"
           "      api_key: os.environ/AZURE_EU, api_version: '2024-02-01', rpm: 6}\n"
           "  - model_name: gpt-4o\n"
           "    litellm_params: {model: azure/ca, api_base: 'https://ca.openai.azure.com/openai',\n"
           "      api_key: sk-SECRET, rpm: 18, tpm: 1000}\n"
           "  - model_name: gpt-4o\n"
           "    litellm_params: {model: gpt-4o, rpm: 60}\n"
           "router_settings: {routing_strategy: simple-shuffle}\n");
    expect(&f, "routes.gpt-4o.targets", "azure-2/eu,azure-3/ca,openai/gpt-4o");
    expect(&f, "routes.gpt-4o.strategy", "weighted");
    expect(&f, "routes.gpt-4o.weights", "6,18,60");
    expect(&f, "providers.azure-2.kind", "azure");
    expect(&f, "providers.azure-2.base_url", "https://eu.openai.azure.com/openai/v1");
    expect(&f, "providers.azure-2.requests_per_minute", "6");
    expect(&f, "providers.azure-2.api_key", "REPLACE-ME");
    expect(&f, "providers.azure-3.base_url", "https://ca.openai.azure.com/openai/v1");
    expect(&f, "providers.azure-3.tokens_per_minute", "1000");
    expect(&f, "providers.openai.api_key", NULL); /* OPENAI_API_KEY brings it */
    expect(&f, "providers.openai.models", "gpt-4o");
    expect_note(&f, "model_list[0].litellm_params.api_version: is not needed");
    expect_note(&f, "put what AZURE_EU holds");
    expect_note(&f, "model_list[1].litellm_params.api_key: secrets are not copied");
    expect_note(&f, "model_list[2].litellm_params.api_key: is taken from OPENAI_API_KEY");
    expect_usable(&f);
    done(&f);
}

static void test_families(void **state)
{
    struct fixture f;
    static const struct {
        const char *model, *target, *kind;
    } rows[] = {
        {"openai/gpt-5", "openai/gpt-5", "openai"},
        {"o3-mini", "openai/o3-mini", "openai"},
        {"claude-sonnet-5", "anthropic/claude-sonnet-5", "anthropic"},
        {"anthropic/claude-x", "anthropic/claude-x", "anthropic"},
        {"gemini/gemini-3", "gemini/gemini-3", "gemini"},
        {"ollama/llama3.2:3b", "ollama/llama3.2:3b", "ollama"},
        {"ollama_chat/llama3", "ollama/llama3", "ollama"},
        {"groq/llama-4", "groq/llama-4", "groq"},
        {"mistral/large", "mistral/large", "mistral"},
        {"deepseek/deepseek-chat", "deepseek/deepseek-chat", "deepseek"},
        {"xai/grok-4", "xai/grok-4", "xai"},
        {"together_ai/meta/llama", "together/meta/llama", "together"},
        {"openrouter/openai/gpt-5", "openrouter/openai/gpt-5", "openrouter"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[300], key[100];
        snprintf(text, sizeof text, "model_list: [{model_name: n, litellm_params: {model: '%s'}}]",
                 rows[i].model);
        import(&f, text);
        expect(&f, "routes.n.targets", rows[i].target);
        snprintf(key, sizeof key, "providers.%s.kind", rows[i].kind);
        expect(&f, key, rows[i].kind);
        done(&f);
    }
    import(&f,
           "model_list: [{model_name: n, litellm_params: {model: m, custom_llm_provider: groq}}]");
    expect(&f, "routes.n.targets", "groq/m");
    done(&f);
}

static void test_servers(void **state)
{
    struct fixture f;
    (void)state;
    import(
        &f,
        "model_list:\n"
        "- {model_name: a, litellm_params: {model: openai/facebook/opt, api_base: "
        "'http://h:8000/v1/', api_key: none}}\n"
        "- {model_name: b, litellm_params: {model: openai/x, api_base: "
        "'https://api.openai.com/v1'}}\n"
        "- {model_name: c, litellm_params: {model: hosted_vllm/m, api_base: "
        "'http://gpu:8000/v1'}}\n"
        "- {model_name: d, litellm_params: {model: lm_studio/m, api_base: 'http://h:8000/v1'}}\n"
        "- {model_name: e, litellm_params: {model: azure/m, api_base: os.environ/AZURE_API_BASE}}\n"
        "- {model_name: f, litellm_params: {model: azure/m, api_base: os.environ/UNSET_BASE}}\n"
        "- {model_name: g, litellm_params: {model: anthropic/c, api_base: "
        "'https://h/v1/messages'}}\n"
        "- {model_name: h, litellm_params: {model: openai/m, api_base: "
        "'https://user:SECRET@h/v1'}}\n");
    expect(&f, "providers.h-8000.kind", "openai-compatible");
    expect(&f, "providers.h-8000.base_url", "http://h:8000/v1");
    expect(&f, "providers.h-8000.api_key", NULL);
    expect(&f, "providers.h-8000.models", "facebook/opt,m");
    expect(&f, "routes.a.targets", "h-8000/facebook/opt");
    expect(&f, "routes.b.targets", "openai/x");
    expect(&f, "providers.openai.base_url", NULL);
    expect(&f, "providers.vllm.base_url", "http://gpu:8000/v1");
    expect(&f, "routes.d.targets", "h-8000/m");
    expect(&f, "providers.azure.base_url", "https://res.openai.azure.com/openai/v1");
    expect(&f, "providers.azure-2.base_url", "https://REPLACE-ME.invalid/openai/v1");
    expect(&f, "providers.anthropic.base_url", "https://h");
    expect_note(&f, "the variable UNSET_BASE, which is not set");
    expect_note(&f, "model_list[7].litellm_params.api_base: is no address");
    done(&f);
}

static void test_shared_credentials_and_merges(void **state)
{
    struct fixture f;
    (void)state;
    import(&f, "defaults: &d {api_key: os.environ/OPENAI_API_KEY, timeout: 30}\n"
               "model_list:\n"
               "- {model_name: a, litellm_params: {<<: *d, model: openai/m, timeout: 5}}\n"
               "- {model_name: b, litellm_params: {model: azure/m, litellm_credential_name: c}}\n"
               "- {model_name: e, litellm_params: {model: openai/m, litellm_credential_name: no}}\n"
               "credential_list:\n"
               "- credential_name: c\n"
               "  credential_values: {api_key: SECRET, api_base: 'https://x.openai.azure.com'}\n");
    expect(&f, "providers.openai.total_timeout_ms", "5000");
    expect(&f, "providers.azure-2.base_url", "https://x.openai.azure.com/openai/v1");
    expect_note(&f, "model_list[2].litellm_params.litellm_credential_name: there are no such");
    expect_note(&f, "defaults: has no equivalent here");
    done(&f);
}

static void test_router_settings(void **state)
{
    struct fixture f;
    (void)state;
    import(&f, "model_list:\n"
               "- {model_name: a, litellm_params: {model: openai/m, weight: 0.5}}\n"
               "- {model_name: a, litellm_params: {model: groq/m, weight: 1.5}}\n"
               "- {model_name: b, litellm_params: {model: openai/n, order: 2}}\n"
               "- {model_name: b, litellm_params: {model: groq/n, order: 1}}\n"
               "- {model_name: c, litellm_params: {model: openai/o}}\n"
               "- {model_name: c, litellm_params: {model: groq/o}}\n"
               "litellm_settings: {num_retries: 9, request_timeout: 600.5, allowed_fails: 1}\n"
               "router_settings: {num_retries: 2, cooldown_time: 30, stream_timeout: 7}\n");
    expect(&f, "routes.a.weights", "333,1000");
    expect(&f, "routes.b.targets", "groq/n,openai/n");
    expect(&f, "routes.b.strategy", "priority");
    expect(&f, "routes.c.strategy", "weighted");
    expect(&f, "routes.c.weights", NULL);
    expect(&f, "router.attempts", "3");
    expect(&f, "router.breaker_failures", "2");
    expect(&f, "router.breaker_cooldown_ms", "30000");
    expect(&f, "timeouts.total_ms", "600500");
    expect(&f, "timeouts.first_content_ms", "7000");
    expect_note(&f, "litellm_settings.num_retries: is set in router_settings too");
    expect_usable(&f);
    done(&f);
    static const char *const strategies[][2] = {{"least-busy", "least_busy"},
                                                {"latency-based-routing", "latency"},
                                                {"cost-based-routing", "cost"},
                                                {"usage-based-routing-v2", "least_busy"},
                                                {"anything", "weighted"}};
    for (size_t i = 0; i < sizeof strategies / sizeof strategies[0]; i++) {
        char text[400];
        snprintf(text, sizeof text,
                 "model_list: [{model_name: a, litellm_params: {model: openai/m}},"
                 "{model_name: a, litellm_params: {model: groq/m}}]\n"
                 "router_settings: {routing_strategy: %s}",
                 strategies[i][0]);
        import(&f, text);
        expect(&f, "routes.a.strategy", strategies[i][1]);
        done(&f);
    }
}

#define MODEL(name) "- {model_name: " name ", litellm_params: {model: openai/m-" name "}}\n"

static void test_fallbacks(void **state)
{
    struct fixture f;
    (void)state;
    import(
        &f,
        "model_list:\n" MODEL("a") MODEL("b") MODEL("c") MODEL(
            "d") "- {model_name: openai/m-e, litellm_params: {model: openai/m-e}}\n"
                 "router_settings:\n"
                 "  model_group_alias: {z: a, y: {model: b, hidden: true}, a: b, x: nobody}\n"
                 "  fallbacks: [{a: [b, openai/m-e]}, {b: [a]}, {nobody: [a]}, {openai/m-e: [a]}]\n"
                 "litellm_settings:\n"
                 "  context_window_fallbacks: [{a: [c, nobody]}]\n"
                 "  default_fallbacks: [d]\n"
                 "  content_policy_fallbacks: [{a: [c]}]\n");
    expect(&f, "routes.a.fallbacks", "b,openai/m-e,c");
    expect(&f, "routes.b.fallbacks", "openai/m-a"); /* no loop */
    expect(&f, "routes.c.fallbacks", "d");
    expect(&f, "routes.d.fallbacks", NULL);
    expect(&f, "routes.z.targets", "openai/m-a");
    expect(&f, "routes.z.fallbacks", "b,openai/m-e,c");
    expect(&f, "routes.y.fallbacks", "openai/m-a");
    expect(&f, "routes.openai/m-e.targets", NULL); /* is asked for by that name anyway */
    expect_note(&f, "router_settings.model_group_alias.a: is a model_name too");
    expect_note(&f, "router_settings.model_group_alias.x: leads to no model_name");
    expect_note(&f, "router_settings.fallbacks.nobody: is no model_name");
    expect_note(&f, "router_settings.fallbacks.openai/m-e: is provider/model here");
    expect_note(&f, "litellm_settings.context_window_fallbacks.a: 'nobody'");
    expect_note(&f, "litellm_settings.content_policy_fallbacks: has no equivalent");
    expect_usable(&f);
    done(&f);
}

static void test_prices(void **state)
{
    struct fixture f;
    (void)state;
    import(&f, "model_list:\n"
               "- model_name: a\n"
               "  litellm_params: {model: openai/m, input_cost_per_token: 0.0000025,\n"
               "    output_cost_per_token: 1e-5, cache_read_input_token_cost: 1.25e-07}\n"
               "- model_name: b\n"
               "  litellm_params: {model: openai/free}\n"
               "  model_info: {input_cost_per_token: 0, output_cost_per_token: 0, mode: rerank}\n"
               "- model_name: c\n"
               "  litellm_params: {model: openai/half, input_cost_per_token: 1e-6}\n");
    expect(&f, "prices.openai/m", "in=2.5 out=10 cached=0.125");
    expect(&f, "prices.openai/free", "in=0 out=0");
    expect(&f, "prices.openai/half", NULL);
    expect_note(&f, "a price needs output_cost_per_token too");
    expect_note(&f, "model_list[1].model_info.mode");
    done(&f);
}

/* ---- What is not ------------------------------------------------------------------------------- */

static void test_what_has_no_equivalent(void **state)
{
    struct fixture f;
    (void)state;
    import(&f,
           "model_list:\n"
           "- {model_name: a, litellm_params: {model: bedrock/claude, aws_secret_access_key: "
           "SECRET}}\n"
           "- {model_name: b, litellm_params: {model: vertex_ai/gemini}}\n"
           "- {model_name: '*', litellm_params: {model: '*'}}\n"
           "- {model_name: 'openai/*', litellm_params: {model: 'openai/*'}}\n"
           "- {model_name: c, litellm_params: {model: strange}}\n"
           "- {litellm_params: {model: openai/m}}\n"
           "- {model_name: d}\n"
           "- {model_name: f, litellm_params: {model: openai/m, temperature: 1, foo: SECRET}}\n"
           "general_settings: {master_key: SECRET, database_url: 'postgres://u:SECRET@h/d', x: "
           "SECRET}\n"
           "litellm_settings: {cache: true, cache_params: {password: SECRET}, drop_params: true}\n"
           "router_settings: {redis_password: SECRET}\n"
           "environment_variables: {A_VARIABLE: SECRET}\n"
           "guardrails: [SECRET]\n");
    static const char *const notes[] = {
        "model_list[0].litellm_params.model: there is no provider 'bedrock' here",
        "model_list[1].litellm_params.model: there is no provider 'vertex_ai' here",
        "model_list[2].litellm_params.model: stands for many models",
        "model_list[3].litellm_params.model: stands for many models",
        "model_list[4].litellm_params.model: does not say at which provider",
        "model_list[5]: has no model_name",
        "model_list[6].litellm_params.model: is missing",
        "model_list[7].litellm_params.temperature: a request's parameters",
        "model_list[7].litellm_params.foo: has no equivalent here",
        "general_settings.master_key: keys are not copied",
        "general_settings.database_url: keys, users and spend are not copied",
        "general_settings.x: has no equivalent here",
        "litellm_settings.cache: answers are cached only",
        "litellm_settings.drop_params: is not needed",
        "router_settings.redis_password: is not needed",
        "environment_variables.A_VARIABLE: set it",
        "guardrails: has no equivalent here",
    };
    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        expect_note(&f, notes[i]);
    assert_null(strstr(f.notes_text, "SECRET"));
    assert_int_equal(str_find(buf_str(&f.out), STR("SECRET")), SIZE_MAX);
    expect(&f, "routes.f.targets", "openai/m");
    done(&f);
}

static void test_names_that_cannot_be(void **state)
{
    struct fixture f;
    (void)state;
    import(
        &f,
        "model_list:\n"
        "- {model_name: openai/x, litellm_params: {model: openai/y}}\n"
        "- {model_name: 'a b\\x1b[31m', litellm_params: {model: openai/y}}\n"
        "- {model_name: \"a b\\e[31m\", litellm_params: {model: openai/y}}\n"
        "- {model_name: '.a..b.', litellm_params: {model: openai/y}}\n"
        "- {model_name: 'a,b', litellm_params: {model: openai/y}}\n"
        "- {model_name: v, litellm_params: {model: 'openai/with,comma'}}\n"
        "- {model_name: w, litellm_params: {model: \"openai/with\\nline\"}}\n"
        "- {model_name: parley, litellm_params: {model: openai/q, api_base: 'http://parley'}}\n");
    expect(&f, "routes.openai-x.targets", "openai/y");
    expect(&f, "routes.a-b.targets", "openai/y");
    expect(&f, "routes.v.targets", NULL);
    expect(&f, "routes.w.targets", NULL);
    expect(&f, "routes.parley.targets", "parley-2/q");
    expect_note(&f, "'openai/x' cannot be a route's: it is 'openai-x' here");
    assert_null(strchr(f.notes_text, 0x1b));
    expect_usable(&f);
    done(&f);
}

/* ---- Hostile files ----------------------------------------------------------------------------- */

static void expect_refused(struct str text, enum err code, const char *message)
{
    struct fixture f;
    import_text(&f, text);
    assert_int_equal(f.code, code);
    if (!strstr(f.error.message, message))
        fail_msg("'%s' is not in '%s'", message, f.error.message);
    done(&f);
}

static void test_what_is_refused(void **state)
{
    (void)state;
    expect_refused(STR(""), ERR_INVALID, "no configuration");
    expect_refused(STR("- a"), ERR_INVALID, "no configuration");
    expect_refused(STR("text"), ERR_INVALID, "no configuration");
    expect_refused(STR("a: [1"), ERR_INVALID, "line ");
    expect_refused(STR("a: *nobody"), ERR_INVALID, "line ");
    expect_refused(STR("a: \xff\xfe"), ERR_INVALID, "line ");
    char *big = malloc(YAML_TREE_BYTES_MAX + 1);
    memset(big, '[', YAML_TREE_BYTES_MAX + 1);
    expect_refused(STR_FROM(big, YAML_TREE_BYTES_MAX + 1), ERR_TOO_BIG, "larger than");
    expect_refused(STR_FROM(big, YAML_TREE_BYTES_MAX), ERR_INVALID, "nested");
    memset(big, '{', YAML_TREE_BYTES_MAX);
    expect_refused(STR_FROM(big, YAML_TREE_BYTES_MAX), ERR_INVALID, "");
    free(big);
}

static void test_bombs(void **state)
{
    struct fixture f;
    struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    buf_append(&text, STR("a0: &a0 {model: openai/m}\n"));
    for (int i = 1; i < 60; i++) { /* 10^60 when multiplied */
        buf_printf(&text, "a%d: &a%d {<<: [", i, i);
        for (int j = 0; j < 10; j++)
            buf_printf(&text, "%s*a%d", j ? ", " : "", i - 1);
        buf_append(&text, STR("]}\n"));
    }
    buf_append(&text, STR("model_list: [{model_name: n, litellm_params: {<<: *a59}}]\n"
                          "router_settings: &loop {model_group_alias: *loop, fallbacks: *loop}\n"));
    import_text(&f, buf_str(&text));
    assert_int_equal(f.code, ERR_OK);
    done(&f);
    import(&f, "model_list: &l\n- {model_name: n, litellm_params: &p {<<: *p, model: openai/m}}\n"
               "credential_list: *l\n");
    expect(&f, "routes.n.targets", "openai/m");
    done(&f);
    buf_done(&text);
}

static void test_wrong_types(void **state)
{
    struct fixture f;
    static const char *const values[] = {
        "7",  "text", "[]",   "{}",   "~", "true", "[[1], {a: b}]", "{a: {b: [c]}}",
        "''", "-1",   ".nan", "1e999"};
    static const char *const frames[] = {
        "model_list: @",
        "model_list: [@]",
        "model_list: [{model_name: @, litellm_params: {model: openai/m}}]",
        "model_list: [{model_name: a, litellm_params: @}]",
        "model_list: [{model_name: a, litellm_params: {model: @}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m, api_base: @}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m, api_key: @}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m, rpm: @}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m, timeout: @}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m, weight: @}},"
        " {model_name: a, litellm_params: {model: openai/n}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m,"
        " input_cost_per_token: @, output_cost_per_token: @}}]",
        "model_list: [{model_name: a, litellm_params: {model: openai/m}, model_info: @}]",
        "router_settings: @",
        "router_settings: {num_retries: @}",
        "router_settings: {timeout: @}",
        "router_settings: {fallbacks: @}",
        "router_settings: {fallbacks: [{a: @}]}",
        "router_settings: {model_group_alias: @}",
        "router_settings: {routing_strategy: @}",
        "litellm_settings: {default_fallbacks: @}",
        "credential_list: @",
        "environment_variables: @",
    };
    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++)
        for (size_t j = 0; j < sizeof values / sizeof values[0]; j++) {
            struct buf text;
            buf_init(&text, 1000);
            for (const char *at = frames[i]; *at; at++)
                buf_append(&text, *at == '@' ? str_from_cstr(values[j]) : STR_FROM(at, 1));
            import_text(&f, buf_str(&text)); /* loads what became of it */
            assert_int_equal(f.code, ERR_OK);
            buf_done(&text);
            done(&f);
        }
    import(&f, "model_list: [{model_name: a, litellm_params: {model: openai/m, rpm: lots}}]");
    expect_note(&f, "model_list[0].litellm_params.rpm: is no number");
    done(&f);
}

static void test_too_many(void **state)
{
    struct fixture f;
    struct buf text;
    (void)state;
    buf_init(&text, 1 << 20);
    buf_append(&text, STR("model_list:\n"));
    for (int i = 0; i < 1100; i++)
        buf_printf(&text, "- {model_name: n%d, litellm_params: {model: openai/m%d, rpm: %d}}\n",
                   i % 300, i, 1 + i % 250);
    for (int i = 0; i < 40; i++)
        buf_printf(&text, "- {model_name: same, litellm_params: {model: openai/m%d}}\n", i);
    import_text(&f, buf_str(&text));
    assert_int_equal(f.code, ERR_OK);
    expect_note(&f, "only the first 1000 of 1140 entries were read");
    expect_note(&f, "there are more than 200 providers");
    done(&f);
    buf_clear(&text);
    buf_append(&text, STR("model_list:\n"));
    for (int i = 0; i < 40; i++)
        buf_printf(&text, "- {model_name: same, litellm_params: {model: openai/m%d}}\n", i);
    import_text(&f, buf_str(&text));
    assert_int_equal(f.code, ERR_OK);
    expect_note(&f, "a route has 32 targets at most");
    expect_usable(&f);
    done(&f);
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_balancing),
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_servers),
        cmocka_unit_test(test_shared_credentials_and_merges),
        cmocka_unit_test(test_router_settings),
        cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_prices),
        cmocka_unit_test(test_what_has_no_equivalent),
        cmocka_unit_test(test_names_that_cannot_be),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_bombs),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
