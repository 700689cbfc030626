/* Coalesce over loops that run on threads of their own: one call for all, and callers that come and
 * leave at any time. For ThreadSanitizer above all. */
#include "helper_share.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/random.h"

enum { LOOPS = 2, CALLERS = 6, ROUNDS = 30 };

/* A thread with its loop, and callers that start when they are told to. */
struct worker {
    struct sharing *s;
    struct loop *loop;
    struct http_client *client;
    struct router *router;
    pthread_t thread;
    struct loop_task task;
    struct random random;
    bool are_restless; /* some leave, some pause for a while */
    struct caller callers[CALLERS];
    struct loop_timer timers[CALLERS];
    struct loop_timer count_timer;
    _Atomic int left; /* callers who hear something still */
};

/* What a restless caller does some time later: resumes, or leaves. */
static void on_timer(void *user)
{
    struct caller *caller = user;
    if (!caller->call || caller->ends)
        return;
    if (caller->pauses_at_text) {
        caller->pauses_at_text = false;
        route_resume(caller->call);
        return;
    }
    route_cancel(caller->call, NULL);
    caller->call = NULL;
}

static bool is_done(const struct caller *caller)
{
    return caller->ends || !caller->call;
}

/* Every millisecond, until there is none left. */
static void count(void *user)
{
    struct worker *worker = user;
    int left = 0;
    for (int i = 0; i < CALLERS; i++)
        left += !is_done(&worker->callers[i]);
    if (left)
        loop_timer_set(worker->loop, &worker->count_timer, 1, count, worker);
    atomic_store(&worker->left, left);
}

/* Each starts once the loop gets here. */
static void start_all(void *user)
{
    struct worker *worker = user;
    for (int i = 0; i < CALLERS; i++) {
        struct caller *caller = &worker->callers[i];
        uint64_t chance = worker->are_restless ? random_next(&worker->random) : 0;
        *caller = (struct caller){.leaves_at_text = chance % 5 == 1,
                                  .pauses_at_text = chance % 5 == 2,
                                  .wants_raw = true};
        assert_int_equal(caller_start(caller, worker->router, "r"), ERR_OK);
        if (chance % 5 == 2 || chance % 5 == 3)
            loop_timer_set(worker->loop, &worker->timers[i], 1 + chance / 8 % 4, on_timer, caller);
    }
    count(worker);
}

static void *run(void *user)
{
    struct worker *worker = user;
    loop_run(worker->loop);
    return NULL;
}

static void worker_begin(struct worker *worker, struct sharing *s, int index)
{
    worker->s = s;
    worker->loop = loop_new(index + 1, NULL);
    worker->client = http_client_new(worker->loop, &(struct http_client_options){0});
    worker->router = sharing_router(s, worker->loop, worker->client);
    random_init(&worker->random, (uint64_t)index + 1);
    assert_int_equal(pthread_create(&worker->thread, NULL, run, worker), 0);
}

static void worker_end(struct worker *worker)
{
    loop_stop(worker->loop);
    pthread_join(worker->thread, NULL);
    for (int i = 0; i < CALLERS; i++)
        loop_timer_cancel(worker->loop, &worker->timers[i]);
}

static void worker_free(struct worker *worker)
{
    router_free(worker->router);
    http_client_free(worker->client);
    loop_free(worker->loop);
}

static bool all_done(struct worker *workers)
{
    int left = 0;
    for (int i = 0; i < LOOPS; i++)
        left += atomic_load(&workers[i].left);
    return left == 0;
}

static void expect_all_whole(const struct worker *workers)
{
    for (int i = 0; i < LOOPS; i++) {
        for (int c = 0; c < CALLERS; c++) {
            const struct caller *caller = &workers[i].callers[c];
            assert_int_equal(caller->ends, 1);
            assert_int_equal(caller->errors, 0);
            assert_true(str_eq(buf_str(&caller->text), STR("one two three")));
            assert_true(str_eq(buf_str(&caller->raw),
                               STR(FRAME("one ") FRAME("two ") FRAME("three") LAST)));
        }
    }
}

