/* The store: opening and refusing, group commit and its savepoints, order, a full disk, a lock of
 * another program, backup beside writing. */
#include <errno.h>
#include <sys/mount.h>

#include "store/migrations.h"
#include "support.h"

#include "store/blob.h"
#include "store/record_file.h"
/* ---- Jobs --------------------------------------------------------------------------------------
 */
struct write_job {
    struct store_job job;
    char key[64];
    const char *value;
    enum err fail_with; /* after having written */
    int finished;
    enum err code;
    char message[384];
    struct loop *loop;
    int *left; /* jobs still under way: the last one stops the loop */
    int *order;
    int finished_as;
};

static enum err run_write(struct store_tx *tx, void *user, struct error *error)
{
    struct write_job *job = user;
    enum err code =
        store_setting_set(tx, str_from_cstr(job->key), str_from_cstr(job->value), error);
    if (code == ERR_OK && job->fail_with != ERR_OK)
        return error_set(error, job->fail_with, "key", "not this one");
    return code;
}

static void on_write(void *user, enum err code, const struct error *error)
{
    struct write_job *job = user;
    job->finished++;
    job->code = code;
    snprintf(job->message, sizeof job->message, "%s", error_message(error));
    if (job->order)
        job->finished_as = (*job->order)++;
    if (job->left && --*job->left == 0)
        loop_stop(job->loop);
}

static void submit(struct store *store, struct loop *loop, struct write_job *job)
{
    job->job.run = run_write;
    job->job.done = on_write;
    job->job.user = job;
    job->loop = loop;
    store_write(store, loop, &job->job);
}

static enum err write_one(struct store *store, const char *key, const char *value,
                          struct error *error)
{
    struct write_job job = {.value = value};
    snprintf(job.key, sizeof job.key, "%s", key);
    return store_write_now(store, run_write, &job, error);
}

struct count {
    const char *prefix;
    size_t count;
};

static enum err run_count(struct store_tx *tx, void *user, struct error *error)
{
    struct count *count = user;
    struct arena *arena = arena_new(256 << 20);
    struct store_setting *settings;
    size_t all;
    enum err code = store_setting_list(tx, arena, &settings, &all, error);
    count->count = 0;
    for (size_t i = 0; code == ERR_OK && i < all; i++)
        count->count += str_starts_with(settings[i].key, str_from_cstr(count->prefix));
    arena_free(arena);
    return code;
}

