/* Run log: order, bounds, snapshots for who fell behind, and many threads at once. */
#include "../net/helper_loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "chat/run_log.h"

struct fixture {
    struct loop *loop;
    struct run_log *log;
    int snapshots;
};

static void snapshot(void *user, struct buf *out)
{
    struct fixture *f = user;
    f->snapshots++;
    buf_append(out, STR("whole"));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->loop = loop_new(0, NULL);
    f->log = run_log_new(f->loop, snapshot, f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    run_log_unref(f->log);
    loop_free(f->loop);
    free(f);
    return 0;
}

/* A listener that counts how often it was called, and pulls when it is told to. */
struct ear {
    struct run_listener *listener;
    int readies;
    bool detach;
};

static void on_ready(void *user)
{
    struct ear *ear = user;
    ear->readies++;
    if (ear->detach)
        run_log_detach(ear->listener);
}

static void attach(struct fixture *f, struct ear *ear, uint64_t after)
{
    *ear = (struct ear){0};
    ear->listener = run_log_attach(f->log, f->loop, after, on_ready, ear);
    assert_int_equal(ear->readies, 0);
}

static enum run_pull pull(struct ear *ear, uint64_t sequence, const char *type, const char *json)
{
    struct buf out;
    uint64_t got = 0;
    const char *got_type = NULL;
    buf_init(&out, 256 * 1024 * 1024);
    enum run_pull result = run_log_pull(ear->listener, &got, &got_type, &out);
    if (result == RUN_PULL_EVENT) {
        assert_int_equal(got, sequence);
        assert_string_equal(got_type, type);
        assert_true(str_starts_with(buf_str(&out), str_from_cstr(json)));
    } else {
        assert_int_equal(out.len, 0);
    }
    buf_done(&out);
    return result;
}

static void expect_event(struct ear *ear, uint64_t sequence, const char *type, const char *json)
{
    assert_int_equal(pull(ear, sequence, type, json), RUN_PULL_EVENT);
}

static enum run_pull pull_nothing(struct ear *ear)
{
    return pull(ear, 0, "", "");
}

static void turn(struct fixture *f)
{
    for (int i = 0; i < 3; i++)
        helper_turn(f->loop);
}

static void test_in_order(void **state)
{
    struct fixture *f = *state;
    struct ear ear, late, ahead;
    assert_int_equal(run_log_append(f->log, "a", STR("1")), 1);
    attach(f, &ear, 0);
    turn(f);
    assert_int_equal(ear.readies, 1);
    expect_event(&ear, 1, "a", "1");
    assert_int_equal(pull_nothing(&ear), RUN_PULL_EMPTY);
    run_log_append(f->log, "b", STR("2"));
    run_log_append(f->log, "c", STR(""));
    turn(f);
    assert_int_equal(ear.readies, 2); /* once for both */
    expect_event(&ear, 2, "b", "2");
    attach(f, &late, 2);
    attach(f, &ahead, 99); /* what it claims to have cannot be */
    expect_event(&ear, 3, "c", "");
    expect_event(&late, 3, "c", "");
    assert_int_equal(pull_nothing(&ahead), RUN_PULL_EMPTY);
    assert_int_equal(run_log_last_sequence(f->log), 3);
    assert_false(run_log_is_closed(f->log));
    run_log_close(f->log);
    assert_true(run_log_is_closed(f->log));
    turn(f);
    assert_int_equal(ear.readies, 3);
    assert_int_equal(pull_nothing(&ear), RUN_PULL_END);
    assert_int_equal(pull_nothing(&late), RUN_PULL_END);
    run_log_detach(ear.listener);
    run_log_detach(late.listener);
    run_log_detach(ahead.listener);
    struct ear after_all;
    attach(f, &after_all, 1);
    turn(f);
    assert_int_equal(after_all.readies, 1);
    expect_event(&after_all, 2, "b", "2");
    expect_event(&after_all, 3, "c", "");
    assert_int_equal(pull_nothing(&after_all), RUN_PULL_END);
    run_log_detach(after_all.listener);
    assert_int_equal(f->snapshots, 0);
}

static void test_a_slow_one_gets_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct ear slow, quick, late;
    attach(f, &slow, 0);
    attach(f, &quick, 0);
    for (uint64_t i = 1; i <= RUN_LOG_EVENTS_MAX + 10; i++) {
        run_log_append(f->log, "text", STR("x"));
        expect_event(&quick, i, "text", "x");
    }
    turn(f);
    assert_int_equal(slow.readies, 1);
    assert_int_equal(pull_nothing(&slow), RUN_PULL_EMPTY); /* it is being made */
    turn(f);
    assert_int_equal(f->snapshots, 1);
    assert_int_equal(slow.readies, 2);
    expect_event(&slow, RUN_LOG_EVENTS_MAX + 10, "snapshot", "whole");
    run_log_append(f->log, "text", STR("y"));
    expect_event(&slow, RUN_LOG_EVENTS_MAX + 11, "text", "y");
    expect_event(&quick, RUN_LOG_EVENTS_MAX + 11, "text", "y");
    attach(f, &late, 0); /* the one there is recent enough */
    expect_event(&late, RUN_LOG_EVENTS_MAX + 10, "snapshot", "whole");
    expect_event(&late, RUN_LOG_EVENTS_MAX + 11, "text", "y");
    assert_int_equal(f->snapshots, 1);
    run_log_detach(slow.listener);
    run_log_detach(quick.listener);
    run_log_detach(late.listener);
}

