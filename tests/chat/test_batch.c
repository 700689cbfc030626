/* The queue: batches from the store to their files; over restarts in the middle; cancelled, expired,
 * held back by failures; whose maker is not welcome any more. */
#include "helper_chat.h"

#include "chat/batch.h"
#include "store/blob.h"

struct fixture {
    struct chat_fixture *chat;
    struct account *account;
    struct files *files;
    struct batch_bell *bell;
    struct batch_queue *queue;
    struct arena *arena;
    struct store_batch batch;
    struct str output, failures; /* of the ended batch */
    struct store_batch_line line;
    bool is_stopped;
};

static void open_files(struct fixture *f)
{
    const struct files_options options = {.store = f->chat->store,
                                          .directory = f->chat->directory,
                                          .file_bytes_max = 1 << 20,
                                          .total_bytes_max = 1 << 30};
    assert_int_equal(files_open(&options, &f->files, NULL), ERR_OK);
    assert_int_equal(
        account_open(&(struct account_options){.store = f->chat->store}, &f->account, NULL),
        ERR_OK);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    chat_setup((void **)&f->chat);
    f->arena = arena_new(64 << 20);
    f->bell = batch_bell_new();
    batch_bell_ring(f->bell); /* nobody listens */
    open_files(f);
    *state = f;
    return 0;
}

static void begin_queue(struct fixture *f)
{
    f->queue = batch_queue_new(&(struct batch_options){.loop = f->chat->net->loop,
                                                       .router = f->chat->router,
                                                       .account = f->account,
                                                       .store = f->chat->store,
                                                       .files = f->files,
                                                       .bell = f->bell,
                                                       .log = f->chat->log,
                                                       .concurrency = 3,
                                                       .retry_ms = 1});
}

static void on_stopped(void *user)
{
    struct fixture *f = user;
    assert_false(f->is_stopped);
    f->is_stopped = true;
}

static void stop_queue(struct fixture *f)
{
    if (!f->queue)
        return;
    f->is_stopped = false;
    batch_queue_stop(f->queue, on_stopped, f);
    assert_false(f->is_stopped);
    TURN_UNTIL(f->chat->net->loop, f->is_stopped);
    batch_queue_free(f->queue);
    f->queue = NULL;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    stop_queue(f);
    batch_bell_free(f->bell);
    account_close(f->account);
    files_close(f->files);
    arena_free(f->arena);
    chat_teardown((void **)&f->chat);
    free(f);
    return 0;
}

/* ---- Making and looking ---------------------------------------------------------------------- */

static enum err insert_batch(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_batch_insert(tx, &f->batch, 10, error);
}

static void on_put(void *user, enum err code, const struct error *error)
{
    (void)error;
    assert_int_equal(code, ERR_OK);
    *(bool *)user = true;
}

/* `count` lines to a model, in the store; nobody is told. */
static void make_batch(struct fixture *f, const char *model, int count)
{
    bool is_done = false;
    struct buf lines;
    buf_init(&lines, 1 << 20);
    for (int i = 1; i <= count; i++)
        buf_printf(&lines,
                   "{\"custom_id\":\"r%d\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\","
                   "\"body\":{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}"
                   "]}}\n",
                   i, model);
    struct file_work work = {.file = {.owner = f->chat->owner},
                             .content = buf_str(&lines),
                             .arena = f->arena,
                             .done = on_put,
                             .user = &is_done};
    files_put(f->files, f->chat->net->loop, &work);
    TURN_UNTIL(f->chat->net->loop, is_done);
    buf_done(&lines);
    int64_t now = clock_wall_ms();
    f->batch = (struct store_batch){.owner = f->chat->owner,
                                    .id = id_new(now),
                                    .dialect = STR("openai"),
                                    .endpoint = STR("/v1/chat/completions"),
                                    .input = work.file.id,
                                    .maker_kind = PRINCIPAL_SESSION,
                                    .maker_address = STR("127.0.0.1"),
                                    .created_ms = now,
                                    .expires_ms = now + 3600 * 1000};
    assert_int_equal(store_write_now(f->chat->store, insert_batch, f, NULL), ERR_OK);
}