static size_t count_settings(struct store *store, const char *prefix)
{
    struct count count = {.prefix = prefix};
    struct error error = {0};
    if (store_read_now(store, run_count, &count, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    return count.count;
}

static char *path_in(const char *directory, const char *name)
{
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    return path;
}

static void exec_in(const char *path, const char *sql)
{
    sqlite3 *handle;
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(handle);
}

/* ---- Opening -----------------------------------------------------------------------------------
 */
static void test_modes_and_secret(void **state)
{
    (void)state;
    char *parent = directory_new();
    char *directory = path_in(parent, "deep/data");
    struct store *store = open_store(directory);
    unsigned char secret[32];
    memcpy(secret, store_secret(store), 32);
    static const char *const names[] = {"parley.db", "parley.db-wal", "secret.key", "lock"};
    struct stat status;
    assert_int_equal(stat(directory, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = path_in(directory, names[i]);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 0777, 0600);
        free(path);
    }
    assert_int_equal(write_one(store, "a", "1", NULL), ERR_OK);
    store_close(store);
    store = open_store(directory);
    assert_memory_equal(secret, store_secret(store), 32);
    assert_int_equal(count_settings(store, ""), 1);
    store_close(store);
    free(directory);
    directory_remove(parent);
}

static enum err try_open(const char *directory, struct error *error)
{
    struct store *store = NULL;
    const struct store_options options = {.directory = directory};
    enum err code = store_open(&options, &store, error);
    store_close(store);
    return code;
}

static void test_locked_directory(void **state)
{
    (void)state;
    char *directory = directory_new();
    struct store *store = open_store(directory);
    struct error error = {0};
    char pid[32];
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_int_equal(try_open(directory, &error), ERR_CONFLICT);
    assert_non_null(strstr(error.message, pid));
    store_close(store);
    assert_int_equal(try_open(directory, &error), ERR_OK);
    directory_remove(directory);
}

static void test_not_our_database(void **state)
{
    (void)state;
    static const char *const statements[] = {
        "CREATE TABLE theirs (a)",
        "PRAGMA application_id = 7",
    };
    struct error error = {0};
    for (size_t i = 0; i < 2; i++) {
        char *directory = directory_new(), *path = path_in(directory, "parley.db");
        exec_in(path, statements[i]);
        assert_int_equal(try_open(directory, &error), ERR_CORRUPT);
        assert_non_null(strstr(error.message, "another program"));
        free(path);
        directory_remove(directory);
    }
    char *directory = directory_new(), *path = path_in(directory, "parley.db");
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("This is a text, not a database. ", file);
    fclose(file);
    assert_int_equal(try_open(directory, &error), ERR_CORRUPT);
    free(path);
    directory_remove(directory);
}

static void test_newer_database(void **state)
{
    (void)state;
    char *directory = directory_new(), *path = path_in(directory, "parley.db");
    struct error error = {0};
    assert_int_equal(try_open(directory, &error), ERR_OK);
    exec_in(path, "PRAGMA user_version = 999");
    assert_int_equal(try_open(directory, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, "999"));
    free(path);
    directory_remove(directory);
}

struct old_message {
    struct id owner, conversation, id;
    bool right;
};

static enum err read_old_message(struct store_tx *tx, void *user, struct error *error)
{
    struct old_message *old = user;
    struct arena *arena = arena_new(65536);
    struct store_message message;
    enum err code =
        store_message_get(tx, arena, &old->owner, &old->conversation, &old->id, &message, error);
    old->right = code == ERR_OK && str_eq(message.content, STR("[1]")) &&
                 str_eq(message.model, STR("m")) && str_eq(message.usage, STR("u")) &&
                 str_eq(message.route, STR("")) && message.created_ms == 7;
    if (code == ERR_OK) {
        message.route = STR("{}");
        code = store_message_update(tx, &message, error);
    }
    arena_free(arena);
    return code;
}

static void make_version(const char *path, int64_t version)
{
    struct sqlite *sqlite = NULL;
    struct error error = {0};
    const struct sqlite_options options = {.path = path, .role = SQLITE_ROLE_WRITER};
    assert_int_equal(sqlite_open(&options, &sqlite, &error), ERR_OK);
    assert_int_equal(migrations_apply_until(sqlite, version, &error), ERR_OK);
    sqlite_close(sqlite);
}

/* A database as version 1 made it, with a message in it. */
static void test_older_database(void **state)
{
    (void)state;
    char *directory = directory_new(), *path = path_in(directory, "parley.db");
    struct old_message old = {.owner = id_new(1), .conversation = id_new(2), .id = id_new(3)};
    char *insert = NULL;
    struct error error = {0};
    make_version(path, 1);
    assert_true(asprintf(&insert,
                         "INSERT INTO conversations VALUES ('%s', '%s', 't', 'm', NULL, 1, 1);"
                         "INSERT INTO messages VALUES ('%s', '%s', '%s', NULL, 'assistant', 0,"
                         " '[1]', 'm', '', '', 'u', NULL, 7)",
                         old.owner.text, old.conversation.text, old.owner.text,
                         old.conversation.text, old.id.text) > 0);
    exec_in(path, insert);
    struct store *store = open_store(directory);
    assert_int_equal(store_write_now(store, read_old_message, &old, &error), ERR_OK);
    assert_true(old.right);
    store_close(store);
    assert_int_equal(try_open(directory, &error), ERR_OK); /* nothing is left to do */
    free(insert);
    free(path);
    directory_remove(directory);
}

static void test_bad_directories(void **state)
{
    (void)state;
    char *directory = directory_new(), *secret = path_in(directory, "secret.key");
    struct error error = {0};
    assert_int_equal(try_open("/dev/null/data", &error), ERR_STORAGE);
    assert_int_equal(try_open("/proc/parley", &error), ERR_STORAGE);
    FILE *file = fopen(secret, "w");
    fputs("short", file);
    fclose(file);
    assert_int_equal(try_open(directory, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, "secret.key"));
    assert_int_equal(unlink(secret), 0);
    assert_int_equal(try_open(directory, &error), ERR_OK);
    const struct store_options options = {.directory = directory, .readers = 1000};
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &store, &error), ERR_INVALID);
    free(secret);
    directory_remove(directory);
}

/* ---- Writing -----------------------------------------------------------------------------------
 */
