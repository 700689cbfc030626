/* Threads: items that come, those of answers, the turns that they are for the next request, bounds. */
#include "../store/support.h"

#include "base/clock.h"
#include "chat/thread.h"
#include "store/record_kept.h"

struct fixture {
    char *directory;
    struct store *store;
    struct arena *arena;
    struct store_thread thread;
    struct thread_addition addition;
    struct store_response response;
    struct stored_chain chain;
    struct store_thread_page page;
    struct store_thread_item *items;
    size_t count;
    size_t bytes_max;
    int64_t now_ms;
    int removed;
    struct str item;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_new();
    f->store = open_store(f->directory);
    f->arena = arena_new(16 << 20);
    f->bytes_max = 16 << 20;
    f->now_ms = 1000;
    f->thread = (struct store_thread){.owner = id_new(1),
                                      .id = id_new(2),
                                      .created_ms = 1000,
                                      .expires_ms = 2000,
                                      .metadata = STR("{}")};
    f->addition = (struct thread_addition){.owner = f->thread.owner,
                                           .thread = f->thread.id,
                                           .now_ms = 1000,
                                           .expires_ms = 3000,
                                           .bytes_max = INT64_MAX};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    directory_remove(f->directory);
    arena_free(f->arena);
    free(f);
    return 0;
}

static yyjson_val *json(struct fixture *f, const char *text)
{
    yyjson_val *root;
    assert_int_equal(json_read(f->arena, str_from_cstr(text), &root, NULL), ERR_OK);
    return root;
}

static void expect_text(struct str got, const char *wanted)
{
    char *text = strndup(got.data, got.len);
    assert_string_equal(text, wanted);
    free(text);
}

/* ---- Jobs ------------------------------------------------------------------------------------ */

static enum err insert(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_thread_insert(tx, &f->thread, error);
}

static enum err add(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return thread_add(tx, &f->addition, error);
}

static enum err add_answer(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return thread_add_answer(tx, &f->addition, error);
}

static enum err keep(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_response_put(tx, &f->response, error);
}

static enum err list(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_thread_list(tx, f->arena, &f->thread.owner, &f->thread.id, f->now_ms, &f->page,
                             &f->items, &f->count, error);
}

static enum err load(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct arena *arena = f->bytes_max < (16 << 20) ? arena_new(f->bytes_max) : f->arena;
    enum err code =
        thread_load(tx, arena, &f->thread.owner, &f->thread.id, f->now_ms, &f->chain, error);
    if (arena != f->arena)
        arena_free(arena);
    return code;
}

static enum err drop_item(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_thread_item_delete(tx, &f->thread.owner, &f->thread.id, f->now_ms, f->item, error);
}

static enum err expire(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_thread_expire(tx, f->now_ms, 10, &f->removed, error);
}

static enum err count_bytes(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    int64_t bytes = 0;
    enum err code = store_kept_bytes(tx, KEPT_THREAD, &f->thread.owner, &bytes, error);
    f->count = (size_t)bytes;
    return code;
}

static enum err write_now(struct fixture *f,
                          enum err (*run)(struct store_tx *tx, void *user, struct error *error))
{
    struct error error = {0};
    return store_write_now(f->store, run, f, &error);
}

static void add_items(struct fixture *f, const char *items)
{
    struct error error = {0};
    if (thread_items_read(f->arena, json(f, items), &f->addition.items, &error) != ERR_OK)
        fail_msg("%s: %s", error.field, error.message);
    assert_int_equal(write_now(f, add), ERR_OK);
}

/* ---- Items ----------------------------------------------------------------------------------- */

static void test_items_are_checked(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = {"7", "[7]", "[{\"role\":\"nobody\",\"content\":\"x\"}]",
                                        "[{\"role\":\"user\",\"content\":7}]"};
    struct thread_items items;
    struct error error = {0};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(thread_items_read(f->arena, json(f, wrong[i]), &items, &error),
                         ERR_INVALID);
    assert_int_equal(thread_items_read(f->arena, NULL, &items, &error), ERR_INVALID);
    assert_int_equal(
        thread_items_read(
            f->arena,
            json(f, "[{\"id\":\"mine\",\"role\":\"user\",\"content\":\"x\"},"
                    "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}]"),
            &items, &error),
        ERR_OK);
    assert_int_equal(items.count, 2);
    expect_text(items.items[0].id, "mine");
    expect_text(items.items[0].item, "{\"id\":\"mine\",\"type\":\"message\",\"role\":\"user\","
                                     "\"content\":[{\"type\":\"input_text\",\"text\":\"x\"}],"
                                     "\"status\":\"completed\"}");
    assert_true(str_starts_with(items.items[1].id, STR("fco_")));
}

