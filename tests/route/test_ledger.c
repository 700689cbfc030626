/* The ledger: an attempt is in the journal before a byte of it leaves, its row is in the database
 * once, whatever happens in between, and the sums are those of the rows. A crash is played by
 * copying the folder as the operating system has it. */
#include "../store/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "../store/faulty_vfs.h"
#include "base/bytes.h"
#include "net/stream.h"
#include "route/ledger_block.h"
#include "route/ledger_entries.h"
#include "store/journal.h"

enum { FLUSH_MS = 1 };
#define DAY_START_MS INT64_C(4102444800000) /* 2100-01-01: no minute of it is forgotten yet */
#define LONG_AGO_MS  INT64_C(1700000000000)

struct fixture {
    char *directory;
    struct loop *loop;
    struct store *store;
    struct journal *journal;
    struct metric_registry *metrics;
    struct ledger *ledger;
    struct log *log;
    int log_fd;
    int flushed;
};

struct setting {
    const char *vfs;
    size_t segment_bytes_max;
    size_t waiting_bytes_max;
    uint64_t epoch_ms;
    uint64_t flush_ms;
};

static void start(struct fixture *f, const struct setting *setting)
{
    *f = (struct fixture){.directory = directory_new()};
    f->log_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    f->log = log_new(f->log_fd, LOG_DEBUG, LOG_FORMAT_TEXT);
    f->loop = loop_new(0, f->log);
    f->metrics = metric_registry_new();
    const struct store_options store = {
        .directory = f->directory, .log = f->log, .vfs = setting->vfs};
    assert_int_equal(store_open(&store, &f->store, NULL), ERR_OK);
    const struct journal_options journal = {.directory = f->directory,
                                            .segment_bytes_max = setting->segment_bytes_max};
    assert_int_equal(journal_open(f->loop, &journal, &f->journal, NULL), ERR_OK);
    f->ledger =
        ledger_new(&(struct ledger_options){.loop = f->loop,
                                            .store = f->store,
                                            .journal = f->journal,
                                            .log = f->log,
                                            .metrics = f->metrics,
                                            .flush_ms = setting->flush_ms,
                                            .epoch_ms = setting->epoch_ms,
                                            .waiting_bytes_max = setting->waiting_bytes_max});
}

static void stop_loop(struct fixture *f)
{
    ledger_free(f->ledger);
    journal_close(f->journal);
    loop_free(f->loop);
    f->ledger = NULL;
}

static void finish(struct fixture *f)
{
    if (f->ledger)
        stop_loop(f);
    store_close(f->store);
    metric_registry_free(f->metrics);
    log_free(f->log);
    close(f->log_fd);
    directory_remove(f->directory);
}

static void nothing(void *user)
{
    (void)user;
}

static void turn(struct fixture *f)
{
    struct loop_task task = {0};
    assert_true(loop_post(f->loop, &task, nothing, NULL));
    loop_run_once(f->loop);
}

static void on_flushed(void *user)
{
    ((struct fixture *)user)->flushed++;
}

static void flush(struct fixture *f)
{
    int before = f->flushed;
    ledger_flush(f->ledger, on_flushed, f);
    assert_int_equal(f->flushed, before); /* never in the call */
    while (f->flushed == before)
        loop_run_once(f->loop);
}

/* ---- Rows -------------------------------------------------------------------------------------- */

static const struct str tags[] = {{"user:ann", 8}, {"team:x", 6}, {"user:ann", 8}};

static struct ledger_row make_row(const struct id *groups)
{
    return (struct ledger_row){.start_ms = DAY_START_MS,
                               .origin = {.request_id = STR("request"),
                                          .user = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq1"},
                                          .key = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq2"},
                                          .groups = groups,
                                          .group_count = groups ? 2 : 0,
                                          .tags = tags,
                                          .tag_count = 3,
                                          .door = STR("openai"),
                                          .model = STR("fast")},
                               .number = 1,
                               .target = STR("p/m"),
                               .mode = "whole",
                               .is_streamed = true};
}

static struct ledger_row ended(struct ledger_row row, enum ledger_outcome outcome, int64_t tokens)
{
    row.outcome = outcome;
    row.reached = true;
    row.usage = (struct llm_usage){tokens, tokens / 2, 0, 2 * tokens, 1, false};
    row.cost_nano = tokens * 10;
    row.first_content_us = 200000;
    row.duration_us = 1500000;
    row.error_class = outcome == LEDGER_FAILED ? ERR_OVERLOADED : ERR_OK;
    return row;
}

