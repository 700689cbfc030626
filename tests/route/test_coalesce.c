/* Coalesce: who shares an answer with whom, what each hears of it, and when it ends. On one loop; and
 * with a second one that is turned by hand. */
#include "helper_share.h"

static void start(struct sharing *s, struct caller *caller, const char *id)
{
    assert_int_equal(caller_start(caller, s->router, id), ERR_OK);
    assert_int_equal(caller->ends + (int)caller->text.len, 0); /* a turn later at the earliest */
}

static void expect_text(const struct caller *caller, const char *text)
{
    if (!str_eq(buf_str(&caller->text), str_from_cstr(text)))
        fail_msg("%.*s and not %s", STR_ARG(buf_str(&caller->text)), text);
}

static void wait_for_text(struct sharing *s, const struct caller *caller, const char *text)
{
    TURN_UNTIL(s->net->loop, caller->text.len >= strlen(text) || caller->ends);
    expect_text(caller, text);
}

static void turn_a_while(struct sharing *s)
{
    for (int i = 0; i < 8; i++)
        helper_turn(s->net->loop);
}

/* Nobody else is asked. */
static void expect_no_call(struct sharing *s)
{
    turn_a_while(s);
    assert_int_equal(server_try_accept(&s->net->server), -1);
}

static void expect_whole(const struct caller *caller, const char *text)
{
    assert_int_equal(caller->ends, 1);
    assert_int_equal(caller->errors, 0);
    assert_int_equal(caller->finishes, 1);
    assert_int_equal(caller->usage.input_total, 7);
    expect_text(caller, text);
}

static void answer(struct sharing *s, struct caller *caller, int fd)
{
    call_send(s->net, fd, HEAD FRAME("Hi") LAST);
    TURN_UNTIL(s->net->loop, caller->ends);
    close(fd);
    caller_done(caller);
}

/* How often `part` has been logged since the last time. */
static int count_logged(struct sharing *s, const char *part)
{
    char room[4096];
    ssize_t got;
    int count = 0;
    size_t at;
    struct buf log;
    buf_init(&log, 1024 * 1024);
    while ((got = read(s->log_fds[0], room, sizeof room)) > 0)
        buf_append(&log, STR_FROM(room, (size_t)got));
    struct str rest = buf_str(&log);
    while ((at = str_find(rest, str_from_cstr(part))) != SIZE_MAX) {
        rest = str_skip(rest, at + strlen(part));
        count++;
    }
    buf_done(&log);
    return count;
}