/* Who stayed has the whole answer; who left has its beginning. */
static void expect_no_gaps(const struct worker *workers)
{
    for (int i = 0; i < LOOPS; i++) {
        for (int c = 0; c < CALLERS; c++) {
            const struct caller *caller = &workers[i].callers[c];
            assert_true(str_starts_with(STR("one two three"), buf_str(&caller->text)));
            assert_int_equal(caller->errors, 0);
            assert_true(!caller->ends || caller->text.len == strlen("one two three"));
        }
    }
}

static void forget(struct worker *workers)
{
    for (int i = 0; i < LOOPS; i++)
        for (int c = 0; c < CALLERS; c++)
            caller_done(&workers[i].callers[c]);
}

static void begin_all(struct worker *workers, bool are_restless)
{
    for (int i = 0; i < LOOPS; i++) {
        atomic_store(&workers[i].left, CALLERS);
        workers[i].are_restless = are_restless;
        assert_true(loop_post(workers[i].loop, &workers[i].task, start_all, &workers[i]));
    }
}

static void test_one_call_for_all_loops(void **state)
{
    struct sharing *s = *state;
    struct worker workers[LOOPS] = {0};
    for (int i = 0; i < LOOPS; i++)
        worker_begin(&workers[i], s, i);
    for (int round = 1; round <= 5; round++) {
        begin_all(workers, false);
        int fd = call_accept(s->net);
        call_send(s->net, fd, HEAD FRAME("one "));
        TURN_UNTIL(s->net->loop, sharing_joined(s) == round * (LOOPS * CALLERS - 1));
        call_send(s->net, fd, FRAME("two "));
        call_send(s->net, fd, FRAME("three") LAST);
        TURN_UNTIL(s->net->loop, all_done(workers));
        assert_int_equal(server_try_accept(&s->net->server), -1);
        close(fd);
        expect_all_whole(workers);
        forget(workers);
    }
    for (int i = 0; i < LOOPS; i++)
        worker_end(&workers[i]);
    for (int i = 0; i < LOOPS; i++)
        worker_free(&workers[i]);
}

/* What a provider says on one connection, piece by piece. */
struct served {
    int fd;
    size_t told;
};

static void serve_more(struct served *served)
{
    static const char *const pieces[] = {HEAD FRAME("one "), FRAME("two "), FRAME("three") LAST};
    if (served->told == sizeof pieces / sizeof pieces[0])
        return;
    const char *piece = pieces[served->told++];
    ssize_t sent = send(served->fd, piece, strlen(piece), MSG_NOSIGNAL);
    assert_true(sent == (ssize_t)strlen(piece) || errno == EPIPE || errno == ECONNRESET);
}

/* Serves whoever asks, a piece a turn, until nobody hears anything any more. */
static void serve(struct sharing *s, struct worker *workers)
{
    struct served served[LOOPS * CALLERS];
    size_t count = 0;
    uint64_t deadline = clock_monotonic_ms() + 10000;
    while (!all_done(workers)) {
        int fd = server_try_accept(&s->net->server);
        if (fd >= 0) {
            assert_true(count < LOOPS * CALLERS);
            served[count++] = (struct served){.fd = fd};
        }
        for (size_t i = 0; i < count; i++)
            serve_more(&served[i]);
        helper_turn(s->net->loop);
        assert_true(clock_monotonic_ms() < deadline);
    }
    while (count)
        close(served[--count].fd);
}

static void test_coming_and_leaving(void **state)
{
    struct sharing *s = *state;
    struct worker workers[LOOPS] = {0};
    for (int i = 0; i < LOOPS; i++)
        worker_begin(&workers[i], s, i);
    for (int round = 0; round < ROUNDS; round++) {
        begin_all(workers, true);
        serve(s, workers);
        expect_no_gaps(workers);
        forget(workers);
    }
    assert_true(sharing_joined(s) > ROUNDS);
    for (int i = 0; i < LOOPS; i++)
        worker_end(&workers[i]);
    for (int i = 0; i < LOOPS; i++)
        worker_free(&workers[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sharing_setup, sharing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_one_call_for_all_loops),
        TEST(test_coming_and_leaving),
    };
    return cmocka_run_group_tests_name("route/coalesce_loops", tests, NULL, NULL);
}
