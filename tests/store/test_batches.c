/* Records of batches: states that follow each other, lines that count once, also over a restart. */
#include "store/record_batch.h"
#include "support.h"

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return error_set(error, ERR_INTERNAL, NULL, "line %d: %s", __LINE__, #condition);      \
    } while (0)

struct fixture {
    char *directory;
    struct store *store;
    struct arena *arena;
    struct store_batch batch;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_new();
    f->store = open_store(f->directory);
    f->arena = arena_new(16 << 20);
    f->batch = (struct store_batch){.owner = id_new(1),
                                    .id = id_new(2),
                                    .dialect = STR("openai_chat"),
                                    .endpoint = STR("/v1/embeddings"),
                                    .input = id_new(3),
                                    .metadata = STR("{}"),
                                    .maker_kind = 2,
                                    .maker_key = id_new(4),
                                    .maker_address = STR("192.0.2.7"),
                                    .created_ms = 2,
                                    .expires_ms = 100};
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

static void run(struct fixture *f,
                enum err (*transaction)(struct store_tx *tx, void *user, struct error *error))
{
    struct error error = {0};
    if (store_write_now(f->store, transaction, f, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
}

static enum err expect_status(struct fixture *f, struct store_tx *tx,
                              enum store_batch_status status, struct error *error)
{
    struct store_batch got;
    EXPECT(store_batch_get(tx, f->arena, &f->batch.owner, &f->batch.id, &got, error) == ERR_OK);
    EXPECT(got.status == status);
    EXPECT(str_eq(got.maker_address, f->batch.maker_address));
    EXPECT(id_eq(&got.maker_key, &f->batch.maker_key) && id_eq(&got.input, &f->batch.input));
    return ERR_OK;
}

static enum err states(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_batch *batch = &f->batch, *list, got;
    struct id other = id_new(9);
    size_t count;
    EXPECT(store_batch_insert(tx, batch, 1, error) == ERR_OK);
    EXPECT(store_batch_insert(tx, batch, 1, error) == ERR_RATE_LIMITED);
    EXPECT(store_batch_insert(tx, batch, 2, error) == ERR_CONFLICT);
    EXPECT(store_batch_get(tx, f->arena, &other, &batch->id, &got, error) == ERR_NOT_FOUND);
    batch->started_ms = 5;
    batch->total = 7;
    EXPECT(store_batch_start(tx, batch, error) == ERR_OK);
    EXPECT(expect_status(f, tx, STORE_BATCH_IN_PROGRESS, error) == ERR_OK);
    EXPECT(store_batch_list_unfinished(tx, f->arena, 9, &list, &count, error) == ERR_OK);
    EXPECT(count == 1 && list[0].total == 7);
    EXPECT(store_batch_cancel(tx, f->arena, &other, &batch->id, 6, &got, error) == ERR_NOT_FOUND);
    EXPECT(store_batch_cancel(tx, f->arena, &batch->owner, &batch->id, 6, &got, error) == ERR_OK);
    EXPECT(got.status == STORE_BATCH_CANCELLING && got.cancelling_ms == 6);
    EXPECT(store_batch_start(tx, batch, error) == ERR_OK); /* these two change nothing now */
    EXPECT(store_batch_finalize(tx, batch, error) == ERR_OK);
    EXPECT(expect_status(f, tx, STORE_BATCH_CANCELLING, error) == ERR_OK);
    EXPECT(store_batch_delete(tx, &batch->owner, &batch->id, error) == ERR_CONFLICT);
    batch->status = STORE_BATCH_CANCELLED;
    EXPECT(store_batch_end(tx, batch, error) == ERR_OK);
    EXPECT(store_batch_end(tx, batch, error) == ERR_NOT_FOUND);
    EXPECT(store_batch_cancel(tx, f->arena, &batch->owner, &batch->id, 8, &got, error) == ERR_OK);
    EXPECT(got.status == STORE_BATCH_CANCELLED && got.cancelling_ms == 6);
    EXPECT(store_batch_delete(tx, &other, &batch->id, error) == ERR_NOT_FOUND);
    EXPECT(store_batch_delete(tx, &batch->owner, &batch->id, error) == ERR_OK);
    return ERR_OK;
}

static void test_states(void **state)
{
    run(*state, states);
}

static enum err add_lines(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    EXPECT(store_batch_insert(tx, &f->batch, 9, error) == ERR_OK);
    for (int i = 3; i >= 1; i--) {
        struct store_batch_line line = {.owner = f->batch.owner,
                                        .batch = f->batch.id,
                                        .line = i,
                                        .is_failure = i == 2,
                                        .result = STR("{\"a\":1}\n")};
        EXPECT(store_batch_line_insert(tx, &line, error) == ERR_OK);
        line.result = STR("twice");
        EXPECT(store_batch_line_insert(tx, &line, error) == ERR_OK);
    }
    struct store_batch_line stray = {.owner = f->batch.owner, .batch = id_new(8), .line = 1};
    EXPECT(store_batch_line_insert(tx, &stray, error) == ERR_NOT_FOUND);
    return ERR_OK;
}

static enum err read_lines(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    const struct store_batch *batch = &f->batch;
    struct store_batch got;
    struct store_batch_line *lines;
    int64_t *numbers, deleted;
    size_t count;
    EXPECT(store_batch_get(tx, f->arena, &batch->owner, &batch->id, &got, error) == ERR_OK);
    EXPECT(got.completed == 2 && got.failed == 1);
    EXPECT(store_batch_line_numbers(tx, f->arena, &batch->owner, &batch->id, &numbers, &count,
                                    error) == ERR_OK);
    EXPECT(count == 3 && numbers[0] == 1 && numbers[2] == 3);
    EXPECT(store_batch_line_list(tx, f->arena, &batch->owner, &batch->id, 0, 1, &lines, &count,
                                 error) == ERR_OK);
    EXPECT(count == 1 && lines[0].line == 1 && str_eq(lines[0].result, STR("{\"a\":1}\n")));
    EXPECT(store_batch_line_list(tx, f->arena, &batch->owner, &batch->id, 1, 1 << 20, &lines,
                                 &count, error) == ERR_OK);
    EXPECT(count == 2 && lines[0].is_failure && !lines[1].is_failure);
    EXPECT(store_batch_line_clean(tx, 100, &deleted, error) == ERR_OK && deleted == 1); /* stray */
    got.status = STORE_BATCH_COMPLETED;
    EXPECT(store_batch_end(tx, &got, error) == ERR_OK);
    EXPECT(store_batch_line_clean(tx, 2, &deleted, error) == ERR_OK && deleted == 2);
    EXPECT(store_batch_line_clean(tx, 2, &deleted, error) == ERR_OK && deleted == 1);
    EXPECT(store_batch_line_clean(tx, 2, &deleted, error) == ERR_OK && deleted == 0);
    return ERR_OK;
}

static void test_lines(void **state)
{
    struct fixture *f = *state;
    run(f, add_lines);
    store_close(f->store);
    f->store = open_store(f->directory);
    run(f, read_lines);
}

static enum err pages(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ids[3];
    struct store_batch *got;
    size_t count;
    bool has_more;
    for (int i = 0; i < 3; i++) {
        f->batch.id = ids[i] = id_new(10 + i);
        EXPECT(store_batch_insert(tx, &f->batch, 9, error) == ERR_OK);
    }
    struct store_batch_page page = {.dialect = f->batch.dialect, .limit = 2};
    EXPECT(store_batch_list(tx, f->arena, &f->batch.owner, &page, &got, &count, &has_more, error) ==
           ERR_OK);
    EXPECT(count == 2 && has_more && id_eq(&got[0].id, &ids[2]));
    page.before = got[1].id;
    EXPECT(store_batch_list(tx, f->arena, &f->batch.owner, &page, &got, &count, &has_more, error) ==
           ERR_OK);
    EXPECT(count == 1 && !has_more && id_eq(&got[0].id, &ids[0]));
    page.before = ids[0];
    page.is_reversed = true;
    EXPECT(store_batch_list(tx, f->arena, &f->batch.owner, &page, &got, &count, &has_more, error) ==
           ERR_OK);
    EXPECT(count == 2 && !has_more && id_eq(&got[0].id, &ids[1]));
    page.dialect = STR("anthropic");
    EXPECT(store_batch_list(tx, f->arena, &f->batch.owner, &page, &got, &count, &has_more, error) ==
           ERR_OK);
    EXPECT(count == 0);
    return ERR_OK;
}

static void test_pages(void **state)
{
    run(*state, pages);
}

/* ---- Handed on ------------------------------------------------------------------------------- */

static enum err handed(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_batch got;
    struct store_batch_line line = {
        .owner = f->batch.owner, .batch = f->batch.id, .line = 1, .result = STR("{}\n")};
    f->batch.hand = STORE_BATCH_HAND;
    EXPECT(store_batch_insert(tx, &f->batch, 10, error) == ERR_OK);
    f->batch.provider = STR("openai");
    f->batch.provider_batch = STR("batch_1");
    f->batch.expires_ms = 200;
    f->batch.completed = 7;
    EXPECT(store_batch_note(tx, &f->batch, error) == ERR_OK);
    EXPECT(store_batch_line_insert(tx, &line, error) == ERR_OK);
    line.line = 2;
    line.is_failure = true;
    EXPECT(store_batch_line_insert(tx, &line, error) == ERR_OK);
    EXPECT(store_batch_get(tx, f->arena, &f->batch.owner, &f->batch.id, &got, error) == ERR_OK);
    EXPECT(got.hand == STORE_BATCH_HAND && str_eq(got.provider, STR("openai")));
    EXPECT(str_eq(got.provider_batch, STR("batch_1")) && got.expires_ms == 200);
    EXPECT(got.completed == 7 && got.failed == 0); /* the provider's */
    EXPECT(store_batch_recount(tx, &f->batch, error) == ERR_OK);
    EXPECT(store_batch_get(tx, f->arena, &f->batch.owner, &f->batch.id, &got, error) == ERR_OK);
    EXPECT(got.completed == 1 && got.failed == 1);
    f->batch.status = STORE_BATCH_COMPLETED;
    f->batch.ended_ms = 9;
    EXPECT(store_batch_end(tx, &f->batch, error) == ERR_OK);
    EXPECT(store_batch_note(tx, &f->batch, NULL) == ERR_NOT_FOUND);
    return ERR_OK;
}

static void test_handed(void **state)
{
    run(*state, handed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_states, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_handed, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