static void test_two_at_once_share_one_call(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {0};
    start(s, &first, "r1");
    start(s, &second, "r2");
    assert_false(route_is_shared(first.call));
    assert_true(route_is_shared(second.call));
    assert_true(str_eq(route_target(second.call).id, STR("fake/m")));
    assert_true(router_is_sharing(s->router));
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel") FRAME("lo") LAST);
    TURN_UNTIL(s->net->loop, first.ends && second.ends);
    expect_no_call(s);
    expect_whole(&first, "Hello");
    expect_whole(&second, "Hello");
    assert_int_equal(second.attempts, 1);
    assert_string_equal(second.target, "fake/m");
    assert_false(second.has_story);
    assert_int_equal(sharing_joined(s), 1);
    assert_false(router_is_sharing(s->router));
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

/* Who began a shared answer is one request, and pays for all of it: also when that one request is all
 * that is allowed at once. */
static void test_first_one_pays_once(void **state)
{
    struct sharing *s = *state;
    const struct quota quota = {.streams_max = 1, .tokens = {[QUOTA_DAY] = 1000000}};
    const struct policy like = {.who = {.kind = PRINCIPAL_KEY, .user = id_new(clock_wall_ms())}};
    const struct limiter_subject ann = {QUOTA_USER, id_str(&like.who.user)};
    struct limiter *limiter = limiter_new();
    limiter_set(limiter, ann, &quota);
    struct router *before = s->router;
    s->governor = governor_new(
        &(struct governor_options){.loop = s->net->loop, .limiter = limiter, .log = s->log});
    s->router = sharing_router(s, s->net->loop, s->net->client);
    struct caller caller = {.policy = policy_new(&like)};
    struct limiter_used used;
    start(s, &caller, "r1");
    assert_true(router_is_sharing(s->router));
    answer(s, &caller, call_accept(s->net));
    assert_true(limiter_used(limiter, ann, QUOTA_DAY, clock_wall_ms(), &used));
    assert_int_equal(used.requests, 1);
    assert_int_equal(used.tokens, 9);
    router_free(s->router);
    s->router = before;
    governor_free(s->governor);
    s->governor = NULL;
    limiter_free(limiter);
    policy_unref(caller.policy);
}

static void test_what_is_logged(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {0};
    start(s, &first, "r1");
    start(s, &second, "r2");
    assert_int_equal(count_logged(s, "\"message\":\"shared an answer\",\"request\":\"r2\","
                                     "\"leader\":\"r1\""),
                     1);
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hi") LAST);
    TURN_UNTIL(s->net->loop, first.ends && second.ends);
    assert_int_equal(count_logged(s, "\"message\":"), 1); /* one attempt */
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

static void test_late_ones_get_what_was_said(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, late = {0}, after = {0};
    start(s, &first, "r1");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("one ") FRAME("two "));
    wait_for_text(s, &first, "one two ");
    start(s, &late, "r2");
    wait_for_text(s, &late, "one two ");
    call_send(s->net, fd, FRAME("three") LAST);
    TURN_UNTIL(s->net->loop, first.ends && late.ends);
    expect_whole(&first, "one two three");
    expect_whole(&late, "one two three");
    close(fd);
    start(s, &after, "r3"); /* the answer has ended */
    assert_false(route_is_shared(after.call));
    answer(s, &after, call_accept(s->net));
    caller_done(&first);
    caller_done(&late);
}

static void test_bytes_are_shared_too(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.wants_raw = true}, late = {.wants_raw = true}, other = {0};
    start(s, &first, "r1");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("Hel"));
    wait_for_text(s, &first, "Hel");
    start(s, &late, "r2");
    start(s, &other, "r3"); /* takes no bytes */
    assert_false(route_is_shared(other.call));
    call_send(s->net, fd, FRAME("lo") LAST);
    TURN_UNTIL(s->net->loop, first.ends && late.ends);
    assert_true(str_eq(buf_str(&first.raw), STR(FRAME("Hel") FRAME("lo") LAST)));
    assert_true(str_eq(buf_str(&late.raw), buf_str(&first.raw)));
    assert_true(first.was_raw && late.was_raw);
    expect_whole(&late, "Hello");
    close(fd);
    answer(s, &other, call_accept(s->net));
    caller_done(&first);
    caller_done(&late);
}

static void test_the_first_may_leave(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {0};
    start(s, &first, "r1");
    start(s, &second, "r2");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("one "));
    wait_for_text(s, &first, "one ");
    route_cancel(first.call, NULL);
    call_send(s->net, fd, FRAME("two") LAST);
    TURN_UNTIL(s->net->loop, second.ends);
    expect_whole(&second, "one two");
    expect_text(&first, "one ");
    assert_int_equal(first.ends, 0);
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

static void test_the_last_one_ends_it(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {.leaves_at_text = true}, next = {0};
    struct llm_usage usage;
    start(s, &first, "r1");
    start(s, &second, "r2");
    int fd = call_accept(s->net);
    route_cancel(first.call, &usage);
    assert_int_equal(usage.input_total, -1);
    turn_a_while(s);
    call_send(s->net, fd, HEAD FRAME("one ")); /* in the middle of being told */
    uint64_t since = clock_monotonic_ms();
    server_wait_end(&s->net->server, fd);
    assert_true(clock_monotonic_ms() - since < 100);
    expect_text(&second, "one ");
    assert_int_equal(first.ends + second.ends + (int)first.text.len, 0);
    assert_false(router_is_sharing(s->router));
    assert_int_equal(count_logged(s, "\"outcome\":\"cancelled\""), 1);
    close(fd);
    start(s, &next, "r3");
    assert_false(route_is_shared(next.call));
    answer(s, &next, call_accept(s->net));
    caller_done(&first);
    caller_done(&second);
}

