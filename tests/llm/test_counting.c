/* Counting: what is asked in each form, and what is answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/counting.h"

static const char *const everything =
    "{\"model\":\"m\",\"max_tokens\":9,\"stream\":true,\"temperature\":0.5,\"top_p\":0.9,\"top_k\":"
    "2,"
    "\"stop_sequences\":[\"x\"],\"metadata\":{\"user_id\":\"u\"},\"system\":\"s\","
    "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],"
    "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}]}";

/* What a body in Anthropic's form becomes in that form. */
static struct str encode(struct arena *arena, const struct dialect *to, const char *body,
                         struct llm_losses *losses)
{
    const struct dialect_target target = {.model = STR("t-1")};
    struct llm_request request;
    yyjson_val *root;
    struct buf out;
    buf_init(&out, 65536);
    llm_losses_init(losses, arena);
    assert_int_equal(json_read(arena, str_from_cstr(body), &root, NULL), ERR_OK);
    assert_int_equal(
        counting_decode_request(counting_form_of(&dialect_anthropic), arena, root, &request, NULL),
        ERR_OK);
    assert_int_equal(
        counting_encode_request(counting_form_of(to), arena, &request, &target, &out, losses, NULL),
        ERR_OK);
    struct str copy = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return copy;
}

static void only_what_is_counted_is_asked(void **state)
{
    (void)state;
    static const char *const gone[] = {"max_tokens", "stream", "temperature", "top_p",
                                       "top_k",      "stop",   "metadata",    "generationConfig"};
    const struct dialect *const forms[] = {&dialect_anthropic, &dialect_gemini};
    for (size_t i = 0; i < 2; i++) {
        struct arena *arena = arena_new(1024 * 1024);
        struct llm_losses losses;
        struct str body = encode(arena, forms[i], everything, &losses);
        yyjson_val *root;
        assert_int_equal(json_read(arena, body, &root, NULL), ERR_OK);
        for (size_t k = 0; k < sizeof gone / sizeof *gone; k++)
            assert_int_equal(str_find(body, str_from_cstr(gone[k])), SIZE_MAX);
        assert_int_equal(losses.count, 0);
        yyjson_val *request = i ? json_get(root, "generateContentRequest") : root;
        assert_true(str_eq(json_get_str(request, "model"), i ? STR("models/t-1") : STR("t-1")));
        assert_non_null(json_get(request, i ? "contents" : "messages"));
        assert_non_null(json_get(request, "tools"));
        assert_int_equal(yyjson_obj_size(root), i ? 1 : 4);
        arena_free(arena);
    }
}

static void what_is_lost_is_named(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1024 * 1024);
    struct llm_losses losses;
    encode(arena, &dialect_gemini,
           "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":"
           "\"user\",\"content\":"
           "\"b\"}],"
           "\"tools\":[{\"name\":\"f\",\"input_schema\":{\"type\":\"object\"}}],"
           "\"tool_choice\":{\"type\":\"auto\",\"disable_parallel_tool_use\":true}}",
           &losses);
    assert_true(llm_losses_has(&losses, LLM_FIELD_PARALLEL_TOOL_CALLS, -1, -1));
    arena_free(arena);
}

static void bytes_stay(void **state)
{
    (void)state;
    static const struct {
        const struct dialect *form;
        const char *body, *sent;
    } rows[] = {
        {&dialect_anthropic, "{ \"model\":\"a/b\" , \"models\":[\"c\"],\"odd\":1}",
         "{ \"model\":\"t\" ,\"odd\":1}"},
        {&dialect_gemini, "{ \"contents\":[ ],\"fallbacks\":[\"c\"]}", "{ \"contents\":[ ]}"},
        {&dialect_gemini, "{\"generateContentRequest\" : { \"model\":\"models/a/b\"}}",
         "{\"generateContentRequest\" : { \"model\":\"models/t\"}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(65536);
        struct buf out;
        buf_init(&out, 4096);
        counting_forward(counting_form_of(rows[i].form), arena, str_from_cstr(rows[i].body),
                         STR("t"), &out);
        buf_append_char(&out, '\0');
        assert_string_equal(out.data, rows[i].sent);
        buf_done(&out);
        arena_free(arena);
    }
}

static void answers(void **state)
{
    (void)state;
    static const struct {
        const struct dialect *form;
        const char *body;
        int64_t tokens;
    } rows[] = {
        {&dialect_anthropic, "{\"input_tokens\":2095}", 2095},
        {&dialect_anthropic, "{\"input_tokens\":0,\"x\":[]}", 0},
        {&dialect_anthropic, "{\"input_tokens\":-1}", -1},
        {&dialect_anthropic, "{\"input_tokens\":\"5\"}", -1},
        {&dialect_anthropic, "{\"totalTokens\":5}", -1},
        {&dialect_anthropic, "[5]", -1},
        {&dialect_gemini, "{\"totalTokens\":31,\"cachedContentTokenCount\":3}", 31},
        {&dialect_gemini, "{\"totalTokens\":31", -1},
        {&dialect_gemini, "<html>", -1},
        {&dialect_gemini, "", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(65536);
        const struct counting_form *form = counting_form_of(rows[i].form);
        struct buf out;
        assert_int_equal(counting_decode_answer(form, arena, str_from_cstr(rows[i].body)),
                         rows[i].tokens);
        buf_init(&out, 4096);
        counting_encode_answer(form, 7, &out);
        assert_int_equal(counting_decode_answer(form, arena, buf_str(&out)), 7);
        buf_done(&out);
        arena_free(arena);
    }
}

static void who_has_a_form(void **state)
{
    (void)state;
    for (size_t i = 0; dialects[i]; i++) {
        bool has = dialects[i] == &dialect_anthropic || dialects[i] == &dialect_gemini;
        assert_int_equal(counting_form_of(dialects[i]) != NULL, has);
        if (has)
            assert_ptr_equal(counting_form_dialect(counting_form_of(dialects[i])), dialects[i]);
    }
    assert_null(counting_form_of(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_counted_is_asked),
        cmocka_unit_test(what_is_lost_is_named),
        cmocka_unit_test(bytes_stay),
        cmocka_unit_test(answers),
        cmocka_unit_test(who_has_a_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