static void attempt(struct fixture *f, enum ledger_outcome outcome, int64_t tokens)
{
    struct ledger_row row = make_row(NULL);
    struct ledger_open *open = ledger_begin(f->ledger, &row);
    ledger_reached(f->ledger, open);
    row = ended(row, outcome, tokens);
    ledger_end(f->ledger, open, &row);
}

/* What a database holds. */
struct held {
    int64_t blocks;
    int64_t rows;
    int64_t interrupted;
    int64_t reached; /* of the interrupted ones */
    struct store_sums all;
    struct store_sums groups;
    struct store_sums tags;
    struct store_usage_minute minute;
    int64_t overloaded;
};

static void count_rows(struct held *held, struct str data)
{
    uint64_t serial;
    struct str packed;
    struct ledger_reader reader;
    struct ledger_row_space space;
    struct ledger_row row;
    ledger_reader_init(&reader, data);
    while (ledger_reader_next(&reader, &serial, &packed)) {
        assert_true(ledger_row_unpack(packed, &space, &row));
        held->rows++;
        held->interrupted += row.outcome == LEDGER_INTERRUPTED;
        held->reached += row.outcome == LEDGER_INTERRUPTED && row.reached;
    }
    assert_int_equal(reader.rest.len, 0);
}

static void add_sums(void *user, const struct str by[STORE_USAGE_BY_MAX],
                     const struct store_sums *sums)
{
    (void)by;
    store_sums_add(user, sums);
}

static void add_minute(void *user, const struct store_usage_minute *minute)
{
    struct store_usage_minute *total = user;
    store_sums_add(&total->sums, &minute->sums);
    total->duration.count += minute->duration.count;
    total->duration.total_us += minute->duration.total_us;
    total->duration.buckets[4] += minute->duration.buckets[4];
    if (minute->duration.max_us > total->duration.max_us)
        total->duration.max_us = minute->duration.max_us;
}

static void add_error(void *user, const struct store_usage_minute *minute, struct str class,
                      int64_t number)
{
    (void)minute;
    if (str_eq(class, STR("overloaded")))
        *(int64_t *)user += number;
}

static enum err read_held(struct store_tx *tx, void *user, struct error *error)
{
    struct held *held = user;
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_block block = {0};
    while (store_block_next(tx, arena, 0, INT64_MAX, &block, &block, error) == ERR_OK) {
        held->blocks++;
        count_rows(held, block.data);
    }
    arena_free(arena);
    struct store_sums *sums[] = {&held->all, &held->groups, &held->tags};
    enum err code = ERR_OK;
    for (int i = STORE_USAGE_ALL; i <= STORE_USAGE_TAG && code == ERR_OK; i++)
        code = store_usage_ask(tx,
                               &(struct store_usage_question){.kind = (enum store_usage_kind)i,
                                                              .to_day = INT64_MAX,
                                                              .limit = 1000},
                               add_sums, sums[i], error);
    if (code == ERR_OK)
        code = store_usage_each_minute(tx, 0, INT64_MAX, 1000, add_minute, &held->minute, error);
    if (code == ERR_OK)
        code = store_usage_each_error(tx, 0, INT64_MAX, add_error, &held->overloaded, error);
    return code;
}

