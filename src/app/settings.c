/* Settings: the tables. */
#include "app/settings.h"

#include <stdio.h>

#include "account/address_keys.h"
#include "app/policy_keys.h"
#include "llm/price.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define DAY_MS       POLICY_DAY_MS
/* A key that only the file, the environment or a flag can set. */
#define FIXED(name, type, default_text, options, minimum, maximum, description)                    \
    {                                                                                              \
        name, type, default_text, options, minimum, maximum, false, description, NULL              \
    }
/* One that can also be set in the browser. */
#define STORABLE(name, type, default_text, options, minimum, maximum, description)                 \
    {                                                                                              \
        name, type, default_text, options, minimum, maximum, true, description, NULL               \
    }

/* The two keys of one row of POLICY_KEYS, which are also stored. */
#define GENERAL_KEY(name, kind, member, type, default_text, options, minimum, maximum, check,      \
                    description)                                                                   \
    {"router." name, type, default_text, options, minimum, maximum, true, description, check},
#define ROUTE_KEY(name, kind, member, type, default_text, options, minimum, maximum, check,        \
                  description)                                                                     \
    {"routes.*." name,                                                                             \
     type,                                                                                         \
     NULL,                                                                                         \
     options,                                                                                      \
     minimum,                                                                                      \
     maximum,                                                                                      \
     true,                                                                                         \
     "Instead of router." name ", for this route.",                                                \
     check},

static enum err check_price(struct str text, struct error *error)
{
    struct price price;
    return text.len ? price_parse(text, &price, error) : ERR_OK;
}

static enum err check_address_keys(struct str text, struct error *error)
{
    struct arena *arena = arena_new(256 * 1024);
    struct address_keys parsed;
    enum err code = address_keys_parse(arena, text, &parsed, error);
    arena_free(arena);
    return code;
}

