/* Fuzzes the edits of a body's bytes: whatever is valid JSON stays valid, what is dropped is gone,
 * marks stand at most thrice and once only, and nothing is read beyond a text that is no JSON. */
#include "base/assert.h"
#include "base/json.h"
#include "llm/passthrough.h"
#include "llm/prompt_marks.h"

enum { BYTES_MAX = 8 * 1024 * 1024 };

static bool is_json(struct str text, yyjson_val **ret_root, const char **ret_copy,
                    struct arena *arena)
{
    return json_read_placed(arena, text, ret_root, ret_copy, NULL) == ERR_OK;
}

/* Where members stand is found alike in both ways. */
static void check_edits(struct arena *arena, struct str body, yyjson_val *root, const char *copy)
{
    struct passthrough_cut cuts[PASSTHROUGH_CUTS_MAX], again[PASSTHROUGH_CUTS_MAX];
    struct passthrough_members members;
    struct buf looked, read;
    passthrough_find(arena, body, root, copy, &members);
    size_t count = passthrough_cuts(body, NULL, cuts);
    ASSERT(passthrough_cuts(body, &members, again) == count);
    for (size_t i = 0; i < count && count <= PASSTHROUGH_CUTS_MAX; i++)
        ASSERT(memcmp(&cuts[i], &again[i], sizeof cuts[i]) == 0);
    buf_init(&looked, BYTES_MAX);
    buf_init(&read, BYTES_MAX);
    passthrough_with_model(body, NULL, STR("m"), &looked);
    passthrough_with_model(body, &members, STR("m"), &read);
    ASSERT(str_eq(buf_str(&looked), buf_str(&read)));
    ASSERT(is_json(buf_str(&read), &root, &copy, arena));
    ASSERT(str_eq(json_get_str(root, "model"), STR("m")));
    ASSERT(!json_get(root, "models") && !json_get(root, "fallbacks"));
    buf_done(&looked);
    buf_done(&read);
}

/* Of a text that is no JSON nothing is used; it is read all the same. */
static void check_anything(struct str body)
{
    struct passthrough_cut cuts[PASSTHROUGH_CUTS_MAX];
    (void)passthrough_cuts(body, NULL, cuts);
}

static void check_edits_inside(struct arena *arena, struct str body)
{
    struct buf out;
    yyjson_val *root;
    const char *copy;
    buf_init(&out, BYTES_MAX);
    passthrough_with_model_in(body, STR("requests"), STR("m"), &out);
    ASSERT(is_json(buf_str(&out), &root, &copy, arena));
    ASSERT(!json_get(root, "models") && !json_get(root, "fallbacks"));
    yyjson_val *inside = json_get(root, "requests");
    if (yyjson_is_arr(inside))
        inside = yyjson_arr_get_first(inside);
    ASSERT(!yyjson_is_obj(inside) || str_eq(json_get_str(inside, "model"), STR("m")));
    buf_done(&out);
}

static void check_marks(struct arena *arena, struct str body, bool is_object)
{
    struct buf once, twice;
    yyjson_val *root;
    const char *copy;
    buf_init(&once, BYTES_MAX);
    buf_init(&twice, BYTES_MAX);
    prompt_marks_add(body, &once);
    if (is_object) {
        ASSERT(is_json(buf_str(&once), &root, &copy, arena));
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
    const char *copy;
    bool is_object = is_json(body, &root, &copy, arena) && yyjson_is_obj(root);
    if (is_object) {
        check_edits(arena, body, root, copy);
        check_edits_inside(arena, body);
    } else {
        check_anything(body);
    }
    check_marks(arena, body, is_object);
    arena_free(arena);
    return 0;
}