static struct held holding(struct store *store)
{
    struct held held = {0};
    struct error error = {0};
    if (store_read_now(store, read_held, &held, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    return held;
}

/* The folder as a crash would leave it now. */
static char *crash(struct fixture *f)
{
    char *copy = directory_new(), *command = NULL;
    assert_true(asprintf(&command, "cp -r '%s'/. '%s'", f->directory, copy) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    return copy;
}

/* What is there after a start on it; the journal is still there. */
static struct held recovered(const char *directory)
{
    struct store *store = open_store(directory);
    struct error error = {0};
    if (ledger_recover(store, directory, NULL, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    struct held held = holding(store);
    store_close(store);
    return held;
}

static size_t segments(const struct fixture *f)
{
    char path[512];
    snprintf(path, sizeof path, "%s/journal", f->directory);
    DIR *folder = opendir(path);
    size_t count = 0;
    struct dirent *entry;
    while ((entry = readdir(folder)))
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

/* Cuts the journal's one segment to its first `records`. */
struct cutting {
    size_t records;
    size_t bytes;
};
static enum err measure(void *user, const struct journal_record *record)
{
    struct cutting *cutting = user;
    if (!cutting->records)
        return ERR_OK;
    cutting->records--;
    cutting->bytes += 58 + record->payload.len;
    return ERR_OK;
}

static void cut_journal(const char *directory, size_t records)
{
    struct cutting cutting = {.records = records};
    struct journal_replay_result result;
    char *command = NULL;
    assert_int_equal(journal_replay(directory, measure, &cutting, &result, NULL), ERR_OK);
    assert_int_equal(result.segments, 1);
    assert_int_equal(cutting.records, 0);
    assert_true(asprintf(&command, "truncate -s %zu '%s'/journal/*.log", cutting.bytes + 20,
                         directory) > 0);
    assert_int_equal(system(command), 0);
    free(command);
}

/* ---- Tests ------------------------------------------------------------------------------------- */

static enum err count_record(void *user, const struct journal_record *record)
{
    (*(size_t *)user) += record->kind == JOURNAL_LEDGER_BEGUN;
    return ERR_OK;
}

static size_t begun(const char *directory)
{
    size_t count = 0;
    struct journal_replay_result result;
    assert_int_equal(journal_replay(directory, count_record, &count, &result, NULL), ERR_OK);
    return count;
}

static bool arrived(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
}

static void test_begin_is_recorded_before_a_byte_leaves(void **state)
{
    (void)state;
    struct fixture f;
    static const struct stream_events events = {0};
    start(&f, &(struct setting){.flush_ms = 60000});
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
    struct stream *stream = stream_accept(f.loop, pair[0], NULL, &events, NULL);
    turn(&f);
    struct ledger_row row = make_row(NULL);
    /* Output that waited before the attempt began: it is first in the queue of this turn. */
    stream_write(stream, "earlier", 7);
    struct ledger_open *one = ledger_begin(f.ledger, &row);
    assert_true(begun(f.directory) == 0 && !arrived(pair[1]));
    /* As http_call does: at once, in the middle of the turn. */
    stream_write(stream, "request", 7);
    stream_flush(stream);
    assert_true(arrived(pair[1]));
    assert_int_equal(begun(f.directory), 1);
    /* And at the end of the turn, when nobody is in a hurry. */
    struct ledger_open *two = ledger_begin(f.ledger, &row);
    assert_int_equal(begun(f.directory), 1);
    turn(&f);
    assert_int_equal(begun(f.directory), 2);
    row = ended(row, LEDGER_ANSWERED, 1);
    ledger_end(f.ledger, one, &row);
    ledger_end(f.ledger, two, &row);
    stream_close(stream);
    close(pair[1]);
    finish(&f);
}

static void test_rows_and_sums(void **state)
{
    (void)state;
    struct fixture f;
    const struct id groups[2] = {id_new(1), id_new(2)};
    start(&f, &(struct setting){.flush_ms = FLUSH_MS});
    attempt(&f, LEDGER_ANSWERED, 100);
    attempt(&f, LEDGER_FAILED, 10);
    struct ledger_row row = ended(make_row(groups), LEDGER_ANSWERED, 1000);
    row.number = 2;
    row.cost_nano = -1;
    ledger_note(f.ledger, &row);
    row.number = 1;
    row.outcome = LEDGER_CACHED;
    ledger_note(f.ledger, &row);
    row.outcome = LEDGER_REFUSED;
    ledger_note(f.ledger, &row);
    flush(&f);
    struct held held = holding(f.store);
    assert_true(held.blocks == 1 && held.rows == 5 && held.interrupted == 0);
    assert_true(held.all.requests == 3 && held.all.attempts == 3 && held.all.errors == 1);
    assert_true(held.all.cached == 1 && held.all.refused == 1 && held.all.shared == 0);
    assert_true(held.all.tokens_input == 1110 && held.all.tokens_cached == 555);
    assert_true(held.all.tokens_output == 2220 && held.all.tokens_reasoning == 3);
    assert_true(held.all.cost_nano == 1100 && held.all.unpriced == 1);
    /* Two groups on three of the rows, two tags (one said twice) on all. */
    assert_true(held.groups.attempts == 2 && held.groups.cached == 2 && held.groups.refused == 2);
    assert_true(held.tags.attempts == 6 && held.tags.tokens_input == 2220);
    assert_true(held.minute.sums.attempts == 3 && held.minute.duration.count == 3 &&
                held.minute.duration.max_us == 1500000 && held.minute.duration.buckets[4] == 3);
    assert_int_equal(held.overloaded, 1);
    finish(&f);
}

struct grouping {
    size_t rows;
    char text[400];
};

static void write_group(void *user, const struct str by[STORE_USAGE_BY_MAX],
                        const struct store_sums *sums)
{
    struct grouping *grouping = user;
    size_t at = strlen(grouping->text);
    grouping->rows++;
    snprintf(grouping->text + at, sizeof grouping->text - at, "%.*s/%.*s/%.*s=%lld;",
             STR_ARG(by[0]), STR_ARG(by[1]), STR_ARG(by[2]), (long long)sums->tokens_input);
}

struct asking {
    struct store_usage_question question;
    struct grouping grouping;
};

static enum err ask(struct store_tx *tx, void *user, struct error *error)
{
    struct asking *asking = user;
    return store_usage_ask(tx, &asking->question, write_group, &asking->grouping, error);
}

static void assert_groups(struct store *store, struct store_usage_question question,
                          const char *expected)
{
    struct asking asking = {.question = question};
    asking.question.to_day = 90000;
    asking.question.limit = 100;
    assert_int_equal(store_read_now(store, ask, &asking, NULL), ERR_OK);
    assert_string_equal(asking.grouping.text, expected);
}

static void test_sums_by_fields(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = FLUSH_MS});
    struct ledger_row row = ended(make_row(NULL), LEDGER_ANSWERED, 1);
    ledger_note(f.ledger, &row);
    row.target = STR("q/n");
    row.usage.input_total = 20;
    ledger_note(f.ledger, &row);
    flush(&f);
    row.start_ms += 24 * 3600 * 1000;
    row.usage.input_total = 300;
    ledger_note(f.ledger, &row);
    flush(&f);
    assert_groups(f.store, (struct store_usage_question){.by = {STORE_FIELD_TARGET}},
                  "p/m//=1;q/n//=320;");
    assert_groups(f.store,
                  (struct store_usage_question){.by = {STORE_FIELD_DAY, STORE_FIELD_MODEL}},
                  "47482/fast/=21;47483/fast/=300;");
    assert_groups(f.store,
                  (struct store_usage_question){.by = {STORE_FIELD_NAME},
                                                .kind = STORE_USAGE_TAG,
                                                .is[STORE_FIELD_TARGET] = STR("q/n")},
                  "team:x//=320;user:ann//=320;");
    assert_groups(f.store,
                  (struct store_usage_question){.by = {STORE_FIELD_KEY},
                                                .is[STORE_FIELD_USER] = STR("someone else")},
                  "");
    assert_groups(f.store, (struct store_usage_question){.from_day = 47483}, "//=300;");
    finish(&f);
}

/* More kinds of rows than a block remembers places for, mixed up, over two days; tags and groups
 * may look like one another's beginnings. */
static void test_sums_of_mixed_rows(void **state)
{
    (void)state;
    enum { MODELS = 700, ROUNDS = 3 };
    static const struct str pair[] = {{"t:a", 3}, {"t:b", 3}};
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = FLUSH_MS});
    struct ledger_row row = ended(make_row(NULL), LEDGER_ANSWERED, 1);
    int64_t tagged = 0;
    for (int i = 0; i < MODELS * ROUNDS; i++) {
        char model[20];
        snprintf(model, sizeof model, "m%d", i % MODELS);
        row.origin.model = str_from_cstr(model);
        row.origin.tags = pair;
        row.origin.tag_count = (size_t)(i % 3);
        row.start_ms = DAY_START_MS + (i % 2 ? 0 : 24 * 3600 * 1000);
        row.usage.input_total = i;
        row.outcome = i % 7 ? LEDGER_ANSWERED : LEDGER_FAILED;
        row.error_class = i % 7 ? ERR_OK : ERR_OVERLOADED;
        tagged += i % 3 == 2 ? i : 0;
        ledger_note(f.ledger, &row);
    }
    flush(&f);
    char expected[100];
    snprintf(expected, sizeof expected, "t:b//=%lld;", (long long)tagged);
    assert_groups(f.store,
                  (struct store_usage_question){.by = {STORE_FIELD_NAME},
                                                .kind = STORE_USAGE_TAG,
                                                .is[STORE_FIELD_NAME] = STR("t:b")},
                  expected);
    assert_groups(f.store, (struct store_usage_question){.is[STORE_FIELD_MODEL] = STR("m699")},
                  "//=4197;");
    assert_groups(
        f.store,
        (struct store_usage_question){.from_day = 47483, .is[STORE_FIELD_MODEL] = STR("m11")},
        ""); /* 11, 711, 1411: all odd */
    assert_int_equal(holding(f.store).overloaded, MODELS * ROUNDS / 7);
    finish(&f);
}

static enum err give_quota(struct store_tx *tx, void *user, struct error *error)
{
    return store_quota_set(tx, &(struct store_quota){STR("tag"), *(struct str *)user, STR("{}")},
                           error);
}

struct tag_rows {
    size_t rows;
    int64_t other;
    int64_t total;
    int64_t with_quota;
};

static void count_tag(void *user, const struct str by[STORE_USAGE_BY_MAX],
                      const struct store_sums *sums)
{
    struct tag_rows *tags_seen = user;
    tags_seen->rows++;
    tags_seen->total += sums->tokens_input;
    tags_seen->other += str_eq(by[0], STR(LEDGER_TAG_OTHER)) ? sums->tokens_input : 0;
    tags_seen->with_quota += str_eq(by[0], STR("team:quota")) ? sums->tokens_input : 0;
}

static enum err read_tags(struct store_tx *tx, void *user, struct error *error)
{
    const struct store_usage_question question = {.kind = STORE_USAGE_TAG,
                                                  .by = {STORE_FIELD_NAME, STORE_FIELD_USER},
                                                  .to_day = INT64_MAX,
                                                  .limit = 10000};
    return store_usage_ask(tx, &question, count_tag, user, error);
}

static struct tag_rows tags_held(struct store *store)
{
    struct tag_rows held = {0};
    assert_int_equal(store_read_now(store, read_tags, &held, NULL), ERR_OK);
    return held;
}

static void note_tag(struct fixture *f, const char *name, const char *user)
{
    struct str tag = str_from_cstr(name);
    struct ledger_row row = ended(make_row(NULL), LEDGER_ANSWERED, 1);
    row.origin.user = (struct id){0};
    str_copy(str_from_cstr(user), row.origin.user.text, sizeof row.origin.user.text);
    row.origin.tags = &tag;
    row.origin.tag_count = 1;
    ledger_note(f->ledger, &row);
}

static void test_tags_of_a_day_are_bounded(void **state)
{
    (void)state;
    enum { BEYOND = 30 };
    static const char ann[] = "01kaqqqqqqqqqqqqqqqqqqqqq1", bob[] = "01kaqqqqqqqqqqqqqqqqqqqqq9";
    struct fixture f;
    struct str quota = STR("team:quota");
    char name[32];
    start(&f, &(struct setting){.flush_ms = FLUSH_MS});
    assert_int_equal(store_write_now(f.store, give_quota, &quota, NULL), ERR_OK);
    for (int i = 0; i < LEDGER_TAGS_A_DAY_MAX + BEYOND; i++) {
        snprintf(name, sizeof name, "user:%d", i);
        note_tag(&f, name, ann);
    }
    flush(&f);
    struct tag_rows held = tags_held(f.store);
    assert_int_equal(held.rows, LEDGER_TAGS_A_DAY_MAX + 1);
    assert_int_equal(held.other, BEYOND);
    assert_int_equal(held.total, LEDGER_TAGS_A_DAY_MAX + BEYOND);
    note_tag(&f, "team:quota", ann); /* one whose budget is counted is never among the others */
    note_tag(&f, "user:new", ann);
    note_tag(&f, "user:new", bob); /* who has written none yet */
    flush(&f);
    held = tags_held(f.store);
    assert_int_equal(held.rows, LEDGER_TAGS_A_DAY_MAX + 3);
    assert_int_equal(held.other, BEYOND + 1);
    assert_int_equal(held.with_quota, 1);
    assert_int_equal(held.total, LEDGER_TAGS_A_DAY_MAX + BEYOND + 3);
    finish(&f);
}

static void test_crash_leaves_all(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = 60000});
    attempt(&f, LEDGER_ANSWERED, 100);
    flush(&f); /* in the database and in the journal */
    attempt(&f, LEDGER_ANSWERED, 10);
    struct ledger_row row = make_row(NULL);
    struct ledger_open *seen = ledger_begin(f.ledger, &row);
    struct ledger_open *unseen = ledger_begin(f.ledger, &row);
    ledger_reached(f.ledger, seen);
    turn(&f);
    char *copy = crash(&f);
    for (int i = 0; i < 3; i++) { /* again and again: the same */
        struct held held = recovered(copy);
        assert_true(held.rows == 4 && held.interrupted == 2 && held.reached == 1);
        assert_true(held.all.attempts == 4 && held.all.interrupted == 2);
        assert_int_equal(held.all.tokens_input, 110);
        assert_int_equal(held.minute.sums.attempts, 4);
    }
    row = ended(row, LEDGER_ANSWERED, 1);
    ledger_end(f.ledger, seen, &row);
    ledger_end(f.ledger, unseen, &row);
    directory_remove(copy);
    finish(&f);
}