static enum err get_batch(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id id = f->batch.id;
    return store_batch_get(tx, f->arena, &f->chat->owner, &id, &f->batch, error);
}

static enum store_batch_status status_of(struct fixture *f)
{
    assert_int_equal(store_read_now(f->chat->store, get_batch, f, NULL), ERR_OK);
    return f->batch.status;
}

static bool has_ended(struct fixture *f)
{
    return status_of(f) >= STORE_BATCH_COMPLETED;
}

static struct str content_of(struct fixture *f, const struct id *id)
{
    struct blob blob;
    if (id_is_none(id))
        return STR("");
    assert_int_equal(blob_map(f->chat->directory, id, &blob, NULL), ERR_OK);
    struct str copy = arena_str(f->arena, blob.content);
    blob_unmap(&blob);
    return copy;
}

static void wait_for(struct fixture *f, enum store_batch_status status)
{
    TURN_UNTIL(f->chat->net->loop, has_ended(f));
    assert_int_equal(f->batch.status, status);
    f->output = content_of(f, &f->batch.output);
    f->failures = content_of(f, &f->batch.failures);
}

static size_t count_of(struct str text, const char *part)
{
    size_t count = 0;
    for (size_t at; (at = str_find(text, str_from_cstr(part))) != SIZE_MAX; count++)
        text = str_skip(text, at + 1);
    return count;
}

