/* Hub: the table of runs, and who hears of which change. */
#include "../net/helper_loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "chat/hub.h"

struct ear {
    struct watcher *watcher;
    struct id heard[32];
    int count;
    bool leave; /* at the first change */
};

static void on_changed(void *user, const struct id *conversation)
{
    struct ear *ear = user;
    if (ear->count < 32)
        ear->heard[ear->count] = *conversation;
    ear->count++;
    if (ear->leave)
        hub_unwatch(ear->watcher);
}

static void turn(struct loop *loop)
{
    for (int i = 0; i < 3; i++)
        helper_turn(loop);
}

static void no_snapshot(void *user, struct buf *out)
{
    (void)user, (void)out;
}

static void test_runs(void **state)
{
    (void)state;
    struct loop *loop = loop_new(0, NULL);
    struct hub *hub = hub_new();
    struct hub_run run = {.id = id_new(1), .owner = id_new(2), .loop = loop};
    struct hub_run found = {0};
    run.log = run_log_new(loop, no_snapshot, NULL);
    assert_int_equal(hub_find_run(hub, &run.id, &found), ERR_NOT_FOUND);
    hub_add_run(hub, &run);
    assert_int_equal(hub_run_count(hub), 1);
    assert_int_equal(hub_find_run(hub, &run.id, &found), ERR_OK);
    assert_true(id_eq(&found.owner, &run.owner));
    run_log_unref(run.log); /* ours: the hub's and the one found stay */
    hub_remove_run(hub, &run.id);
    hub_remove_run(hub, &run.id);
    assert_int_equal(hub_run_count(hub), 0);
    run_log_append(found.log, "a", STR("1"));
    run_log_unref(found.log);
    struct hub_run left = {.id = id_new(3), .log = run_log_new(loop, no_snapshot, NULL)};
    hub_add_run(hub, &left);
    run_log_unref(left.log);
    hub_free(hub);
    hub_free(NULL);
    loop_free(loop);
}

static void test_changes(void **state)
{
    (void)state;
    struct loop *loop = loop_new(0, NULL);
    struct hub *hub = hub_new();
    struct id owner = id_new(1), other = id_new(2), a = id_new(3), b = id_new(4);
    struct ear one = {0}, two = {0}, stranger = {0};
    one.watcher = hub_watch(hub, loop, &owner, on_changed, &one);
    two.watcher = hub_watch(hub, loop, &owner, on_changed, &two);
    stranger.watcher = hub_watch(hub, loop, &other, on_changed, &stranger);
    hub_publish(hub, &owner, &a, one.watcher);
    assert_int_equal(two.count, 0);
    hub_publish(hub, &owner, &a, one.watcher); /* told once a turn */
    hub_publish(hub, &owner, &b, NULL);
    turn(loop);
    assert_int_equal(one.count, 1); /* not of its own */
    assert_true(id_eq(&one.heard[0], &b));
    assert_int_equal(two.count, 2);
    assert_true(id_eq(&two.heard[0], &a) && id_eq(&two.heard[1], &b));
    assert_int_equal(stranger.count, 0);
    hub_publish(hub, &owner, &a, NULL);
    hub_unwatch(one.watcher); /* with a message on its way */
    turn(loop);
    assert_int_equal(one.count, 1);
    assert_int_equal(two.count, 3);
    for (int i = 0; i < 100; i++) {
        struct id many = id_new(100 + i);
        hub_publish(hub, &owner, &many, NULL);
    }
    turn(loop);
    assert_true(two.count > 3);
    hub_unwatch(two.watcher);
    hub_unwatch(stranger.watcher);
    hub_free(hub);
    loop_free(loop);
}

static void test_leaving_inside_the_callback(void **state)
{
    (void)state;
    struct loop *loop = loop_new(0, NULL);
    struct hub *hub = hub_new();
    struct id owner = id_new(1), a = id_new(3), b = id_new(4);
    struct ear *ear = calloc(1, sizeof *ear);
    ear->leave = true;
    ear->watcher = hub_watch(hub, loop, &owner, on_changed, ear);
    hub_publish(hub, &owner, &a, NULL);
    hub_publish(hub, &owner, &b, NULL);
    TURN_UNTIL(loop, ear->count);
    assert_int_equal(ear->count, 1); /* nothing after leaving */
    free(ear);
    hub_publish(hub, &owner, &a, NULL);
    turn(loop);
    hub_free(hub);
    loop_free(loop);
}

/* ---- Many threads ---------------------------------------------------------------------------- */

enum { ROUNDS = 2000, THREADS = 3 };

struct worker {
    struct hub *hub;
    struct id owner;
    pthread_t thread;
};

static void count(void *user, const struct id *conversation)
{
    (void)conversation;
    ++*(int *)user;
}

/* Watches, publishes, comes and goes. */
static void *work(void *user)
{
    struct worker *worker = user;
    struct loop *loop = loop_new(1, NULL);
    int heard = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct watcher *watcher = hub_watch(worker->hub, loop, &worker->owner, count, &heard);
        struct hub_run run = {.id = id_new(i), .owner = worker->owner, .loop = loop}, found;
        run.log = run_log_new(loop, no_snapshot, NULL);
        hub_add_run(worker->hub, &run);
        hub_publish(worker->hub, &worker->owner, &run.id, i % 2 ? watcher : NULL);
        if (hub_find_run(worker->hub, &run.id, &found) == ERR_OK)
            run_log_unref(found.log);
        if (i % 4 == 0)
            helper_turn(loop);
        hub_remove_run(worker->hub, &run.id);
        run_log_unref(run.log);
        hub_unwatch(watcher);
    }
    loop_free(loop);
    return NULL;
}

static void test_many_threads(void **state)
{
    (void)state;
    struct hub *hub = hub_new();
    struct worker workers[THREADS];
    struct id owner = id_new(1);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.hub = hub, .owner = owner};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_int_equal(hub_run_count(hub), 0);
    hub_free(hub);
}

/* Answers in the background are runs of another kind, and so many at once are one person's. */
static void test_responses(void **state)
{
    (void)state;
    struct loop *loop = loop_new(0, NULL);
    struct hub *hub = hub_new();
    struct hub_run found, runs[3];
    for (int i = 0; i < 3; i++)
        runs[i] = (struct hub_run){.id = id_new(10 + i),
                                   .owner = id_new(1),
                                   .loop = loop,
                                   .is_response = true,
                                   .log = run_log_new(loop, NULL, NULL)};
    runs[1].owner = runs[0].owner;
    assert_int_equal(hub_add_response(hub, &runs[0], 1), ERR_OK);
    assert_int_equal(hub_add_response(hub, &runs[1], 1), ERR_RATE_LIMITED);
    assert_int_equal(hub_add_response(hub, &runs[2], 1), ERR_OK); /* another's */
    assert_int_equal(hub_find_run(hub, &runs[0].id, &found), ERR_NOT_FOUND);
    assert_int_equal(hub_find_response(hub, &runs[1].id, &found), ERR_NOT_FOUND);
    assert_int_equal(hub_find_response(hub, &runs[0].id, &found), ERR_OK);
    run_log_unref(found.log);
    run_log_close(runs[0].log); /* it has ended, and is known still */
    assert_int_equal(hub_add_response(hub, &runs[1], 1), ERR_OK);
    for (int i = 0; i < 3; i++) {
        hub_remove_run(hub, &runs[i].id);
        run_log_unref(runs[i].log);
    }
    hub_free(hub);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_leaving_inside_the_callback),
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_many_threads),
    };
    return cmocka_run_group_tests_name("chat/hub", tests, NULL, NULL);
}