static void test_group_keeps_others(void **state)
{
    (void)state;
    enum { JOBS = 300 };
    char *directory = directory_new();
    struct metric_registry *metrics = metric_registry_new();
    const struct store_options options = {.directory = directory, .metrics = metrics};
    struct store *store = NULL;
    assert_int_equal(store_open(&options, &store, NULL), ERR_OK);
    struct loop *loop = loop_new(0, NULL);
    struct write_job *jobs = calloc(JOBS, sizeof *jobs);
    int left = JOBS, order = 0;
    for (int i = 0; i < JOBS; i++) {
        jobs[i].value = "x";
        jobs[i].left = &left;
        jobs[i].order = &order;
        jobs[i].fail_with = i % 7 == 3 ? ERR_NOT_FOUND : ERR_OK;
        snprintf(jobs[i].key, sizeof jobs[i].key, "%s-%03d", i % 7 == 3 ? "bad" : "good", i);
        submit(store, loop, &jobs[i]);
        assert_int_equal(jobs[i].finished, 0); /* never before the call returns */
    }
    loop_run(loop);
    size_t good = 0;
    for (int i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].finished, 1);
        assert_int_equal(jobs[i].finished_as, i);
        assert_int_equal(jobs[i].code, jobs[i].fail_with);
        if (jobs[i].code != ERR_OK)
            assert_string_equal(jobs[i].message, "not this one");
        good += jobs[i].code == ERR_OK;
    }
    assert_int_equal(count_settings(store, "good"), good);
    assert_int_equal(count_settings(store, "bad"), 0);
    store_close(store);
    struct buf text;
    buf_init(&text, 65536);
    metric_registry_write(metrics, &text);
    assert_true(str_find(buf_str(&text), STR("parley_store_commits_total")) != SIZE_MAX);
    buf_done(&text);
    metric_registry_free(metrics);
    loop_free(loop);
    free(jobs);
    directory_remove(directory);
}

/* Jobs queued when the store closes are still run, and answered when the loop is freed. */
static void test_close_runs_queue(void **state)
{
    (void)state;
    enum { JOBS = 50 };
    char *directory = directory_new();
    struct store *store = open_store(directory);
    struct loop *loop = loop_new(0, NULL);
    struct write_job *jobs = calloc(JOBS, sizeof *jobs);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].value = "x";
        snprintf(jobs[i].key, sizeof jobs[i].key, "k%d", i);
        submit(store, loop, &jobs[i]);
    }
    store_close(store);
    loop_free(loop);
    for (int i = 0; i < JOBS; i++)
        assert_true(jobs[i].finished == 1 && jobs[i].code == ERR_OK);
    store = open_store(directory);
    assert_int_equal(count_settings(store, "k"), JOBS);
    store_close(store);
    free(jobs);
    directory_remove(directory);
}

static enum err run_forbidden_write(struct store_tx *tx, void *user, struct error *error)
{
    (void)user;
    return store_setting_set(tx, STR("a"), STR("b"), error);
}

static void test_readers_do_not_write(void **state)
{
    (void)state;
    char *directory = directory_new();
    struct store *store = open_store(directory);
    assert_int_equal(store_read_now(store, run_forbidden_write, NULL, NULL), ERR_STORAGE);
    assert_int_equal(count_settings(store, ""), 0);
    store_close(store);
    directory_remove(directory);
}

static enum err run_silent(struct store_tx *tx, void *user, struct error *error)
{
    (void)tx, (void)user, (void)error;
    return ERR_CONFLICT;
}

static void test_error_without_text(void **state)
{
    (void)state;
    char *directory = directory_new();
    struct store *store = open_store(directory);
    struct error error = {0};
    assert_int_equal(store_write_now(store, run_silent, NULL, &error), ERR_CONFLICT);
    assert_int_equal(error.code, ERR_CONFLICT);
    assert_string_equal(error_message(&error), err_info(ERR_CONFLICT)->message);
    store_close(store);
    directory_remove(directory);
}

/* Another program with a write lock: refused after the wait, and good again afterwards. */
static void test_foreign_lock(void **state)
{
    (void)state;
    char *directory = directory_new(), *path = path_in(directory, "parley.db");
    const struct store_options options = {.directory = directory, .busy_timeout_ms = 1};
    struct store *store = NULL;
    struct error error = {0};
    assert_int_equal(store_open(&options, &store, &error), ERR_OK);
    assert_int_equal(write_one(store, "before", "1", &error), ERR_OK);
    sqlite3 *other;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(write_one(store, "during", "1", &error), ERR_STORAGE);
    assert_non_null(strstr(error.message, "lock"));
    assert_int_equal(count_settings(store, "before"), 1);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(write_one(store, "after", "1", &error), ERR_OK);
    assert_int_equal(count_settings(store, "during"), 0);
    sqlite3_close(other);
    store_close(store);
    free(path);
    directory_remove(directory);
}

/* A disk that is really full: refused with a reason, reading goes on, nothing acknowledged is
 * lost, and writing works again when there is room. */
