/* Stored responses: what is kept of an exchange, the conversation that a chain holds, for every
 * dialect and for this one, its bounds, pages of items, and the sweep. */
#include "../store/support.h"

#include "base/clock.h"
#include "chat/stored_response.h"
#include "chat/stored_sweep.h"
#include "store/usage.h"

struct fixture {
    char *directory;
    struct store *store;
    struct arena *arena;
    struct id owner;
    const char *id; /* to load */
    struct stored_chain chain;
    size_t bytes_max;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_new();
    f->store = open_store(f->directory);
    f->arena = arena_new(16 << 20);
    f->owner = id_new(1);
    f->bytes_max = 16 << 20;
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

static struct store_response make(struct fixture *f, const char *request, const char *answer,
                                  const struct llm_response *built)
{
    struct store_response row;
    const struct stored_exchange exchange = {
        f->owner, json(f, request), str_from_cstr(answer), built, 1000, 5000};
    assert_int_equal(stored_response_make(f->arena, &exchange, &row), ERR_OK);
    return row;
}

static void expect_text(struct str got, const char *wanted)
{
    char *text = strndup(got.data, got.len);
    assert_string_equal(text, wanted);
    free(text);
}

/* An answer in this dialect's form, with one text. */
static const char *answer_of(struct fixture *f, const char *id, const char *text)
{
    return arena_printf(
               f->arena,
               "{\"id\":\"%s\",\"object\":\"response\",\"status\":\"completed\",\"output\":["
               "{\"type\":\"message\",\"id\":\"msg_x\",\"role\":\"assistant\",\"content\":"
               "[{\"type\":\"output_text\",\"text\":\"%s\"}]}]}",
               id, text)
        .data;
}

/* ---- Keeping ----------------------------------------------------------------------------------- */

static void test_items_are_kept_with_ids(void **state)
{
    struct fixture *f = *state;
    struct store_response row =
        make(f, "{\"model\":\"m\",\"input\":\"hi\"}", answer_of(f, "r1", "yes"), NULL);
    expect_text(row.id, "r1");
    expect_text(row.model, "m");
    expect_text(row.previous, "");
    assert_int_equal(row.created_ms, 1000);
    assert_int_equal(row.expires_ms, 6000);
    expect_text(row.input, "[{\"id\":\"msg_r1_0\",\"type\":\"message\",\"role\":\"user\","
                           "\"content\":[{\"type\":\"input_text\",\"text\":\"hi\"}]}]");
    expect_text(row.parts, "[{\"type\":\"text\",\"text\":\"yes\"}]");
    row =
        make(f,
             "{\"model\":\"m\",\"previous_response_id\":\"r1\",\"input\":[{\"role\":\"assistant\","
             "\"content\":\"a\"},{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":"
             "\"o\"},{\"type\":\"message\",\"id\":\"own\",\"role\":\"user\",\"content\":[]},7]}",
             answer_of(f, "r2", "x"), NULL);
    expect_text(row.previous, "r1");
    expect_text(row.input,
                "[{\"id\":\"msg_r2_0\",\"type\":\"message\",\"role\":\"assistant\",\"content\":["
                "{\"type\":\"output_text\",\"text\":\"a\",\"annotations\":[]}]},"
                "{\"id\":\"fco_r2_1\",\"type\":\"function_call_output\",\"call_id\":\"c\","
                "\"output\":\"o\"},"
                "{\"id\":\"own\",\"type\":\"message\",\"role\":\"user\",\"content\":[]}]");
    row = make(f, "{\"model\":\"m\"}", answer_of(f, "r3", "x"), NULL);
    expect_text(row.input, "[]");
}

static void test_the_answer_repeats_its_request(void **state)
{
    struct fixture *f = *state;
    const char *request =
        "{\"model\":\"m\",\"metadata\":{\"k\":\"v\"},\"tools\":[{\"name\":\"f\"}],"
        "\"previous_response_id\":\"r0\",\"temperature\":0.5}";
    const char *answer = "{\"id\":\"r1\",\"tools\":[],\"metadata\":{},\"user\":null}";
    const struct llm_response built = {0};
    struct store_response row = make(f, request, answer, &built);
    expect_text(row.answer,
                "{\"id\":\"r1\",\"tools\":[{\"name\":\"f\"}],\"metadata\":{\"k\":\"v\"},"
                "\"user\":null,\"previous_response_id\":\"r0\",\"temperature\":0.5,"
                "\"store\":true}");
    expect_text(row.parts, "[]");
    row = make(f, request, answer, NULL); /* a provider's own word stays */
    expect_text(row.answer, "{\"id\":\"r1\",\"tools\":[],\"metadata\":{},\"user\":null,"
                            "\"previous_response_id\":\"r0\",\"temperature\":0.5,\"store\":true}");
}

static void test_what_is_no_response_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const answers[] = {"",   "nonsense",   "[]",
                                          "{}", "{\"id\":7}", "{\"id\":\"\"}"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct store_response row;
        const struct stored_exchange exchange = {.request = json(f, "{}"),
                                                 .answer = str_from_cstr(answers[i])};
        assert_int_equal(stored_response_make(f->arena, &exchange, &row), ERR_INVALID);
    }
}