static void test_closing_with_one_behind(void **state)
{
    struct fixture *f = *state;
    struct ear asked, late;
    attach(f, &asked, 0);
    for (int i = 0; i < 2 * RUN_LOG_EVENTS_MAX; i++)
        run_log_append(f->log, "text", STR("x"));
    assert_int_equal(pull_nothing(&asked), RUN_PULL_EMPTY);
    uint64_t last = run_log_append(f->log, "saved", STR("all"));
    run_log_close(f->log);                      /* before the snapshot that was asked for */
    expect_event(&asked, last, "saved", "all"); /* which is the whole message */
    assert_int_equal(pull_nothing(&asked), RUN_PULL_END);
    turn(f);
    assert_int_equal(f->snapshots, 0); /* nor after the close */
    attach(f, &late, 0);
    expect_event(&late, last, "saved", "all");
    assert_int_equal(pull_nothing(&late), RUN_PULL_END);
    run_log_detach(asked.listener);
    run_log_detach(late.listener);
}

/* It could not be saved: what there is. */
static void test_closing_unsaved_with_one_behind(void **state)
{
    struct fixture *f = *state;
    struct ear asked;
    attach(f, &asked, 0);
    for (int i = 0; i < 2 * RUN_LOG_EVENTS_MAX; i++)
        run_log_append(f->log, "text", STR("x"));
    assert_int_equal(pull_nothing(&asked), RUN_PULL_EMPTY);
    uint64_t last = run_log_append(f->log, "finish", STR("failed"));
    run_log_close(f->log); /* before the snapshot that was asked for */
    expect_event(&asked, last, "snapshot", "whole");
    assert_int_equal(pull_nothing(&asked), RUN_PULL_END);
    turn(f);
    assert_int_equal(f->snapshots, 1); /* never again after the close */
    run_log_detach(asked.listener);
}

static void test_attaching_late_without_a_snapshot(void **state)
{
    struct fixture *f = *state;
    struct ear late;
    for (int i = 0; i < 2 * RUN_LOG_EVENTS_MAX; i++)
        run_log_append(f->log, "text", STR("x"));
    uint64_t last = run_log_append(f->log, "saved", STR("all"));
    run_log_close(f->log);
    attach(f, &late, 0);
    expect_event(&late, last, "saved", "all"); /* which is the whole message */
    assert_int_equal(pull_nothing(&late), RUN_PULL_END);
    assert_int_equal(f->snapshots, 0);
    run_log_detach(late.listener);
}

static void test_large_events(void **state)
{
    struct fixture *f = *state;
    struct ear ear;
    size_t size = 3 * 1024 * 1024;
    char *text = malloc(size);
    memset(text, 'x', size);
    attach(f, &ear, 0);
    for (uint64_t i = 1; i <= 100; i++) { /* 300 MB in all: only the last is kept */
        run_log_append(f->log, "text", STR_FROM(text, size));
        expect_event(&ear, i, "text", "xxx");
        run_log_append(f->log, "small", STR("s"));
        i++;
        expect_event(&ear, i, "small", "s");
    }
    run_log_detach(ear.listener);
    free(text);
}

static void test_detaching_in_every_state(void **state)
{
    struct fixture *f = *state;
    struct ear ear;
    attach(f, &ear, 0);
    run_log_detach(ear.listener); /* the first call is on its way */
    turn(f);
    assert_int_equal(ear.readies, 0);
    attach(f, &ear, 0);
    turn(f);
    run_log_detach(ear.listener); /* at rest */
    run_log_append(f->log, "a", STR("1"));
    turn(f);
    assert_int_equal(ear.readies, 1);
    attach(f, &ear, 0);
    ear.detach = true; /* inside its own callback */
    turn(f);
    assert_int_equal(ear.readies, 1);
    run_log_append(f->log, "a", STR("2"));
    turn(f);
    assert_int_equal(ear.readies, 1);
    struct ear behind;
    attach(f, &behind, 0);
    for (int i = 0; i < 2 * RUN_LOG_EVENTS_MAX; i++)
        run_log_append(f->log, "text", STR("x"));
    assert_int_equal(pull_nothing(&behind), RUN_PULL_EMPTY);
    run_log_detach(behind.listener); /* while a snapshot is being made */
    turn(f);
    attach(f, &ear, 0);
    run_log_close(f->log);
    run_log_detach(ear.listener);
    turn(f);
}

