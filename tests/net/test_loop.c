/* The loop: order of timers, of deferred calls and flushes, messages between threads, work. */
#include <pthread.h>
#include <stdlib.h>

#include "helper_loop.h"

struct fixture {
    struct loop *loop;
    struct buf order; /* one character for each thing that ran */
    pthread_t main_thread;
};

/* What a callback needs to leave its mark. */
struct mark {
    struct fixture *fixture;
    char name;
    struct loop_timer timer;
    struct loop_task task;
    struct mark *next; /* queued or set by it */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(3, NULL);
    fixture->main_thread = pthread_self();
    buf_init(&fixture->order, 1 << 20);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    loop_free(fixture->loop);
    buf_done(&fixture->order);
    free(fixture);
    return 0;
}

static void leave(void *user)
{
    struct mark *mark = user;
    buf_append_char(&mark->fixture->order, mark->name);
}

static void expect_order(struct fixture *fixture, const char *order)
{
    buf_append_char(&fixture->order, '\0');
    assert_string_equal(fixture->order.data, order);
    buf_clear(&fixture->order);
}

/* ---- Timers ---------------------------------------------------------------------------------- */

static void test_timer_order(void **state)
{
    struct fixture *fixture = *state;
    struct mark marks[] = {{.fixture = fixture, .name = 'a'},
                           {.fixture = fixture, .name = 'b'},
                           {.fixture = fixture, .name = 'c'},
                           {.fixture = fixture, .name = 'd'}};
    loop_timer_set(fixture->loop, &marks[2].timer, 9, leave, &marks[2]);
    loop_timer_set(fixture->loop, &marks[0].timer, 1, leave, &marks[0]);
    loop_timer_set(fixture->loop, &marks[3].timer, 5, leave, &marks[3]);
    loop_timer_set(fixture->loop, &marks[1].timer, 20, leave, &marks[1]);
    loop_timer_set(fixture->loop, &marks[1].timer, 3, leave, &marks[1]); /* moved */
    loop_timer_cancel(fixture->loop, &marks[3].timer);
    loop_timer_cancel(fixture->loop, &marks[3].timer); /* harmless */
    assert_true(loop_timer_is_set(&marks[0].timer));
    assert_false(loop_timer_is_set(&marks[3].timer));
    TURN_UNTIL(fixture->loop, fixture->order.len == 3);
    assert_false(loop_timer_is_set(&marks[0].timer));
    expect_order(fixture, "abc");
}

static void cancel_next(void *user)
{
    struct mark *mark = user;
    leave(mark);
    loop_timer_cancel(mark->fixture->loop, &mark->next->timer);
}

static void free_self(void *user)
{
    leave(user);
    free(user);
}

static void test_timer_inside_timer(void **state)
{
    struct fixture *fixture = *state;
    struct mark second = {.fixture = fixture, .name = '2'},
                first = {.fixture = fixture, .name = '1', .next = &second};
    struct mark *own = calloc(1, sizeof *own);
    *own = (struct mark){.fixture = fixture, .name = 'o'};
    loop_timer_set(fixture->loop, &first.timer, 1, cancel_next, &first);
    loop_timer_set(fixture->loop, &second.timer, 1, leave, &second);
    loop_timer_set(fixture->loop, &own->timer, 5, free_self, own);
    TURN_UNTIL(fixture->loop, fixture->order.len == 2);
    helper_turn(fixture->loop);
    expect_order(fixture, "1o");
}

/* A timer never comes before its time, and the time is the same for a whole turn. */
static void test_timer_time(void **state)
{
    struct fixture *fixture = *state;
    struct mark mark = {.fixture = fixture, .name = 't'};
    uint64_t set_ms = loop_now_ms(fixture->loop);
    loop_timer_set(fixture->loop, &mark.timer, 15, leave, &mark);
    TURN_UNTIL(fixture->loop, fixture->order.len == 1);
    assert_true(loop_now_ms(fixture->loop) >= set_ms + 15);
}

/* ---- Deferred calls and flushes -------------------------------------------------------------- */

static void defer_next(void *user)
{
    struct mark *mark = user;
    leave(mark);
    loop_defer(mark->fixture->loop, &mark->next->task, leave, mark->next);
}