static struct held recovered_and_removed(char *copy)
{
    struct held held = recovered(copy);
    directory_remove(copy);
    return held;
}

/* More rows in a turn than one record holds, of many callers. */
static void test_crash_after_a_long_turn(void **state)
{
    (void)state;
    enum { ATTEMPTS = 5000, OPEN = 2500 };
    struct fixture f;
    static struct ledger_open *opens[OPEN];
    start(&f, &(struct setting){.flush_ms = 60000, .epoch_ms = 1});
    struct ledger_row row = make_row(NULL);
    for (int i = 0; i < ATTEMPTS; i++) {
        char model[20];
        snprintf(model, sizeof model, "m%d", i);
        row = make_row(NULL);
        row.origin.model = str_from_cstr(model);
        struct ledger_open *open = ledger_begin(f.ledger, &row);
        row = ended(row, LEDGER_ANSWERED, 1);
        if (i < OPEN)
            opens[i] = open;
        else
            ledger_end(f.ledger, open, &row);
    }
    turn(&f);
    struct held held = recovered_and_removed(crash(&f));
    assert_true(held.rows == ATTEMPTS && held.interrupted == OPEN && held.reached == 0);
    for (int i = 0; i < OPEN; i++)
        ledger_reached(f.ledger, opens[i]);
    turn(&f);
    held = recovered_and_removed(crash(&f));
    assert_true(held.rows == ATTEMPTS && held.interrupted == OPEN && held.reached == OPEN);
    for (int i = 0; i < OPEN; i++)
        ledger_end(f.ledger, opens[i], &row);
    turn(&f);
    held = recovered_and_removed(crash(&f));
    assert_true(held.rows == ATTEMPTS && held.interrupted == 0);
    finish(&f);
}

