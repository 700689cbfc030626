/* Reader: see reader.h. Used by the decode_request of dialects. */
#include "llm/reader.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "base/vec.h"

void llm_reader_init(struct llm_reader *reader, struct arena *arena, struct llm_request *request,
                     struct error *error)
{
    reader->arena = arena;
    reader->request = request;
    reader->error = error;
    reader->unmapped_capacity = reader->depth = 0;
}

/* ---- Path ------------------------------------------------------------------------------------ */

static size_t enter(struct llm_reader *reader, struct str member, size_t index)
{
    if (reader->depth < LLM_READER_DEPTH_MAX)
        reader->places[reader->depth] = (struct llm_place){member, index};
    return reader->depth++;
}

size_t llm_reader_enter(struct llm_reader *reader, const char *member)
{
    return enter(reader, str_from_cstr(member), 0);
}

size_t llm_reader_enter_index(struct llm_reader *reader, size_t index)
{
    return enter(reader, STR_NONE, index);
}

void llm_reader_leave(struct llm_reader *reader, size_t mark)
{
    reader->depth = mark;
}

static void append_path(char *path, size_t *len, struct str text)
{
    text = str_slice(text, 0, LLM_READER_PATH_MAX - *len);
    if (text.len)
        memcpy(path + *len, text.data, text.len);
    *len += text.len;
}

/* Returns its length; NUL-terminated. */
static size_t write_path(const struct llm_reader *reader, char path[LLM_READER_PATH_MAX + 1])
{
    size_t len = 0;
    for (size_t i = 0; i < reader->depth && i < LLM_READER_DEPTH_MAX; i++) {
        const struct llm_place *place = &reader->places[i];
        char number[STR_U64_BYTES_MAX];
        if (place->member.data) {
            append_path(path, &len, len ? STR(".") : STR(""));
            append_path(path, &len, str_slice(place->member, 0, utf8_cut(place->member, 63)));
            continue;
        }
        append_path(path, &len, STR("["));
        append_path(path, &len, STR_FROM(number, str_from_u64(place->index, number)));
        append_path(path, &len, STR("]"));
    }
    path[len] = '\0';
    return len;
}

enum err llm_reader_fail(struct llm_reader *reader, const char *format, ...)
{
    char message[256], path[LLM_READER_PATH_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    write_path(reader, path);
    return error_set(reader->error, ERR_INVALID, path, "%s", message);
}

enum err llm_reader_fail_member(struct llm_reader *reader, const char *member, const char *message)
{
    size_t mark = llm_reader_enter(reader, member);
    enum err code = llm_reader_fail(reader, "%s", message);
    llm_reader_leave(reader, mark);
    return code;
}

void llm_reader_unmapped(struct llm_reader *reader)
{
    struct llm_request *request = reader->request;
    char path[LLM_READER_PATH_MAX + 1];
    if (request->unmapped_count >= LLM_UNMAPPED_MAX)
        return;
    *VEC_PUSH(reader->arena, request->unmapped, request->unmapped_count,
              reader->unmapped_capacity) =
        arena_str(reader->arena, STR_FROM(path, write_path(reader, path)));
}

void llm_reader_unmapped_member(struct llm_reader *reader, const char *member)
{
    size_t mark = llm_reader_enter(reader, member);
    llm_reader_unmapped(reader);
    llm_reader_leave(reader, mark);
}

/* ---- Objects and arrays ---------------------------------------------------------------------- */

/* Names are short: most are two words that may overlap, which is less than a call. */
static inline bool is_same(const char *a, const char *b, size_t len)
{
    uint64_t first[2], last[2];
    if (len < sizeof *first || len > sizeof first)
        return memcmp(a, b, len) == 0;
    memcpy(&first[0], a, sizeof *first);
    memcpy(&first[1], b, sizeof *first);
    memcpy(&last[0], a + len - sizeof *last, sizeof *last);
    memcpy(&last[1], b + len - sizeof *last, sizeof *last);
    return first[0] == first[1] && last[0] == last[1];
}

static const struct llm_member *find_member(const struct llm_member *members, size_t count,
                                            struct str name)
{
    if (!name.len || name.len >= LLM_MEMBER_NAME_BYTES)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const char *candidate = members[i].name;
        if (candidate[0] == name.data[0] && candidate[name.len - 1] && !candidate[name.len] &&
            is_same(candidate, name.data, name.len))
            return &members[i];
    }
    return NULL;
}