/* ---- Going on ---------------------------------------------------------------------------------- */

static enum err put(struct store_tx *tx, void *user, struct error *error)
{
    return store_response_put(tx, user, error);
}

static void keep(struct fixture *f, struct store_response row)
{
    assert_int_equal(store_write_now(f->store, put, &row, NULL), ERR_OK);
}

static enum err load(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct arena *arena = arena_new(f->bytes_max);
    struct id owner = f->owner;
    enum err code =
        stored_chain_load(tx, arena, &owner, str_from_cstr(f->id), 2000, &f->chain, error);
    for (size_t i = 0; code == ERR_OK && i < f->chain.count; i++) {
        struct store_response *turn = &f->chain.turns[i];
        struct str *texts[] = {&turn->id, &turn->model, &turn->input, &turn->answer, &turn->parts};
        for (size_t j = 0; j < 5; j++)
            *texts[j] = arena_str(f->arena, *texts[j]);
    }
    struct store_response *copy =
        ARENA_NEW_ARRAY(f->arena, f->chain.count + 1, struct store_response);
    if (code == ERR_OK)
        memcpy(copy, f->chain.turns, f->chain.count * sizeof *copy);
    f->chain.turns = copy;
    arena_free(arena);
    return code;
}

static enum err load_chain(struct fixture *f, const char *id, struct error *error)
{
    f->id = id;
    return store_read_now(f->store, load, f, error);
}

/* r1 by this dialect's provider, with reasoning; r2 by Anthropic's. */
static void keep_two(struct fixture *f)
{
    keep(f,
         make(f, "{\"model\":\"m\",\"instructions\":\"old\",\"input\":\"one\"}",
              "{\"id\":\"r1\",\"output\":[{\"type\":\"reasoning\",\"id\":\"rs\",\"summary\":[],"
              "\"encrypted_content\":\"gA\"},{\"type\":\"reasoning\",\"id\":\"rs2\",\"summary\":"
              "[]},{\"type\":\"web_search_call\",\"id\":\"ws\"},{\"type\":\"function_call\",\"id\":"
              "\"fc\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"}]}",
              NULL));
    struct llm_opaque signature = {STR("anthropic"), STR("claude"), STR("signature"), STR("sig")};
    struct llm_part parts[] = {
        {.kind = LLM_PART_REASONING, .text = STR("hm"), .opaque = &signature, .opaque_count = 1},
        {.kind = LLM_PART_TEXT, .text = STR("two")}};
    const struct llm_response built = {.parts = parts, .part_count = 2};
    keep(f, make(f,
                 "{\"model\":\"claude\",\"previous_response_id\":\"r1\",\"input\":[{\"type\":"
                 "\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"}]}",
                 answer_of(f, "r2", "two"), &built));
}