static void test_order_and_pages(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(write_now(f, insert), ERR_OK);
    add_items(f, "[{\"id\":\"a\",\"role\":\"user\",\"content\":\"1\"},"
                 "{\"id\":\"b\",\"role\":\"user\",\"content\":\"2\"}]");
    add_items(f, "[{\"id\":\"c\",\"role\":\"user\",\"content\":\"3\"}]");
    f->page = (struct store_thread_page){.limit = 2};
    assert_int_equal(write_now(f, list), ERR_OK);
    assert_int_equal(f->count, 2);
    expect_text(f->items[0].id, "a");
    f->page = (struct store_thread_page){.is_descending = true, .limit = 9, .after = STR("c")};
    assert_int_equal(write_now(f, list), ERR_OK);
    assert_int_equal(f->count, 2);
    expect_text(f->items[0].id, "b");
    f->page.after = STR("nobody");
    assert_int_equal(write_now(f, list), ERR_NOT_FOUND);
    f->item = STR("b");
    assert_int_equal(write_now(f, drop_item), ERR_OK);
    assert_int_equal(write_now(f, drop_item), ERR_NOT_FOUND);
    f->now_ms = 2500; /* what came moved its end from 2000 to 3000 */
    f->page = (struct store_thread_page){.limit = 9};
    assert_int_equal(write_now(f, list), ERR_OK);
    assert_int_equal(f->count, 2);
    f->now_ms = 3000;
    assert_int_equal(write_now(f, list), ERR_NOT_FOUND);
    assert_int_equal(write_now(f, expire), ERR_OK);
    assert_int_equal(f->removed, 1);
    assert_int_equal(write_now(f, count_bytes), ERR_OK);
    assert_int_equal(f->count, 0); /* its items went with it */
}

