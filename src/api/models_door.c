/* The doors' lists of models, each in its dialect: routes first, then every model by its id. Three
 * kinds of clients ask GET /v1/models; their headers tell them apart. */
#include "api/request.h"
#include "base/clock.h"

/* A model or a route, as all lists show it. */
struct listed {
    struct str id;
    struct str title;
    struct str owner;
    int64_t context_tokens; /* 0: unknown */
    int64_t output_tokens;
};

static struct listed of_model(const struct catalog_model *model)
{
    const struct llm_traits *traits = &model->target->traits;
    return (struct listed){
        .id = model->id,
        .title = model->display_name.len ? model->display_name : model->id,
        .owner = model->provider->name,
        .context_tokens = traits->context_tokens,
        .output_tokens = traits->output_tokens_max,
    };
}

static struct listed of_route(const struct catalog_route *route)
{
    return (struct listed){.id = route->name, .title = route->name, .owner = STR("parley")};
}

/* ---- One model in each form ------------------------------------------------------------------ */

typedef void write_listed_fn(struct json_writer *w, const struct listed *listed);

static void write_openai(struct json_writer *w, const struct listed *listed)
{
    json_begin_object(w);
    json_key_str(w, "id", listed->id);
    json_key_str(w, "object", STR("model"));
    json_key_int(w, "created", 0);
    json_key_str(w, "owned_by", listed->owner);
    json_end_object(w);
}

static void write_anthropic(struct json_writer *w, const struct listed *listed)
{
    json_begin_object(w);
    json_key_str(w, "type", STR("model"));
    json_key_str(w, "id", listed->id);
    json_key_str(w, "display_name", listed->title);
    json_key_str(w, "created_at", STR("1970-01-01T00:00:00Z"));
    if (listed->context_tokens)
        json_key_int(w, "max_input_tokens", listed->context_tokens);
    if (listed->output_tokens)
        json_key_int(w, "max_tokens", listed->output_tokens);
    json_end_object(w);
}

static void write_gemini(struct json_writer *w, const struct listed *listed)
{
    char name[512];
    int len = snprintf(name, sizeof name, "models/%.*s", STR_ARG(listed->id));
    json_begin_object(w);
    json_key_str(w, "name", STR_FROM(name, (size_t)len < sizeof name ? (size_t)len : 0));
    json_key_str(w, "displayName", listed->title);
    if (listed->context_tokens)
        json_key_int(w, "inputTokenLimit", listed->context_tokens);
    if (listed->output_tokens)
        json_key_int(w, "outputTokenLimit", listed->output_tokens);
    json_key_array(w, "supportedGenerationMethods");
    json_put_str(w, STR("generateContent"));
    json_put_str(w, STR("countTokens"));
    json_end_array(w);
    json_end_object(w);
}

static void write_ollama(struct json_writer *w, const struct listed *listed)
{
    json_begin_object(w);
    json_key_str(w, "name", listed->id);
    json_key_str(w, "model", listed->id);
    json_key_str(w, "modified_at", STR("1970-01-01T00:00:00Z"));
    json_key_int(w, "size", 0);
    json_key_str(w, "digest", STR(""));
    json_key_object(w, "details");
    json_key_str(w, "family", listed->owner);
    if (listed->context_tokens)
        json_key_int(w, "context_length", listed->context_tokens);
    json_end_object(w);
    json_end_object(w);
}

/* ---- What the caller may see ----------------------------------------------------------------- */

bool api_shows_model(const struct policy *policy, const struct catalog_model *model)
{
    return policy_allows_model(policy, model->id, model->id);
}