static void flush_next(void *user)
{
    struct mark *mark = user;
    leave(mark);
    loop_defer_flush(mark->fixture->loop, &mark->next->task, leave, mark->next);
}

/* Flushes wait for every deferred call, also for those that deferred calls make. */
static void test_flush_after_tasks(void **state)
{
    struct fixture *fixture = *state;
    struct mark c = {.fixture = fixture, .name = 'c'}, flush = {.fixture = fixture, .name = 'f'};
    struct mark b = {.fixture = fixture, .name = 'b', .next = &c},
                a = {.fixture = fixture, .name = 'a', .next = &flush};
    loop_defer(fixture->loop, &a.task, flush_next, &a);
    loop_defer(fixture->loop, &b.task, defer_next, &b);
    helper_turn(fixture->loop);
    expect_order(fixture, "abcf");
}

/* Records come between the two, or at once for whoever is about to send. */
static void test_records_before_flushes(void **state)
{
    struct fixture *fixture = *state;
    struct mark f = {.fixture = fixture, .name = 'f'}, r = {.fixture = fixture, .name = 'r'},
                t = {.fixture = fixture, .name = 't'};
    loop_defer_flush(fixture->loop, &f.task, leave, &f);
    loop_defer_record(fixture->loop, &r.task, leave, &r);
    loop_defer(fixture->loop, &t.task, leave, &t);
    helper_turn(fixture->loop);
    expect_order(fixture, "trf");
    loop_defer_flush(fixture->loop, &f.task, leave, &f);
    loop_defer_record(fixture->loop, &r.task, leave, &r);
    loop_run_records(fixture->loop);
    expect_order(fixture, "r");
    helper_turn(fixture->loop);
    expect_order(fixture, "f");
}

static void test_queued_once_and_cancelled(void **state)
{
    struct fixture *fixture = *state;
    struct mark a = {.fixture = fixture, .name = 'a'}, b = {.fixture = fixture, .name = 'b'};
    loop_defer_flush(fixture->loop, &a.task, leave, &a);
    loop_defer_flush(fixture->loop, &b.task, leave, &b);
    loop_defer_flush(fixture->loop, &a.task, leave, &a);
    helper_turn(fixture->loop);
    expect_order(fixture, "ab");
    loop_defer(fixture->loop, &a.task, leave, &a);
    loop_defer_flush(fixture->loop, &b.task, leave, &b);
    loop_task_cancel(&a.task);
    loop_task_cancel(&b.task);
    helper_turn(fixture->loop);
    expect_order(fixture, "");
}

/* What a timer leaves behind is flushed before the loop waits. */
static void test_flush_after_timer(void **state)
{
    struct fixture *fixture = *state;
    struct mark flush = {.fixture = fixture, .name = 'f'},
                timer = {.fixture = fixture, .name = 't', .next = &flush};
    loop_timer_set(fixture->loop, &timer.timer, 0, flush_next, &timer);
    TURN_UNTIL(fixture->loop, fixture->order.len == 2);
    expect_order(fixture, "tf");
}

/* ---- Threads --------------------------------------------------------------------------------- */

enum { POSTS = 2000 };

struct poster {
    struct loop *loop;
    struct post {
        struct loop_task task;
        struct poster *poster;
        int number;
    } posts[POSTS];
    int received;
};

static void receive_post(void *user)
{
    struct post *post = user;
    assert_int_equal(post->number, post->poster->received);
    post->poster->received++;
}

static void *post_all(void *user)
{
    struct poster *poster = user;
    for (int i = 0; i < POSTS; i++) {
        poster->posts[i].poster = poster;
        poster->posts[i].number = i;
        assert_true(
            loop_post(poster->loop, &poster->posts[i].task, receive_post, &poster->posts[i]));
    }
    return NULL;
}

static void test_posts_keep_their_order(void **state)
{
    struct fixture *fixture = *state;
    struct poster *posters = calloc(3, sizeof *posters);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        posters[i].loop = fixture->loop;
        pthread_create(&threads[i], NULL, post_all, &posters[i]);
    }
    TURN_UNTIL(fixture->loop,
               posters[0].received + posters[1].received + posters[2].received == 3 * POSTS);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    free(posters);
}

