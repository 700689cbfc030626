/* The OpenAI door's models: /v1/models. */
#include "api/request.h"

static void write_model(struct json_writer *w, struct str id, struct str owner)
{
    json_begin_object(w);
    json_key_str(w, "id", id);
    json_key_str(w, "object", STR("model"));
    json_key_int(w, "created", 0);
    json_key_str(w, "owned_by", owner);
    json_end_object(w);
}

void api_openai_models(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct api_reply reply;
    api_reply_begin(&reply);
    json_key_str(&reply.w, "object", STR("list"));
    json_key_array(&reply.w, "data");
    for (size_t i = 0; i < catalog->route_count; i++)
        if (catalog->routes[i].target_count)
            write_model(&reply.w, catalog->routes[i].name, STR("parley"));
    for (size_t i = 0; i < catalog->model_count; i++)
        write_model(&reply.w, catalog->models[i].id, catalog->models[i].provider->name);
    json_end_array(&reply.w);
    catalog_unref(catalog);
    api_reply(request, 200, &reply);
}

void api_openai_model(struct api_request *request)
{
    const struct catalog *catalog = registry_acquire(request->api->options.registry);
    struct str id = request->parameters[0];
    struct buf text;
    struct json_writer w;
    if (request->parameters[1].data)
        id =
            arena_printf(request->arena, "%.*s/%.*s", STR_ARG(id), STR_ARG(request->parameters[1]));
    const struct catalog_model *model = catalog_find_model(catalog, id);
    const struct catalog_route *route = model ? NULL : catalog_find_route(catalog, id);
    buf_init(&text, 64 * 1024);
    json_writer_init(&w, &text);
    if (model)
        write_model(&w, id, model->provider->name);
    else if (route && route->target_count)
        write_model(&w, id, STR("parley"));
    if (text.len)
        http_respond(request->exchange, 200, "application/json", buf_str(&text));
    else
        api_fail(request, ERR_MODEL_NOT_FOUND, NULL);
    buf_done(&text);
    catalog_unref(catalog);
}
