/* The journal: what was appended is replayed, whatever happens to the tail; segments go when
 * nobody needs them; a full disk and a failed sync are errors, and end. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include "store/journal.h"
#include "store/segment.h"
#include "support.h"

struct fixture {
    char *directory;
    struct loop *loop;
    struct journal *journal;
};

static struct journal *open_journal(struct fixture *f, uint64_t interval_ms, uint64_t bytes_max,
                                    int (*sync)(int fd))
{
    const struct journal_options options = {.directory = f->directory,
                                            .sync_interval_ms = interval_ms,
                                            .segment_bytes_max = bytes_max,
                                            .sync = sync};
    struct error error = {0};
    if (journal_open(f->loop, &options, &f->journal, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    return f->journal;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_new();
    f->loop = loop_new(3, NULL);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    journal_close(f->journal);
    loop_free(f->loop);
    directory_remove(f->directory);
    free(f);
    return 0;
}

static void nothing(void *user)
{
    (void)user;
}

/* One turn of the loop that does not wait. */
static void turn(struct fixture *f)
{
    struct loop_task task = {0};
    assert_true(loop_post(f->loop, &task, nothing, NULL));
    loop_run_once(f->loop);
}

static enum err append(struct fixture *f, const struct id *id, uint64_t sequence,
                       struct str payload)
{
    const struct journal_record record = {
        .kind = (uint16_t)(1 + sequence % 3), .id = *id, .sequence = sequence, .payload = payload};
    return journal_append(f->journal, &record);
}

/* What a replay found: sequence numbers in order, payloads checked against payload_of. */
struct found {
    size_t count;
    uint64_t sequences[4096];
    struct id ids[4096];
    size_t wrong;
    size_t stop_after;
};

static struct str payload_of(uint64_t sequence, char *space, size_t size)
{
    size_t length = (size_t)(sequence * 7 % 90);
    assert_true(length < size);
    for (size_t i = 0; i < length; i++)
        space[i] = (char)(sequence + i);
    return STR_FROM(space, length);
}

static enum err on_record(void *user, const struct journal_record *record)
{
    struct found *found = user;
    char space[128];
    found->wrong += !str_eq(record->payload, payload_of(record->sequence, space, sizeof space)) ||
                    record->kind != 1 + record->sequence % 3;
    found->ids[found->count] = record->id;
    found->sequences[found->count++] = record->sequence;
    return found->stop_after && found->count == found->stop_after ? ERR_CANCELLED : ERR_OK;
}