/* Who comes when all have left, but the call does not know yet, begins a new one. */
static void test_nobody_joins_what_is_left(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, next = {0};
    start(s, &first, "r1");
    int fd = call_accept(s->net);
    route_cancel(first.call, NULL);
    start(s, &next, "r2");
    assert_false(route_is_shared(next.call));
    server_wait_end(&s->net->server, fd);
    close(fd);
    answer(s, &next, call_accept(s->net));
    caller_done(&first);
}

/* What was tried again is told to all, and the request of one that has left can be made again. */
static void test_another_attempt_without_the_first(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {0};
    start(s, &first, "r1");
    start(s, &second, "r2");
    int fd = call_accept(s->net);
    route_cancel(first.call, NULL);
    call_reply(s->net, fd, "500 Broken", "text/plain", "broken");
    close(fd);
    fd = call_accept(s->net);
    assert_true(str_find(buf_str(&s->net->request), STR("hello")) != SIZE_MAX);
    assert_true(str_find(buf_str(&s->net->request), STR("\"model\":\"m\"")) != SIZE_MAX);
    call_send(s->net, fd, HEAD FRAME("Hi") LAST);
    TURN_UNTIL(s->net->loop, second.ends);
    expect_whole(&second, "Hi");
    assert_int_equal(second.attempts, 2);
    assert_true(second.has_story);
    assert_int_equal(count_logged(s, "\"provider call\""), 2);
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

static void test_an_error_before_content_is_everybodys(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {0}, next = {0};
    start(s, &first, "r1");
    start(s, &second, "r2");
    int fd = call_accept(s->net);
    call_reply(s->net, fd, "400 No", "application/json", "{\"error\":{\"message\":\"no\"}}");
    TURN_UNTIL(s->net->loop, first.ends && second.ends);
    assert_int_equal(first.errors, 1);
    assert_int_equal(second.errors, 1);
    assert_int_equal(second.class, ERR_INVALID);
    assert_int_equal(first.class, ERR_INVALID);
    close(fd);
    start(s, &next, "r3");
    answer(s, &next, call_accept(s->net));
    caller_done(&first);
    caller_done(&second);
}

static void test_an_error_in_mid_answer_is_everybodys(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, second = {0};
    start(s, &first, "r1");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("one "));
    wait_for_text(s, &first, "one ");
    start(s, &second, "r2");
    server_reset(&fd);
    TURN_UNTIL(s->net->loop, first.ends && second.ends);
    expect_text(&second, "one ");
    assert_int_equal(first.errors, 1);
    assert_int_equal(second.errors, 1);
    assert_int_equal(second.class, first.class);
    assert_int_equal(second.finishes, 0);
    caller_done(&first);
    caller_done(&second);
}

/* Sends `count` frames of 64 KiB. */
static void send_much(struct sharing *s, int fd, int count)
{
    struct buf frame;
    buf_init(&frame, 128 * 1024);
    buf_append(&frame,
               STR("data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\""));
    memset(buf_reserve(&frame, 65536), 'x', 65536);
    buf_commit(&frame, 65536);
    buf_append(&frame, STR("\"}}]}\n\n"));
    while (count--)
        server_send(&s->net->server, fd, buf_str(&frame));
    buf_done(&frame);
}

static void test_a_long_answer_can_not_be_joined(void **state)
{
    struct sharing *s = *state;
    struct caller first = {0}, early = {0}, late = {0};
    start(s, &first, "r1");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD);
    send_much(s, fd, 8);
    TURN_UNTIL(s->net->loop, first.text.len == 8 * 65536);
    start(s, &early, "r2");
    assert_true(route_is_shared(early.call));
    send_much(s, fd, 10);
    TURN_UNTIL(s->net->loop, first.text.len == 18 * 65536 && early.text.len == first.text.len);
    start(s, &late, "r3");
    assert_false(route_is_shared(late.call));
    answer(s, &late, call_accept(s->net));
    call_send(s->net, fd, LAST);
    TURN_UNTIL(s->net->loop, first.ends && early.ends);
    assert_true(str_eq(buf_str(&first.text), buf_str(&early.text)));
    close(fd);
    caller_done(&first);
    caller_done(&early);
}

