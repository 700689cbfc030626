/* Frames of kept answers: objects in other words, and answers told again as streams. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "chat/response_frames.h"

#define ANSWER                                                                                     \
    "{\"id\":\"resp_1\",\"object\":\"response\",\"created_at\":7,\"status\":\"%s\",\"model\":"     \
    "\"m\","                                                                                       \
    "\"output\":[{\"type\":\"web_search_call\",\"id\":\"ws_1\",\"status\":\"completed\"},"         \
    "{\"type\":\"message\",\"id\":\"msg_1\",\"role\":\"assistant\",\"status\":\"completed\","      \
    "\"content\":[{\"type\":\"output_text\",\"text\":\"Hi\",\"annotations\":[]}]}],"               \
    "\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}"

struct told {
    char types[1024];
    int64_t first, last;
    int count;
    struct buf response; /* of the last one */
};

static void on_event(void *user, yyjson_val *event)
{
    struct told *told = user;
    struct json_writer w;
    int64_t number = -1;
    struct str type = json_get_str(event, "type");
    assert_true(json_get_int(event, "sequence_number", &number));
    if (told->count++ == 0)
        told->first = number;
    else
        assert_true(number == told->last + 1);
    told->last = number;
    strncat(told->types, type.data + strlen("response."), type.len - strlen("response."));
    strcat(told->types, " ");
    buf_clear(&told->response);
    json_writer_init(&w, &told->response);
    json_put_val(&w, json_get(event, "response"));
}

static struct told replay(const char *status, int64_t after)
{
    struct arena *arena = arena_new(1 << 20);
    struct told told = {0};
    struct buf out;
    struct str answer = arena_printf(arena, ANSWER, status);
    buf_init(&out, 1 << 20);
    buf_init(&told.response, 1 << 20);
    assert_int_equal(response_replay(answer, after, &out), ERR_OK);
    assert_int_equal(response_each_event(buf_str(&out), arena, on_event, &told), ERR_OK);
    buf_done(&out);
    arena_free(arena);
    return told;
}

static void test_told_again(void **state)
{
    (void)state;
    struct told told = replay("completed", -1);
    assert_string_equal(told.types,
                        "created in_progress output_item.added content_part.added "
                        "output_text.delta output_text.done content_part.done output_item.done "
                        "completed ");
    assert_true(told.first == 0 && told.last == 8);
    /* The last one has what the encoder does not know. */
    assert_true(str_find(buf_str(&told.response), STR("ws_1")) != SIZE_MAX);
    buf_done(&told.response);
    told = replay("completed", 6);
    assert_string_equal(told.types, "output_item.done completed ");
    assert_true(told.first == 7);
    buf_done(&told.response);
    told = replay("completed", 500);
    assert_string_equal(told.types, "completed ");
    assert_true(told.first == 501);
    buf_done(&told.response);
}

static void test_other_ends(void **state)
{
    (void)state;
    static const char *const ends[][2] = {
        {"failed", "failed "}, {"incomplete", "incomplete "}, {"cancelled", "incomplete "}};
    for (size_t i = 0; i < 3; i++) {
        struct told told = replay(ends[i][0], -1);
        size_t len = strlen(told.types), end = strlen(ends[i][1]);
        assert_string_equal(told.types + len - end, ends[i][1]);
        assert_true(strncmp(told.types, "created in_progress ", 20) == 0);
        buf_done(&told.response);
    }
    struct buf out;
    buf_init(&out, 1 << 20);
    assert_int_equal(response_replay(STR("no object"), -1, &out), ERR_CORRUPT);
    buf_done(&out);
    buf_init(&out, 100);
    assert_int_equal(response_replay(STR("{\"id\":\"x\",\"status\":\"completed\"}"), -1, &out),
                     ERR_CORRUPT);
    buf_done(&out);
}

static void test_words(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    struct response_words words = {.id = STR("resp_2"), .status = STR("queued"), .created_s = 9};
    struct str begun = response_begun(arena, STR("m"), &words);
    yyjson_val *root;
    int64_t created = 0;
    struct buf out;
    assert_int_equal(json_read(arena, begun, &root, NULL), ERR_OK);
    assert_true(str_eq(json_get_str(root, "id"), STR("resp_2")));
    assert_true(str_eq(json_get_str(root, "status"), STR("queued")));
    assert_true(str_eq(json_get_str(root, "model"), STR("m")));
    assert_true(json_get_int(root, "created_at", &created) && created == 9);
    words = (struct response_words){.id = STR("resp_3"), .error = STR("{\"code\":\"x\"}")};
    buf_init(&out, 1 << 20);
    begun = response_in_words(arena, root, &words);
    assert_int_equal(json_read(arena, begun, &root, NULL), ERR_OK);
    assert_true(str_eq(json_get_str(root, "id"), STR("resp_3")));
    assert_true(str_eq(json_get_str(root, "status"), STR("queued")));
    assert_true(str_eq(json_get_str(json_get(root, "error"), "code"), STR("x")));
    assert_true(yyjson_is_true(json_get(root, "background")));
    buf_clear(&out);
    assert_int_equal(json_read(arena, STR("{\"type\":\"a\\nevent: b\",\"delta\":1}"), &root, NULL),
                     ERR_OK);
    response_put_frame(&out, root, &words, 4); /* a name does not become lines of its own */
    assert_true(str_eq(buf_str(&out), STR("event: message\ndata: {\"type\":\"message\","
                                          "\"sequence_number\":4,\"delta\":1}\n\n")));
    buf_done(&out);
    arena_free(arena);
}

static void what_a_request_lost_is_named(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct llm_losses none, one;
    llm_losses_init(&none, arena);
    llm_losses_init(&one, arena);
    llm_losses_add(&one, LLM_FIELD_TOP_K, -1, -1);
    assert_null(response_extension(arena, STR_NONE, &none, STR_NONE).data);
    assert_true(
        str_eq(response_extension(arena, STR("{\"a\":1}"), &none, STR_NONE), STR("{\"a\":1}")));
    assert_true(str_eq(response_extension(arena, STR("{\"a\":1}"), &none, STR("seed")),
                       STR("{\"a\":1,\"request_dropped\":\"seed\"}")));
    assert_true(str_eq(response_extension(arena, STR_NONE, &one, STR("seed")),
                       STR("{\"request_dropped\":\"top_k, seed\"}")));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_request_lost_is_named),
        cmocka_unit_test(test_told_again),
        cmocka_unit_test(test_other_ends),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