/* As journals were written that had a record for every row. */
static void append_one(struct fixture *f, enum journal_kind kind, uint64_t serial,
                       const struct ledger_row *row)
{
    static const struct id ledger = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq7"};
    char bytes[ID_LENGTH + 16 + LEDGER_ROW_BYTES_MAX];
    memcpy(bytes, ledger.text, ID_LENGTH);
    bytes_put_u64(bytes + ID_LENGTH, serial);
    bytes_put_u64(bytes + ID_LENGTH + 8, 3);
    size_t length = ID_LENGTH + 16 + (row ? ledger_row_pack(row, bytes + ID_LENGTH + 16) : 0);
    const struct journal_record record = {
        .kind = (uint16_t)kind, .id = ledger, .payload = STR_FROM(bytes, length)};
    assert_int_equal(journal_append(f->journal, &record), ERR_OK);
}

static void test_journal_of_single_rows(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = 60000});
    struct ledger_row row = make_row(NULL);
    row.outcome = LEDGER_INTERRUPTED;
    for (uint64_t serial = 0; serial < 3; serial++)
        append_one(&f, JOURNAL_LEDGER_BEGIN, serial, &row);
    append_one(&f, JOURNAL_LEDGER_REACHED, 1, NULL);
    row = ended(row, LEDGER_ANSWERED, 100);
    append_one(&f, JOURNAL_LEDGER_END, 2, &row);
    attempt(&f, LEDGER_ANSWERED, 10);
    turn(&f);
    struct held held = recovered_and_removed(crash(&f));
    assert_true(held.rows == 4 && held.interrupted == 2 && held.reached == 1);
    assert_int_equal(held.all.tokens_input, 110);
    finish(&f);
}

