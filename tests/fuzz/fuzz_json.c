/* Fuzzes reading and writing of JSON: what is read is written by the writer and read again as the
 * same value, and any bytes at all become a string that reads back. */
#include "base/assert.h"
#include "base/json.h"
#include "base/utf8.h"

static void write_value(struct json_writer *w, yyjson_val *value);

static void write_object(struct json_writer *w, yyjson_val *object)
{
    size_t at, count;
    yyjson_val *key, *value;
    json_begin_object(w);
    yyjson_obj_foreach (object, at, count, key, value) {
        json_key(w, json_str(key));
        write_value(w, value);
    }
    json_end_object(w);
}

static void write_array(struct json_writer *w, yyjson_val *array)
{
    size_t at, count;
    yyjson_val *value;
    json_begin_array(w);
    yyjson_arr_foreach (array, at, count, value) {
        write_value(w, value);
    }
    json_end_array(w);
}

/* Recursive: json_read has limited the depth. */
static void write_value(struct json_writer *w, yyjson_val *value)
{
    int64_t number;
    if (yyjson_is_obj(value))
        write_object(w, value);
    else if (yyjson_is_arr(value))
        write_array(w, value);
    else if (yyjson_is_str(value))
        json_put_str(w, json_str(value));
    else if (yyjson_is_bool(value))
        json_put_bool(w, yyjson_get_bool(value));
    else if (yyjson_is_int(value) && json_int(value, &number))
        json_put_int(w, number);
    else if (yyjson_is_real(value))
        json_put_double(w, yyjson_get_real(value));
    else
        json_put_val(w, value);
}

static struct str write_text(struct arena *arena, yyjson_val *root)
{
    struct buf out;
    struct json_writer w;
    buf_init(&out, SIZE_MAX);
    json_writer_init(&w, &out);
    write_value(&w, root);
    struct str text = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

/* Written, read, written: the second text must be the first one. */
static void check_round_trip(struct arena *arena, yyjson_val *root)
{
    yyjson_val *again;
    struct str text = write_text(arena, root);
    ASSERT(json_read(arena, text, &again, NULL) == ERR_OK);
    ASSERT(str_eq(write_text(arena, again), text));
    ASSERT(json_read(arena, json_text(arena, root), &again, NULL) == ERR_OK);
    ASSERT(str_eq(write_text(arena, again), text));
}

static void check_string(struct arena *arena, struct str bytes)
{
    struct buf out, repaired;
    struct json_writer w;
    yyjson_val *root;
    buf_init(&out, SIZE_MAX);
    buf_init(&repaired, SIZE_MAX);
    json_writer_init(&w, &out);
    json_put_str(&w, bytes);
    ASSERT(json_read(arena, buf_str(&out), &root, NULL) == ERR_OK);
    utf8_repair(&repaired, bytes);
    ASSERT(str_eq(json_str(root), buf_str(&repaired)));
    buf_done(&out);
    buf_done(&repaired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct str text = STR_FROM((const char *)data, size);
    struct error error;
    yyjson_val *root;
    if (json_read(arena, text, &root, &error) == ERR_OK)
        check_round_trip(arena, root);
    if (size)
        check_string(arena, text);
    arena_free(arena);
    return 0;
}
