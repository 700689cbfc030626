/* The tables of endpoints: what exists, who may call it, what its body holds. Everything that goes in
 * through HTTP goes through here; /openapi.json is made from it. Families with files of their own have
 * their table beside their handlers. */
#include "api/request.h"

static const struct api_field setup_fields[] = {
    {"token", API_STRING, true, false, 200, "The one-time token printed at the first start."},
    {"email", API_STRING, true, false, 254, "Address to sign in with."},
    {"password", API_STRING, true, false, 1024, "8 characters or more."},
    {"name", API_STRING, false, true, 200, "How to show this person."},
    {0},
};
static const struct api_field session_fields[] = {
    {"email", API_STRING, true, false, 254, "Address of the account."},
    {"password", API_STRING, true, false, 1024, "Its password."},
    {0},
};
static const struct api_field conversation_fields[] = {
    {"title", API_STRING, false, true, 1000, "Title; null: \"New conversation\"."},
    {"model", API_STRING, false, true, 300, "Model to talk to."},
    {0},
};
static const struct api_field conversation_patch_fields[] = {
    {"title", API_STRING, false, false, 1000, "New title."},
    {"model", API_STRING, false, false, 300, "Model for the next message."},
    {"leaf_id", API_ID, false, false, 0, "The message last looked at: which branch is open."},
    {0},
};
static const struct api_field message_fields[] = {
    {"parent_id", API_ID, false, true, 0, "The answer this replies to; null: the first message."},
    {"content", API_ANY, true, false, 0, "A string, or a list of text and image parts."},
    {"model", API_STRING, false, true, 300, "Model; null: the conversation's."},
    {0},
};
static const struct api_field model_fields[] = {
    {"model", API_STRING, false, true, 300, "Model; null: the conversation's."},
    {0},
};
static const struct api_field show_fields[] = {
    {"model", API_STRING, true, false, 300, "The model's name."},
    {"verbose", API_BOOLEAN, false, true, 0, "Ignored."},
    {0},
};
static const struct api_field bench_fields[] = {
    {"target", API_STRING, true, false, 300, "Its id: provider/model."},
    {"seconds", API_INTEGER, true, false, (int64_t)31 * 24 * 3600,
     "For how long; 31 days at most."},
    {"reason", API_STRING, false, true, 200, "Why, for whoever looks."},
    {0},
};
static const struct api_field restore_fields[] = {
    {"target", API_STRING, true, false, 300, "Its id: provider/model."},
    {0},
};
static const struct api_field backup_fields[] = {
    {"path", API_STRING, true, false, 4000, "File to write; must not exist."},
    {0},
};

#define V1     "/api/v1"
#define NONE   NULL, 0
#define PARLEY NULL
#define OPENAI &dialect_openai_chat