static void test_messages_for_any_dialect(void **state)
{
    struct fixture *f = *state;
    struct llm_request request;
    yyjson_val *body =
        json(f, "{\"model\":\"claude\",\"instructions\":\"new\",\"input\":\"three\"}");
    keep_two(f);
    assert_int_equal(load_chain(f, "r2", NULL), ERR_OK);
    assert_int_equal(f->chain.count, 2);
    assert_int_equal(dialect_openai_responses.decode_request(f->arena, body, &request, NULL),
                     ERR_OK);
    assert_int_equal(stored_chain_prepend(&f->chain, f->arena, body, &request, NULL), ERR_OK);
    static const enum llm_role roles[] = {LLM_SYSTEM, LLM_USER,      LLM_ASSISTANT,
                                          LLM_TOOL,   LLM_ASSISTANT, LLM_USER};
    assert_int_equal(request.message_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(request.messages[i].role, roles[i]);
    expect_text(request.messages[0].parts[0].text, "new");
    expect_text(request.messages[1].parts[0].text, "one");
    expect_text(request.messages[2].parts[0].opaque[0].data, "gA");
    expect_text(request.messages[3].parts[0].name, "f"); /* of the call, a turn before */
    const struct llm_part *thought = &request.messages[4].parts[0];
    expect_text(thought->opaque[0].dialect, "anthropic");
    expect_text(thought->opaque[0].model, "claude");
    expect_text(thought->opaque[0].data, "sig");
    expect_text(request.messages[5].parts[0].text, "three");
}

static void test_items_for_this_dialect(void **state)
{
    struct fixture *f = *state;
    struct buf out;
    yyjson_val *body =
        json(f, "{\"previous_response_id\":\"r2\",\"model\":\"m\",\"x\":[1.50],\"input\":"
                "[{\"role\":\"user\",\"content\":\"three\",\"y\":1}],\"store\":false}");
    keep_two(f);
    assert_int_equal(load_chain(f, "r2", NULL), ERR_OK);
    buf_init(&out, 1 << 20);
    assert_int_equal(stored_chain_expand(&f->chain, f->arena, body, &out, NULL), ERR_OK);
    expect_text(
        buf_str(&out),
        "{\"model\":\"m\",\"x\":[1.5],\"store\":false,\"input\":["
        "{\"type\":\"message\",\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
        "\"text\":\"one\"}]},"
        "{\"type\":\"reasoning\",\"summary\":[],\"encrypted_content\":\"gA\"},"
        "{\"type\":\"web_search_call\",\"id\":\"ws\"},"
        "{\"type\":\"function_call\",\"call_id\":\"c\",\"name\":\"f\",\"arguments\":\"{}\"},"
        "{\"type\":\"function_call_output\",\"call_id\":\"c\",\"output\":\"o\"},"
        "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
        "\"text\":\"two\"}]},"
        "{\"role\":\"user\",\"content\":\"three\",\"y\":1}]}");
    buf_clear(&out); /* another model cannot read what was encrypted for the first */
    body = json(f, "{\"model\":\"other\",\"previous_response_id\":\"r1\",\"input\":\"x\"}");
    assert_int_equal(stored_chain_expand(&f->chain, f->arena, body, &out, NULL), ERR_OK);
    assert_int_equal(str_find(buf_str(&out), STR("gA")), SIZE_MAX);
    buf_done(&out);
    struct error error = {0};
    buf_init(&out, 200);
    assert_int_equal(stored_chain_expand(&f->chain, f->arena, body, &out, &error), ERR_TOO_BIG);
    assert_string_equal(error.field, "previous_response_id");
    buf_done(&out);
}

static void test_chains_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    char request[100], id[20];
    for (int i = 0; i <= STORED_TURNS_MAX; i++) {
        snprintf(id, sizeof id, "t%d", i);
        snprintf(request, sizeof request,
                 i ? "{\"model\":\"m\",\"input\":\"x\",\"previous_response_id\":\"t%d\"}"
                   : "{\"model\":\"m\",\"input\":\"x\"}",
                 i - 1);
        keep(f, make(f, request, answer_of(f, id, "y"), NULL));
    }
    assert_int_equal(load_chain(f, "t199", NULL), ERR_OK);
    assert_int_equal(f->chain.count, STORED_TURNS_MAX);
    expect_text(f->chain.turns[0].id, "t0");
    assert_int_equal(load_chain(f, "t200", &error), ERR_TOO_BIG);
    keep(f, make(f, "{\"model\":\"m\",\"previous_response_id\":\"self\"}",
                 answer_of(f, "self", "y"), NULL));
    assert_int_equal(load_chain(f, "self", &error), ERR_TOO_BIG);
    f->bytes_max = 2000;
    assert_int_equal(load_chain(f, "t50", &error), ERR_TOO_BIG);
    assert_int_equal(load_chain(f, "t0", &error), ERR_OK);
}

