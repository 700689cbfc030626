/* Records of files: owners kept apart, limits, pages, expiry. */
#include "store/record_batch.h"
#include "store/record_file.h"
#include "support.h"

/* Asserts run on the writer's thread, so a test reports by code. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return error_set(error, ERR_INTERNAL, NULL, "line %d: %s", __LINE__, #condition);      \
    } while (0)

static const struct store_file_limits limits = {
    .total_bytes_max = 1000, .owner_bytes_max = 1000, .count_max = 5};

static struct store_file make_file(const struct id *owner, int64_t created_ms, int64_t bytes)
{
    return (struct store_file){.owner = *owner,
                               .id = id_new(created_ms),
                               .purpose = STR("batch"),
                               .name = STR("a.jsonl"),
                               .mime = STR("application/json"),
                               .sha256 = STR("00"),
                               .bytes = bytes,
                               .created_ms = created_ms};
}

static enum err rows(struct store_tx *tx, void *user, struct error *error)
{
    struct arena *arena = user;
    struct id ann = id_new(1), bob = id_new(1);
    struct store_file file = make_file(&ann, 10, 100), got;
    bool exists;
    EXPECT(store_file_insert(tx, &file, &limits, error) == ERR_OK);
    EXPECT(store_file_insert(tx, &file, &limits, error) == ERR_CONFLICT);
    EXPECT(store_file_get(tx, arena, &ann, &file.id, 50, &got, error) == ERR_OK);
    EXPECT(str_eq(got.name, file.name) && str_eq(got.purpose, file.purpose) && got.bytes == 100);
    EXPECT(store_file_get(tx, arena, &bob, &file.id, 50, &got, error) == ERR_NOT_FOUND);
    EXPECT(store_file_delete(tx, &bob, &file.id, error) == ERR_NOT_FOUND);
    EXPECT(store_file_exists(tx, &file.id, &exists, error) == ERR_OK && exists);
    EXPECT(store_file_end(tx, &ann, &file.id, 60, error) == ERR_OK);
    EXPECT(store_file_get(tx, arena, &ann, &file.id, 60, &got, error) == ERR_NOT_FOUND);
    EXPECT(store_file_end(tx, &bob, &file.id, 60, error) == ERR_OK);
    EXPECT(store_file_delete(tx, &ann, &file.id, error) == ERR_OK);
    EXPECT(store_file_exists(tx, &file.id, &exists, error) == ERR_OK && !exists);
    return ERR_OK;
}

static enum err room(struct store_tx *tx, void *user, struct error *error)
{
    (void)user;
    struct id ann = id_new(1), bob = id_new(1);
    struct store_file large = make_file(&ann, 10, 900), small = make_file(&bob, 10, 101);
    EXPECT(store_file_insert(tx, &large, &limits, error) == ERR_OK);
    EXPECT(store_file_insert(tx, &small, &limits, error) == ERR_TOO_BIG);
    small.bytes = 100;
    struct store_file_limits own = limits;
    own.owner_bytes_max = 99;
    EXPECT(store_file_insert(tx, &small, &own, error) == ERR_TOO_BIG);
    EXPECT(store_file_insert(tx, &small, &limits, error) == ERR_OK);
    EXPECT(store_file_delete(tx, &ann, &large.id, error) == ERR_OK);
    for (int i = 0; i < limits.count_max - 1; i++) {
        struct store_file more = make_file(&bob, 10, 1);
        EXPECT(store_file_insert(tx, &more, &limits, error) == ERR_OK);
    }
    large.owner = bob;
    EXPECT(store_file_insert(tx, &large, &limits, error) == ERR_TOO_BIG);
    return ERR_OK;
}

static enum err begun(struct store_tx *tx, void *user, struct error *error)
{
    struct arena *arena = user;
    struct id ann = id_new(1);
    struct store_file file = make_file(&ann, 10, 1000), got;
    file.is_begun = true;
    file.expires_ms = 100;
    EXPECT(store_file_insert(tx, &file, &limits, error) == ERR_OK);
    EXPECT(store_file_get(tx, arena, &ann, &file.id, 50, &got, error) == ERR_NOT_FOUND);
    EXPECT(store_file_get_begun(tx, arena, &ann, &file.id, 50, &got, error) == ERR_OK);
    EXPECT(store_file_get_begun(tx, arena, &ann, &file.id, 100, &got, error) == ERR_NOT_FOUND);
    file.bytes = 400;
    file.expires_ms = 0;
    EXPECT(store_file_finish(tx, &file, error) == ERR_OK);
    EXPECT(store_file_finish(tx, &file, error) == ERR_NOT_FOUND);
    EXPECT(store_file_get(tx, arena, &ann, &file.id, 5000, &got, error) == ERR_OK);
    struct store_file second = make_file(&ann, 10, 600);
    EXPECT(store_file_insert(tx, &second, &limits, error) == ERR_OK);
    return ERR_OK;
}

static enum err pages(struct store_tx *tx, void *user, struct error *error)
{
    struct arena *arena = user;
    struct id ann = id_new(1);
    struct store_file files[4], *got;
    size_t count;
    bool has_more;
    for (int i = 0; i < 4; i++) {
        files[i] = make_file(&ann, 10 + i, 1);
        files[i].purpose = i == 3 ? STR("vision") : STR("batch");
        files[i].expires_ms = i == 0 ? 99 : 0;
        EXPECT(store_file_insert(tx, &files[i], &limits, error) == ERR_OK);
    }
    struct store_file_page page = {.limit = 2, .now_ms = 50};
    EXPECT(store_file_list(tx, arena, &ann, &page, &got, &count, &has_more, error) == ERR_OK);
    EXPECT(count == 2 && has_more && id_eq(&got[0].id, &files[3].id));
    page.after = got[1].id;
    EXPECT(store_file_list(tx, arena, &ann, &page, &got, &count, &has_more, error) == ERR_OK);
    EXPECT(count == 2 && !has_more && id_eq(&got[1].id, &files[0].id));
    page = (struct store_file_page){
        .limit = 9, .now_ms = 99, .is_ascending = true, .purpose = STR("batch")};
    EXPECT(store_file_list(tx, arena, &ann, &page, &got, &count, &has_more, error) == ERR_OK);
    EXPECT(count == 2 && !has_more && id_eq(&got[0].id, &files[1].id));
    struct id *ids;
    EXPECT(store_file_expire(tx, arena, 98, 10, &ids, &count, error) == ERR_OK && count == 0);
    EXPECT(store_file_expire(tx, arena, 99, 10, &ids, &count, error) == ERR_OK && count == 1);
    EXPECT(id_eq(&ids[0], &files[0].id));
    return ERR_OK;
}

/* The input of a batch that has not ended does not expire. */
static enum err inputs(struct store_tx *tx, void *user, struct error *error)
{
    struct arena *arena = user;
    struct id ann = id_new(1);
    struct id *ids;
    size_t count;
    struct store_file file = make_file(&ann, 10, 1);
    file.expires_ms = 99;
    struct store_batch batch = {.owner = ann,
                                .id = id_new(2),
                                .dialect = STR("gemini"),
                                .endpoint = STR("generateContent"),
                                .input = file.id,
                                .metadata = STR("{}")};
    EXPECT(store_file_insert(tx, &file, &limits, error) == ERR_OK);
    EXPECT(store_batch_insert(tx, &batch, 9, error) == ERR_OK);
    EXPECT(store_file_expire(tx, arena, 200, 10, &ids, &count, error) == ERR_OK && count == 0);
    batch.status = STORE_BATCH_COMPLETED;
    EXPECT(store_batch_end(tx, &batch, error) == ERR_OK);
    EXPECT(store_file_expire(tx, arena, 200, 10, &ids, &count, error) == ERR_OK && count == 1);
    return ERR_OK;
}

static void run(enum err (*transaction)(struct store_tx *tx, void *user, struct error *error))
{
    char *directory = directory_new();
    struct store *store = open_store(directory);
    struct arena *arena = arena_new(1 << 20);
    struct error error = {0};
    if (store_write_now(store, transaction, arena, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    arena_free(arena);
    store_close(store);
    directory_remove(directory);
}

static void test_rows(void **state)
{
    (void)state;
    run(rows);
}

static void test_room(void **state)
{
    (void)state;
    run(room);
}

static void test_begun(void **state)
{
    (void)state;
    run(begun);
}

static void test_pages(void **state)
{
    (void)state;
    run(pages);
}

static void test_inputs(void **state)
{
    (void)state;
    run(inputs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),  cmocka_unit_test(test_room),   cmocka_unit_test(test_begun),
        cmocka_unit_test(test_pages), cmocka_unit_test(test_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
