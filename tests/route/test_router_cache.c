/* Kept answers, at the router: what is kept, who gets it, in which form, and when it is not asked for
 * again. */
#include "helper_share.h"

#include "account/policy.h"

#define WHOLE_BODY "{\"model\":\"fake/m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"
#define WHOLE_ANSWER                                                                               \
    "{\"id\":\"c\",\"model\":\"m\",\"odd\":1,\"choices\":[{\"index\":0,\"message\":{\"role\":"     \
    "\"assistant\",\"content\":\"Hello\"},\"finish_reason\":\"stop\"}],\"usage\":{"                \
    "\"prompt_tokens\":7,\"completion_tokens\":2}}"
#define KEPT                                                                                       \
    {                                                                                              \
        .has_seconds = true, .seconds = 60                                                         \
    }

static void start(struct sharing *s, struct caller *caller)
{
    assert_int_equal(caller_start(caller, s->router, "r"), ERR_OK);
    assert_int_equal(caller->ends + (int)caller->text.len, 0); /* a turn later at the earliest */
}

/* Nobody is asked. */
static void expect_no_call(struct sharing *s)
{
    for (int i = 0; i < 4; i++)
        helper_turn(s->net->loop);
    assert_int_equal(server_try_accept(&s->net->server), -1);
}

static void expect_text(struct caller *caller, const char *text)
{
    if (!str_eq(buf_str(&caller->text), str_from_cstr(text)))
        fail_msg("%.*s", STR_ARG(buf_str(&caller->text)));
}

/* A caller that the provider answers. */
static void miss(struct sharing *s, struct caller *caller, const char *answer)
{
    start(s, caller);
    int fd = call_accept(s->net);
    call_send(s->net, fd, answer);
    close(fd);
    TURN_UNTIL(s->net->loop, caller->ends);
    assert_int_equal(caller->cached, ROUTE_CACHE_MISS);
    assert_int_equal(caller->attempts, 1);
}

static void miss_well(struct sharing *s, struct caller *caller)
{
    miss(s, caller, HEAD FRAME("Hel") FRAME("lo") LAST);
    assert_int_equal(caller->errors, 0);
    expect_text(caller, "Hello");
}

/* One that gets the kept answer. */
static void hit(struct sharing *s, struct caller *caller)
{
    start(s, caller);
    TURN_UNTIL(s->net->loop, caller->ends);
    expect_no_call(s);
    assert_int_equal(caller->cached, ROUTE_CACHE_HIT);
    assert_int_equal(caller->errors, 0);
    assert_int_equal(caller->finishes, 1);
    assert_int_equal(caller->usage.input_total, 7);
    assert_int_equal(caller->attempts, 0);
    assert_string_equal(caller->target, "fake/m");
    assert_false(caller->has_story || caller->is_shared);
    expect_text(caller, "Hello");
}

/* Asks, and is answered by the provider again. */
static void expect_miss(struct sharing *s, struct caller caller)
{
    miss_well(s, &caller);
    caller_done(&caller);
}

static void expect_hit(struct sharing *s, struct caller caller)
{
    hit(s, &caller);
    caller_done(&caller);
}

static void test_a_stream_again(void **state)
{
    struct sharing *s = *state;
    struct caller again = {.cache = KEPT};
    expect_miss(s, (struct caller){.cache = KEPT});
    hit(s, &again);
    assert_int_equal(again.texts, 2); /* in its pieces */
    caller_done(&again);
    expect_hit(s, (struct caller){.cache = KEPT});
}

static void test_off_unless_asked(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, told = {.cache = {.has_seconds = true}}, again = {.cache = KEPT};
    expect_miss(s, (struct caller){.cache = KEPT, .body = BODY("apart", "hello")});
    start(s, &first);
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
    close(fd);
    TURN_UNTIL(s->net->loop, first.ends);
    assert_int_equal(first.cached, ROUTE_CACHE_OFF);
    start(s, &told);
    fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
    close(fd);
    TURN_UNTIL(s->net->loop, told.ends);
    assert_int_equal(told.cached, ROUTE_CACHE_OFF);
    miss_well(s, &again); /* neither was kept */
    caller_done(&first);
    caller_done(&told);
    caller_done(&again);
}

static void test_bytes_again(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.cache = KEPT, .wants_raw = true};
    struct caller again = {.cache = KEPT, .wants_raw = true}, events = {.cache = KEPT};
    miss_well(s, &first);
    assert_true(first.was_raw);
    hit(s, &again);
    assert_true(again.was_raw);
    assert_true(first.raw.len > 0);
    assert_true(str_eq(buf_str(&first.raw), buf_str(&again.raw)));
    hit(s, &events);
    assert_false(events.was_raw);
    caller_done(&first);
    caller_done(&again);
    caller_done(&events);
}