static void test_what_is_missing(void **state)
{
    struct fixture *f = *state;
    struct error error = {0};
    keep(f, make(f, "{\"model\":\"m\",\"previous_response_id\":\"gone\"}", answer_of(f, "r1", "y"),
                 NULL));
    assert_int_equal(load_chain(f, "no", &error), ERR_NOT_FOUND);
    assert_string_equal(error.message, "Previous response with id 'no' not found.");
    assert_int_equal(load_chain(f, "r1", &error), ERR_NOT_FOUND);
    assert_string_equal(error.message, "Previous response with id 'gone' not found.");
    f->owner = id_new(2);
    assert_int_equal(load_chain(f, "r1", &error), ERR_NOT_FOUND);
    assert_string_equal(error.message, "Previous response with id 'r1' not found.");
}

static void test_damaged_rows(void **state)
{
    struct fixture *f = *state;
    static const char *const wrongs[][3] = {
        {"{", "{}", "[]"}, {"[{\"type\":7}]", "nonsense", "[]"}, {"[]", "", "{}"}};
    for (size_t i = 0; i < 3; i++) {
        struct store_response row = {.id = STR("r"),
                                     .input = str_from_cstr(wrongs[i][0]),
                                     .answer = str_from_cstr(wrongs[i][1]),
                                     .parts = str_from_cstr(wrongs[i][2])};
        const struct stored_chain chain = {&row, 1};
        struct llm_request request = {0};
        struct buf out;
        buf_init(&out, 1000);
        assert_int_equal(stored_chain_prepend(&chain, f->arena, json(f, "{}"), &request, NULL),
                         ERR_CORRUPT);
        assert_int_equal(stored_chain_expand(&chain, f->arena, json(f, "{}"), &out, NULL),
                         ERR_CORRUPT);
        buf_done(&out);
    }
}

/* ---- References -------------------------------------------------------------------------------- */