/* ---- Many threads ---------------------------------------------------------------------------- */

enum { EVENTS = 20000, LISTENERS = 4 };

struct reader {
    struct run_log *log;
    struct loop *loop;
    struct run_listener *listener;
    pthread_t thread;
    uint64_t sequence;
    int detachments;
    bool restless; /* attaches anew now and then */
};

static void reader_ready(void *user)
{
    struct reader *r = user;
    struct buf out;
    enum run_pull result = RUN_PULL_EVENT;
    buf_init(&out, 1024 * 1024);
    for (int i = 0; i < 100 && result == RUN_PULL_EVENT; i++) {
        uint64_t sequence;
        const char *type;
        buf_clear(&out);
        result = run_log_pull(r->listener, &sequence, &type, &out);
        if (result != RUN_PULL_EVENT)
            break;
        bool snapshot = strcmp(type, "snapshot") == 0;
        if (snapshot ? sequence <= r->sequence : sequence != r->sequence + 1)
            abort();
        r->sequence = sequence;
    }
    buf_done(&out);
    if (result == RUN_PULL_END) {
        loop_stop(r->loop);
    } else if (result == RUN_PULL_EVENT || r->restless) {
        run_log_detach(r->listener);
        r->detachments++;
        r->listener = run_log_attach(r->log, r->loop, r->sequence, reader_ready, r);
    }
}

static void *reader_run(void *user)
{
    struct reader *r = user;
    r->listener = run_log_attach(r->log, r->loop, 0, reader_ready, r);
    loop_run(r->loop);
    run_log_detach(r->listener);
    return NULL;
}

static void test_many_threads(void **state)
{
    struct fixture *f = *state;
    struct reader readers[LISTENERS] = {0};
    for (int i = 0; i < LISTENERS; i++) {
        readers[i].log = run_log_ref(f->log);
        readers[i].loop = loop_new(i + 1, NULL);
        readers[i].restless = i % 2;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, reader_run, &readers[i]), 0);
    }
    for (int i = 0; i < EVENTS; i++) {
        run_log_append(f->log, "text", STR("some text"));
        if (i % 50 == 0)
            helper_turn(f->loop); /* snapshots are made here */
    }
    run_log_close(f->log);
    for (int i = 0; i < LISTENERS; i++) {
        pthread_join(readers[i].thread, NULL);
        assert_int_equal(readers[i].sequence, EVENTS);
        loop_free(readers[i].loop);
        run_log_unref(readers[i].log);
    }
}

/* Without snapshots nothing is forgotten, however late somebody comes. */
static void test_a_log_that_keeps_all(void **state)
{
    struct fixture *f = *state;
    struct run_log *log = run_log_new(f->loop, NULL, NULL);
    struct ear ear = {0};
    struct buf out;
    uint64_t sequence;
    const char *type = "";
    int count = 3 * RUN_LOG_EVENTS_MAX;
    for (int i = 0; i < count; i++)
        assert_true(run_log_append(log, NULL, STR("frame")) == (uint64_t)i + 1);
    run_log_close(log);
    buf_init(&out, (size_t)count * 5);
    ear.listener = run_log_attach(log, f->loop, 0, on_ready, &ear);
    for (int i = 0; i < count; i++) {
        assert_int_equal(run_log_pull(ear.listener, &sequence, &type, &out), RUN_PULL_EVENT);
        assert_true(sequence == (uint64_t)i + 1);
    }
    assert_null(type);
    assert_int_equal(run_log_pull(ear.listener, &sequence, &type, &out), RUN_PULL_END);
    assert_int_equal(out.len, count * 5);
    run_log_detach(ear.listener);
    helper_turn(f->loop);
    buf_done(&out);
    run_log_unref(log);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_in_order),
        TEST(test_a_slow_one_gets_a_snapshot),
        TEST(test_closing_with_one_behind),
        TEST(test_closing_unsaved_with_one_behind),
        TEST(test_attaching_late_without_a_snapshot),
        TEST(test_large_events),
        TEST(test_detaching_in_every_state),
        TEST(test_a_log_that_keeps_all),
        TEST(test_many_threads),
    };
    return cmocka_run_group_tests_name("chat/run_log", tests, NULL, NULL);
}
