/* Durability as a promise with a test: the store on a file system whose power is cut, which fails
 * a write or a sync, or is full, at hundreds of seeded points. What was acknowledged is there; what
 * was refused is not; the rest is whole or absent. And a control in which the disk lies about
 * syncs, to show that the test can fail. */
#include "base/random.h"
#include "faulty_vfs.h"
#include "support.h"

enum { ROUNDS_MAX = 25, JOBS_MAX = 6, JOBS_ALL = ROUNDS_MAX * JOBS_MAX, VALUE_MAX = 9000 };

struct trial;

struct write_job {
    struct store_job job;
    struct trial *trial;
    char key[24];
    size_t length; /* of the value */
    bool refuses;  /* the job's own error, after having written */
    bool answered;
    enum err code;
};

struct trial {
    uint64_t seed;
    struct random random;
    char *directory;
    struct faulty_vfs *vfs;
    struct store *store;
    struct loop *loop;
    struct arena *arena;
    struct write_job jobs[JOBS_ALL];
    int count;
    int left;         /* jobs of this round without an answer */
    bool interrupted; /* at least one was refused by the disk */
};

/* The value of a job follows from its key: what is read back is compared with it. */
static struct str value_of(const char *key, size_t length, char *space)
{
    uint64_t state = str_hash(str_from_cstr(key));
    for (size_t i = 0; i < length; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        space[i] = (char)('a' + (state >> 33) % 26);
    }
    return STR_FROM(space, length);
}

static enum err run_write(struct store_tx *tx, void *user, struct error *error)
{
    struct write_job *job = user;
    char space[VALUE_MAX], count[24];
    enum err code = store_setting_set(tx, str_from_cstr(job->key),
                                      value_of(job->key, job->length, space), error);
    /* One row that every job changes: page 1 of a table is in every transaction. */
    snprintf(count, sizeof count, "%d", (int)(job - job->trial->jobs));
    if (code == ERR_OK)
        code = store_setting_set(tx, STR("last"), str_from_cstr(count), error);
    if (code == ERR_OK && job->refuses)
        return error_set(error, ERR_CONFLICT, NULL, "changed its mind");
    return code;
}

static void on_write(void *user, enum err code, const struct error *error)
{
    (void)error;
    struct write_job *job = user;
    job->answered = true;
    job->code = code;
    job->trial->left--;
}

static enum err open_trial(struct trial *trial)
{
    const struct store_options options = {.directory = trial->directory,
                                          .readers = 1,
                                          .checkpoint_pages = 12,
                                          .busy_timeout_ms = 50,
                                          .vfs = "faulty"};
    struct error error = {0};
    return store_open(&options, &trial->store, &error);
}

static struct trial *begin_trial(uint64_t seed)
{
    struct trial *trial = calloc(1, sizeof *trial);
    trial->seed = seed;
    random_init(&trial->random, seed);
    trial->directory = directory_new();
    trial->vfs = faulty_new("faulty", seed);
    trial->loop = loop_new(0, NULL);
    trial->arena = arena_new(64 << 20);
    return trial;
}

static void end_trial(struct trial *trial)
{
    store_close(trial->store);
    loop_free(trial->loop);
    faulty_free(trial->vfs);
    directory_remove(trial->directory);
    arena_free(trial->arena);
    free(trial);
}

/* Several jobs at once, so that groups form; waits for their answers. */
static void run_round(struct trial *trial)
{
    int jobs = 1 + (int)random_below(&trial->random, JOBS_MAX);
    trial->left = jobs;
    for (int i = 0; i < jobs; i++) {
        struct write_job *job = &trial->jobs[trial->count];
        snprintf(job->key, sizeof job->key, "k%d", trial->count++);
        job->trial = trial;
        job->length =
            (size_t)random_below(&trial->random, random_below(&trial->random, 4) ? 300 : VALUE_MAX);
        job->refuses = random_below(&trial->random, 8) == 0;
        job->job.run = run_write;
        job->job.done = on_write;
        job->job.user = job;
        store_write(trial->store, trial->loop, &job->job);
    }
    while (trial->left)
        loop_run_once(trial->loop);
    for (int i = trial->count - jobs; i < trial->count; i++)
        trial->interrupted |= trial->jobs[i].code == ERR_STORAGE;
}

/* ---- What is there afterwards ------------------------------------------------------------------
 */
struct verdict {
    struct trial *trial;
    int lost;    /* acknowledged, and not there */
    int revived; /* refused, and there */
    int mangled; /* there, with another value */
};

static enum err run_check(struct store_tx *tx, void *user, struct error *error)
{
    struct verdict *verdict = user;
    struct trial *trial = verdict->trial;
    struct store_setting *settings;
    size_t count;
    char space[VALUE_MAX];
    enum err code = check_integrity(tx, NULL, error);
    if (code == ERR_OK)
        code = store_setting_list(tx, trial->arena, &settings, &count, error);
    if (code != ERR_OK)
        return code;
    struct str found[JOBS_ALL] = {0};
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        if (str_to_u64(str_skip(settings[i].key, 1), &number) && number < JOBS_ALL)
            found[number] = settings[i].value;
    }
    for (int i = 0; i < trial->count; i++) {
        const struct write_job *job = &trial->jobs[i];
        verdict->lost += job->code == ERR_OK && !found[i].data;
        verdict->revived += job->code != ERR_OK && found[i].data;
        verdict->mangled +=
            found[i].data && !str_eq(found[i], value_of(job->key, job->length, space));
    }
    return ERR_OK;
}

static struct verdict judge(struct trial *trial)
{
    struct verdict verdict = {.trial = trial};
    struct error error = {0};
    if (store_read_now(trial->store, run_check, &verdict, &error) != ERR_OK)
        fail_msg("seed %d: %s", (int)trial->seed, error_message(&error));
    return verdict;
}