static void test_references(void **state)
{
    struct fixture *f = *state;
    struct id id = id_new(5), other = id_new(6);
    struct buf out;
    const char *answer =
        arena_printf(f->arena,
                     "{\"id\":\"resp_%s\",\"output\":[{\"type\":\"reasoning\",\"id\":\"rs_%s_0\","
                     "\"encrypted_content\":\"gA\",\"summary\":[]},{\"type\":\"message\",\"id\":"
                     "\"msg_%s_1\",\"role\":\"assistant\",\"content\":[]}]}",
                     id.text, id.text, id.text)
            .data;
    struct store_response row = make(f, "{\"model\":\"m\"}", answer, NULL);
    const struct stored_chain answers = {&row, 1};
    yyjson_val *body =
        json(f, arena_printf(f->arena,
                             "{\"model\":\"m\",\"x\":1,\"input\":[{\"role\":\"user\"},"
                             "{\"type\":\"item_reference\",\"id\":\"rs_%s_0\"},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_%s_1\"},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_%s_9\"},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_%s_0\"},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_1\"},"
                             "{\"type\":\"item_reference\"},7]}",
                             id.text, id.text, id.text, other.text)
                    .data);
    struct stored_references references = stored_references_find(body, f->arena);
    assert_int_equal(references.count, 2);
    assert_true(str_eq(references.responses[0], row.id));
    buf_init(&out, 1 << 20);
    assert_int_equal(stored_references_resolve(&answers, f->arena, body, &out, NULL), ERR_OK);
    expect_text(buf_str(&out),
                arena_printf(f->arena,
                             "{\"model\":\"m\",\"x\":1,\"input\":[{\"role\":\"user\"},"
                             "{\"type\":\"reasoning\",\"encrypted_content\":\"gA\",\"summary\":[]},"
                             "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[]},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_%s_9\"},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_%s_0\"},"
                             "{\"type\":\"item_reference\",\"id\":\"msg_1\"},"
                             "{\"type\":\"item_reference\"},7]}",
                             id.text, other.text)
                    .data);
    buf_done(&out);
    assert_int_equal(stored_references_find(json(f, "{\"input\":\"x\"}"), f->arena).count, 0);
}

/* ---- Pages ------------------------------------------------------------------------------------- */

static void expect_page(struct fixture *f, struct stored_page page, const char *wanted)
{
    const struct store_response row = {.input =
                                           STR("[{\"id\":\"a\"},{\"id\":\"b\"},{\"id\":\"c\"}]")};
    struct json_writer w;
    struct buf out;
    buf_init(&out, 1000);
    json_writer_init(&w, &out);
    enum err code = stored_response_write_items(&row, f->arena, &page, &w, NULL);
    assert_int_equal(code, wanted ? ERR_OK : ERR_NOT_FOUND);
    if (wanted)
        expect_text(buf_str(&out), wanted);
    buf_done(&out);
}

static void test_pages(void **state)
{
    struct fixture *f = *state;
    expect_page(f, (struct stored_page){true, 2, STR("")},
                "{\"object\":\"list\",\"data\":[{\"id\":\"c\"},{\"id\":\"b\"}],\"first_id\":\"c\","
                "\"last_id\":\"b\",\"has_more\":true}");
    expect_page(
        f, (struct stored_page){true, 2, STR("b")},
        "{\"object\":\"list\",\"data\":[{\"id\":\"a\"}],\"first_id\":\"a\",\"last_id\":\"a\","
        "\"has_more\":false}");
    expect_page(f, (struct stored_page){false, 3, STR("c")},
                "{\"object\":\"list\",\"data\":[],\"first_id\":null,\"last_id\":null,"
                "\"has_more\":false}");
    expect_page(f, (struct stored_page){false, 3, STR("no")}, NULL);
}

/* ---- The sweep --------------------------------------------------------------------------------- */

static enum err count_rows(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_response row;
    f->chain.count = 0;
    for (int i = 0; i < 500; i++) {
        char id[20];
        snprintf(id, sizeof id, "t%d", i);
        f->chain.count += store_response_get(tx, f->arena, &f->owner, str_from_cstr(id), 0, &row,
                                             error) == ERR_OK;
    }
    return ERR_OK;
}

static void test_sweep(void **state)
{
    struct fixture *f = *state;
    struct loop *loop = loop_new(0, NULL);
    struct stored_sweep sweep;
    char id[20];
    for (int i = 0; i < 450; i++) {
        snprintf(id, sizeof id, "t%d", i);
        struct store_response row = make(f, "{\"model\":\"m\"}", answer_of(f, id, "y"), NULL);
        row.expires_ms = clock_wall_ms() + (i < 430 ? -1 : 100000);
        keep(f, row);
    }
    stored_sweep_begin(&sweep, f->store, loop, NULL, 0);
    while (!loop_timer_is_set(&sweep.timer))
        loop_run_once(loop);
    assert_int_equal(sweep.total, 430);
    assert_int_equal(store_read_now(f->store, count_rows, f, NULL), ERR_OK);
    assert_int_equal(f->chain.count, 20);
    stored_sweep_end(&sweep);
    assert_false(loop_timer_is_set(&sweep.timer));
    loop_free(loop);
    stored_sweep_end(&(struct stored_sweep){0});
}