static void test_a_slow_one_is_cut_and_stops_nobody(void **state)
{
    struct sharing *s = *state;
    struct caller quick = {0}, slow = {.pauses_at_text = true}, patient = {.pauses_at_text = true};
    start(s, &quick, "r1");
    start(s, &slow, "r2");
    start(s, &patient, "r3");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("x"));
    TURN_UNTIL(s->net->loop, slow.text.len && patient.text.len);
    send_much(s, fd, 40);
    TURN_UNTIL(s->net->loop, quick.text.len == 1 + 40 * 65536);
    expect_text(&slow, "x"); /* it waits for it */
    patient.pauses_at_text = false;
    route_resume(patient.call);
    expect_text(&patient, "x"); /* not within the call */
    TURN_UNTIL(s->net->loop, patient.text.len == quick.text.len);
    send_much(s, fd, 40);
    TURN_UNTIL(s->net->loop, slow.ends);
    expect_text(&slow, "x");
    assert_int_equal(slow.errors, 1);
    assert_int_equal(slow.class, ERR_TOO_BIG);
    call_send(s->net, fd, LAST);
    TURN_UNTIL(s->net->loop, quick.ends && patient.ends);
    assert_int_equal(quick.text.len, 1 + 80 * 65536);
    assert_true(str_eq(buf_str(&patient.text), buf_str(&quick.text)));
    close(fd);
    caller_done(&quick);
    caller_done(&slow);
    caller_done(&patient);
}

/* As much as it takes without being read, at most `most`. */
static size_t send_until_it_stalls(struct sharing *s, int fd, size_t most)
{
    static const char frame[] = FRAME("0123456789012345678901234567890123456789");
    size_t sent = 0, at = 0;
    int stalls = 0;
    while (stalls < 50 && (sent < most || at)) {
        ssize_t now = send(fd, frame + at, sizeof frame - 1 - at, MSG_NOSIGNAL);
        if (now < 0) {
            stalls++;
            helper_turn(s->net->loop);
            continue;
        }
        stalls = 0;
        sent += (size_t)now;
        at = (at + (size_t)now) % (sizeof frame - 1);
    }
    assert_int_equal(at * (sent < most ? 0 : 1), 0);
    if (at) /* the rest of that frame, once it is read again */
        return sent + (sizeof frame - 1 - at);
    return sent;
}

static void test_the_call_waits_when_all_do(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.pauses_at_text = true}, second = {.pauses_at_text = true};
    enum { MOST = 64 * 1024 * 1024 };
    start(s, &first, "r1");
    start(s, &second, "r2");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("x"));
    TURN_UNTIL(s->net->loop, first.text.len && second.text.len);
    turn_a_while(s);
    size_t sent = send_until_it_stalls(s, fd, MOST);
    assert_true(sent < MOST);
    assert_int_equal(first.text.len + second.text.len, 2);
    route_cancel(first.call, NULL); /* now one is left, which is paused */
    turn_a_while(s);
    assert_int_equal(second.text.len, 1);
    second.pauses_at_text = false;
    route_resume(second.call);
    TURN_UNTIL(s->net->loop, second.text.len > sent / 4);
    assert_int_equal(second.errors, 0);
    route_cancel(second.call, NULL);
    server_wait_end(&s->net->server, fd);
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

