/* ledger-bench: what the ledger costs the loop for one attempt, from its begin to its end, and what
 * it costs the store's thread. The journal is real, in a folder under /dev/shm or TMPDIR.
 * Prints one line of JSON; every figure is the median of several repetitions, in nanoseconds of this
 * thread's time on a processor. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "route/ledger.h"
#include "route/ledger_block.h"
#include "route/ledger_entries.h"
#include "store/journal.h"
#include "store/store.h"
#include "timing.h"

enum { TURNS = 400 };

struct bench {
    int repetitions;
    char directory[200];
    struct loop *loop;
    struct store *store;
    struct journal *journal;
    struct ledger *ledger;
    struct ledger_row row;
    int per_turn;
};

static void nothing(void *user)
{
    (void)user;
}

/* One turn with so many attempts, each begun, answered and ended. */
static void turn(struct bench *bench)
{
    for (int i = 0; i < bench->per_turn; i++) {
        struct ledger_open *open = ledger_begin(bench->ledger, &bench->row);
        ledger_reached(bench->ledger, open);
        ledger_end(bench->ledger, open, &bench->row);
    }
    loop_run_records(bench->loop);
}

static void empty_turn(struct bench *bench)
{
    loop_run_records(bench->loop);
}

static void let_store_work(struct bench *bench)
{
    struct loop_task task = {0};
    loop_post(bench->loop, &task, nothing, NULL);
    loop_run_once(bench->loop);
    usleep(20000);
}

/* The median time of an attempt. */
static double measure(struct bench *bench, void (*run)(struct bench *bench), int per_turn)
{
    double times[REPETITIONS_MAX];
    bench->per_turn = per_turn;
    for (int i = 0; i < bench->repetitions; i++) {
        uint64_t from = timing_thread_ns();
        for (int k = 0; k < TURNS; k++)
            run(bench);
        times[i] = (double)(timing_thread_ns() - from) / (double)TURNS / per_turn;
        let_store_work(bench);
    }
    return timing_median(times, bench->repetitions);
}

static void pack(struct bench *bench)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    ledger_row_pack(&bench->row, packed);
    __asm__ volatile("" : : "r"(packed) : "memory");
}

static enum err store_block(struct store_tx *tx, void *user, struct error *error)
{
    return ledger_block_store(tx, user, error);
}

static double process_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What a row costs the store, in a full block: everything of the program meanwhile. */
static double measure_store(struct bench *bench)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    struct str row = STR_FROM(packed, ledger_row_pack(&bench->row, packed));
    struct ledger_block block = {.ledger = id_new(5)};
    struct buf rows;
    double times[REPETITIONS_MAX];
    buf_init(&rows, SIZE_MAX / 2);
    for (int i = 0; i < LEDGER_BLOCK_ROWS_MAX; i++)
        ledger_entry_append(&rows, 1, row);
    block.rows = buf_str(&rows);
    for (int i = 0; i < bench->repetitions; i++, block.number++) {
        double from = process_ns();
        enum err code = store_write_now(bench->store, store_block, &block, NULL);
        ASSERT(code == ERR_OK);
        times[i] = (process_ns() - from) / (double)LEDGER_BLOCK_ROWS_MAX;
    }
    buf_done(&rows);
    return timing_median(times, bench->repetitions);
}

static void init(struct bench *bench, int repetitions)
{
    const char *parent = getenv("TMPDIR");
    *bench = (struct bench){.repetitions = repetitions};
    snprintf(bench->directory, sizeof bench->directory, "%s/parley-ledger-bench-XXXXXX",
             parent ? parent : "/dev/shm");
    ASSERT(mkdtemp(bench->directory));
    bench->loop = loop_new(0, NULL);
    const struct store_options store = {.directory = bench->directory};
    const struct journal_options journal = {.directory = bench->directory};
    enum err code = store_open(&store, &bench->store, NULL);
    ASSERT(code == ERR_OK);
    code = journal_open(bench->loop, &journal, &bench->journal, NULL);
    ASSERT(code == ERR_OK);
    bench->ledger = ledger_new(&(struct ledger_options){
        .loop = bench->loop, .store = bench->store, .journal = bench->journal});
}

static void done(struct bench *bench)
{
    char command[300];
    ledger_free(bench->ledger);
    journal_close(bench->journal);
    loop_free(bench->loop);
    store_close(bench->store);
    snprintf(command, sizeof command, "rm -rf '%s'", bench->directory);
    if (system(command) != 0)
        fprintf(stderr, "%s is left over\n", bench->directory);
}

int main(int argc, char **argv)
{
    struct bench bench;
    struct id groups[2] = {id_new(1), id_new(2)};
    const struct str tags[2] = {{"user:ann", 8}, {"team:research", 13}};
    (void)argv;
    init(&bench, timing_repetitions(argc));
    bench.row = (struct ledger_row){.start_ms = clock_wall_ms(),
                                    .origin = {.request_id = STR("01kaqqqqqqqqqqqqqqqqqqqqq1"),
                                               .user = id_new(3),
                                               .key = id_new(4),
                                               .groups = groups,
                                               .group_count = 2,
                                               .tags = tags,
                                               .tag_count = 2,
                                               .door = STR("openai"),
                                               .model = STR("gpt-5.5")},
                                    .number = 1,
                                    .target = STR("openai/gpt-5.5"),
                                    .mode = "whole",
                                    .usage = {1000, 500, 0, 300, 100, false},
                                    .cost_nano = 123456,
                                    .duration_us = 1000000};
    double empty = measure(&bench, empty_turn, 1);
    double alone = measure(&bench, turn, 1);
    double together = measure(&bench, turn, 32);
    char packed[LEDGER_ROW_BYTES_MAX];
    printf("{\"attempt_ns\":%.0f,\"attempt_alone_in_turn_ns\":%.0f,\"pack_ns\":%.0f,"
           "\"store_row_ns\":%.0f,\"row_bytes\":%zu}\n",
           together - empty / 32, alone - empty, measure(&bench, pack, 1), measure_store(&bench),
           ledger_row_pack(&bench.row, packed));
    done(&bench);
    return 0;
}