static void test_a_stream_as_a_whole(void **state)
{
    struct sharing *s = *state;
    struct caller whole = {.cache = KEPT, .wants_raw = true, .body = WHOLE_BODY};
    expect_miss(s, (struct caller){.cache = KEPT,
                                   .wants_raw = true,
                                   .body = "{\"model\":\"fake/m\",\"stream\":true,\"messages\":[{"
                                           "\"role\":\"user\",\"content\":\"hello\"}]}"});
    hit(s, &whole);
    assert_false(whole.was_raw);
    assert_int_equal(whole.raw.len, 0); /* frames are of no use to it */
    caller_done(&whole);
}

static void reply_whole(struct sharing *s, struct caller *caller)
{
    start(s, caller);
    int fd = call_accept(s->net);
    call_send(s->net, fd,
              "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: "
              "close\r\n\r\n" WHOLE_ANSWER);
    close(fd);
    TURN_UNTIL(s->net->loop, caller->ends);
    assert_int_equal(caller->errors, 0);
    assert_int_equal(caller->cached, ROUTE_CACHE_MISS);
}

static void test_a_whole_answer_as_a_stream(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.cache = KEPT, .wants_raw = true, .body = WHOLE_BODY};
    struct caller again = first, stream = {.cache = KEPT, .wants_raw = true};
    reply_whole(s, &first);
    hit(s, &again);
    assert_true(str_eq(buf_str(&again.raw), STR(WHOLE_ANSWER)));
    hit(s, &stream);
    assert_false(stream.was_raw);
    caller_done(&first);
    caller_done(&again);
    caller_done(&stream);
}

/* Bytes in another form are not what they were. */
static void test_who_is_strict_gets_bytes_or_asks(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.cache = KEPT, .wants_raw = true, .is_strict = true, .body = WHOLE_BODY};
    reply_whole(s, &first);
    expect_miss(s, (struct caller){.cache = KEPT, .wants_raw = true, .is_strict = true});
    expect_hit(s, (struct caller){.cache = KEPT, .wants_raw = true, .is_strict = true});
    caller_done(&first);
}

static void test_nothing_crosses(void **state)
{
    struct sharing *s = *state;
    static const struct str models[] = {{"fake/*", 6}};
    struct policy open = {0}, narrow = {.models = {models, 1}};
    expect_miss(s, (struct caller){.cache = KEPT});
    expect_miss(s, (struct caller){.cache = KEPT, .tenant = "bob"});
    expect_miss(s, (struct caller){.cache = KEPT, .policy = &open});
    expect_miss(s, (struct caller){.cache = KEPT, .policy = &narrow});
    expect_miss(s, (struct caller){.cache = KEPT, .is_strict = true});
    expect_miss(s, (struct caller){.cache = KEPT, .body = BODY("fake/m", "hello ")});
    expect_miss(s, (struct caller){.cache = KEPT, .body = BODY("also", "hello")});
    expect_hit(s, (struct caller){.cache = KEPT});
    expect_hit(s, (struct caller){.cache = KEPT, .policy = &narrow});
}

static void test_some_are_never_kept(void **state)
{
    struct sharing *s = *state;
    struct caller callers[] = {{.cache = KEPT, .tenant = ""},
                               {.cache = KEPT, .takes_back = true},
                               {.cache = KEPT, .has_no_body = true}};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 3; i++) {
            start(s, &callers[i]);
            int fd = call_accept(s->net);
            call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
            close(fd);
            TURN_UNTIL(s->net->loop, callers[i].ends);
            assert_int_equal(callers[i].cached, ROUTE_CACHE_OFF);
            caller_done(&callers[i]);
            callers[i].ends = 0;
        }
    }
}

static void test_only_whole_answers_are_kept(void **state)
{
    struct sharing *s = *state;
    struct caller cut = {.cache = KEPT, .body = BODY("apart", "hello")},
                  refused = {.cache = KEPT, .body = BODY("apart", "hello")},
                  left = {.cache = KEPT, .body = BODY("apart", "hello"), .leaves_at_text = true};
    /* A route that shares nothing: who leaves there ends the call at once. */
    miss(s, &cut, HEAD FRAME("Hel"));
    assert_int_equal(cut.errors, 1);
    miss(s, &refused,
         "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: "
         "close\r\n\r\n{\"error\":{\"message\":\"no\"}}");
    assert_int_equal(refused.errors, 1);
    start(s, &left);
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
    TURN_UNTIL(s->net->loop, left.texts);
    close(fd);
    struct caller filtered = {.cache = KEPT, .body = BODY("apart", "hello")};
    miss(s, &filtered,
         HEAD FRAME("Hel") "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},"
                           "\"finish_reason\":\"content_filter\"}]}\n\ndata: [DONE]\n\n");
    assert_int_equal(filtered.ends, 1);
    expect_miss(s, (struct caller){.cache = KEPT, .body = BODY("apart", "hello")});
    expect_hit(s, (struct caller){.cache = KEPT, .body = BODY("apart", "hello")});
    caller_done(&cut);
    caller_done(&refused);
    caller_done(&left);
    caller_done(&filtered);
}