/* A call that pauses, since all do, goes on for one that joins. */
static void test_joining_what_is_paused(void **state)
{
    struct sharing *s = *state;
    struct caller first = {.pauses_at_text = true}, second = {0};
    start(s, &first, "r1");
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("one "));
    TURN_UNTIL(s->net->loop, first.text.len);
    turn_a_while(s);
    call_send(s->net, fd, FRAME("two") LAST);
    turn_a_while(s);
    expect_text(&first, "one ");
    start(s, &second, "r2");
    assert_true(route_is_shared(second.call));
    TURN_UNTIL(s->net->loop, second.ends);
    expect_whole(&second, "one two");
    first.pauses_at_text = false;
    route_resume(first.call);
    TURN_UNTIL(s->net->loop, first.ends);
    expect_whole(&first, "one two");
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

static void test_who_does_not_share(void **state)
{
    struct sharing *s = *state;
    struct caller callers[] = {
        {0},
        {.tenant = "bob"},
        {.body = BODY("fake/m", "hello ")},
        {.body = BODY("fake/other", "hello")},
        {.body = BODY("also", "hello")},
        {.takes_back = true},
        {.has_no_body = true},
        {.tenant = ""},
        {.tenant = ""},
        {.body = BODY("apart", "hello")},
        {.body = BODY("apart", "hello")},
        {.body = "{\"model\":\"fake/m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"},
    };
    enum { COUNT = sizeof callers / sizeof callers[0] };
    int fds[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        start(s, &callers[i], "r");
        assert_false(route_is_shared(callers[i].call));
        fds[i] = call_accept(s->net);
    }
    assert_int_equal(sharing_joined(s), 0);
    for (size_t i = 0; i < COUNT; i++) {
        route_cancel(callers[i].call, NULL);
        server_wait_end(&s->net->server, fds[i]);
        close(fds[i]);
        caller_done(&callers[i]);
    }
}

static void test_a_large_request_is_not_shared(void **state)
{
    struct sharing *s = *state;
    size_t length = COALESCE_KEY_BYTES_MAX;
    char *body = malloc(length + 128);
    size_t at =
        (size_t)sprintf(body, "%.*s", (int)strlen(BODY("fake/m", "")) - 4, BODY("fake/m", ""));
    memset(body + at, 'x', length);
    strcpy(body + at + length, "\"}]}");
    struct caller first = {.body = body}, second = {.body = body};
    start(s, &first, "r1");
    int one = call_accept(s->net);
    start(s, &second, "r2");
    int two = call_accept(s->net);
    answer(s, &first, one);
    answer(s, &second, two);
    free(body);
}

static void test_so_many_and_no_more(void **state)
{
    struct sharing *s = *state;
    enum { COUNT = COALESCE_FOLLOWERS_MAX + 1 };
    struct caller *callers = calloc(COUNT, sizeof *callers);
    for (int i = 0; i < COUNT; i++) {
        start(s, &callers[i], "r");
        assert_int_equal(route_is_shared(callers[i].call), i > 0 && i < COUNT - 1);
    }
    int fd = call_accept(s->net), other = call_accept(s->net);
    route_cancel(callers[1].call, NULL); /* makes room */
    caller_done(&callers[1]);
    start(s, &callers[1], "r");
    assert_true(route_is_shared(callers[1].call));
    call_send(s->net, fd, HEAD FRAME("Hi") LAST);
    call_send(s->net, other, HEAD FRAME("Hi") LAST);
    for (int i = 0; i < COUNT; i++) {
        TURN_UNTIL(s->net->loop, callers[i].ends);
        expect_whole(&callers[i], "Hi");
        caller_done(&callers[i]);
    }
    close(fd);
    close(other);
    free(callers);
}

/* ---- With a second loop ---------------------------------------------------------------------- */

struct other_loop {
    struct loop *loop;
    struct http_client *client;
    struct router *router;
};

static struct other_loop other_new(struct sharing *s)
{
    struct loop *loop = loop_new(1, NULL);
    struct http_client *client = http_client_new(loop, &(struct http_client_options){0});
    return (struct other_loop){loop, client, sharing_router(s, loop, client)};
}

static void other_free(struct other_loop *other)
{
    router_free(other->router);
    http_client_free(other->client);
    loop_free(other->loop);
}