/* What was posted before loop_free still runs: its owner counts on it. */
static void test_posts_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct loop *loop = loop_new(0, NULL);
    struct mark mark = {.fixture = fixture, .name = 'p'};
    assert_true(loop_post(loop, &mark.task, leave, &mark));
    loop_free(loop);
    expect_order(fixture, "p");
}

static void *run_loop(void *user)
{
    loop_run(user);
    return NULL;
}

struct ping_pong {
    struct loop *here, *there;
    struct loop_task task;
    int count;
};

static void play(void *user)
{
    struct ping_pong *game = user;
    struct loop *next = game->count % 2 ? game->here : game->there;
    if (++game->count < 1000)
        loop_post(next, &game->task, play, game);
    else
        loop_stop(game->here), loop_stop(game->there);
}

static void test_loops_on_threads(void **state)
{
    (void)state;
    struct ping_pong game = {.here = loop_new(0, NULL), .there = loop_new(1, NULL)};
    pthread_t here, there;
    pthread_create(&here, NULL, run_loop, game.here);
    pthread_create(&there, NULL, run_loop, game.there);
    assert_true(loop_post(game.here, &game.task, play, &game));
    pthread_join(here, NULL);
    pthread_join(there, NULL);
    assert_int_equal(game.count, 1000);
    assert_int_equal(loop_index(game.there), 1);
    loop_free(game.here);
    loop_free(game.there);
}

struct job {
    struct loop_work work;
    struct fixture *fixture;
    bool ran_elsewhere;
    int done;
};

static void job_run(void *user)
{
    struct job *job = user;
    job->ran_elsewhere = !pthread_equal(pthread_self(), job->fixture->main_thread);
}

static void job_done(void *user)
{
    struct job *job = user;
    assert_true(pthread_equal(pthread_self(), job->fixture->main_thread));
    job->done++;
}

static void test_work(void **state)
{
    struct fixture *fixture = *state;
    struct job job = {.fixture = fixture};
    loop_work_start(fixture->loop, &job.work, job_run, job_done, &job);
    assert_int_equal(job.done, 0);
    TURN_UNTIL(fixture->loop, job.done);
    assert_true(job.ran_elsewhere);
    assert_int_equal(job.done, 1);
}

/* Work under way ends before the loop is gone. */
static void test_work_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct loop *loop = loop_new(0, NULL);
    struct job job = {.fixture = fixture};
    loop_work_start(loop, &job.work, job_run, job_done, &job);
    loop_free(loop);
    assert_int_equal(job.done, 1);
}

/* ---- Memory ---------------------------------------------------------------------------------- */

static void test_scratch_is_nobody_elses(void **state)
{
    struct fixture *fixture = *state;
    enum { DEPTH = 8 };
    struct arena *scratches[DEPTH];
    char *texts[DEPTH];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < DEPTH; i++) {
            scratches[i] = loop_scratch_borrow(fixture->loop);
            assert_int_equal(arena_used(scratches[i]), 0);
            for (int before = 0; before < i; before++)
                assert_ptr_not_equal(scratches[i], scratches[before]);
            texts[i] = arena_alloc(scratches[i], i % 2 ? 100 : 100000);
            memset(texts[i], i, 100);
        }
        for (int i = 0; i < DEPTH; i++) {
            assert_int_equal(texts[i][99], i);
            loop_scratch_return(fixture->loop, scratches[i]);
        }
    }
}

static void test_memory_of_buffers_is_lent(void **state)
{
    struct fixture *fixture = *state;
    struct buf first, second, large, narrow;
    if (!STOCK_KEEPS) /* under a sanitizer nothing is lent */
        return;
    buf_init(&first, 100000);
    buf_init(&second, 100000);
    buf_init(&large, 100000);
    buf_init(&narrow, 100);
    loop_buf_lend(fixture->loop, &first); /* nobody has left any */
    assert_null(first.data);
    buf_append(&first, STR("a"));
    const char *memory = first.data;
    loop_buf_keep(fixture->loop, &first);
    assert_true(!first.data && first.len == 0 && first.capacity == 0 && first.bytes_max == 100000);
    loop_buf_lend(fixture->loop, &narrow); /* it may not be as large as what is lent */
    assert_null(narrow.data);
    loop_buf_lend(fixture->loop, &second);
    assert_ptr_equal(second.data, memory);
    assert_int_equal(second.len, 0);
    buf_append(&second, STR("b"));
    loop_buf_lend(fixture->loop, &second); /* has its own */
    assert_true(str_eq(buf_str(&second), STR("b")));
    loop_buf_lend(fixture->loop, &first); /* one memory, one owner */
    assert_null(first.data);
    buf_reserve(&large, 50000);
    loop_buf_keep(fixture->loop, &large); /* freed: what is kept is small */
    assert_null(large.data);
    loop_buf_lend(fixture->loop, &first);
    assert_null(first.data);
    for (int i = 0; i < 100; i++) { /* and not much */
        buf_append(&second, STR("c"));
        loop_buf_keep(fixture->loop, &second);
    }
}