static void test_what_requests_say(void **state)
{
    struct sharing *s = *state;
    const struct route_cache_ask unkept = {
        .has_seconds = true, .seconds = 60, .keeps_nothing = true};
    const struct route_cache_ask alone = {
        .has_seconds = true, .seconds = 60, .keeps_nothing = true, .skips = true};
    struct caller first = {.cache = alone};
    struct caller insists = {.cache = {.has_seconds = true, .seconds = 60, .insists = true}};
    struct caller off = {.cache = {.insists = true}};
    assert_int_equal(caller_start(&insists, s->router, "r"), ERR_TIMEOUT);
    caller_done(&insists);
    start(s, &first);
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
    close(fd);
    TURN_UNTIL(s->net->loop, first.ends);
    assert_int_equal(first.cached, ROUTE_CACHE_OFF);
    caller_done(&first);
    expect_miss(s, (struct caller){.cache = unkept});
    expect_miss(s, (struct caller){.cache = KEPT});
    expect_hit(s, (struct caller){.cache = unkept});
    hit(s, &insists);
    assert_int_equal(caller_start(&off, s->router, "r"), ERR_TIMEOUT);
    caller_done(&insists);
    caller_done(&off);
    expect_miss(s, (struct caller){.cache = {.has_seconds = true, .seconds = 60, .skips = true}});
    expect_miss(
        s, (struct caller){.cache = {.has_seconds = true, .seconds = 60, .has_age_max = true}});
    expect_hit(s, (struct caller){.cache = {.has_seconds = true,
                                            .seconds = 60,
                                            .has_age_max = true,
                                            .age_max_seconds = 60}});
    expect_no_call(s);
}

static void test_a_change_of_routes_forgets(void **state)
{
    struct sharing *s = *state;
    expect_miss(s, (struct caller){.cache = KEPT});
    sharing_configure(s);
    expect_miss(s, (struct caller){.cache = KEPT});
    expect_hit(s, (struct caller){.cache = KEPT});
}

/* An answer that several share is kept once, by the first one's wish. */
static void test_a_shared_answer_is_kept(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.cache = KEPT}, second = {.cache = KEPT};
    start(s, &first);
    start(s, &second);
    assert_true(route_is_shared(second.call));
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
    close(fd);
    TURN_UNTIL(s->net->loop, first.ends && second.ends);
    assert_int_equal(first.cached, ROUTE_CACHE_MISS);
    assert_int_equal(second.cached, ROUTE_CACHE_MISS);
    expect_hit(s, (struct caller){.cache = KEPT});
    caller_done(&first);
    caller_done(&second);
}

static void test_a_reader_that_waits_or_leaves(void **state)
{
    struct sharing *s = *state;
    struct caller waits = {.cache = KEPT, .pauses_at_text = true},
                  leaves = {.cache = KEPT, .leaves_at_text = true}, at_once = {.cache = KEPT};
    expect_miss(s, (struct caller){.cache = KEPT});
    start(s, &waits);
    TURN_UNTIL(s->net->loop, waits.texts);
    expect_no_call(s);
    assert_int_equal(waits.texts, 1);
    route_resume(waits.call);
    TURN_UNTIL(s->net->loop, waits.texts == 2);
    assert_int_equal(waits.ends, 0);
    route_resume(waits.call);
    TURN_UNTIL(s->net->loop, waits.ends);
    expect_text(&waits, "Hello");
    start(s, &leaves);
    TURN_UNTIL(s->net->loop, leaves.texts);
    struct llm_usage usage = {0};
    start(s, &at_once);
    route_cancel(at_once.call, &usage);
    assert_int_equal(usage.input_total, -1);
    expect_no_call(s);
    assert_int_equal(leaves.texts, 1);
    assert_int_equal(leaves.ends + at_once.ends + at_once.texts, 0);
    caller_done(&waits);
    caller_done(&leaves);
    caller_done(&at_once);
}

#define CACHE_TEST(name) cmocka_unit_test_setup_teardown(name, sharing_setup, sharing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_a_stream_again),
        CACHE_TEST(test_off_unless_asked),
        CACHE_TEST(test_bytes_again),
        CACHE_TEST(test_a_stream_as_a_whole),
        CACHE_TEST(test_a_whole_answer_as_a_stream),
        CACHE_TEST(test_who_is_strict_gets_bytes_or_asks),
        CACHE_TEST(test_nothing_crosses),
        CACHE_TEST(test_some_are_never_kept),
        CACHE_TEST(test_only_whole_answers_are_kept),
        CACHE_TEST(test_what_requests_say),
        CACHE_TEST(test_a_change_of_routes_forgets),
        CACHE_TEST(test_a_shared_answer_is_kept),
        CACHE_TEST(test_a_reader_that_waits_or_leaves),
    };
    return cmocka_run_group_tests_name("route/router_cache", tests, NULL, NULL);
}
