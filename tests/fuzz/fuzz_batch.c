/* Fuzzes batches: what providers say of theirs, and what callers want to have made: the first byte says
 * which. What is read as an id may stand in a path; what is written is lines of JSON. */
#include "base/assert.h"
#include "chat/batch_gemini.h"
#include "chat/batch_hand_form.h"
#include "chat/batch_result.h"

enum { BYTES_MAX = 1 << 24 };

static const struct hand_form *const forms[] = {&hand_form_openai, &hand_form_anthropic,
                                                &hand_form_gemini};

static void take_result(void *user, yyjson_val *root)
{
    const struct hand_form *form = user;
    struct hand_result result;
    struct llm_error error = {0};
    struct arena *arena = arena_new(BYTES_MAX);
    if (form->read_result(root, &result)) {
        ASSERT(result.name.len > 0);
        if (result.outcome == HAND_FAILURE && form->read_failure)
            form->read_failure(arena, result.body, &error);
    }
    arena_free(arena);
}

static void read_provider(struct arena *arena, const struct hand_form *form, struct str text)
{
    struct hand_status status;
    yyjson_val *root;
    form->each_result(arena, text, take_result, (void *)form);
    if (json_read(arena, text, &root, NULL) != ERR_OK || !form->read_status(arena, root, &status))
        return;
    ASSERT(hand_is_id(status.id));
    ASSERT(status.completed >= 0 && status.failed >= 0 && status.expires_ms >= 0);
    for (int i = 0; i < 2; i++)
        ASSERT(!status.files[i].len || hand_is_id(status.files[i]));
    ASSERT(status.progress != HAND_FAILED || status.message.len > 0);
}

/* Every line has a result of its own, whatever it says. */
static void read_lines(struct arena *arena, enum batch_form form, struct str content)
{
    static const char *const urls[] = {[BATCH_OPENAI] = "/v1/chat/completions",
                                       [BATCH_ANTHROPIC] = "/v1/messages",
                                       [BATCH_GEMINI] = "generateContent"};
    const struct batch_endpoint *endpoint = batch_endpoint_find(form, str_from_cstr(urls[form]));
    struct batch_input input = {0};
    struct buf out;
    if (batch_input_read(arena, endpoint, content, STR("m"), &input, NULL) != ERR_OK)
        return;
    buf_init(&out, BYTES_MAX);
    for (size_t i = 0; i < input.count; i++) {
        yyjson_val *root;
        struct str text;
        if (input.lines[i].wrong)
            batch_write_wrong(&out, endpoint, STR("B"), &input.lines[i]);
        else
            ASSERT(batch_line_body(arena, endpoint, &input.lines[i], &root, &text, NULL) == ERR_OK);
        batch_write_undone(&out, endpoint, STR("B"), &input.lines[i], true);
        struct str rest = buf_str(&out);
        while (rest.data && rest.len)
            ASSERT(json_read(arena, str_next(&rest, '\n'), &root, NULL) == ERR_OK);
        buf_clear(&out);
    }
    buf_done(&out);
}

static void read_making(struct arena *arena, struct str text)
{
    struct batch_gemini gemini = {.model = STR("m")};
    struct buf out;
    buf_init(&out, BYTES_MAX);
    if (batch_gemini_read(arena, text, &gemini, &out, NULL) == ERR_OK) {
        struct batch_gemini kept = batch_gemini_kept(arena, batch_gemini_keep(arena, &gemini));
        ASSERT(str_eq(kept.file, gemini.file));
        ASSERT(gemini.file.len || out.len > 0);
        if (!gemini.file.len)
            read_lines(arena, BATCH_GEMINI, buf_str(&out));
    }
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct arena *arena = arena_new(BYTES_MAX);
    struct str text = STR_FROM((const char *)data + 1, size - 1);
    unsigned choice = data[0] % 7;
    if (choice < 3)
        read_provider(arena, forms[choice], text);
    else if (choice < 6)
        read_lines(arena, (enum batch_form)(choice - 3), text);
    else
        read_making(arena, text);
    arena_free(arena);
    return 0;
}
