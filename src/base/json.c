/* JSON: reading on yyjson with an arena. json_write.c writes. */
#include "base/json.h"

#include <math.h>
#include <stdalign.h>
#include <stddef.h>
#include <string.h>

enum { WRITE_ROOM_BYTES = 8192 };

static void *arena_malloc(void *context, size_t size)
{
    return arena_alloc(context, size);
}

static void *arena_grow(void *context, void *ptr, size_t old_size, size_t size)
{
    return arena_realloc(context, ptr, old_size, size);
}

static void arena_keep(void *context, void *ptr)
{
    (void)context;
    (void)ptr;
}

static yyjson_alc arena_allocator(struct arena *arena)
{
    return (yyjson_alc){arena_malloc, arena_grow, arena_keep, arena};
}

/* yyjson stores a document's values in one array, a container directly before its content and
 * with the distance to its next sibling: so nesting is measured without recursion. */
static bool depth_ok(yyjson_doc *doc)
{
    yyjson_val *ends[JSON_DEPTH_MAX];
    size_t depth = 0;
    yyjson_val *value = yyjson_doc_get_root(doc);
    yyjson_val *end = value + yyjson_doc_get_val_count(doc);
    for (; value < end; value++) {
        if (!yyjson_is_ctn(value))
            continue;
        while (depth && value >= ends[depth - 1])
            depth--;
        if (depth == JSON_DEPTH_MAX)
            return false;
        ends[depth++] = unsafe_yyjson_get_next(value);
    }
    return true;
}

static enum err read_copy(char *copy, struct arena *values, struct str text, yyjson_val **ret_root,
                          struct error *error)
{
    yyjson_alc allocator = arena_allocator(values);
    yyjson_read_err detail = {.msg = ""};
    if (text.len)
        memcpy(copy, text.data, text.len);
    memset(copy + text.len, 0, YYJSON_PADDING_SIZE);
    yyjson_doc *doc = yyjson_read_opts(copy, text.len, YYJSON_READ_INSITU, &allocator, &detail);
    if (!doc)
        return error_set(error, ERR_INVALID, NULL, "not valid JSON: %s at byte %zu",
                         text.len ? detail.msg : "the body is empty", detail.pos);
    if (!depth_ok(doc))
        return error_set(error, ERR_INVALID, NULL, "JSON nested deeper than %d levels",
                         JSON_DEPTH_MAX);
    *ret_root = yyjson_doc_get_root(doc);
    return ERR_OK;
}

enum err json_read_split(struct arena *strings, struct arena *values, struct str text,
                         yyjson_val **ret_root, struct error *error)
{
    char *copy = arena_alloc(strings, text.len + YYJSON_PADDING_SIZE);
    return read_copy(copy, values, text, ret_root, error);
}

enum err json_read_placed(struct arena *arena, struct str text, yyjson_val **ret_root,
                          const char **ret_copy, struct error *error)
{
    char *copy = arena_alloc(arena, text.len + YYJSON_PADDING_SIZE);
    *ret_copy = copy;
    return read_copy(copy, arena, text, ret_root, error);
}

enum err json_read(struct arena *arena, struct str text, yyjson_val **ret_root, struct error *error)
{
    return json_read_split(arena, arena, text, ret_root, error);
}

yyjson_val *json_find(yyjson_val *object, struct str key)
{
    return yyjson_obj_getn(object, key.data, key.len);
}

struct str json_str(yyjson_val *value)
{
    return yyjson_is_str(value) ? STR_FROM(yyjson_get_str(value), yyjson_get_len(value)) : STR_NONE;
}

struct str json_get_str(yyjson_val *object, const char *key)
{
    return json_str(json_get(object, key));
}

bool json_int(yyjson_val *value, int64_t *ret)
{
    if (yyjson_is_uint(value) && yyjson_get_uint(value) <= INT64_MAX) {
        *ret = (int64_t)yyjson_get_uint(value);
        return true;
    }
    if (yyjson_is_sint(value)) {
        *ret = yyjson_get_sint(value);
        return true;
    }
    double real = yyjson_is_real(value) ? yyjson_get_real(value) : NAN;
    if (!(real > -0x1p63 && real < 0x1p63) || floor(real) != real)
        return false;
    *ret = (int64_t)real;
    return true;
}

bool json_get_int(yyjson_val *object, const char *key, int64_t *ret)
{
    return json_int(json_get(object, key), ret);
}

bool json_get_double(yyjson_val *object, const char *key, double *ret)
{
    yyjson_val *value = json_get(object, key);
    if (!yyjson_is_num(value))
        return false;
    *ret = yyjson_get_num(value);
    return true;
}

bool json_get_bool(yyjson_val *object, const char *key, bool *ret)
{
    yyjson_val *value = json_get(object, key);
    if (!yyjson_is_bool(value))
        return false;
    *ret = yyjson_get_bool(value);
    return true;
}

struct str json_text(struct arena *arena, yyjson_val *value)
{
    if (!value)
        return STR("null");
    yyjson_alc allocator;
    alignas(max_align_t) char room[WRITE_ROOM_BYTES];
    size_t len = 0;
    /* yyjson guesses the length, generously: in the arena, only a text that is too long for here. */
    yyjson_alc_pool_init(&allocator, room, sizeof room);
    char *text =
        yyjson_val_write_opts(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &allocator, &len, NULL);
    if (text)
        return arena_str(arena, STR_FROM(text, len));
    allocator = arena_allocator(arena);
    text = yyjson_val_write_opts(value, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &allocator, &len, NULL);
    return text ? STR_FROM(text, len) : STR("null");
}