static const struct endpoint core_endpoints[] = {
    {HTTP_POST, "/v1/chat/completions", VERB_CHAT, OPENAI, api_openai_chat, NULL, API_BODY_LARGE,
     "OpenAI chat completions, streamed or not, for any model."},
    {HTTP_POST, "/v1/responses", VERB_CHAT, &dialect_openai_responses, api_openai_responses, NULL,
     API_BODY_LARGE,
     "OpenAI responses, streamed or not, for any model; kept unless store is false."},
    {HTTP_POST, "/v1/messages", VERB_CHAT, &dialect_anthropic, api_anthropic_messages, NULL,
     API_BODY_LARGE, "Anthropic messages, streamed or not, for any model."},
    {HTTP_POST, "/v1/messages/count_tokens", VERB_CHAT, &dialect_anthropic, api_anthropic_count,
     NULL, API_BODY_LARGE,
     "How many tokens a request has: as a provider counts them, or estimated."},
    {HTTP_GET, "/v1/models", VERB_MODELS_LIST, OPENAI, api_door_models, NONE,
     "Models in OpenAI's form; in Anthropic's or Gemini's for their clients."},
    {HTTP_GET, "/v1/models/{id...}", VERB_MODELS_LIST, OPENAI, api_door_model, NONE,
     "One model, in the same forms."},
    {HTTP_POST, "/v1/models/{id...}", VERB_CHAT, &dialect_gemini, api_gemini_model, NULL,
     API_BODY_LARGE,
     "Gemini: {model}:generateContent, :streamGenerateContent, :countTokens, :embedContent, "
     ":batchEmbedContents, :batchGenerateContent."},
    {HTTP_GET, "/v1beta/models", VERB_MODELS_LIST, &dialect_gemini, api_gemini_models, NONE,
     "Models in Gemini's form."},
    {HTTP_GET, "/v1beta/models/{id...}", VERB_MODELS_LIST, &dialect_gemini, api_gemini_get_model,
     NONE, "One model in Gemini's form."},
    {HTTP_POST, "/v1beta/models/{id...}", VERB_CHAT, &dialect_gemini, api_gemini_model, NULL,
     API_BODY_LARGE, "Gemini, as under /v1."},
    {HTTP_POST, "/api/chat", VERB_CHAT, &dialect_ollama, api_ollama_chat, NULL, API_BODY_LARGE,
     "Ollama chat, streamed or not, for any model."},
    {HTTP_POST, "/api/generate", VERB_CHAT, &dialect_ollama, api_ollama_generate, NULL,
     API_BODY_LARGE, "Ollama: goes on with a prompt, streamed or not, for any model."},
    {HTTP_GET, "/api/tags", VERB_MODELS_LIST, &dialect_ollama, api_ollama_tags, NONE,
     "Models in Ollama's form."},
    {HTTP_POST, "/api/show", VERB_MODELS_LIST, &dialect_ollama, api_ollama_show, show_fields,
     API_BODY_SMALL, "One model in Ollama's form."},
    {HTTP_GET, "/api/ps", VERB_MODELS_LIST, &dialect_ollama, api_ollama_ps, NONE,
     "Ollama: what is loaded: nothing here."},
    {HTTP_GET, "/api/version", VERB_MODELS_LIST, &dialect_ollama, api_ollama_version, NONE,
     "Ollama: the protocol's version."},

    {HTTP_GET, V1 "/session", VERB_PUBLIC, PARLEY, api_get_session, NONE,
     "Who is signed in, and whether set-up is needed."},
    {HTTP_POST, V1 "/setup", VERB_SETUP, PARLEY, api_post_setup, setup_fields, API_BODY_SMALL,
     "Makes the first account, with the one-time token."},
    {HTTP_POST, V1 "/session", VERB_SIGN_IN, PARLEY, api_post_session, session_fields,
     API_BODY_SMALL, "Signs in."},
    {HTTP_DELETE, V1 "/session", VERB_PUBLIC, PARLEY, api_delete_session, NONE, "Signs out."},

    {HTTP_GET, V1 "/ws", VERB_MESSAGE_SEND, PARLEY, api_socket, NONE,
     "The WebSocket (docs/protocol.md)."},
    {HTTP_GET, V1 "/models", VERB_MODELS_LIST, PARLEY, api_get_models, NONE, "Models to talk to."},
    {HTTP_GET, V1 "/providers", VERB_MODELS_LIST, PARLEY, api_get_providers, NONE,
     "Providers and how they are."},
    {HTTP_POST, V1 "/providers/{name}/check", VERB_PROVIDER_CHECK, PARLEY, api_check_provider, NONE,
     "Asks a provider now."},
    {HTTP_GET, V1 "/routes", VERB_MODELS_LIST, PARLEY, api_get_routes, NONE,
     "Routes, whom they lead to, and what is wrong with them."},
    {HTTP_GET, V1 "/targets", VERB_TARGET_MANAGE, PARLEY, api_get_targets, NONE,
     "Every model at its provider: breaker, latency, load, last error."},
    {HTTP_POST, V1 "/targets/bench", VERB_TARGET_MANAGE, PARLEY, api_post_bench, bench_fields,
     API_BODY_SMALL, "Takes a target out for a while."},
    {HTTP_POST, V1 "/targets/restore", VERB_TARGET_MANAGE, PARLEY, api_post_restore, restore_fields,
     API_BODY_SMALL, "Brings a target back, with its breaker closed."},

    {HTTP_GET, V1 "/conversations", VERB_CONVERSATION_LIST, PARLEY, api_list_conversations, NONE,
     "One's conversations, newest first (?limit=, ?before=)."},
    {HTTP_POST, V1 "/conversations", VERB_CONVERSATION_CREATE, PARLEY, api_post_conversation,
     conversation_fields, API_BODY_SMALL, "Makes an empty conversation."},
    {HTTP_GET, V1 "/conversations/{id}", VERB_CONVERSATION_READ, PARLEY, api_get_conversation, NONE,
     "A conversation with its tree of messages."},
    {HTTP_PATCH, V1 "/conversations/{id}", VERB_CONVERSATION_WRITE, PARLEY, api_patch_conversation,
     conversation_patch_fields, API_BODY_SMALL, "Changes title, model or open branch."},
    {HTTP_DELETE, V1 "/conversations/{id}", VERB_CONVERSATION_WRITE, PARLEY,
     api_delete_conversation, NONE, "Deletes a conversation."},
    {HTTP_POST, V1 "/conversations/{id}/messages", VERB_MESSAGE_SEND, PARLEY, api_post_message,
     message_fields, API_BODY_LARGE, "Sends a message; 202 once it is on disk."},
    {HTTP_POST, V1 "/conversations/{id}/messages/{message_id}/answer", VERB_MESSAGE_SEND, PARLEY,
     api_post_answer, model_fields, API_BODY_SMALL, "Asks for another answer to a message."},
    {HTTP_POST, V1 "/conversations/{id}/messages/{message_id}/continue", VERB_MESSAGE_SEND, PARLEY,
     api_post_continue, model_fields, API_BODY_SMALL, "Goes on with an answer that was cut off."},
    {HTTP_GET, V1 "/runs/{id}", VERB_RUN_READ, PARLEY, api_get_run, NONE, "An answer in flight."},
    {HTTP_GET, V1 "/runs/{id}/events", VERB_RUN_READ, PARLEY, api_get_run_events, NONE,
     "Its events as server-sent events (?after=, Last-Event-ID)."},
    {HTTP_POST, V1 "/runs/{id}/stop", VERB_RUN_STOP, PARLEY, api_stop_run, NONE, "Stops it."},

    {HTTP_GET, V1 "/settings", VERB_SETTINGS_READ, PARLEY, api_get_settings, NONE,
     "Every setting, with where its value comes from."},
    {HTTP_PATCH, V1 "/settings", VERB_SETTINGS_WRITE, PARLEY, api_patch_settings, NULL,
     API_BODY_SMALL, "Changes settings: {\"key\": value}; null goes back to the default."},
    {HTTP_POST, V1 "/backup", VERB_BACKUP, PARLEY, api_post_backup, backup_fields, API_BODY_SMALL,
     "Copies the database while it is in use."},

    {HTTP_GET, "/healthz", VERB_PUBLIC, PARLEY, api_get_health, NONE, "Whether the process lives."},
    {HTTP_GET, "/readyz", VERB_PUBLIC, PARLEY, api_get_ready, NONE, "Whether it takes work."},
    {HTTP_GET, "/metrics", VERB_METRICS_READ, PARLEY, api_get_metrics, NONE,
     "Metrics in Prometheus' text format."},
    {HTTP_GET, "/openapi.json", VERB_PUBLIC, PARLEY, api_get_openapi, NONE, "This description."},
    {0},
};

