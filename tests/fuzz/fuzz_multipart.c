/* Fuzzes multipart forms: parts lie inside the body and behind each other, and a value that was
 * replaced is found again, with all others as they were. */
#include "base/arena.h"
#include "base/assert.h"
#include "wire/multipart.h"

#define TYPE STR("multipart/form-data; boundary=b")

static void check_replaced(struct arena *arena, struct str body, struct str value)
{
    struct str again;
    struct str before = STR_FROM(body.data, (size_t)(value.data - body.data));
    struct str after = str_skip(body, before.len + value.len);
    char *copy = arena_alloc(arena, before.len + 3 + after.len);
    memcpy(copy, before.data, before.len);
    memcpy(copy + before.len, "new", 3);
    memcpy(copy + before.len + 3, after.data, after.len);
    struct str changed = STR_FROM(copy, before.len + 3 + after.len);
    ASSERT(multipart_find(TYPE, changed, STR("model"), &again, NULL) == ERR_OK);
    ASSERT(str_eq(again, STR("new")));
}

/* Without one of its parts it is a form still, of one part less. */
static void check_cut(struct arena *arena, struct str body, const struct multipart_part *part)
{
    struct multipart_reader reader;
    struct multipart_part other;
    size_t from = (size_t)(part->whole.data - body.data), left = 0;
    struct str after = str_skip(body, from + part->whole.len);
    char *copy = arena_alloc(arena, from + after.len);
    memcpy(copy, body.data, from);
    memcpy(copy + from, after.data, after.len);
    struct str changed = STR_FROM(copy, from + after.len);
    ASSERT(part->value.data + part->value.len + 2 == part->whole.data + part->whole.len);
    ASSERT(multipart_begin(&reader, TYPE, changed, NULL) == ERR_OK);
    while (left < from && multipart_next(&reader, &other, NULL) == ERR_OK)
        left = (size_t)(other.whole.data - changed.data) + other.whole.len;
    ASSERT(left == from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct str body = STR_FROM((const char *)data, size);
    struct multipart_reader reader;
    struct multipart_part part;
    struct str value;
    const char *at = body.data;
    (void)!multipart_begin(&reader, body, body, NULL);
    if (multipart_begin(&reader, TYPE, body, NULL) == ERR_OK)
        while (multipart_next(&reader, &part, NULL) == ERR_OK) {
            ASSERT(part.name.data > at && part.value.data > at);
            at = part.value.data + part.value.len;
            ASSERT(at <= body.data + body.len);
            check_cut(arena, body, &part);
        }
    if (multipart_find(TYPE, body, STR("model"), &value, NULL) == ERR_OK && value.data)
        check_replaced(arena, body, value);
    arena_free(arena);
    return 0;
}