static void test_bounds(void **state)
{
    struct fixture *f = *state;
    struct store_thread oldest = f->thread;
    struct store_thread_item one = {STR("i"), STR(""), STR(""), STR("{}")};
    struct store_thread_item *many = ARENA_NEW_ARRAY(f->arena, 9999, struct store_thread_item);
    assert_int_equal(write_now(f, insert), ERR_OK);
    for (int i = 0; i < 9999; i++)
        many[i] = one;
    f->addition.items = (struct thread_items){many, 9999, 9999};
    assert_int_equal(write_now(f, add), ERR_OK);
    f->addition.items.count = 2;
    assert_int_equal(write_now(f, add), ERR_TOO_BIG);
    assert_int_equal(write_now(f, add_answer), ERR_OK); /* its answer is none the worse */
    f->addition.items.count = 1;
    assert_int_equal(write_now(f, add), ERR_OK);
    assert_int_equal(write_now(f, count_bytes), ERR_OK);
    assert_int_equal(f->count, 10000 * 514 + 16384);
    f->bytes_max = 100 * 1000;
    assert_int_equal(write_now(f, load), ERR_TOO_BIG);
    f->thread.id = f->addition.thread = id_new(3);
    f->thread.expires_ms = f->addition.expires_ms = 9000;
    f->addition.bytes_max = 1000 * 1000;
    assert_int_equal(write_now(f, insert), ERR_OK);
    assert_int_equal(write_now(f, add), ERR_OK); /* the oldest goes */
    assert_int_equal(write_now(f, count_bytes), ERR_OK);
    assert_int_equal(f->count, 514 + 16384);
    f->addition.thread = oldest.id;
    assert_int_equal(write_now(f, add), ERR_NOT_FOUND);
    assert_int_equal(write_now(f, add_answer), ERR_OK);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static struct store_response make(struct fixture *f, const char *request, const char *answer,
                                  const struct llm_response *built)
{
    struct store_response row;
    const struct stored_exchange exchange = {
        f->thread.owner, json(f, request), str_from_cstr(answer), built, 1000, 5000};
    assert_int_equal(stored_response_make(f->arena, &exchange, &row), ERR_OK);
    return row;
}

#define OUTPUT                                                                                     \
    "[{\"type\":\"message\",\"id\":\"msg_x\",\"role\":\"assistant\",\"content\":"                  \
    "[{\"type\":\"output_text\",\"text\":\"yes\"}]}]"

static void answer_in_thread(struct fixture *f, const struct llm_response *built)
{
    f->response = make(f, "{\"model\":\"m\",\"input\":\"hi\",\"conversation\":\"conv_1\"}",
                       "{\"id\":\"r1\",\"conversation\":null,\"status\":\"completed\","
                       "\"output\":" OUTPUT "}",
                       built);
    assert_true(str_find(f->response.answer, STR("\"conversation\":{\"id\":\"conv_1\"}")) !=
                SIZE_MAX);
    assert_true(str_find(f->response.answer, STR("null")) == SIZE_MAX);
    assert_int_equal(
        thread_addition_of(f->arena, &f->response, &f->thread.id, 5000, INT64_MAX, &f->addition),
        ERR_OK);
    assert_int_equal(f->addition.items.count, 2);
    f->addition.now_ms = 1000;
    assert_int_equal(write_now(f, insert), ERR_OK);
    assert_int_equal(write_now(f, add_answer), ERR_OK);
}

static void expect_turns(struct fixture *f, const char *parts)
{
    assert_int_equal(write_now(f, load), ERR_OK);
    assert_int_equal(f->chain.count, 2);
    assert_true(str_find(f->chain.turns[0].input, STR("\"hi\"")) != SIZE_MAX);
    expect_text(f->chain.turns[0].parts, "[]");
    expect_text(f->chain.turns[1].input, "[]");
    expect_text(f->chain.turns[1].parts, parts);
    expect_text(f->chain.turns[1].model, "m");
    struct llm_request request = {0};
    yyjson_val *body = json(f, "{\"model\":\"m\",\"input\":\"new\"}");
    assert_int_equal(dialect_openai_responses.decode_request(f->arena, body, &request, NULL),
                     ERR_OK);
    assert_int_equal(stored_chain_prepend(&f->chain, f->arena, body, &request, NULL), ERR_OK);
    assert_int_equal(request.message_count, 3);
    assert_int_equal(request.messages[1].role, LLM_ASSISTANT);
}

static void test_an_answer_that_is_kept(void **state)
{
    struct fixture *f = *state;
    struct llm_opaque signature = {
        .dialect = STR("anthropic"), .kind = STR("signature"), .data = STR("s")};
    struct llm_part parts[] = {
        {.kind = LLM_PART_REASONING, .text = STR("hm"), .opaque = &signature, .opaque_count = 1},
        {.kind = LLM_PART_TEXT, .text = STR("yes")}};
    const struct llm_response built = {.parts = parts, .part_count = 2};
    struct str signed_parts;
    answer_in_thread(f, &built);
    expect_turns(f, "[{\"type\":\"text\",\"text\":\"yes\"}]"); /* not kept: what the items say */
    assert_int_equal(write_now(f, keep), ERR_OK);
    signed_parts = f->response.parts;
    assert_true(str_find(signed_parts, STR("signature")) != SIZE_MAX);
    expect_turns(f, arena_cstr(f->arena, signed_parts));
    f->response.answer = STR("{\"id\":\"r1\",\"output\":[]}"); /* another one of that id */
    assert_int_equal(write_now(f, keep), ERR_OK);
    expect_turns(f, "[{\"type\":\"text\",\"text\":\"yes\"}]");
}

static void test_an_answer_that_failed(void **state)
{
    struct fixture *f = *state;
    struct store_response row = make(f, "{\"model\":\"m\",\"input\":\"hi\"}",
                                     "{\"id\":\"r1\",\"status\":\"failed\",\"output\":[]}", NULL);
    struct thread_items items;
    assert_int_equal(thread_items_of(f->arena, &row, &items), ERR_OK);
    assert_int_equal(items.count, 0);
    row.answer = STR("none");
    assert_int_equal(thread_items_of(f->arena, &row, &items), ERR_INVALID);
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    struct id id;
    struct error error = {0};
    assert_true(thread_parse_id(thread_name(f->arena, &f->thread.id), &id));
    assert_true(id_eq(&id, &f->thread.id));
    assert_false(thread_parse_id(STR("conv_x"), &id));
    assert_false(thread_parse_id(id_str(&f->thread.id), &id));
    assert_int_equal(thread_not_found(STR("conv_x"), &error), ERR_NOT_FOUND);
    assert_string_equal(error.message, "Conversation with id 'conv_x' not found.");
    assert_true(str_eq(stored_thread_named(json(f, "{\"conversation\":\"a\"}")), STR("a")));
    assert_true(
        str_eq(stored_thread_named(json(f, "{\"conversation\":{\"id\":\"b\"}}")), STR("b")));
    assert_null(stored_thread_named(json(f, "{\"conversation\":[]}")).data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_items_are_checked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_order_and_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_answer_that_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_answer_that_failed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