static void test_full_disk(void **state)
{
    (void)state;
    char *directory = directory_new();
    if (mount("tmpfs", directory, "tmpfs", 0, "size=1m") != 0) {
        directory_remove(directory);
        skip(); /* only root may mount; test_power_cut has the same by a VFS */
    }
    struct store *store = open_store(directory);
    struct error error = {0};
    char *value = malloc(20001);
    memset(value, 'x', 20000);
    value[20000] = '\0';
    size_t written = 0;
    enum err code = ERR_OK;
    while (code == ERR_OK && written < 1000) {
        char key[32];
        snprintf(key, sizeof key, "k%zu", written);
        code = write_one(store, key, value, &error);
        written += code == ERR_OK;
    }
    assert_int_equal(code, ERR_STORAGE);
    assert_true(strstr(error.message, "full") || strstr(error.message, "I/O"));
    assert_int_equal(write_one(store, "again", value, &error), ERR_STORAGE);
    assert_int_equal(count_settings(store, "k"), written);
    assert_int_equal(mount("tmpfs", directory, "tmpfs", MS_REMOUNT, "size=8m"), 0);
    assert_int_equal(write_one(store, "later", value, &error), ERR_OK);
    assert_int_equal(count_settings(store, "k"), written);
    assert_int_equal(store_read_now(store, check_integrity, NULL, &error), ERR_OK);
    store_close(store);
    store = open_store(directory);
    assert_int_equal(count_settings(store, "k"), written);
    assert_int_equal(count_settings(store, "later"), 1);
    store_close(store);
    free(value);
    assert_int_equal(umount(directory), 0);
    directory_remove(directory);
}

/* ---- Backup ------------------------------------------------------------------------------------
 */
struct backup_work {
    struct loop_work work;
    struct store *store;
    struct loop *loop;
    const char *path;
    uint64_t bytes;
    enum err code;
    bool ended;
    struct error error;
};

static void run_backup(void *user)
{
    struct backup_work *work = user;
    work->code = store_backup(work->store, work->path, &work->bytes, &work->error);
}

static void on_backup(void *user)
{
    struct backup_work *work = user;
    work->ended = true;
    loop_stop(work->loop);
}

/* Writes one after another until the backup has ended. */
struct endless {
    struct write_job write;
    struct store *store;
    struct backup_work *backup;
    size_t committed;
};

static void on_endless(void *user, enum err code, const struct error *error)
{
    (void)error;
    struct endless *endless = user;
    assert_int_equal(code, ERR_OK);
    endless->committed++;
    if (endless->backup->ended)
        return;
    snprintf(endless->write.key, sizeof endless->write.key, "during-%zu", endless->committed);
    store_write(endless->store, endless->backup->loop, &endless->write.job);
}

static void test_backup_beside_writing(void **state)
{
    (void)state;
    char *directory = directory_new(), *path = path_in(directory, "copy.db");
    char *other = path_in(directory, "other");
    struct store *store = open_store(directory);
    char *value = malloc(100001);
    memset(value, 'v', 100000);
    value[100000] = '\0';
    for (int i = 0; i < 60; i++) { /* 6 MB: several steps */
        char key[32];
        snprintf(key, sizeof key, "before-%d", i);
        assert_int_equal(write_one(store, key, value, NULL), ERR_OK);
    }
    struct loop *loop = loop_new(0, NULL);
    struct backup_work work = {.store = store, .loop = loop, .path = path};
    struct endless endless = {.store = store, .backup = &work};
    endless.write.value = value;
    endless.write.job.run = run_write; /* the write is the first member: one `user` for both */
    endless.write.job.done = on_endless;
    endless.write.job.user = &endless;
    snprintf(endless.write.key, sizeof endless.write.key, "during-0");
    loop_work_start(loop, &work.work, run_backup, on_backup, &work);
    store_write(store, loop, &endless.write.job);
    loop_run(loop);
    if (work.code != ERR_OK)
        fail_msg("%s", error_message(&work.error));
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(work.bytes, status.st_size);
    struct error error = {0};
    uint64_t bytes = 0;
    assert_int_equal(store_backup(store, path, &bytes, &error), ERR_CONFLICT);
    assert_int_equal(store_backup(store, "/nowhere/copy.db", &bytes, &error), ERR_STORAGE);
    store_close(store);
    loop_free(loop);
    assert_true(endless.committed > 0);
    assert_int_equal(mkdir(other, 0700), 0);
    char *restored = path_in(other, "parley.db");
    assert_int_equal(rename(path, restored), 0);
    store = open_store(other);
    assert_int_equal(store_read_now(store, check_integrity, NULL, NULL), ERR_OK);
    assert_int_equal(count_settings(store, "before"), 60);
    assert_true(count_settings(store, "during") <= endless.committed);
    store_close(store);
    free(restored);
    free(value);
    free(other);
    free(path);
    directory_remove(directory);
}

