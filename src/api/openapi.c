/* /openapi.json: made from the table of endpoints, so it cannot say what is not so. */
#include <stdio.h>
#include <string.h>

#include "api/request.h"

static void write_type(struct json_writer *w, const struct api_field *field)
{
    static const char *const types[] = {[API_STRING] = "string",
                                        [API_INTEGER] = "integer",
                                        [API_BOOLEAN] = "boolean",
                                        [API_ID] = "string"};
    if (field->type != API_ANY && field->nullable) {
        json_key_array(w, "type");
        json_put_str(w, str_from_cstr(types[field->type]));
        json_put_str(w, STR("null"));
        json_end_array(w);
    } else if (field->type != API_ANY) {
        json_key_str(w, "type", str_from_cstr(types[field->type]));
    }
    if (field->type == API_STRING && field->maximum)
        json_key_int(w, "maxLength", field->maximum);
    if (field->type == API_ID)
        json_key_str(w, "pattern", STR("^[0-7][0-9a-hjkmnp-tv-z]{25}$"));
    json_key_str(w, "description", str_from_cstr(field->description));
}

/* Where every member may be left out the body may be, too. */
static bool is_body_required(const struct endpoint *endpoint)
{
    for (const struct api_field *field = endpoint->fields; field && field->name; field++)
        if (field->required)
            return true;
    return !endpoint->fields;
}

static void write_body(struct json_writer *w, const struct endpoint *endpoint)
{
    json_key_object(w, "requestBody");
    json_key_bool(w, "required", is_body_required(endpoint));
    json_key_object(w, "content");
    json_key_object(w, "application/json");
    json_key_object(w, "schema");
    json_key_str(w, "type", STR("object"));
    if (endpoint->fields) {
        json_key_bool(w, "additionalProperties", false);
        json_key_object(w, "properties");
        for (const struct api_field *field = endpoint->fields; field->name; field++) {
            json_key_object(w, field->name);
            write_type(w, field);
            json_end_object(w);
        }
        json_end_object(w);
        json_key_array(w, "required");
        for (const struct api_field *field = endpoint->fields; field->name; field++)
            if (field->required)
                json_put_str(w, str_from_cstr(field->name));
        json_end_array(w);
    }
    for (int i = 0; i < 4; i++)
        json_end_object(w);
}

/* The "{...}" segments of a pattern as path parameters. */
static void write_parameters(struct json_writer *w, const char *pattern)
{
    json_key_array(w, "parameters");
    for (const char *at = pattern; (at = strchr(at, '{')); at++) {
        json_begin_object(w);
        json_key_str(w, "name", STR_FROM(at + 1, strcspn(at + 1, ".}")));
        json_key_str(w, "in", STR("path"));
        json_key_bool(w, "required", true);
        json_key_object(w, "schema");
        json_key_str(w, "type", STR("string"));
        json_end_object(w);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_operation(struct json_writer *w, const struct endpoint *endpoint)
{
    static const char *const names[HTTP_METHOD_COUNT] = {
        [HTTP_GET] = "get",     [HTTP_POST] = "post",     [HTTP_PUT] = "put",
        [HTTP_PATCH] = "patch", [HTTP_DELETE] = "delete",
    };
    json_key_object(w, names[endpoint->method]);
    json_key_str(w, "summary", str_from_cstr(endpoint->summary));
    json_key_str(w, "x-verb", str_from_cstr(verb_name(endpoint->verb)));
    write_parameters(w, endpoint->pattern);
    if (endpoint->body_bytes_max)
        write_body(w, endpoint);
    json_key_array(w, "security");
    if (endpoint->verb != VERB_PUBLIC && endpoint->verb != VERB_SETUP &&
        endpoint->verb != VERB_SIGN_IN) {
        json_begin_object(w);
        json_key_array(w, "key");
        json_end_array(w);
        json_end_object(w);
        json_begin_object(w);
        json_key_array(w, "session");
        json_end_array(w);
        json_end_object(w);
    }
    json_end_array(w);
    json_key_object(w, "responses");
    json_key_object(w, "default");
    json_key_str(w, "description", STR("The answer, or {\"error\": ...}: see docs/protocol.md."));
    json_end_object(w);
    json_end_object(w);
    json_end_object(w);
}

/* All operations of one path stand in one object: written where the path comes first. */
static bool is_first_of_path(const struct api *api, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(api->endpoints[i]->pattern, api->endpoints[index]->pattern) == 0)
            return false;
    return true;
}

/* A pattern as OpenAPI writes it: it has no word for "all the rest". */
static void write_path(const char *pattern, char *ret, size_t size)
{
    const char *dots = strstr(pattern, "...");
    if (dots)
        snprintf(ret, size, "%.*s%s", (int)(dots - pattern), pattern, dots + 3);
    else
        snprintf(ret, size, "%s", pattern);
}

static void write_paths(const struct api *api, struct json_writer *w)
{
    json_key_object(w, "paths");
    for (size_t i = 0; i < api->endpoint_count; i++) {
        if (!is_first_of_path(api, i))
            continue;
        char path[128];
        write_path(api->endpoints[i]->pattern, path, sizeof path);
        json_key_object(w, path);
        for (size_t j = i; j < api->endpoint_count; j++)
            if (strcmp(api->endpoints[j]->pattern, api->endpoints[i]->pattern) == 0)
                write_operation(w, api->endpoints[j]);
        json_end_object(w);
    }
    json_end_object(w);
}

static void write_security(struct json_writer *w)
{
    json_key_object(w, "components");
    json_key_object(w, "securitySchemes");
    json_key_object(w, "key");
    json_key_str(w, "type", STR("http"));
    json_key_str(w, "scheme", STR("bearer"));
    json_end_object(w);
    json_key_object(w, "session");
    json_key_str(w, "type", STR("apiKey"));
    json_key_str(w, "in", STR("cookie"));
    json_key_str(w, "name", STR("parley_session"));
    json_end_object(w);
    json_end_object(w);
    json_end_object(w);
}

static struct str make_document(const struct api *api)
{
    struct api_reply document;
    api_reply_begin(&document);
    json_key_str(&document.w, "openapi", STR("3.1.0"));
    json_key_object(&document.w, "info");
    json_key_str(&document.w, "title", STR("Parley"));
    json_key_str(&document.w, "version", STR(PARLEY_VERSION));
    json_end_object(&document.w);
    write_paths(api, &document.w);
    write_security(&document.w);
    json_end_object(&document.w);
    struct str text = arena_str(api->arena, buf_str(&document.out));
    buf_done(&document.out);
    return text;
}

void api_get_openapi(struct api_request *request)
{
    struct api *api = request->api;
    if (!api->openapi.data)
        api->openapi = make_document(api);
    http_respond_static(request->exchange, 200, "application/json", api->openapi);
}