static struct journal_replay_result replay(const char *directory, struct found *found)
{
    struct journal_replay_result result = {0};
    struct error error = {0};
    *found = (struct found){0};
    if (journal_replay(directory, on_record, found, &result, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    assert_int_equal(found->wrong, 0);
    assert_int_equal(found->count, result.records);
    return result;
}

static void append_range(struct fixture *f, const struct id *id, uint64_t from, uint64_t to)
{
    char space[128];
    for (uint64_t i = from; i < to; i++)
        assert_int_equal(append(f, id, i, payload_of(i, space, sizeof space)), ERR_OK);
}

static void assert_range(const struct found *found, size_t at, uint64_t from, uint64_t to)
{
    assert_true(found->count >= at + (to - from));
    for (uint64_t i = from; i < to; i++)
        assert_int_equal(found->sequences[at + (i - from)], i);
}

static size_t count_files(const char *directory)
{
    char path[512];
    snprintf(path, sizeof path, "%s/journal", directory);
    DIR *folder = opendir(path);
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* ---- Appending and replaying -------------------------------------------------------------------
 */
static void test_written_at_end_of_turn(void **state)
{
    struct fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    struct id run = id_new(1);
    assert_int_equal(replay(f->directory, found).segments, 0); /* no directory yet */
    open_journal(f, 0, 0, NULL);
    append_range(f, &run, 1, 40);
    assert_int_equal(replay(f->directory, found).records, 0);
    turn(f);
    /* The process could be killed now: nothing was closed or synced. */
    struct journal_replay_result result = replay(f->directory, found);
    assert_true(result.records == 39 && result.segments == 1 && result.damaged == 0);
    assert_range(found, 0, 1, 40);
    assert_true(id_eq(&found->ids[0], &run));
    free(found);
}

static void test_generations_follow(void **state)
{
    struct fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    struct id run = id_new(1);
    for (uint64_t round = 0; round < 3; round++) {
        open_journal(f, 0, 0, NULL);
        append_range(f, &run, round * 10, round * 10 + 10);
        journal_close(f->journal); /* not released: the segment stays */
        f->journal = NULL;
    }
    assert_int_equal(replay(f->directory, found).segments, 3);
    assert_range(found, 0, 0, 30);
    found->stop_after = 5;
    struct found stopped = {.stop_after = 5};
    struct journal_replay_result result;
    assert_int_equal(journal_replay(f->directory, on_record, &stopped, &result, NULL),
                     ERR_CANCELLED);
    assert_int_equal(stopped.count, 5);
    assert_int_equal(journal_remove_all(f->directory, NULL), ERR_OK);
    assert_int_equal(replay(f->directory, found).segments, 0);
    assert_int_equal(journal_remove_all(f->directory, NULL), ERR_OK);
    free(found);
}

static void test_segments_are_released(void **state)
{
    struct fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    struct id first = id_new(1), second = id_new(2);
    open_journal(f, 0, 2000, NULL);
    append_range(f, &first, 0, 60);
    turn(f);
    size_t files = count_files(f->directory);
    assert_true(files > 2);
    append_range(f, &second, 60, 61);
    turn(f);
    assert_int_equal(replay(f->directory, found).records, 61);
    assert_range(found, 0, 0, 61);
    journal_release(f->journal, &first);
    while (count_files(f->directory) > 1) /* one may be in the pool, being synced */
        loop_run_once(f->loop);
    journal_release(f->journal, &first); /* again: nothing happens */
    append_range(f, &second, 61, 120);
    turn(f);
    assert_int_equal(replay(f->directory, found).damaged, 0);
    assert_range(found, found->count - 60, 60, 120);
    journal_release(f->journal, &second);
    journal_close(f->journal);
    f->journal = NULL;
    assert_int_equal(count_files(f->directory), 0);
    free(found);
}

static void test_payload_sizes(void **state)
{
    struct fixture *f = *state;
    struct id run = id_new(1);
    open_journal(f, 0, 0, NULL);
    char *big = calloc(1, JOURNAL_PAYLOAD_BYTES_MAX + 1);
    assert_int_equal(append(f, &run, 0, STR_FROM(big, JOURNAL_PAYLOAD_BYTES_MAX + 1)), ERR_TOO_BIG);
    for (int i = 0; i < 4; i++) /* more than is kept pending: written early */
        assert_int_equal(append(f, &run, 0, STR_FROM(big, JOURNAL_PAYLOAD_BYTES_MAX)), ERR_OK);
    turn(f);
    struct found *found = calloc(1, sizeof *found);
    struct journal_replay_result result;
    assert_int_equal(journal_replay(f->directory, on_record, found, &result, NULL), ERR_OK);
    assert_true(result.records == 4 && result.damaged == 0);
    free(found);
    free(big);
}

/* ---- Damage ------------------------------------------------------------------------------------
 */
struct image {
    char path[512];
    char *bytes;
    size_t size;
};

static struct image read_image(const char *directory)
{
    struct image image;
    snprintf(image.path, sizeof image.path, "%s/journal/3-1.log", directory);
    FILE *file = fopen(image.path, "r");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    image.size = (size_t)ftell(file);
    rewind(file);
    image.bytes = malloc(image.size);
    assert_int_equal(fread(image.bytes, 1, image.size, file), image.size);
    fclose(file);
    return image;
}

static void write_image(const struct image *image, size_t size)
{
    FILE *file = fopen(image->path, "w");
    assert_int_equal(fwrite(image->bytes, 1, size, file), size);
    fclose(file);
}

static void test_torn_at_every_byte(void **state)
{
    struct fixture *f = *state;
    enum { RECORDS = 12 };
    struct found *found = calloc(1, sizeof *found);
    struct id run = id_new(1);
    open_journal(f, 0, 0, NULL);
    append_range(f, &run, 0, RECORDS);
    journal_close(f->journal);
    f->journal = NULL;
    size_t ends[RECORDS + 1] = {0};
    for (uint64_t i = 0; i < RECORDS; i++)
        ends[i + 1] = ends[i] + SEGMENT_HEADER_BYTES + (size_t)(i * 7 % 90);
    struct image image = read_image(f->directory);
    assert_int_equal(image.size, ends[RECORDS]);
    for (size_t size = 0; size <= image.size; size++) {
        size_t whole = 0;
        while (whole < RECORDS && ends[whole + 1] <= size)
            whole++;
        write_image(&image, size);
        struct journal_replay_result result = replay(f->directory, found);
        assert_int_equal(result.records, whole);
        assert_int_equal(result.damaged, size != ends[whole]);
        assert_range(found, 0, 0, whole);
    }
    /* One flipped bit anywhere: everything before that record is there, nothing from it on. */
    for (size_t at = 0; at < image.size; at++) {
        size_t whole = 0;
        while (ends[whole + 1] <= at)
            whole++;
        image.bytes[at] ^= (char)(1 << at % 8);
        write_image(&image, image.size);
        struct journal_replay_result result = replay(f->directory, found);
        assert_true(result.records == whole && result.damaged == 1);
        image.bytes[at] ^= (char)(1 << at % 8);
    }
    free(image.bytes);
    free(found);
}

static void test_foreign_files(void **state)
{
    struct fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    struct id run = id_new(1);
    open_journal(f, 0, 0, NULL);
    append_range(f, &run, 0, 3);
    turn(f);
    static const char *const names[] = {"notes.txt", "03-1.log",    "3-.log",
                                        "-3.log",    "3-1.log.old", "99999999999999999999-1.log"};
    char path[600];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/journal/%s", f->directory, names[i]);
        FILE *file = fopen(path, "w");
        fputs("not a segment", file);
        fclose(file);
    }
    assert_int_equal(replay(f->directory, found).segments, 1);
    /* A segment under another generation's name: its records are not that generation's. */
    char other[600];
    snprintf(path, sizeof path, "%s/journal/3-1.log", f->directory);
    snprintf(other, sizeof other, "%s/journal/3-2.log", f->directory);
    assert_int_equal(rename(path, other), 0);
    struct journal_replay_result result = replay(f->directory, found);
    assert_true(result.segments == 1 && result.records == 0 && result.damaged == 1);
    assert_int_equal(rename(other, path), 0);
    free(found);
}

/* ---- Trouble -----------------------------------------------------------------------------------
 */
static void limit_file_size(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk(void **state)
{
    struct fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    struct id run = id_new(1);
    signal(SIGXFSZ, SIG_IGN);
    open_journal(f, 0, 0, NULL);
    append_range(f, &run, 0, 10);
    turn(f);
    limit_file_size(1500); /* in the middle of a record */
    append_range(f, &run, 10, 30);
    turn(f);
    char space[128];
    assert_int_equal(append(f, &run, 999, payload_of(999, space, sizeof space)), ERR_STORAGE);
    assert_int_equal(append(f, &run, 999, payload_of(999, space, sizeof space)), ERR_STORAGE);
    turn(f);
    replay(f->directory, found);
    assert_range(found, 0, 0, 10); /* what was there before is still there */
    limit_file_size(RLIM_INFINITY);
    append_range(f, &run, 30, 40);
    turn(f);
    assert_int_equal(replay(f->directory, found).damaged, 0);
    assert_int_equal(found->count, 40); /* what was accepted is there, what was refused is not */
    assert_range(found, 0, 0, 40);
    free(found);
}

/* The pool's syncs, counted; fails while the file "fail" exists beside the segments. */
static int counting_sync(int fd)
{
    char link[64], path[512], fail[600];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    assert_true(length > 0);
    path[length] = '\0';
    *strrchr(path, '/') = '\0';
    snprintf(fail, sizeof fail, "%s/fail", path);
    if (access(fail, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    snprintf(fail, sizeof fail, "%s/synced", path);
    int synced = open(fail, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_int_equal(write(synced, "x", 1), 1);
    close(synced);
    return 0;
}

static off_t syncs(struct fixture *f)
{
    char path[600];
    struct stat status;
    snprintf(path, sizeof path, "%s/journal/synced", f->directory);
    return stat(path, &status) == 0 ? status.st_size : 0;
}

static void set_failing(struct fixture *f, bool failing)
{
    char path[600];
    snprintf(path, sizeof path, "%s/journal/fail", f->directory);
    if (!failing)
        unlink(path);
    else
        close(open(path, O_WRONLY | O_CREAT, 0600));
}

static void test_synced_on_interval(void **state)
{
    struct fixture *f = *state;
    struct id run = id_new(1);
    open_journal(f, 1, 0, counting_sync);
    append_range(f, &run, 0, 5);
    while (syncs(f) == 0)
        loop_run_once(f->loop);
    append_range(f, &run, 5, 6);
    while (syncs(f) == 1)
        loop_run_once(f->loop);
    journal_release(f->journal, &run);
}

static void test_failed_sync(void **state)
{
    struct fixture *f = *state;
    struct found *found = calloc(1, sizeof *found);
    struct id run = id_new(1);
    char space[128];
    open_journal(f, 1, 0, counting_sync);
    set_failing(f, true);
    append_range(f, &run, 0, 5);
    while (append(f, &run, 5, payload_of(5, space, sizeof space)) == ERR_OK)
        loop_run_once(f->loop);
    size_t accepted = replay(f->directory, found).records;
    assert_int_equal(append(f, &run, 999, STR_NONE), ERR_STORAGE);
    set_failing(f, false);
    append_range(f, &run, 6, 9);
    turn(f);
    struct journal_replay_result result = replay(f->directory, found);
    assert_int_equal(result.damaged, 0);
    assert_true(result.segments >= 2); /* the distrusted one is not written any more */
    assert_int_equal(found->count, accepted + 3);
    assert_range(found, accepted, 6, 9);
    free(found);
}

/* A sync in the pool while the journal is closed. */
static void test_close_during_sync(void **state)
{
    struct fixture *f = *state;
    struct id run = id_new(1);
    for (int i = 0; i < 20; i++) {
        open_journal(f, 1, 300, NULL);
        append_range(f, &run, 0, 20);
        turn(f);
        if (i % 2)
            loop_run_once(f->loop);
        if (i % 3)
            journal_release(f->journal, &run);
        journal_close(f->journal);
        f->journal = NULL;
    }
    assert_true(count_files(f->directory) > 0);
    assert_int_equal(journal_remove_all(f->directory, NULL), ERR_OK);
    assert_int_equal(count_files(f->directory), 0);
}

#define WITH_LOOP(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOOP(test_written_at_end_of_turn),
        WITH_LOOP(test_generations_follow),
        WITH_LOOP(test_segments_are_released),
        WITH_LOOP(test_payload_sizes),
        WITH_LOOP(test_torn_at_every_byte),
        WITH_LOOP(test_foreign_files),
        WITH_LOOP(test_full_disk),
        WITH_LOOP(test_synced_on_interval),
        WITH_LOOP(test_failed_sync),
        WITH_LOOP(test_close_during_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
