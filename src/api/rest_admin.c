/* REST: models, providers, routes, settings, backup, health, metrics. */
#include <stdio.h>
#include <stdlib.h>

#include "api/request.h"
#include "base/vec.h"

/* ---- Models and providers -------------------------------------------------------------------- */

static void write_model(struct json_writer *w, const struct catalog_model *model)
{
    json_begin_object(w);
    json_key_str(w, "id", model->id);
    json_key_str(w, "name", model->display_name.len ? model->display_name : model->name);
    json_key_str(w, "provider", model->provider->name);
    json_key_str(w, "description",
                 model->built_in
                     ? STR("Built in: a simple demonstration after the ELIZA of 1966, not a "
                           "language model")
                     : STR(""));
    json_key_int(w, "context_tokens", model->context_tokens);
    json_key_bool(w, "built_in", model->built_in);
    json_end_object(w);
}

/* Smallest known context of the targets it chooses among first: what is sure to fit. */
static int64_t route_context_tokens(const struct catalog_route *route)
{
    int64_t least = 0;
    for (size_t i = 0; i < route->groups[0].count; i++) {
        int64_t tokens = route->groups[0].targets[i]->traits.context_tokens;
        if (tokens > 0 && (least == 0 || tokens < least))
            least = tokens;
    }
    return least;
}

static struct str route_description(struct arena *arena, const struct catalog_route *route)
{
    struct str text = STR("Route:");
    for (size_t g = 0; g < route->group_count; g++)
        for (size_t i = 0; i < route->groups[g].count; i++)
            text = arena_printf(arena, "%.*s%s %.*s", STR_ARG(text),
                                i   ? ","
                                : g ? "; then"
                                    : "",
                                STR_ARG(route->groups[g].targets[i]->id));
    return text;
}

/* A route is talked to as a model is. */
static void write_route_model(struct json_writer *w, struct arena *arena,
                              const struct catalog_route *route)
{
    json_begin_object(w);
    json_key_str(w, "id", route->name);
    json_key_str(w, "name", route->name);
    json_key_str(w, "provider", STR("parley"));
    json_key_str(w, "description", route_description(arena, route));
    json_key_int(w, "context_tokens", route_context_tokens(route));
    json_key_bool(w, "built_in", false);
    json_end_object(w);
}

void api_get_models(struct api_request *request)
{
    const struct policy *policy = api_need_policy(request);
    if (!policy)
        return;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "models");
    for (size_t i = 0; i < catalog->route_count; i++)
        if (api_shows_route(policy, &catalog->routes[i]))
            write_route_model(&reply.w, request->arena, &catalog->routes[i]);
    for (size_t i = 0; i < catalog->model_count; i++)
        if (api_shows_model(policy, &catalog->models[i]))
            write_model(&reply.w, &catalog->models[i]);
    json_end_array(&reply.w);
    json_key_str(&reply.w, "default_model", catalog->default_model);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

static void write_provider(struct json_writer *w, const struct catalog_provider *provider)
{
    const struct provider_kind *kind = provider->provider ? provider->provider->kind : NULL;
    json_begin_object(w);
    json_key_str(w, "name", provider->name);
    json_key_str(w, "kind", kind ? str_from_cstr(kind->name) : STR(""));
    json_key_str(w, "dialect",
                 kind && kind->dialect ? str_from_cstr(kind->dialect->name) : STR(""));
    json_key_str(w, "base_url", provider->provider ? provider->provider->base_url : STR(""));
    json_key_str(w, "status", str_from_cstr(catalog_status_name(provider->status)));
    json_key_str(w, "message", provider->message);
    json_key_int(w, "model_count", (int64_t)provider->model_count);
    json_key_str(w, "source", str_from_cstr(provider->source));
    json_end_object(w);
}

void api_get_providers(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "providers");
    for (size_t i = 0; i < catalog->provider_count; i++)
        write_provider(&reply.w, &catalog->providers[i]);
    json_end_array(&reply.w);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

static void on_checked(void *user)
{
    struct api_request *request = user;
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    const struct catalog_provider *provider =
        catalog_find_provider(catalog, request->parameters[0]);
    struct api_reply reply;
    if (provider) {
        api_reply_begin(&reply);
        json_key(&reply.w, STR("provider"));
        write_provider(&reply.w, provider);
        api_reply(request, 200, &reply);
    } else {
        api_fail(request, ERR_NOT_FOUND, NULL);
    }
    catalog_unref(catalog);
}