static void test_torn_journal(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = 60000});
    struct ledger_row row = make_row(NULL);
    struct ledger_open *slow = ledger_begin(f.ledger, &row);
    attempt(&f, LEDGER_ANSWERED, 100);
    ledger_reached(f.ledger, slow);
    turn(&f); /* BEGUN, ENDED */
    row = ended(row, LEDGER_ANSWERED, 10);
    ledger_end(f.ledger, slow, &row);
    turn(&f); /* ENDED */
    char *torn = crash(&f);
    cut_journal(torn, 2);
    struct held held = recovered(torn);
    assert_true(held.rows == 2 && held.interrupted == 1 && held.reached == 1);
    directory_remove(torn);
    flush(&f);
    /* The same, but the database has the row whose END was torn off: once is enough. */
    torn = crash(&f);
    cut_journal(torn, 2);
    for (int i = 0; i < 2; i++) {
        held = recovered(torn);
        assert_true(held.rows == 2 && held.interrupted == 0 && held.all.tokens_input == 110);
    }
    directory_remove(torn);
    finish(&f);
}

static void test_long_attempts_are_carried(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = FLUSH_MS, .epoch_ms = 2, .segment_bytes_max = 4000});
    struct ledger_row row = make_row(NULL);
    struct ledger_open *longest = ledger_begin(f.ledger, &row);
    ledger_reached(f.ledger, longest);
    size_t most = 0;
    for (int i = 0; i < 200; i++) {
        attempt(&f, LEDGER_ANSWERED, 1);
        loop_run_once(f.loop);
        usleep(500); /* so that epochs go by */
        most = segments(&f) > most ? segments(&f) : most;
    }
    flush(&f);
    /* 200 attempts take some 35 segments; what is over has gone. */
    assert_true(most < 30);
    char *copy = crash(&f);
    struct held held = recovered(copy);
    assert_true(held.rows == 201 && held.interrupted == 1 && held.reached == 1);
    directory_remove(copy);
    row = ended(row, LEDGER_ANSWERED, 1);
    ledger_end(f.ledger, longest, &row);
    flush(&f);
    for (int i = 0; i < 1000 && segments(&f) > 1; i++)
        loop_run_once(f.loop);
    assert_int_equal(segments(&f), 1); /* the current one: nobody needs the others */
    copy = crash(&f);
    held = recovered(copy);
    assert_true(held.rows == 201 && held.interrupted == 0);
    directory_remove(copy);
    stop_loop(&f);
    assert_int_equal(segments(&f), 0);
    finish(&f);
}