/* What fits nothing before it: the AI SDK leaves "models/" out when a name has a slash. */
static const struct endpoint last_endpoints[] = {
    {HTTP_POST, "/v1beta/{provider}/{model...}", VERB_CHAT, &dialect_gemini, api_gemini_slash, NULL,
     API_BODY_LARGE, "Gemini, for a model named provider/model."},
    {0},
};

/* What is called most comes first. */
/* clang-format off */
static const struct endpoint *const tables[] = {
    core_endpoints,
    anthropic_batches_endpoints,
    embedding_endpoints,
    files_endpoints,
    gemini_batches_endpoints,
    gemini_files_endpoints,
    group_endpoints,
    key_endpoints,
    media_endpoints,
    openai_batches_endpoints,
    passthrough_endpoints,
    quota_endpoints,
    request_log_endpoints,
    stored_response_endpoints,
    thread_endpoints,
    tuning_endpoints,
    usage_endpoints,
    user_endpoints,
    last_endpoints,
};
/* clang-format on */

void endpoints_list(struct arena *arena, const struct endpoint *const **ret_endpoints,
                    size_t *ret_count)
{
    size_t count = 0;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct endpoint *row = tables[i]; row->pattern; row++)
            count++;
    const struct endpoint **list = ARENA_NEW_ARRAY(arena, count, const struct endpoint *);
    *ret_endpoints = list;
    *ret_count = count;
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (const struct endpoint *row = tables[i]; row->pattern; row++)
            *list++ = row;
}
