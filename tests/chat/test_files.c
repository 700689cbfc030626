/* Files: stored whole or not at all, in pieces, limits, names, and what a crash leaves behind. */
#include "helper_chat.h"

#include "chat/files.h"
#include "store/blob.h"

struct done {
    bool is_done;
    enum err code;
    struct error error;
};

struct fixture {
    struct chat_fixture *chat;
    struct files *files;
    struct arena *arena;
};

static void open_files(struct fixture *f)
{
    const struct files_options options = {.store = f->chat->store,
                                          .directory = f->chat->directory,
                                          .file_bytes_max = 1000,
                                          .total_bytes_max = 1500,
                                          .count_max = 3};
    assert_int_equal(files_open(&options, &f->files, NULL), ERR_OK);
    assert_int_equal(files_bytes_max(f->files), 1000);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    chat_setup((void **)&f->chat);
    f->arena = arena_new(16 << 20);
    open_files(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    chat_teardown((void **)&f->chat); /* waits for what is in the pool */
    files_close(f->files);
    arena_free(f->arena);
    free(f);
    return 0;
}

static void on_done(void *user, enum err code, const struct error *error)
{
    struct done *done = user;
    assert_false(done->is_done);
    done->is_done = true;
    done->code = code;
    if (code != ERR_OK)
        done->error = *error;
}

typedef void call_fn(struct files *files, struct loop *loop, struct file_work *work);

static enum err run(struct fixture *f, call_fn *call, struct file_work *work)
{
    struct done done = {0};
    struct loop *loop = f->chat->net->loop;
    work->arena = f->arena;
    work->user = &done;
    work->done = on_done;
    call(f->files, loop, work);
    assert_false(done.is_done);
    TURN_UNTIL(loop, done.is_done);
    assert_int_equal(done.error.code, done.code);
    return done.code;
}

static struct file_work make_work(struct fixture *f, struct str content)
{
    return (struct file_work){.file = {.owner = f->chat->owner,
                                       .purpose = STR("batch"),
                                       .name = STR("a.jsonl"),
                                       .mime = STR("text/plain")},
                              .content = content};
}

static size_t contents_on_disk(struct fixture *f)
{
    char *command = NULL;
    unsigned count = 99;
    assert_true(asprintf(&command, "find '%s/files' -type f | wc -l", f->chat->directory) > 0);
    FILE *out = popen(command, "r");
    assert_int_equal(fscanf(out, "%u", &count), 1);
    pclose(out);
    free(command);
    return count;
}

static void test_life(void **state)
{
    struct fixture *f = *state;
    struct file_work put = make_work(f, STR("abc")), got = {0}, read = {0};
    assert_int_equal(run(f, files_put, &put), ERR_OK);
    assert_int_equal(put.file.bytes, 3);
    got.file.owner = f->chat->owner;
    got.file.id = put.file.id;
    assert_int_equal(run(f, files_get, &got), ERR_OK);
    assert_true(str_eq(got.file.sha256, put.file.sha256) && got.file.sha256.len == 64);
    read.file = got.file;
    read.offset = 1;
    assert_int_equal(run(f, files_read, &read), ERR_OK);
    assert_true(str_eq(read.content, STR("bc")));
    got.file.owner = id_new(1); /* another's */
    assert_int_equal(run(f, files_get, &got), ERR_NOT_FOUND);
    assert_int_equal(run(f, files_delete, &got), ERR_NOT_FOUND);
    got.file.owner = f->chat->owner;
    assert_int_equal(run(f, files_delete, &got), ERR_OK);
    assert_int_equal(run(f, files_get, &got), ERR_NOT_FOUND);
    assert_int_equal(contents_on_disk(f), 0);
}

static enum err refuse(void *user, struct file_work *work, struct error *error)
{
    (void)user, (void)work;
    return error_set(error, ERR_INVALID, "file", "no");
}

/* What is refused leaves nothing on disk. */
static void test_limits(void **state)
{
    struct fixture *f = *state;
    char large[1001] = {0};
    struct file_work work = make_work(f, STR_FROM(large, sizeof large));
    assert_int_equal(run(f, files_put, &work), ERR_TOO_BIG);
    work.make = refuse;
    assert_int_equal(run(f, files_put, &work), ERR_INVALID);
    assert_int_equal(contents_on_disk(f), 0);
    struct file_work full = make_work(f, STR_FROM(large, 1000));
    assert_int_equal(run(f, files_put, &full), ERR_OK);
    struct file_work more = make_work(f, STR_FROM(large, 501));
    assert_int_equal(run(f, files_put, &more), ERR_TOO_BIG);
    for (int i = 0; i < 2; i++) {
        struct file_work small = make_work(f, STR("x"));
        assert_int_equal(run(f, files_put, &small), ERR_OK);
    }
    struct file_work fourth = make_work(f, STR("x"));
    assert_int_equal(run(f, files_put, &fourth), ERR_TOO_BIG);
    assert_int_equal(contents_on_disk(f), 3);
}

static struct file_work piece_of(const struct file_work *begun, uint64_t offset, struct str content,
                                 bool is_last)
{
    return (struct file_work){.file = {.owner = begun->file.owner, .id = begun->file.id},
                              .offset = offset,
                              .content = content,
                              .is_last = is_last};
}

static void test_in_pieces(void **state)
{
    struct fixture *f = *state;
    struct file_work begun = make_work(f, STR("")), got = {0};
    begun.file.bytes = 5;
    begun.file.expires_ms = clock_wall_ms() + 60000;
    assert_int_equal(run(f, files_begin, &begun), ERR_OK);
    struct file_work work = piece_of(&begun, 0, STR(""), false);
    assert_int_equal(run(f, files_ask, &work), ERR_OK);
    assert_int_equal(work.offset, 0);
    work = piece_of(&begun, 0, STR("abc"), false);
    assert_int_equal(run(f, files_append, &work), ERR_OK);
    work = piece_of(&begun, 4, STR("e"), true); /* one is missing */
    assert_int_equal(run(f, files_append, &work), ERR_CONFLICT);
    work = piece_of(&begun, 3, STR("def"), true);
    assert_int_equal(run(f, files_append, &work), ERR_CONFLICT);
    work = piece_of(&begun, 3, STR("d"), true);
    assert_int_equal(run(f, files_append, &work), ERR_CONFLICT);
    work = piece_of(&begun, 0, STR(""), false);
    work.file.owner = id_new(1);
    assert_int_equal(run(f, files_ask, &work), ERR_NOT_FOUND);
    files_close(f->files); /* a restart */
    open_files(f);
    work = piece_of(&begun, 0, STR(""), false);
    assert_int_equal(run(f, files_ask, &work), ERR_OK);
    assert_int_equal(work.offset, 3);
    got.file = begun.file;
    assert_int_equal(run(f, files_get, &got), ERR_NOT_FOUND);
    work = piece_of(&begun, 3, STR("de"), true);
    assert_int_equal(run(f, files_append, &work), ERR_OK);
    assert_int_equal(run(f, files_get, &got), ERR_OK);
    assert_int_equal(got.file.bytes, 5);
    assert_int_equal(got.file.expires_ms, 0);
    assert_int_equal(run(f, files_append, &work), ERR_NOT_FOUND);
}

static void test_expiry(void **state)
{
    struct fixture *f = *state;
    struct file_work put = make_work(f, STR("abc"));
    put.file.expires_ms = clock_wall_ms() - 1;
    assert_int_equal(run(f, files_put, &put), ERR_OK);
    struct file_work got = {.file = {.owner = put.file.owner, .id = put.file.id}};
    assert_int_equal(run(f, files_get, &got), ERR_NOT_FOUND);
    assert_int_equal(contents_on_disk(f), 1);
    files_expire(f->files, f->chat->net->loop);
    TURN_UNTIL(f->chat->net->loop, contents_on_disk(f) == 0);
}

static void test_orphans(void **state)
{
    struct fixture *f = *state;
    struct id id = id_new(1);
    char sha256[BLOB_SHA256_CHARS + 1];
    assert_int_equal(blob_write(f->chat->directory, &id, STR("abc"), sha256, NULL), ERR_OK);
    files_close(f->files);
    open_files(f);
    assert_int_equal(contents_on_disk(f), 0);
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    static const char *const rows[][2] = {
        {"a.jsonl", "a.jsonl"},
        {"../../etc/passwd", "passwd"},
        {"C:\\x\\y z.txt", "y z.txt"},
        {"a\r\nb\x7f\x01", "ab"},
        {"..", "file"},
        {"x/", "file"},
        {"", "file"},
        {"\xFF", "\xEF\xBF\xBD"},
        {" \t ", "file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_true(str_eq(files_clean_name(f->arena, str_from_cstr(rows[i][0])),
                           str_from_cstr(rows[i][1])));
    char name[600];
    memset(name, 'x', sizeof name);
    assert_int_equal(files_clean_name(f->arena, STR_FROM(name, sizeof name)).len,
                     FILES_NAME_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_orphans, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
