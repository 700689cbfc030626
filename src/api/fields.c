/* Fields: a JSON object against a table. */
#include <stdio.h>

#include "api/request.h"

static enum err check_type(yyjson_val *value, const struct api_field *field, struct error *error)
{
    struct id id;
    int64_t number;
    switch (field->type) {
    case API_STRING:
        if (!yyjson_is_str(value))
            return error_set(error, ERR_INVALID, field->name, "must be a string");
        if (field->maximum && (int64_t)yyjson_get_len(value) > field->maximum)
            return error_set(error, ERR_INVALID, field->name, "must have %lld bytes at most",
                             (long long)field->maximum);
        return ERR_OK;
    case API_INTEGER:
        if (!json_int(value, &number))
            return error_set(error, ERR_INVALID, field->name, "must be a whole number");
        if (number < 0)
            return error_set(error, ERR_INVALID, field->name, "must not be negative");
        if (field->maximum && number > field->maximum)
            return error_set(error, ERR_INVALID, field->name, "must be %lld at most",
                             (long long)field->maximum);
        return ERR_OK;
    case API_BOOLEAN:
        return yyjson_is_bool(value)
                   ? ERR_OK
                   : error_set(error, ERR_INVALID, field->name, "must be true or false");
    case API_ID:
        return id_parse(json_str(value), &id)
                   ? ERR_OK
                   : error_set(error, ERR_INVALID, field->name, "must be an id of 26 characters");
    case API_ANY:
        return ERR_OK;
    }
    return ERR_OK;
}

static const struct api_field *find(const struct api_field *fields, struct str name)
{
    for (; fields->name; fields++)
        if (str_eq(name, str_from_cstr(fields->name)))
            return fields;
    return NULL;
}

static enum err unknown_member(const struct api_field *fields, struct str name, struct error *error)
{
    char text[128];
    struct str_nearest nearest = str_nearest_begin(name, 3);
    str_copy(name, text, sizeof text);
    for (; fields->name; fields++)
        str_nearest_try(&nearest, str_from_cstr(fields->name));
    error_set(error, ERR_INVALID, text, "there is no such member");
    if (nearest.found.data)
        error_remedy(error, "Did you mean '%.*s'?", STR_ARG(nearest.found));
    return ERR_INVALID;
}

enum err api_check_fields(yyjson_val *object, const struct api_field *fields, struct error *error)
{
    if (!yyjson_is_obj(object))
        return error_set(error, ERR_INVALID, NULL, "the body must be a JSON object");
    yyjson_obj_iter members;
    yyjson_obj_iter_init(object, &members);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        const struct api_field *field = find(fields, json_str(key));
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        if (!field)
            return unknown_member(fields, json_str(key), error);
        if (yyjson_is_null(value) && field->nullable)
            continue;
        enum err code = check_type(value, field, error);
        if (code != ERR_OK)
            return code;
    }
    for (; fields->name; fields++)
        if (fields->required && !json_get(object, fields->name))
            return error_set(error, ERR_INVALID, fields->name, "is missing");
    return ERR_OK;
}