static const struct config_key keys[] = {
    FIXED("server.host", CONFIG_STRING, "127.0.0.1", NULL, 0, 255,
          "Address to listen on; 0.0.0.0 or :: for every one."),
    FIXED("server.port", CONFIG_INTEGER, "8080", NULL, 0, 65535,
          "Port to listen on; 0 takes a free one."),
    FIXED("server.unix_socket", CONFIG_STRING, NULL, NULL, 0, 100,
          "Path of a Unix socket to listen on as well (for a proxy on the same machine)."),
    FIXED("server.loops", CONFIG_INTEGER, "0", NULL, 0, 64,
          "Event loops, one thread each; 0: one per processor."),
    FIXED("server.allowed_origins", CONFIG_STRING, "", NULL, 0, 4000,
          "Comma-separated origins whose pages may use this server, beside its own."),
    FIXED("server.keys_in_path", CONFIG_BOOLEAN, "false", NULL, 0, 0,
          "Let a base URL carry an API key (/k/KEY/...) for clients that send none, as Ollama's; "
          "addresses end up in histories and logs of others."),
    {"server.address_keys", CONFIG_STRING, "", NULL, 0, 16000, false,
     "Comma-separated network=key id (10.1.0.0/16=ID): who asks from there without a key acts as "
     "that "
     "key, at the doors of OpenAI, Anthropic, Gemini and Ollama alone.",
     check_address_keys},
    FIXED("server.body_mib_max", CONFIG_INTEGER, "64", NULL, 1, 1024,
          "Largest request body, in MiB."),
    FIXED("files.mib_max", CONFIG_INTEGER, "10240", NULL, 1, 1024 * 1024 * 1024,
          "Most that all uploaded files and batches' results may take together, in MiB."),
    FIXED("files.person_mib_max", CONFIG_INTEGER, "10240", NULL, 1, 1024 * 1024 * 1024,
          "Most that one person's may take, in MiB."),
    FIXED("batches.concurrency", CONFIG_INTEGER, "4", NULL, 1, 1000,
          "Lines of batches that are asked at once."),
    FIXED("batches.window_seconds", CONFIG_INTEGER, "86400", NULL, 1, 30 * 24 * 3600,
          "How long a batch may take before it expires."),
    FIXED("batches.retry_ms", CONFIG_INTEGER, "1000", NULL, 1, 600000,
          "First wait of a batch after a failure that may pass; it doubles, up to ten minutes."),
    FIXED("batches.poll_seconds", CONFIG_INTEGER, "30", NULL, 1, 3600,
          "How often a provider is asked how far a batch is that was handed on to it."),
    FIXED("server.header_timeout_ms", CONFIG_INTEGER, "10000", NULL, 10, DAY_MS,
          "How long the headers of a request may take."),
    FIXED("server.idle_timeout_ms", CONFIG_INTEGER, "75000", NULL, 10, DAY_MS,
          "How long an unused connection is kept."),
    FIXED("server.governed", CONFIG_BOOLEAN, "true", NULL, 0, 0,
          "Without: no limits, budgets, ledger; for measuring what they cost."),
    FIXED("server.shutdown_seconds", CONFIG_INTEGER, "10", NULL, 0, 3600,
          "How long answers may go on after SIGTERM."),
    FIXED("cache.mib_max", CONFIG_INTEGER, "64", NULL, 0, 65536,
          "Memory for answers that are kept to be given again, in MiB; 0: none are."),
    FIXED("cache.embeddings_mib_max", CONFIG_INTEGER, "16", NULL, 0, 65536,
          "Memory for vectors of embeddings that are kept to be given again, in MiB; 0: none are."),
    FIXED("cache.counts_mib_max", CONFIG_INTEGER, "4", NULL, 0, 65536,
          "Memory for providers' counts of tokens that are kept to be given again, in MiB; 0: none "
          "are."),
    FIXED("cache.counts_seconds", CONFIG_INTEGER, "3600", NULL, 0, 30 * 24 * 3600,
          "How long they are kept when a request does not say; 0: not at all."),
    FIXED("data.directory", CONFIG_STRING, "data", NULL, 0, 4000,
          "Where everything is kept; one server at a time."),
    FIXED("data.journal_sync_ms", CONFIG_INTEGER, "1000", NULL, 10, 60000,
          "How often running answers are forced to disk: what a power cut can take of them."),
    FIXED(
        "data.journal_ledger", CONFIG_BOOLEAN, "true", NULL, 0, 0,
        "For tests only: false keeps the ledger out of the journal, and a crash then loses rows."),
    FIXED("ledger.keep_days", CONFIG_INTEGER, "400", NULL, 0, 36500,
          "How many days the ledger's rows are kept; their sums by day stay; 0: for ever."),
    FIXED("database.url", CONFIG_SECRET, NULL, NULL, 0, 4000,
          "Empty: SQLite in data.directory, the only database so far."),
    FIXED("tls.cert", CONFIG_STRING, NULL, NULL, 0, 4000,
          "PEM file of the certificate chain; with tls.key the server speaks https."),
    FIXED("tls.key", CONFIG_STRING, NULL, NULL, 0, 4000, "PEM file of the private key."),
    FIXED("tls.ca", CONFIG_STRING, NULL, NULL, 0, 4000,
          "PEM file of the roots to trust for providers; empty: the system's."),
    FIXED("log.level", CONFIG_ENUM, "info", "debug|info|warning|error", 0, 0,
          "Least level that is logged."),
    FIXED("log.format", CONFIG_ENUM, "text", "text|json", 0, 0,
          "Form of the log on standard error."),
    FIXED("setup.admin_email", CONFIG_STRING, NULL, NULL, 0, 254,
          "Makes the first account at start, together with setup.admin_password."),
    FIXED("setup.admin_password", CONFIG_SECRET, NULL, NULL, 0, 1024, "Its password."),
    FIXED("proxy.https", CONFIG_SECRET, NULL, NULL, 0, 2000, "Proxy for https providers."),
    FIXED("proxy.http", CONFIG_SECRET, NULL, NULL, 0, 2000, "Proxy for http providers."),
    FIXED("proxy.no", CONFIG_STRING, NULL, NULL, 0, 4000,
          "Hosts that are reached without a proxy."),
    STORABLE(
        "chat.default_model", CONFIG_STRING, "", NULL, 0, 300,
        "Model of new conversations, as provider/model, or a route; empty: the first there is."),
    STORABLE(
        "responses.keep_days", CONFIG_INTEGER, "30", NULL, 0, 3650,
        "How many days answers of /v1/responses are kept that programs may go on from; 0: none "
        "is."),
    STORABLE("responses.person_mib_max", CONFIG_INTEGER, "1024", NULL, 1, 1024 * 1024,
             "Most that one person's kept answers may take, in MiB; then the oldest go."),
    STORABLE("responses.background_max", CONFIG_INTEGER, "16", NULL, 1, 1000,
             "Most answers of /v1/responses that are written in the background for one person at "
             "once."),
    STORABLE("batches.hand_on", CONFIG_BOOLEAN, "false", NULL, 0, 0,
             "Batches whose lines are all for one provider go to that provider's own batches."),
    STORABLE("eliza.delay_ms", CONFIG_INTEGER, "25", NULL, 0, 10000,
             "Pause between the words of the built-in demonstration."),
    STORABLE("timeouts.connect_ms", CONFIG_INTEGER, "10000", NULL, 10, DAY_MS,
             "How long connecting to a provider may take, over all its addresses."),
    STORABLE("timeouts.headers_ms", CONFIG_INTEGER, "300000", NULL, 10, DAY_MS,
             "From the request to the provider's first answer; loading a model takes minutes."),
    STORABLE("timeouts.first_content_ms", CONFIG_INTEGER, "300000", NULL, 10, DAY_MS,
             "From the request to the first word; pings do not count."),
    STORABLE("timeouts.content_idle_ms", CONFIG_INTEGER, "120000", NULL, 10, DAY_MS,
             "Longest silence between two pieces of an answer; pings do not count."),
    STORABLE("timeouts.total_ms", CONFIG_INTEGER, "3600000", NULL, 10, 30 * DAY_MS,
             "Longest time a whole answer may take."),
    STORABLE("providers.*.kind", CONFIG_STRING, NULL, NULL, 0, 60,
             "What it speaks; empty: the kind of the same name. openai-compatible fits most."),
    STORABLE("providers.*.base_url", CONFIG_STRING, NULL, NULL, 0, 2000,
             "Its address; empty: the kind's own."),
    STORABLE("providers.*.api_key", CONFIG_SECRET, NULL, NULL, 0, 4000, "Its API key."),
    STORABLE("providers.*.models", CONFIG_STRING, NULL, NULL, 0, 8000,
             "Comma-separated models to offer beside those it lists."),
    STORABLE("providers.*.models_only", CONFIG_BOOLEAN, "false", NULL, 0, 0,
             "Offer only the models named here."),
    STORABLE("providers.*.enabled", CONFIG_BOOLEAN, "true", NULL, 0, 0, "Whether it is used."),
    STORABLE("providers.*.connect_timeout_ms", CONFIG_INTEGER, NULL, NULL, 10, DAY_MS,
             "Instead of timeouts.connect_ms."),
    STORABLE("providers.*.headers_timeout_ms", CONFIG_INTEGER, NULL, NULL, 10, DAY_MS,
             "Instead of timeouts.headers_ms."),
    STORABLE("providers.*.first_content_timeout_ms", CONFIG_INTEGER, NULL, NULL, 10, DAY_MS,
             "Instead of timeouts.first_content_ms."),
    STORABLE("providers.*.content_idle_timeout_ms", CONFIG_INTEGER, NULL, NULL, 10, DAY_MS,
             "Instead of timeouts.content_idle_ms."),
    STORABLE("providers.*.total_timeout_ms", CONFIG_INTEGER, NULL, NULL, 10, 30 * DAY_MS,
             "Instead of timeouts.total_ms."),
    STORABLE("providers.*.concurrency", CONFIG_INTEGER, "0", NULL, 0, 100000,
             "Calls at once to each of its models; 0: no limit."),
    STORABLE("providers.*.requests_per_minute", CONFIG_INTEGER, "0", NULL, 0, 1000000000,
             "Calls a minute to each of its models; 0: as its answers say."),
    STORABLE("providers.*.tokens_per_minute", CONFIG_INTEGER, "0", NULL, 0, 1000000000000,
             "Tokens a minute, in and out, of each of its models; 0: as its answers say."),
    STORABLE("providers.*.waiters", CONFIG_INTEGER, "256", NULL, 0, 65536,
             "Requests that may wait for each of its models when those limits are reached."),
    {"prices.*", CONFIG_STRING, NULL, NULL, 0, 200, true,
     "Price of that model (or provider/model) in US dollars for a million tokens: "
     "in=2 out=10 cached=0.2 write=2.5.",
     check_price},
    STORABLE("routes.*.targets", CONFIG_STRING, NULL, NULL, 0, 8000,
             "Who may answer, as a list of provider/model."),
    STORABLE("routes.*.strategy", CONFIG_ENUM, "priority",
             "priority|weighted|latency|least_busy|cost|region|balanced", 0, 0,
             "How one of the targets is chosen."),
    STORABLE("routes.*.weights", CONFIG_STRING, NULL, NULL, 0, 1000,
             "For weighted: a number for each target, in their order."),
    STORABLE("routes.*.regions", CONFIG_STRING, NULL, NULL, 0, 2000,
             "For region: the region of each target, in their order; empty: each its own."),
    STORABLE("routes.*.region_order", CONFIG_STRING, NULL, NULL, 0, 2000,
             "For region: regions from the nearest on; empty: as they first stand in regions."),
    STORABLE("routes.*.fallbacks", CONFIG_STRING, NULL, NULL, 0, 4000,
             "Routes or provider/model to try in this order when no target can answer."),
    POLICY_KEYS(ROUTE_KEY) POLICY_KEYS(GENERAL_KEY)};

