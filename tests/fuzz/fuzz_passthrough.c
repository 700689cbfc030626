/* Fuzzes the edits of a body's bytes: whatever is valid JSON stays valid, what is cut out is gone,
 * marks stand at most thrice and once only, and nothing is read beyond a text that is no JSON. */
#include "base/assert.h"
#include "base/json.h"
#include "llm/passthrough.h"
#include "llm/prompt_marks.h"

enum { BYTES_MAX = 8 * 1024 * 1024 };

static bool is_json(struct str text, yyjson_val **ret_root, struct arena *arena)
{
    return json_read(arena, text, ret_root, NULL) == ERR_OK;
}

static void check_cut(struct arena *arena, struct str body, bool is_object)
{
    const struct str names[] = {STR("stream"), STR("stream_options")};
    struct buf out, cut;
    yyjson_val *root;
    buf_init(&out, BYTES_MAX);
    buf_init(&cut, BYTES_MAX);
    bool is_cut = passthrough_without(body, names, 2, &out, &cut);
    if (is_object) {
        ASSERT(is_cut && is_json(buf_str(&out), &root, arena));
        ASSERT(!json_get(root, "stream") && !json_get(root, "stream_options"));
        ASSERT(out.len + cut.len <= body.len + 1);
    }
    buf_done(&out);
    buf_done(&cut);
}

static void check_marks(struct arena *arena, struct str body, bool is_object)
{
    struct buf once, twice;
    yyjson_val *root;
    buf_init(&once, BYTES_MAX);
    buf_init(&twice, BYTES_MAX);
    prompt_marks_add(body, &once);
    if (is_object) {
        ASSERT(is_json(buf_str(&once), &root, arena));
        prompt_marks_add(buf_str(&once), &twice);
        ASSERT(once.len == body.len || str_eq(buf_str(&once), buf_str(&twice)));
        ASSERT(once.len <= body.len + 300);
    }
    buf_done(&once);
    buf_done(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = STR_FROM((const char *)data, size);
    struct arena *arena = arena_new(256 * 1024 * 1024);
    yyjson_val *root;
    bool is_object = is_json(body, &root, arena) && yyjson_is_obj(root);
    check_cut(arena, body, is_object);
    check_marks(arena, body, is_object);
    arena_free(arena);
    return 0;
}