/* ---- Time ------------------------------------------------------------------------------------ */

struct watch {
    struct fixture *fixture;
    struct loop_timer timer;
    struct loop_task task;
    struct loop_work work;
    uint64_t now_us; /* as it was told last */
};

static void pass_time(void)
{
    uint64_t before_us = clock_monotonic_ns() / 1000;
    while (clock_monotonic_ns() / 1000 < before_us + 3000)
        ;
}

/* In a callback: a time of its own, which holds while it goes on. */
static void look_twice(void *user)
{
    struct watch *watch = user;
    struct loop *loop = watch->fixture->loop;
    uint64_t before_us = clock_monotonic_ns() / 1000;
    uint64_t now_us = loop_now_us(loop);
    int64_t wall_ms = loop_wall_ms(loop);
    assert_true(now_us >= before_us && now_us > watch->now_us);
    assert_in_range(wall_ms, clock_wall_ms() - 1000, clock_wall_ms());
    pass_time();
    assert_true(loop_now_us(loop) == now_us && loop_wall_ms(loop) == wall_ms);
    watch->now_us = now_us;
    leave(&(struct mark){.fixture = watch->fixture, .name = 'w'});
}

static void look_in_a_timer(void *user)
{
    struct watch *watch = user;
    look_twice(watch);
    loop_defer(watch->fixture->loop, &watch->task, look_twice, watch);
}

static void nothing(void *user)
{
    (void)user;
}

static void test_each_callback_has_its_time(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch = {.fixture = fixture};
    struct loop_timer other = {0};
    struct loop_task message = {0};
    loop_timer_set(fixture->loop, &watch.timer, 0, look_in_a_timer, &watch);
    loop_timer_set(fixture->loop, &other, 0, look_twice,
                   &watch); /* in the same callback of libuv */
    TURN_UNTIL(fixture->loop, fixture->order.len == 3);
    assert_true(loop_post(fixture->loop, &message, look_twice, &watch));
    TURN_UNTIL(fixture->loop, fixture->order.len == 4);
    loop_work_start(fixture->loop, &watch.work, nothing, look_twice, &watch);
    TURN_UNTIL(fixture->loop, fixture->order.len == 5);
    expect_order(fixture, "wwwww");
}

/* At the start of the program, and for callbacks that do not tell of themselves. */
static void test_outside_time_goes_on(void **state)
{
    struct fixture *fixture = *state;
    struct watch watch = {.fixture = fixture};
    uint64_t before_us = loop_now_us(fixture->loop);
    int64_t before_ms = loop_wall_ms(fixture->loop);
    pass_time();
    assert_true(loop_now_us(fixture->loop) >= before_us + 3000);
    assert_true(loop_wall_ms(fixture->loop) >= before_ms + 2);
    assert_true(loop_post(fixture->loop, &watch.task, look_twice, &watch));
    TURN_UNTIL(fixture->loop, fixture->order.len == 1);
    expect_order(fixture, "w");
    assert_true(loop_now_us(fixture->loop) >= watch.now_us + 3000);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_timer_order),
        TEST(test_timer_inside_timer),
        TEST(test_timer_time),
        TEST(test_flush_after_tasks),
        TEST(test_records_before_flushes),
        TEST(test_queued_once_and_cancelled),
        TEST(test_flush_after_timer),
        TEST(test_posts_keep_their_order),
        TEST(test_posts_at_the_end),
        TEST(test_loops_on_threads),
        TEST(test_work),
        TEST(test_work_at_the_end),
        TEST(test_scratch_is_nobody_elses),
        TEST(test_memory_of_buffers_is_lent),
        TEST(test_each_callback_has_its_time),
        TEST(test_outside_time_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