static void power_cycle(struct trial *trial)
{
    store_close(trial->store);
    trial->store = NULL;
    faulty_power_on(trial->vfs);
}

static void reopen(struct trial *trial)
{
    const struct store_options options = {
        .directory = trial->directory, .readers = 1, .vfs = "faulty"};
    struct error error = {0};
    if (store_open(&options, &trial->store, &error) != ERR_OK)
        fail_msg("seed %d: %s", (int)trial->seed, error_message(&error));
}

/* ---- The trials --------------------------------------------------------------------------------
 */
static struct verdict cut_once(uint64_t seed, bool disk_lies, int *ret_acknowledged, bool *ret_cut)
{
    struct trial *trial = begin_trial(seed);
    bool from_start = seed % 5 == 0; /* also while the database is being made */
    uint64_t at = 1 + random_below(&trial->random, from_start ? 60 : 500);
    if (from_start)
        faulty_arm(trial->vfs, FAULTY_CUT, at);
    enum err opened = open_trial(trial);
    assert_true(opened == ERR_OK || (from_start && faulty_happened(trial->vfs)));
    if (!from_start)
        faulty_arm(trial->vfs, FAULTY_CUT, at);
    if (disk_lies)
        faulty_ignore_syncs(trial->vfs);
    for (int i = 0; opened == ERR_OK && i < ROUNDS_MAX && !faulty_happened(trial->vfs); i++)
        run_round(trial);
    *ret_cut = faulty_happened(trial->vfs);
    for (int i = 0; i < trial->count; i++)
        *ret_acknowledged += trial->jobs[i].code == ERR_OK;
    power_cycle(trial);
    struct verdict verdict = {0};
    if (!disk_lies) {
        reopen(trial);
        verdict = judge(trial);
        run_round(trial); /* and it goes on */
        assert_false(trial->interrupted && !*ret_cut);
        struct verdict after = judge(trial);
        assert_int_equal(after.lost, 0);
    } else if (open_trial(trial) != ERR_OK ||
               store_read_now(trial->store, run_check, &(struct verdict){.trial = trial}, NULL) !=
                   ERR_OK) {
        verdict.lost = 1; /* damaged beyond opening: as lost as can be */
    } else {
        verdict = judge(trial);
    }
    end_trial(trial);
    return verdict;
}

static void test_power_cut(void **state)
{
    (void)state;
    enum { SEEDS = 400 };
    int acknowledged = 0, cuts = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool cut;
        struct verdict verdict = cut_once(seed, false, &acknowledged, &cut);
        cuts += cut;
        if (verdict.lost || verdict.mangled)
            fail_msg("seed %d: %d lost, %d mangled", (int)seed, verdict.lost, verdict.mangled);
    }
    print_message("# %d power cuts, %d jobs acknowledged before them\n", cuts, acknowledged);
    assert_true(cuts > SEEDS / 2 && acknowledged > SEEDS * 5);
}

static void test_control_disk_that_lies(void **state)
{
    (void)state;
    enum { SEEDS = 60 };
    int acknowledged = 0, losing = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool cut;
        losing += cut_once(seed, true, &acknowledged, &cut).lost > 0;
    }
    print_message("# %d of %d lying disks lost something\n", losing, (int)SEEDS);
    assert_true(losing > SEEDS / 4);
}

/* One failing call somewhere: jobs are refused, then it goes on by itself; and after a power cut
 * later what was refused has not come back. */
static void fail_once(uint64_t seed, enum faulty_kind kind, int *ret_interrupted)
{
    struct trial *trial = begin_trial(seed);
    assert_int_equal(open_trial(trial), ERR_OK);
    faulty_arm(trial->vfs, kind, 1 + random_below(&trial->random, 150));
    for (int i = 0; i < ROUNDS_MAX / 2; i++)
        run_round(trial);
    *ret_interrupted += trial->interrupted;
    struct verdict before = judge(trial); /* reading goes on, in trouble or not */
    faulty_repair(trial->vfs);
    int first = trial->count;
    run_round(trial); /* the first after a failed checkpoint may have to recover */
    run_round(trial);
    for (int i = first; i < trial->count; i++)
        if (trial->jobs[i].code == ERR_STORAGE)
            fail_msg("seed %d: refused after the repair", (int)seed);
    power_cycle(trial);
    reopen(trial);
    struct verdict after = judge(trial);
    if (before.lost + before.revived + before.mangled + after.lost + after.revived + after.mangled)
        fail_msg("seed %d, fault %d: before %d lost, %d revived, %d mangled; after %d, %d, %d",
                 (int)seed, (int)kind, before.lost, before.revived, before.mangled, after.lost,
                 after.revived, after.mangled);
    end_trial(trial);
}

static void fail_at_many_points(enum faulty_kind kind)
{
    enum { SEEDS = 100 };
    int interrupted = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        fail_once(seed, kind, &interrupted);
    print_message("# %d of %d faults were felt\n", interrupted, (int)SEEDS);
    assert_true(interrupted > SEEDS / 4);
}

static void test_failed_write(void **state)
{
    (void)state;
    fail_at_many_points(FAULTY_WRITE);
}

static void test_failed_sync(void **state)
{
    (void)state;
    fail_at_many_points(FAULTY_SYNC);
}

static void test_full_disk(void **state)
{
    (void)state;
    fail_at_many_points(FAULTY_FULL);
}

int main(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0); /* what is durable here is the VFS's matter alone */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cut),    cmocka_unit_test(test_control_disk_that_lies),
        cmocka_unit_test(test_failed_write), cmocka_unit_test(test_failed_sync),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