#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

/* One block that ends on each of the last 130 days, with a sum of its day. */
static enum err put_blocks(struct store_tx *tx, void *user, struct error *error)
{
    int64_t today = *(int64_t *)user;
    const struct id ledger = id_new(1);
    enum err code = ERR_OK;
    for (int64_t i = 0; i < 130 && code == ERR_OK; i++) {
        int64_t day = today - i;
        bool inserted;
        const struct store_block block = {.ledger = ledger,
                                          .number = i,
                                          .from_ms = (day - 1) * 86400000,
                                          .to_ms = (day + 1) * 86400000 - 1,
                                          .data = STR("rows")};
        const struct store_usage_day sum = {.day = day, .sums.requests = 1};
        code = store_block_insert(tx, &block, &inserted, error);
        if (code == ERR_OK)
            code = store_usage_add_day(tx, &sum, error);
    }
    return code;
}

static void add_requests(void *user, const struct str by[STORE_USAGE_BY_MAX],
                         const struct store_sums *sums)
{
    (void)by;
    *(int64_t *)user += sums->requests;
}

struct left {
    int64_t requests;
    int64_t blocks;
    int64_t oldest_ms;
};

static enum err count_left(struct store_tx *tx, void *user, struct error *error)
{
    struct left *left = user;
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_block block = {0};
    while (store_block_next(tx, arena, 0, INT64_MAX, &block, &block, error) == ERR_OK) {
        left->oldest_ms = left->blocks++ ? left->oldest_ms : block.to_ms;
    }
    arena_free(arena);
    return store_usage_ask(tx, &(struct store_usage_question){.to_day = INT64_MAX, .limit = 1},
                           add_requests, &left->requests, error);
}

static struct left sweep_ledger(struct fixture *f, int64_t keep_days)
{
    struct loop *loop = loop_new(0, NULL);
    struct stored_sweep sweep;
    struct left left = {0};
    stored_sweep_begin(&sweep, f->store, loop, NULL, keep_days);
    while (!loop_timer_is_set(&sweep.timer))
        loop_run_once(loop);
    stored_sweep_end(&sweep);
    loop_free(loop);
    assert_int_equal(store_read_now(f->store, count_left, &left, NULL), ERR_OK);
    return left;
}

static void test_old_blocks_go_and_sums_stay(void **state)
{
    struct fixture *f = *state;
    int64_t today = clock_wall_ms() / 86400000;
    assert_int_equal(store_write_now(f->store, put_blocks, &today, NULL), ERR_OK);
    assert_int_equal(sweep_ledger(f, 0).blocks, 130); /* for ever */
    assert_int_equal(sweep_ledger(f, 400).blocks, 130);
    struct left left = sweep_ledger(f, 10); /* in more than two steps */
    assert_true(left.blocks == 11 || clock_wall_ms() / 86400000 != today);
    assert_true(left.oldest_ms >= (today - 10) * 86400000);
    assert_int_equal(left.requests, 130);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(items_are_kept_with_ids),
        TEST(the_answer_repeats_its_request),
        TEST(what_is_no_response_is_refused),
        TEST(messages_for_any_dialect),
        TEST(items_for_this_dialect),
        TEST(chains_are_bounded),
        TEST(what_is_missing),
        TEST(damaged_rows),
        TEST(references),
        TEST(pages),
        TEST(sweep),
        TEST(old_blocks_go_and_sums_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