/* ---- Contents of files in a backup ------------------------------------------------------------- */

static struct store_file make_file(const struct id *owner, const char *name, bool is_begun)
{
    return (struct store_file){.owner = *owner,
                               .id = id_new(clock_wall_ms()),
                               .purpose = STR("user_data"),
                               .name = str_from_cstr(name),
                               .mime = STR("text/plain"),
                               .sha256 = STR("0"),
                               .bytes = 5,
                               .created_ms = 1,
                               .is_begun = is_begun};
}

static enum err insert_file(struct store_tx *tx, void *user, struct error *error)
{
    const struct store_file_limits limits = {1 << 20, 1 << 20, 100};
    return store_file_insert(tx, user, &limits, error);
}

static enum err has_file(struct store_tx *tx, void *user, struct error *error)
{
    bool exists = false;
    enum err code = store_file_exists(tx, user, &exists, error);
    return code == ERR_OK && !exists ? ERR_NOT_FOUND : code;
}

static void test_backup_has_contents(void **state)
{
    (void)state;
    char *directory = directory_new(), *other = directory_new();
    char *path = path_in(directory, "copy.db"), *folder = path_in(directory, "copy.db.files");
    char *database = path_in(other, "parley.db"), *files = path_in(other, "files");
    struct store *store = open_store(directory);
    struct store_user person = make_user("a@b");
    struct store_file whole = make_file(&person.id, "whole", false);
    struct store_file gone = make_file(&person.id, "gone", false);
    struct store_file begun = make_file(&person.id, "begun", true);
    struct store_file empty = make_file(&person.id, "empty", true);
    struct store_file *rows[] = {&whole, &gone, &begun, &empty};
    struct id unknown = id_new(clock_wall_ms());
    char sha256[BLOB_SHA256_CHARS + 1];
    struct error error = {0};
    uint64_t bytes = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(store_write_now(store, insert_file, rows[i], &error), ERR_OK);
    assert_int_equal(blob_write(directory, &whole.id, STR("whole"), sha256, NULL), ERR_OK);
    assert_int_equal(blob_write(directory, &unknown, STR("nobody"), sha256, NULL), ERR_OK);
    assert_int_equal(blob_append(directory, &begun.id, 0, STR("beg"), NULL), ERR_OK);
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(store_backup(store, path, &bytes, &error), ERR_CONFLICT);
    assert_int_equal(rmdir(folder), 0);       /* it was not ours to remove */
    assert_int_equal(access(path, F_OK), -1); /* and no half is left */
    assert_int_equal(store_backup(store, path, &bytes, &error), ERR_OK);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(bytes, status.st_size + 8);
    store_close(store);
    assert_int_equal(rename(path, database), 0);
    assert_int_equal(rename(folder, files), 0);
    store = open_store(other);
    struct blob blob;
    assert_int_equal(blob_map(other, &whole.id, &blob, NULL), ERR_OK);
    assert_true(str_eq(blob.content, STR("whole")));
    blob_unmap(&blob);
    assert_int_equal(blob_begun_bytes(other, &begun.id, &bytes, NULL), ERR_OK);
    assert_int_equal(bytes, 3);
    assert_int_equal(blob_map(other, &unknown, &blob, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_read_now(store, has_file, &whole.id, NULL), ERR_OK);
    assert_int_equal(store_read_now(store, has_file, &begun.id, NULL), ERR_OK);
    assert_int_equal(store_read_now(store, has_file, &empty.id, NULL), ERR_OK);
    assert_int_equal(store_read_now(store, has_file, &gone.id, NULL), ERR_NOT_FOUND);
    assert_int_equal(store_read_now(store, check_integrity, NULL, NULL), ERR_OK);
    store_close(store);
    free(files);
    free(database);
    free(folder);
    free(path);
    directory_remove(other);
    directory_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes_and_secret),      cmocka_unit_test(test_locked_directory),
        cmocka_unit_test(test_not_our_database),      cmocka_unit_test(test_newer_database),
        cmocka_unit_test(test_older_database),        cmocka_unit_test(test_bad_directories),
        cmocka_unit_test(test_group_keeps_others),    cmocka_unit_test(test_close_runs_queue),
        cmocka_unit_test(test_readers_do_not_write),  cmocka_unit_test(test_error_without_text),
        cmocka_unit_test(test_foreign_lock),          cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_backup_beside_writing), cmocka_unit_test(test_backup_has_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