/* Where two variables name one key the first that is set counts. */
static const struct config_alias environment[] = {
    {"HOST", "server.host"},
    {"PORT", "server.port"},
    {"PARLEY_UNIX_SOCKET", "server.unix_socket"},
    {"PARLEY_LOOPS", "server.loops"},
    {"PARLEY_ALLOWED_ORIGINS", "server.allowed_origins"},
    {"PARLEY_SHUTDOWN_SECONDS", "server.shutdown_seconds"},
    {"DATA_DIR", "data.directory"},
    {"DATABASE_URL", "database.url"},
    {"PARLEY_TLS_CERT", "tls.cert"},
    {"PARLEY_TLS_KEY", "tls.key"},
    {"PARLEY_CA_FILE", "tls.ca"},
    {"PARLEY_LOG_LEVEL", "log.level"},
    {"PARLEY_LOG_FORMAT", "log.format"},
    {"PARLEY_ADMIN_EMAIL", "setup.admin_email"},
    {"PARLEY_ADMIN_PASSWORD", "setup.admin_password"},
    {"PARLEY_DEFAULT_MODEL", "chat.default_model"},
    {"HTTPS_PROXY", "proxy.https"},
    {"https_proxy", "proxy.https"},
    {"http_proxy", "proxy.http"},
    {"NO_PROXY", "proxy.no"},
    {"no_proxy", "proxy.no"},
    {"OPENAI_API_KEY", "providers.openai.api_key"},
    {"OPENAI_BASE_URL", "providers.openai.base_url"},
    {"ANTHROPIC_API_KEY", "providers.anthropic.api_key"},
    {"ANTHROPIC_BASE_URL", "providers.anthropic.base_url"},
    {"GEMINI_API_KEY", "providers.gemini.api_key"},
    {"GOOGLE_API_KEY", "providers.gemini.api_key"},
    {"GEMINI_BASE_URL", "providers.gemini.base_url"},
    {"OLLAMA_BASE_URL", "providers.ollama.base_url"},
    {"OLLAMA_HOST", "providers.ollama.base_url"},
    {"OLLAMA_API_KEY", "providers.ollama.api_key"},
    {"OPENROUTER_API_KEY", "providers.openrouter.api_key"},
    {"GROQ_API_KEY", "providers.groq.api_key"},
    {"MISTRAL_API_KEY", "providers.mistral.api_key"},
    {"DEEPSEEK_API_KEY", "providers.deepseek.api_key"},
    {"XAI_API_KEY", "providers.xai.api_key"},
    {"TOGETHER_API_KEY", "providers.together.api_key"},
    {"AZURE_OPENAI_API_KEY", "providers.azure.api_key"},
    {"AZURE_OPENAI_BASE_URL", "providers.azure.base_url"},
};