static void test_a_full_block_does_not_wait(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = 60000});
    for (int i = 0; i < 2 * LEDGER_BLOCK_ROWS_MAX + 5; i++)
        attempt(&f, LEDGER_ANSWERED, 1);
    while (holding(f.store).blocks < 2)
        turn(&f);
    stop_loop(&f); /* the rest goes with it */
    store_close(f.store);
    f.store = open_store(f.directory);
    struct held held = holding(f.store);
    assert_true(held.rows == 2 * LEDGER_BLOCK_ROWS_MAX + 5 && held.blocks >= 3);
    assert_int_equal(held.all.requests, held.rows);
    finish(&f);
}

static int64_t gauge(struct fixture *f, const char *name)
{
    struct buf out;
    char start[100];
    snprintf(start, sizeof start, "\n%s{} ", name);
    buf_init(&out, 1 << 20);
    metric_registry_write(f->metrics, &out);
    buf_append_char(&out, '\0');
    const char *line = strstr(out.data, start);
    int64_t value = line ? atoll(line + strlen(start)) : -1;
    buf_done(&out);
    return value;
}

static void test_full_disk(void **state)
{
    (void)state;
    struct fixture f;
    struct faulty_vfs *vfs = faulty_new("ledger-full", 1);
    start(&f, &(struct setting){.flush_ms = FLUSH_MS, .vfs = "ledger-full"});
    attempt(&f, LEDGER_ANSWERED, 1);
    flush(&f);
    faulty_arm(vfs, FAULTY_FULL, 1);
    for (int i = 0; i < 50; i++) {
        attempt(&f, LEDGER_ANSWERED, 1);
        flush(&f); /* answered, though nothing went in */
    }
    assert_int_equal(holding(f.store).rows, 1);
    assert_int_equal(gauge(&f, "parley_ledger_waiting_rows"), 50);
    faulty_repair(vfs);
    flush(&f);
    for (int i = 0; i < 100000 && gauge(&f, "parley_ledger_waiting_rows"); i++)
        loop_run_once(f.loop);
    struct held held = holding(f.store);
    assert_true(held.rows == 51 && held.all.attempts == 51);
    assert_int_equal(gauge(&f, "parley_ledger_rows_total"), 51);
    assert_int_equal(gauge(&f, "parley_ledger_lost_rows_total"), 0);
    finish(&f);
    faulty_free(vfs);
}