static enum err read_member(struct llm_reader *reader, struct str name, yyjson_val *value,
                            const struct llm_member *member, void *target)
{
    enum err code = ERR_OK;
    size_t mark = enter(reader, name, 0);
    if (!member)
        llm_reader_unmapped(reader);
    else if (member->read)
        code = member->read(reader, value, (char *)target + member->offset);
    llm_reader_leave(reader, mark);
    return code;
}

enum err llm_read_object(struct llm_reader *reader, yyjson_val *object,
                         const struct llm_member *members, size_t count, void *target)
{
    size_t i, size;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return llm_reader_fail(reader, "must be an object");
    yyjson_obj_foreach (object, i, size, key, value) {
        struct str name = json_str(key);
        if (yyjson_is_null(value))
            continue;
        enum err code = read_member(reader, name, value, find_member(members, count, name), target);
        if (code)
            return code;
    }
    return ERR_OK;
}

enum err llm_read_array(struct llm_reader *reader, yyjson_val *array,
                        enum err (*read)(struct llm_reader *reader, yyjson_val *value,
                                         void *target),
                        void *target)
{
    size_t i, size;
    yyjson_val *value;
    if (!yyjson_is_arr(array))
        return llm_reader_fail(reader, "must be an array");
    yyjson_arr_foreach (array, i, size, value) {
        size_t mark = llm_reader_enter_index(reader, i);
        enum err code = read(reader, value, target);
        if (code)
            return code;
        llm_reader_leave(reader, mark);
    }
    return ERR_OK;
}

/* ---- Leaves ---------------------------------------------------------------------------------- */

enum err llm_read_str(struct llm_reader *reader, yyjson_val *value, void *field)
{
    if (!yyjson_is_str(value))
        return llm_reader_fail(reader, "must be a string");
    *(struct str *)field = json_str(value);
    return ERR_OK;
}

enum err llm_read_int(struct llm_reader *reader, yyjson_val *value, void *field)
{
    struct llm_int *number = field;
    if (!json_int(value, &number->value))
        return llm_reader_fail(reader, "must be an integer");
    number->is_set = true;
    return ERR_OK;
}

enum err llm_read_positive(struct llm_reader *reader, yyjson_val *value, void *field)
{
    enum err code = llm_read_int(reader, value, field);
    if (code == ERR_OK && ((struct llm_int *)field)->value < 1)
        return llm_reader_fail(reader, "must be at least 1");
    return code;
}

enum err llm_read_double(struct llm_reader *reader, yyjson_val *value, void *field)
{
    if (!yyjson_is_num(value))
        return llm_reader_fail(reader, "must be a number");
    double number = yyjson_get_num(value);
    if (!(number >= -llm_setting_max && number <= llm_setting_max))
        return llm_reader_fail(reader, "must be from -1000 to 1000");
    *(struct llm_double *)field = (struct llm_double){true, number};
    return ERR_OK;
}

enum err llm_read_amount(struct llm_reader *reader, yyjson_val *value, void *field)
{
    enum err code = llm_read_double(reader, value, field);
    if (code == ERR_OK && ((struct llm_double *)field)->value < 0)
        return llm_reader_fail(reader, "must not be negative");
    return code;
}

enum err llm_read_bool(struct llm_reader *reader, yyjson_val *value, void *field)
{
    if (!yyjson_is_bool(value))
        return llm_reader_fail(reader, "must be true or false");
    *(bool *)field = yyjson_get_bool(value);
    return ERR_OK;
}

enum err llm_read_tristate(struct llm_reader *reader, yyjson_val *value, void *field)
{
    bool is_true = false;
    enum err code = llm_read_bool(reader, value, &is_true);
    if (code == ERR_OK)
        *(enum llm_tristate *)field = is_true ? LLM_TRUE : LLM_FALSE;
    return code;
}

enum err llm_read_json(struct llm_reader *reader, yyjson_val *value, void *field)
{
    if (!yyjson_is_obj(value))
        return llm_reader_fail(reader, "must be an object");
    *(struct str *)field = json_text(reader->arena, value);
    return ERR_OK;
}

enum err llm_read_value(struct llm_reader *reader, yyjson_val *value, void *field)
{
    (void)reader;
    *(yyjson_val **)field = value;
    return ERR_OK;
}

static enum err read_one_string(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct llm_strings *strings = target;
    return llm_read_str(reader, value, &strings->items[strings->count++]);
}

enum err llm_read_strings(struct llm_reader *reader, yyjson_val *value, void *field)
{
    struct llm_strings *strings = field;
    strings->items = ARENA_NEW_ARRAY(reader->arena, yyjson_arr_size(value), struct str);
    strings->count = 0;
    return llm_read_array(reader, value, read_one_string, strings);
}
