/* Members of a request in the Gemini dialect, with the path to what is wrong. */
#include "llm/dialect_gemini_reader.h"

#include "base/vec.h"
#include "llm/reader.h"

enum { UNMAPPED_MAX = 64, PATH_BYTES_MAX = 128 };

/* ---- Where we are, and what is wrong there --------------------------------------------------- */

static void print_place(const struct gemini_path *place, struct buf *out)
{
    if (!place)
        return;
    print_place(place->up, out);
    if (!place->name)
        buf_printf(out, "[%zu]", place->index);
    else
        buf_printf(out, "%s%s", out->len ? "." : "", place->name);
}

static struct str place_text(struct arena *arena, const struct gemini_path *place)
{
    struct buf text;
    buf_init(&text, PATH_BYTES_MAX);
    print_place(place, &text);
    struct str copy = arena_str(arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

void gemini_reader_fail(struct gemini_reader *reader, const struct gemini_path *place,
                        const char *message)
{
    if (reader->err != ERR_OK)
        return;
    struct str path = place_text(reader->arena, place);
    reader->err = error_set(reader->error, ERR_INVALID, path.data, "%s", message);
}

bool gemini_reader_ok(struct gemini_reader *reader)
{
    if (reader->err == ERR_OK && arena_exceeded(reader->arena))
        reader->err = error_set(reader->error, ERR_TOO_BIG, NULL, "the request is too large");
    return reader->err == ERR_OK;
}

void gemini_note_unmapped(struct gemini_reader *reader, const struct gemini_path *place)
{
    struct llm_request *request = reader->request;
    if (request->unmapped_count < UNMAPPED_MAX)
        *VEC_PUSH(reader->arena, request->unmapped, request->unmapped_count,
                  reader->unmapped_capacity) = place_text(reader->arena, place);
}

/* ---- Members --------------------------------------------------------------------------------- */

/* "top_p" and "topP" are the same. */
static bool same_name(struct str key, const char *camel)
{
    size_t at = 0;
    for (; *camel; camel++) {
        bool upper = *camel >= 'A' && *camel <= 'Z';
        if (upper && at < key.len && key.data[at] == '_') {
            at++;
            if (at >= key.len || key.data[at] != (char)(*camel + ('a' - 'A')))
                return false;
        } else if (at >= key.len || key.data[at] != *camel) {
            return false;
        }
        at++;
    }
    return at == key.len;
}

void gemini_note_others(struct gemini_reader *reader, const struct gemini_path *place,
                        yyjson_val *object, const char *const *known)
{
    size_t index, max;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return;
    yyjson_obj_foreach (object, index, max, key, value) {
        struct str name = json_str(key);
        size_t i = 0;
        while (known[i] && !same_name(name, known[i]))
            i++;
        if (known[i] || yyjson_is_null(value))
            continue;
        char text[PATH_BYTES_MAX];
        str_copy(name, text, sizeof text);
        gemini_note_unmapped(reader, &(struct gemini_path){place, text, 0});
    }
}

/* The member if it is there and not null; of the wrong type: a failure. */
static yyjson_val *get_member(struct gemini_reader *reader, const struct gemini_path *place,
                              yyjson_val *object, const char *name, bool (*is_type)(yyjson_val *),
                              const char *message)
{
    yyjson_val *value = gemini_get(object, name);
    if (!value || yyjson_is_null(value))
        return NULL;
    if (is_type(value))
        return value;
    gemini_reader_fail(reader, &(struct gemini_path){place, name, 0}, message);
    return NULL;
}

static bool is_obj(yyjson_val *value)
{
    return yyjson_is_obj(value);
}

static bool is_list(yyjson_val *value)
{
    return yyjson_is_arr(value) || yyjson_is_obj(value);
}

static bool is_str(yyjson_val *value)
{
    return yyjson_is_str(value);
}

static bool is_setting(yyjson_val *value)
{
    double number = yyjson_get_num(value);
    return yyjson_is_num(value) && number >= -llm_setting_max && number <= llm_setting_max;
}

static bool is_amount(yyjson_val *value)
{
    return is_setting(value) && yyjson_get_num(value) >= 0;
}

static bool is_int(yyjson_val *value)
{
    int64_t ignored;
    return json_int(value, &ignored);
}

static bool is_count(yyjson_val *value)
{
    int64_t number;
    return json_int(value, &number) && number >= 0;
}

static bool is_bool(yyjson_val *value)
{
    return yyjson_is_bool(value);
}

yyjson_val *gemini_read_obj(struct gemini_reader *reader, const struct gemini_path *place,
                            yyjson_val *object, const char *name)
{
    return get_member(reader, place, object, name, is_obj, "must be an object");
}

struct str gemini_read_str(struct gemini_reader *reader, const struct gemini_path *place,
                           yyjson_val *object, const char *name)
{
    return json_str(get_member(reader, place, object, name, is_str, "must be a string"));
}

struct llm_int gemini_read_int(struct gemini_reader *reader, const struct gemini_path *place,
                               yyjson_val *object, const char *name)
{
    struct llm_int number = {false, 0};
    yyjson_val *value = get_member(reader, place, object, name, is_int, "must be an integer");
    number.is_set = json_int(value, &number.value);
    return number;
}

struct llm_double gemini_read_double(struct gemini_reader *reader, const struct gemini_path *place,
                                     yyjson_val *object, const char *name)
{
    yyjson_val *value =
        get_member(reader, place, object, name, is_setting, "must be a number from -1000 to 1000");
    return (struct llm_double){value != NULL, yyjson_get_num(value)};
}

struct llm_double gemini_read_amount(struct gemini_reader *reader, const struct gemini_path *place,
                                     yyjson_val *object, const char *name)
{
    yyjson_val *value =
        get_member(reader, place, object, name, is_amount, "must be a number from 0 to 1000");
    return (struct llm_double){value != NULL, yyjson_get_num(value)};
}

struct llm_int gemini_read_count(struct gemini_reader *reader, const struct gemini_path *place,
                                 yyjson_val *object, const char *name)
{
    struct llm_int number = {false, 0};
    yyjson_val *value =
        get_member(reader, place, object, name, is_count, "must be a whole number, 0 or more");
    number.is_set = json_int(value, &number.value);
    return number;
}

void gemini_read_each(struct gemini_reader *reader, const struct gemini_path *up,
                      yyjson_val *object, const char *name, gemini_element_fn *take, void *user)
{
    const struct gemini_path list_place = {up, name, 0};
    yyjson_val *list = get_member(reader, up, object, name, is_list, "must be an array");
    if (yyjson_is_obj(list)) {
        take(reader, &list_place, list, user);
        return;
    }
    size_t index, max;
    yyjson_val *element;
    yyjson_arr_foreach (list, index, max, element) {
        if (!gemini_reader_ok(reader))
            return;
        take(reader, &(struct gemini_path){&list_place, NULL, index}, element, user);
    }
}

bool gemini_read_bool(struct gemini_reader *reader, const struct gemini_path *place,
                      yyjson_val *object, const char *name)
{
    return yyjson_is_true(
        get_member(reader, place, object, name, is_bool, "must be true or false"));
}