/* Each of r1 to r<count> once, in one of the two files. */
static void expect_each_once(struct fixture *f, int count)
{
    char name[40];
    for (int i = 1; i <= count; i++) {
        snprintf(name, sizeof name, "\"custom_id\":\"r%d\"", i);
        assert_int_equal(count_of(f->output, name) + count_of(f->failures, name), 1);
    }
    assert_int_equal(count_of(f->output, "\n") + count_of(f->failures, "\n"), count);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_whole(void **state)
{
    struct fixture *f = *state;
    begin_queue(f);
    make_batch(f, "parley/eliza", 10);
    batch_bell_ring(f->bell);
    wait_for(f, STORE_BATCH_COMPLETED);
    assert_int_equal(f->batch.completed, 10);
    assert_int_equal(f->batch.total, 10);
    assert_true(f->batch.started_ms && f->batch.finalizing_ms && f->batch.ended_ms);
    expect_each_once(f, 10);
    assert_int_equal(count_of(f->output, "\"status_code\":200"), 10);
}

static enum err insert_line(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    return store_batch_line_insert(tx, &f->line, error);
}

/* What a crash leaves behind: some results in the store, half a file on disk. The store is opened
 * anew, and what is stored is not asked again. */
static void test_crash(void **state)
{
    struct fixture *f = *state;
    struct id half = id_new(1);
    make_batch(f, "parley/eliza", 8);
    for (int i = 2; i <= 5; i += 3) {
        f->line = (struct store_batch_line){
            .owner = f->chat->owner,
            .batch = f->batch.id,
            .line = i,
            .is_failure = i == 5,
            .result = arena_printf(f->arena, "{\"custom_id\":\"r%d\",\"kept\":1}\n", i)};
        assert_int_equal(store_write_now(f->chat->store, insert_line, f, NULL), ERR_OK);
    }
    assert_int_equal(blob_append(f->chat->directory, &half, 0, STR("half"), NULL), ERR_OK);
    chat_end(f->chat, 0);
    account_close(f->account);
    files_close(f->files);
    store_close(f->chat->store);
    chat_open(f->chat);
    chat_begin(f->chat);
    open_files(f);
    begin_queue(f);
    wait_for(f, STORE_BATCH_COMPLETED);
    assert_int_equal(f->batch.completed, 7);
    assert_int_equal(f->batch.failed, 1);
    expect_each_once(f, 8);
    assert_int_equal(count_of(f->output, "\"kept\":1"), 1);
    assert_int_equal(count_of(f->failures, "\"kept\":1"), 1);
}

/* Stopped at any moment and begun again, until it is done. */
static void test_stops(void **state)
{
    struct fixture *f = *state;
    make_batch(f, "parley/eliza", 30);
    for (int turns = 0; !has_ended(f); turns++) {
        begin_queue(f);
        for (int i = 0; i < 3 + turns && !has_ended(f); i++)
            helper_turn(f->chat->net->loop);
        stop_queue(f);
        assert_true(turns < 500);
    }
    wait_for(f, STORE_BATCH_COMPLETED);
    assert_int_equal(f->batch.completed, 30);
    expect_each_once(f, 30);
}

static enum err cancel_batch(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_batch got;
    return store_batch_cancel(tx, f->arena, &f->chat->owner, &f->batch.id, clock_wall_ms(), &got,
                              error);
}

/* "fake" takes connections and never answers. */
static void test_cancel(void **state)
{
    struct fixture *f = *state;
    make_batch(f, "fake/m", 5);
    begin_queue(f);
    TURN_UNTIL(f->chat->net->loop, status_of(f) == STORE_BATCH_IN_PROGRESS);
    for (int i = 0; i < 5; i++)
        helper_turn(f->chat->net->loop);
    assert_int_equal(store_write_now(f->chat->store, cancel_batch, f, NULL), ERR_OK);
    batch_bell_ring(f->bell);
    wait_for(f, STORE_BATCH_CANCELLED);
    assert_int_equal(count_of(f->failures, "batch_cancelled"), 5);
    assert_true(id_is_none(&f->batch.output));
    expect_each_once(f, 5);
}

static enum err expire_soon(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    f->batch.id = id_new(clock_wall_ms());
    f->batch.expires_ms = clock_wall_ms() + 30;
    return store_batch_insert(tx, &f->batch, 10, error);
}

static void test_expiry(void **state)
{
    struct fixture *f = *state;
    make_batch(f, "fake/m", 4);
    assert_int_equal(store_write_now(f->chat->store, cancel_batch, f, NULL), ERR_OK);
    assert_int_equal(store_write_now(f->chat->store, expire_soon, f, NULL), ERR_OK);
    begin_queue(f);
    wait_for(f, STORE_BATCH_EXPIRED);
    assert_int_equal(count_of(f->failures, "batch_expired"), 4);
}

/* Nobody listens there: after its tries each line fails. */
static void test_failures(void **state)
{
    struct fixture *f = *state;
    make_batch(f, "nobody/x", 3);
    begin_queue(f);
    wait_for(f, STORE_BATCH_COMPLETED);
    assert_int_equal(f->batch.failed, 3);
    assert_int_equal(count_of(f->failures, "\"status_code\":404"), 3);
}

static void test_no_input(void **state)
{
    struct fixture *f = *state;
    make_batch(f, "parley/eliza", 0);
    begin_queue(f);
    wait_for(f, STORE_BATCH_FAILED);
    assert_int_equal(count_of(f->batch.errors, "input_file_id"), 1);
}

static enum err insert_revoked(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    f->batch.id = id_new(clock_wall_ms());
    f->batch.maker_kind = PRINCIPAL_KEY;
    f->batch.maker_key = id_new(7);
    return store_batch_insert(tx, &f->batch, 10, error);
}

static void test_maker_is_gone(void **state)
{
    struct fixture *f = *state;
    make_batch(f, "parley/eliza", 2);
    assert_int_equal(store_write_now(f->chat->store, cancel_batch, f, NULL), ERR_OK);
    assert_int_equal(store_write_now(f->chat->store, insert_revoked, f, NULL), ERR_OK);
    begin_queue(f);
    wait_for(f, STORE_BATCH_COMPLETED);
    assert_int_equal(f->batch.failed, 2);
    assert_int_equal(count_of(f->failures, "\"status_code\":401"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stops, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_maker_is_gone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
