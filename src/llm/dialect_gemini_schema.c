/* Schemas of Gemini's own kind as JSON Schema. Callers of a Gemini door write the subset of OpenAPI
 * 3.0 that Google's SDKs make: types in upper case, `nullable` beside them. A property may itself
 * be named `type` or `properties`, so only the places where a schema stands are walked as one. */
#include "llm/dialect_gemini.h"

#include <ctype.h>

enum where { IS_SCHEMA, HAS_SCHEMAS_BY_NAME, HAS_SCHEMA_LIST, IS_TYPE, IS_NULLABLE };

static const struct {
    const char *keyword;
    enum where where;
} keywords[] = {
    {"type", IS_TYPE},
    {"nullable", IS_NULLABLE},
    {"items", IS_SCHEMA},
    {"additionalProperties", IS_SCHEMA},
    {"properties", HAS_SCHEMAS_BY_NAME},
    {"$defs", HAS_SCHEMAS_BY_NAME},
    {"defs", HAS_SCHEMAS_BY_NAME},
    {"anyOf", HAS_SCHEMA_LIST},
    {"any_of", HAS_SCHEMA_LIST},
    {"oneOf", HAS_SCHEMA_LIST},
    {"prefixItems", HAS_SCHEMA_LIST},
};

static void put_schema(struct json_writer *w, yyjson_val *schema);

static void put_lower(struct json_writer *w, struct str text)
{
    json_begin_str(w);
    for (size_t i = 0; i < text.len; i++) {
        char lower = (char)tolower((unsigned char)text.data[i]);
        json_str_part(w, STR_FROM(&lower, 1));
    }
    json_end_str(w);
}

/* Nullable is a type among others here. */
static void put_type(struct json_writer *w, yyjson_val *type, bool is_nullable)
{
    if (!yyjson_is_str(type)) {
        json_put_val(w, type);
        return;
    }
    if (is_nullable)
        json_begin_array(w);
    put_lower(w, json_str(type));
    if (is_nullable) {
        json_put_str(w, STR("null"));
        json_end_array(w);
    }
}

static void put_by_name(struct json_writer *w, yyjson_val *schemas)
{
    size_t index, max;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(schemas)) {
        json_put_val(w, schemas);
        return;
    }
    json_begin_object(w);
    yyjson_obj_foreach (schemas, index, max, key, value) {
        json_key(w, json_str(key));
        put_schema(w, value);
    }
    json_end_object(w);
}

static void put_list(struct json_writer *w, yyjson_val *schemas)
{
    size_t index, max;
    yyjson_val *value;
    if (!yyjson_is_arr(schemas)) {
        json_put_val(w, schemas);
        return;
    }
    json_begin_array(w);
    yyjson_arr_foreach (schemas, index, max, value) {
        put_schema(w, value);
    }
    json_end_array(w);
}

static void put_member(struct json_writer *w, struct str key, yyjson_val *value, bool is_nullable)
{
    size_t i = 0;
    const size_t count = sizeof keywords / sizeof *keywords;
    while (i < count && !str_eq(key, str_from_cstr(keywords[i].keyword)))
        i++;
    if (i < count && keywords[i].where == IS_NULLABLE)
        return;
    json_key(w, key);
    if (i == count)
        json_put_val(w, value);
    else if (keywords[i].where == IS_TYPE)
        put_type(w, value, is_nullable);
    else if (keywords[i].where == IS_SCHEMA)
        put_schema(w, value);
    else if (keywords[i].where == HAS_SCHEMAS_BY_NAME)
        put_by_name(w, value);
    else
        put_list(w, value);
}

/* The depth is bounded by that of the document (JSON_DEPTH_MAX). */
static void put_schema(struct json_writer *w, yyjson_val *schema)
{
    size_t index, max;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(schema)) {
        json_put_val(w, schema);
        return;
    }
    bool is_nullable = yyjson_is_true(json_get(schema, "nullable"));
    json_begin_object(w);
    yyjson_obj_foreach (schema, index, max, key, value) {
        put_member(w, json_str(key), value, is_nullable);
    }
    json_end_object(w);
}

struct str gemini_schema_text(struct arena *arena, yyjson_val *schema)
{
    struct buf text;
    struct json_writer w;
    buf_init(&text, SIZE_MAX);
    json_writer_init(&w, &text);
    put_schema(&w, schema);
    struct str copy = arena_str(arena, buf_str(&text));
    buf_done(&text);
    return copy;
}