void api_check_provider(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    bool known = catalog_find_provider(catalog, request->parameters[0]) != NULL;
    catalog_unref(catalog);
    if (!known) {
        struct error error = {0};
        error_set(&error, ERR_NOT_FOUND, "name", "there is no such provider");
        api_fail(request, ERR_NOT_FOUND, &error);
        return;
    }
    const struct api_host *host = request->api->options.host;
    host->provider_check(host->user, request->api->options.loop, request->parameters[0], on_checked,
                         request);
}

static void write_route(struct json_writer *w, const struct catalog_route *route)
{
    json_begin_object(w);
    json_key_str(w, "name", route->name);
    json_key_str(w, "status", str_from_cstr(catalog_status_name(route->status)));
    json_key_str(w, "message", route->message);
    json_key_str(w, "source", str_from_cstr(route->source));
    json_key_array(w, "groups");
    for (size_t g = 0; g < route->group_count; g++) {
        const struct route_group *group = &route->groups[g];
        json_begin_object(w);
        json_key_str(w, "strategy", str_from_cstr(route_strategy_name(group->strategy)));
        json_key_array(w, "targets");
        for (size_t i = 0; i < group->count; i++)
            json_put_str(w, group->targets[i]->id);
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

void api_get_routes(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "routes");
    for (size_t i = 0; i < catalog->route_count; i++)
        write_route(&reply.w, &catalog->routes[i]);
    json_end_array(&reply.w);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

/* ---- Settings -------------------------------------------------------------------------------- */

static void write_options(struct json_writer *w, const char *options)
{
    struct str rest = str_from_cstr(options);
    json_key_array(w, "options");
    while (rest.data)
        json_put_str(w, str_next(&rest, '|'));
    json_end_array(w);
}

static void write_value(struct json_writer *w, const struct config_value *value)
{
    int64_t number;
    json_key(w, STR("value"));
    if (!value->text.data)
        json_put_null(w);
    else if (value->key->type == CONFIG_SECRET)
        json_put_str(w, STR("********"));
    else if (value->key->type == CONFIG_INTEGER && str_to_i64(value->text, &number))
        json_put_int(w, number);
    else if (value->key->type == CONFIG_BOOLEAN)
        json_put_bool(w, config_text_is_true(value->text));
    else
        json_put_str(w, value->text);
}

static void write_setting(struct json_writer *w, const struct config_value *value)
{
    json_begin_object(w);
    json_key_str(w, "key", value->name);
    json_key_str(w, "type", str_from_cstr(config_type_name(value->key->type)));
    write_value(w, value);
    json_key_str(w, "source", str_from_cstr(config_source_name(value->source)));
    json_key_str(w, "where", value->where.data ? value->where : STR(""));
    json_key_bool(w, "editable", value->key->storable && value->source <= CONFIG_STORED);
    json_key_str(w, "description", str_from_cstr(value->key->description));
    write_options(w, value->key->options);
    json_key_int(w, "minimum", value->key->minimum);
    json_key_int(w, "maximum", value->key->maximum);
    json_end_object(w);
}

void api_get_settings(struct api_request *request)
{
    const struct api_host *host = request->api->options.host;
    const struct config *config = host->config_acquire(host->user);
    struct config_value value;
    struct api_reply reply;
    size_t position = 0;
    api_reply_begin(&reply);
    json_key_array(&reply.w, "settings");
    while (config_next(config, &position, &value))
        write_setting(&reply.w, &value);
    json_end_array(&reply.w);
    host->config_release(host->user, config);
    api_reply(request, 200, &reply);
}

static void on_changed(void *user, enum err code, const struct error *error)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        api_get_settings(request);
}

/* A JSON value as the text of a setting; null is STR_NONE. */
static bool value_text(struct arena *arena, yyjson_val *value, struct str *ret)
{
    if (yyjson_is_null(value))
        *ret = STR_NONE;
    else if (yyjson_is_str(value))
        *ret = json_str(value);
    else if (yyjson_is_num(value) || yyjson_is_bool(value))
        *ret = json_text(arena, value);
    else
        return false;
    return true;
}

static enum err check_change(const struct config *config, struct str name, struct str text,
                             struct error *error)
{
    struct config_value value;
    enum err code = text.data ? config_check(config, name, text, error) : ERR_OK;
    char field[128];
    str_copy(name, field, sizeof field);
    if (code != ERR_OK)
        return code;
    if (!config_find(config, name, &value))
        return error_set(error, ERR_NOT_FOUND, field, "there is no such setting");
    if (!value.key->storable)
        return error_set(error, ERR_FORBIDDEN, field,
                         "cannot be changed here, only in the file, "
                         "the environment or by a flag");
    if (value.source > CONFIG_STORED)
        return error_set(error, ERR_CONFLICT, field, "is fixed by %s (%.*s)",
                         config_source_name(value.source), STR_ARG(value.where));
    return ERR_OK;
}

void api_patch_settings(struct api_request *request)
{
    const struct api_host *host = request->api->options.host;
    struct error error = {0};
    struct str *names, *texts;
    size_t count = 0;
    yyjson_val *root = NULL;
    enum err code = json_read(request->arena, request->http->body, &root, &error);
    if (code == ERR_OK && !yyjson_is_obj(root))
        code = error_set(&error, ERR_INVALID, NULL, "the body must be a JSON object");
    names = ARENA_NEW_ARRAY(request->arena, yyjson_obj_size(root) + 1, struct str);
    texts = ARENA_NEW_ARRAY(request->arena, yyjson_obj_size(root) + 1, struct str);
    const struct config *config = host->config_acquire(host->user);
    yyjson_obj_iter members;
    yyjson_obj_iter_init(root, &members);
    for (yyjson_val *key; code == ERR_OK && (key = yyjson_obj_iter_next(&members)); count++) {
        names[count] = json_str(key);
        if (!value_text(request->arena, yyjson_obj_iter_get_val(key), &texts[count]))
            code = error_set(&error, ERR_INVALID, names[count].data, "must be a simple value");
        else
            code = check_change(config, names[count], texts[count], &error);
    }
    host->config_release(host->user, config);
    if (!api_failed(request, code, &error))
        host->config_change(host->user, request->api->options.loop, names, texts, count, on_changed,
                            request);
}

/* ---- Backup ---------------------------------------------------------------------------------- */

struct backup {
    struct loop_work work;
    struct api_request *request;
    char *path;
    uint64_t bytes;
    enum err code;
    struct error error;
};

static void run_backup(void *user)
{
    struct backup *backup = user;
    backup->code = store_backup(backup->request->api->options.store, backup->path, &backup->bytes,
                                &backup->error);
}

static void on_backup(void *user)
{
    struct backup *backup = user;
    struct api_reply reply;
    if (api_failed(backup->request, backup->code, &backup->error))
        return;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "path", str_from_cstr(backup->path));
    json_key_int(&reply.w, "bytes", (int64_t)backup->bytes);
    api_reply(backup->request, 200, &reply);
}

void api_post_backup(struct api_request *request)
{
    struct backup *backup = ARENA_NEW(request->arena, struct backup);
    backup->request = request;
    backup->path = arena_cstr(request->arena, api_body_str(request, "path"));
    loop_work_start(request->api->options.loop, &backup->work, run_backup, on_backup, backup);
}

/* ---- Health and metrics ---------------------------------------------------------------------- */

static void reply_text(struct api_request *request, int status, struct str text)
{
    http_respond_header(request->exchange, "cache-control", STR("no-store"));
    http_respond(request->exchange, status, "text/plain; charset=utf-8", text);
}

void api_get_health(struct api_request *request)
{
    reply_text(request, 200, STR("ok\n"));
}

void api_get_ready(struct api_request *request)
{
    const struct api_host *host = request->api->options.host;
    if (host->is_ready(host->user))
        reply_text(request, 200, STR("ready\n"));
    else
        reply_text(request, 503, STR("not ready\n"));
}

void api_get_metrics(struct api_request *request)
{
    struct buf out;
    buf_init(&out, 16 * 1024 * 1024);
    metric_registry_write(request->api->options.metrics, &out);
    http_respond(request->exchange, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&out));
    buf_done(&out);
}