/* One whose name is not in the scope leads somewhere as long as one of its targets is. */
bool api_shows_route(const struct policy *policy, const struct catalog_route *route)
{
    if (!route->target_count)
        return false;
    if (policy_allows_model(policy, route->name, STR_NONE))
        return true;
    for (size_t g = 0; g < route->group_count; g++)
        for (size_t i = 0; i < route->groups[g].count; i++)
            if (policy_allows_model(policy, route->name, route->groups[g].targets[i]->id))
                return true;
    return false;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static void write_all(const struct catalog *catalog, const struct policy *policy,
                      struct json_writer *w, const char *member, write_listed_fn *write)
{
    json_key_array(w, member);
    for (size_t i = 0; i < catalog->route_count; i++) {
        struct listed listed = of_route(&catalog->routes[i]);
        if (api_shows_route(policy, &catalog->routes[i]))
            write(w, &listed);
    }
    for (size_t i = 0; i < catalog->model_count; i++) {
        struct listed listed = of_model(&catalog->models[i]);
        if (api_shows_model(policy, &catalog->models[i]))
            write(w, &listed);
    }
    json_end_array(w);
}

static void answer_list(struct api_request *request, const char *member, write_listed_fn *write,
                        void (*around)(struct json_writer *w, const struct catalog *catalog,
                                       const struct policy *policy))
{
    const struct policy *policy = api_need_policy(request);
    if (!policy)
        return;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct api_reply reply;
    api_reply_begin(&reply);
    if (around)
        around(&reply.w, catalog, policy);
    write_all(catalog, policy, &reply.w, member, write);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

static void around_openai(struct json_writer *w, const struct catalog *catalog,
                          const struct policy *policy)
{
    (void)catalog;
    (void)policy;
    json_key_str(w, "object", STR("list"));
}

static void around_anthropic(struct json_writer *w, const struct catalog *catalog,
                             const struct policy *policy)
{
    struct str first = STR(""), last = STR("");
    for (size_t i = 0; i < catalog->model_count; i++) {
        if (!api_shows_model(policy, &catalog->models[i]))
            continue;
        last = catalog->models[i].id;
        first = first.len ? first : last;
    }
    json_key_bool(w, "has_more", false);
    json_key_str(w, "first_id", first);
    json_key_str(w, "last_id", last);
}

static bool has_header(const struct api_request *request, const char *name)
{
    return http_headers_get(&request->http->headers, name).data != NULL;
}

const struct dialect *api_asker_dialect(const struct api_request *request)
{
    if (has_header(request, "x-goog-api-key"))
        return &dialect_gemini;
    return has_header(request, "anthropic-version") ? &dialect_anthropic : &dialect_openai_chat;
}

void api_gemini_models(struct api_request *request)
{
    answer_list(request, "models", write_gemini, NULL);
}

void api_ollama_tags(struct api_request *request)
{
    answer_list(request, "models", write_ollama, NULL);
}

void api_door_models(struct api_request *request)
{
    const struct dialect *dialect = api_asker_dialect(request);
    if (dialect == &dialect_gemini)
        api_gemini_models(request);
    else if (dialect == &dialect_anthropic)
        answer_list(request, "data", write_anthropic, around_anthropic);
    else
        answer_list(request, "data", write_openai, around_openai);
}

/* ---- One ------------------------------------------------------------------------------------- */

/* What the caller may not ask for is not there. */
static bool find_listed(const struct catalog *catalog, const struct policy *policy, struct str id,
                        struct listed *ret)
{
    const struct catalog_model *model = catalog_find_model(catalog, id);
    const struct catalog_route *route = model ? NULL : catalog_find_route(catalog, id);
    if (model)
        *ret = of_model(model);
    else if (route)
        *ret = of_route(route);
    return model ? policy_allows_model(policy, id, model->id)
                 : route && api_shows_route(policy, route);
}

static void answer_one(struct api_request *request, struct str id, write_listed_fn *write)
{
    const struct policy *policy = api_need_policy(request);
    if (!policy)
        return;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct listed listed;
    struct json_writer w;
    struct buf out;
    bool found = find_listed(catalog, policy, id, &listed);
    buf_init(&out, 64 * 1024);
    json_writer_init(&w, &out);
    if (found)
        write(&w, &listed);
    if (found)
        http_respond(request->exchange, 200, "application/json", buf_str(&out));
    else
        api_fail(request, ERR_MODEL_NOT_FOUND, NULL);
    buf_done(&out);
    catalog_unref(catalog);
}

void api_gemini_get_model(struct api_request *request)
{
    answer_one(request, request->parameters[0], write_gemini);
}

void api_door_model(struct api_request *request)
{
    const struct dialect *dialect = api_asker_dialect(request);
    if (dialect == &dialect_gemini)
        api_gemini_get_model(request);
    else
        answer_one(request, request->parameters[0],
                   dialect == &dialect_anthropic ? write_anthropic : write_openai);
}

/* ---- Ollama's other questions ---------------------------------------------------------------- */

void api_ollama_version(struct api_request *request)
{
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "version", STR("0.6.4")); /* of the protocol that is spoken here */
    api_reply(request, 200, &reply);
}

/* No model is loaded here: they live with their providers. */
void api_ollama_ps(struct api_request *request)
{
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "models");
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

static void write_capabilities(struct json_writer *w, const struct llm_traits *traits)
{
    json_key_array(w, "capabilities");
    json_put_str(w, STR("completion"));
    if (!traits || traits->tools != LLM_FALSE)
        json_put_str(w, STR("tools"));
    if (traits && traits->images == LLM_TRUE)
        json_put_str(w, STR("vision"));
    json_end_array(w);
}

static void write_show(struct json_writer *w, const struct listed *listed,
                       const struct llm_traits *traits)
{
    json_key_str(w, "modelfile", STR(""));
    json_key_str(w, "parameters", STR(""));
    json_key_str(w, "template", STR(""));
    json_key_object(w, "details");
    json_key_str(w, "family", listed->owner);
    json_end_object(w);
    json_key_object(w, "model_info");
    json_key_str(w, "general.architecture", STR("parley"));
    if (listed->context_tokens)
        json_key_int(w, "parley.context_length", listed->context_tokens);
    json_end_object(w);
    write_capabilities(w, traits);
}

void api_ollama_show(struct api_request *request)
{
    const struct policy *policy = api_need_policy(request);
    if (!policy)
        return;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct str id = api_body_str(request, "model");
    struct listed listed;
    if (find_listed(catalog, policy, id, &listed)) {
        const struct catalog_model *model = catalog_find_model(catalog, id);
        struct api_reply reply;
        api_reply_begin(&reply);
        write_show(&reply.w, &listed, model ? &model->target->traits : NULL);
        api_reply(request, 200, &reply);
    } else {
        api_fail(request, ERR_MODEL_NOT_FOUND, NULL);
    }
    catalog_unref(catalog);
}