static void test_another_loop_joins(void **state)
{
    struct sharing *s = *state;
    struct other_loop other = other_new(s);
    struct caller first = {0}, second = {0}, third = {0}, last = {0};
    start(s, &first, "r1");
    assert_int_equal(caller_start(&second, other.router, "r2"), ERR_OK);
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("one "));
    wait_for_text(s, &first, "one ");
    assert_int_equal(second.text.len, 0); /* only on its own loop */
    TURN_UNTIL(other.loop, second.text.len);
    route_cancel(first.call, NULL);
    call_send(s->net, fd, FRAME("two") LAST);
    turn_a_while(s);
    TURN_UNTIL(other.loop, second.ends);
    expect_whole(&second, "one two");
    close(fd);
    /* The last one to leave is elsewhere. */
    start(s, &third, "r3");
    assert_int_equal(caller_start(&last, other.router, "r4"), ERR_OK);
    fd = call_accept(s->net);
    route_cancel(third.call, NULL);
    turn_a_while(s);
    assert_true(router_is_sharing(s->router));
    route_cancel(last.call, NULL);
    server_wait_end(&s->net->server, fd);
    close(fd);
    other_free(&other);
    caller_done(&first);
    caller_done(&second);
    caller_done(&third);
    caller_done(&last);
}

static void test_a_home_that_ends(void **state)
{
    struct sharing *s = *state;
    struct other_loop home = other_new(s);
    struct caller first = {0}, second = {0}, third = {0};
    assert_int_equal(caller_start(&first, home.router, "r1"), ERR_OK);
    start(s, &second, "r2");
    start(s, &third, "r3");
    for (int i = 0; i < 8; i++)
        helper_turn(home.loop);
    route_cancel(first.call, NULL);
    route_cancel(third.call, NULL);
    other_free(&home);
    TURN_UNTIL(s->net->loop, second.ends);
    assert_int_equal(second.errors, 1);
    assert_int_equal(second.class, ERR_UNAVAILABLE);
    assert_int_equal(third.ends, 0);
    caller_done(&first);
    caller_done(&second);
    caller_done(&third);
}

/* A loop that is gone takes its followers with it; the messages to them come to nothing. */
static void test_a_followers_loop_that_ends(void **state)
{
    struct sharing *s = *state;
    struct other_loop other = other_new(s);
    struct caller first = {0}, second = {0};
    start(s, &first, "r1");
    assert_int_equal(caller_start(&second, other.router, "r2"), ERR_OK);
    int fd = call_accept(s->net);
    call_send(s->net, fd, HEAD FRAME("one "));
    wait_for_text(s, &first, "one ");
    route_cancel(second.call, NULL); /* with a message on its way */
    other_free(&other);
    call_send(s->net, fd, FRAME("two") LAST);
    TURN_UNTIL(s->net->loop, first.ends);
    expect_whole(&first, "one two");
    assert_int_equal(second.text.len, 0);
    close(fd);
    caller_done(&first);
    caller_done(&second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, sharing_setup, sharing_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_two_at_once_share_one_call),
        TEST(test_first_one_pays_once),
        TEST(test_what_is_logged),
        TEST(test_late_ones_get_what_was_said),
        TEST(test_bytes_are_shared_too),
        TEST(test_the_first_may_leave),
        TEST(test_the_last_one_ends_it),
        TEST(test_nobody_joins_what_is_left),
        TEST(test_another_attempt_without_the_first),
        TEST(test_an_error_before_content_is_everybodys),
        TEST(test_an_error_in_mid_answer_is_everybodys),
        TEST(test_a_long_answer_can_not_be_joined),
        TEST(test_a_slow_one_is_cut_and_stops_nobody),
        TEST(test_the_call_waits_when_all_do),
        TEST(test_joining_what_is_paused),
        TEST(test_who_does_not_share),
        TEST(test_a_large_request_is_not_shared),
        TEST(test_so_many_and_no_more),
        TEST(test_another_loop_joins),
        TEST(test_a_home_that_ends),
        TEST(test_a_followers_loop_that_ends),
    };
    return cmocka_run_group_tests_name("route/coalesce", tests, NULL, NULL);
}