static const struct config_alias flags[] = {
    {"host", "server.host"},      {"port", "server.port"},   {"data-dir", "data.directory"},
    {"tls-cert", "tls.cert"},     {"tls-key", "tls.key"},    {"log-level", "log.level"},
    {"log-format", "log.format"}, {"loops", "server.loops"},
};

const struct config_schema settings_schema = {
    keys, COUNT(keys), environment, COUNT(environment), flags, COUNT(flags),
};

/* ---- Values ---------------------------------------------------------------------------------- */

enum { USD_MAX = 1000000, NANO_DIGITS = 9 };
static const int64_t nano = 1000000000;

bool settings_usd(struct str text, int64_t *ret_nano)
{
    uint64_t whole = 0, part = 0;
    struct str fraction = text;
    struct str before = str_next(&fraction, '.');
    bool is_number = before.len > 0 && str_to_u64(before, &whole) && whole <= USD_MAX;
    if (is_number && fraction.data)
        is_number = fraction.len <= NANO_DIGITS && str_to_u64(fraction, &part);
    if (!is_number)
        return false;
    for (size_t i = fraction.len; i < NANO_DIGITS; i++)
        part *= 10;
    *ret_nano = (int64_t)whole * nano + (int64_t)part;
    return true;
}

enum err settings_check_usd(struct str text, struct error *error)
{
    int64_t amount;
    if (text.len == 0 || settings_usd(text, &amount))
        return ERR_OK;
    error_set(error, ERR_INVALID, NULL, "must be an amount of US dollars up to %d", USD_MAX);
    error_remedy(error, "Write it like 0.25.");
    return ERR_INVALID;
}

struct str settings_complaint(struct arena *arena, struct str where, const struct error *error)
{
    return arena_printf(arena, "%.*s%s%s: %s%s%s", STR_ARG(where), where.len ? ": " : "",
                        error->field, error_message(error), error->remedy[0] ? ". " : "",
                        error->remedy);
}