static void test_what_memory_does_not_hold_is_in_the_journal(void **state)
{
    (void)state;
    struct fixture f;
    struct faulty_vfs *vfs = faulty_new("ledger-bound", 1);
    start(&f, &(struct setting){.flush_ms = FLUSH_MS,
                                .vfs = "ledger-bound",
                                .waiting_bytes_max = 1000,
                                .segment_bytes_max = 2000,
                                .epoch_ms = 2});
    faulty_arm(vfs, FAULTY_FULL, 1);
    for (int i = 0; i < 40; i++) {
        attempt(&f, LEDGER_ANSWERED, 1);
        flush(&f);
    }
    assert_true(gauge(&f, "parley_ledger_waiting_rows") < 5);
    faulty_repair(vfs);
    flush(&f);
    for (int i = 0; i < 20; i++) { /* later ones come in, and their epochs go */
        attempt(&f, LEDGER_ANSWERED, 1);
        flush(&f);
        usleep(500);
    }
    for (int i = 0; i < 100000 && gauge(&f, "parley_ledger_waiting_rows"); i++)
        loop_run_once(f.loop);
    int64_t in = holding(f.store).rows;
    assert_true(in >= 20 && in < 60);
    stop_loop(&f); /* in good order: what is nowhere else stays in the journal */
    store_close(f.store);
    f.store = open_store(f.directory);
    assert_int_equal(ledger_recover(f.store, f.directory, NULL, NULL), ERR_OK);
    struct held held = holding(f.store);
    assert_true(held.rows == 60 && held.interrupted == 0 && held.all.attempts == 60);
    finish(&f);
    faulty_free(vfs);
}

static void test_old_minutes_are_forgotten(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = FLUSH_MS});
    struct ledger_row row = ended(make_row(NULL), LEDGER_FAILED, 1);
    row.start_ms = LONG_AGO_MS;
    ledger_note(f.ledger, &row);
    row.start_ms = clock_wall_ms();
    ledger_note(f.ledger, &row);
    flush(&f); /* the first block of a day does it */
    struct held held = holding(f.store);
    assert_true(held.rows == 2 && held.all.attempts == 2);
    assert_true(held.minute.sums.attempts == 1 && held.overloaded == 1);
    finish(&f);
}

static void test_without_a_journal(void **state)
{
    (void)state;
    struct fixture f;
    start(&f, &(struct setting){.flush_ms = FLUSH_MS});
    ledger_free(f.ledger);
    f.ledger =
        ledger_new(&(struct ledger_options){.loop = f.loop, .store = f.store, .flush_ms = 60000});
    struct ledger_row row = make_row(NULL);
    struct ledger_open *open = ledger_begin(f.ledger, &row);
    ledger_reached(f.ledger, open);
    attempt(&f, LEDGER_ANSWERED, 1);
    turn(&f);
    char *copy = crash(&f);
    assert_int_equal(recovered(copy).rows, 0); /* that is what the journal is for */
    directory_remove(copy);
    flush(&f);
    assert_int_equal(holding(f.store).rows, 1);
    stop_loop(&f); /* with an attempt under way */
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin_is_recorded_before_a_byte_leaves),
        cmocka_unit_test(test_rows_and_sums),
        cmocka_unit_test(test_sums_by_fields),
        cmocka_unit_test(test_sums_of_mixed_rows),
        cmocka_unit_test(test_tags_of_a_day_are_bounded),
        cmocka_unit_test(test_crash_leaves_all),
        cmocka_unit_test(test_crash_after_a_long_turn),
        cmocka_unit_test(test_journal_of_single_rows),
        cmocka_unit_test(test_torn_journal),
        cmocka_unit_test(test_long_attempts_are_carried),
        cmocka_unit_test(test_a_full_block_does_not_wait),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_what_memory_does_not_hold_is_in_the_journal),
        cmocka_unit_test(test_old_minutes_are_forgotten),
        cmocka_unit_test(test_without_a_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
