/* Replay: what is heard of a kept answer, and by whom it is stopped. */
#include "../net/helper_loop.h"
#include "helper_cache.h"

#include "route/replay.h"

struct fixture {
    struct metric_registry *metrics;
    struct cache *cache;
    struct loop *loop;
    struct replay *replay;
    struct buf heard;
    size_t raw_bytes;
    int raw_pieces;
    int ends;
    struct llm_usage usage;
    int pauses_after; /* so many things; 0: never */
    int leaves_after;
    int told;
};

static void heard_one(struct fixture *f)
{
    f->told++;
    if (f->told == f->pauses_after)
        replay_pause(f->replay);
    if (f->told == f->leaves_after || f->ends) {
        replay_end(f->replay);
        f->replay = NULL;
    }
}

static void on_event(void *user, const struct llm_event *event)
{
    struct fixture *f = user;
    assert_int_equal(f->ends, 0);
    if (event->kind == LLM_EVENT_TEXT)
        buf_append(&f->heard, event->text);
    if (event->kind == LLM_EVENT_USAGE)
        f->usage = event->usage;
    f->ends += event->kind == LLM_EVENT_END;
    heard_one(f);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct fixture *f = user;
    assert_true(str_eq(content_type, STR("t/t")));
    assert_true(str_ends_with(bytes, STR("\n\n"))); /* whole frames */
    f->raw_bytes += bytes.len;
    f->raw_pieces++;
    buf_append_char(&f->heard, '#');
    heard_one(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->metrics = metric_registry_new();
    f->cache = cache_new(8 * 1024 * 1024, f->metrics);
    f->loop = loop_new(0, NULL);
    buf_init(&f->heard, 8 * 1024 * 1024);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    replay_end(f->replay);
    cache_free(f->cache);
    loop_free(f->loop);
    metric_registry_free(f->metrics);
    buf_done(&f->heard);
    free(f);
    return 0;
}

enum told { EVENTS, BYTES, BYTES_READ };

static const char before[] =
    "data: {\"id\":\"i\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
static const char behind[] = "\"}}]}\n\n";
static const char last[] =
    "data: {\"id\":\"i\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
    "data: [DONE]\n\n";

static void add_text(struct tape *tape, struct str text, bool is_raw)
{
    if (!is_raw) { /* another part each, so that they stay apart */
        tape_add_event(tape,
                       &(struct llm_event){.kind = LLM_EVENT_TEXT, .text = text, .item = STR("i")});
        return;
    }
    struct buf frame; /* they come whole */
    buf_init(&frame, 64 * 1024);
    buf_append(&frame, str_from_cstr(before));
    buf_append(&frame, text);
    buf_append(&frame, str_from_cstr(behind));
    tape_add_bytes(tape, buf_str(&frame));
    buf_done(&frame);
}

/* Keeps an answer of some texts, and begins to tell it. */
static void start(struct fixture *f, int count, struct str text, enum told as)
{
    bool is_raw = as != EVENTS;
    const struct replay_listener listener = {on_event, on_raw, f};
    struct tape tape;
    tape_init(&tape, NULL, 4 * 1024 * 1024);
    if (!is_raw)
        tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_START});
    for (int i = 0; i < count; i++)
        add_text(&tape, text, is_raw);
    if (is_raw)
        tape_add_bytes(&tape, str_from_cstr(last));
    else
        tape_add_event(&tape, &(struct llm_event){.kind = LLM_EVENT_END});
    assert_true(tape_is_whole(&tape));
    cache_keep_tape(f->cache, "k", &tape, is_raw ? &dialect_openai_chat : NULL, 0, 1000);
    const struct cache_answer *answer = cache_find_text(f->cache, STR("k"), 0, 1000);
    assert_non_null(answer);
    tape_done(&tape);
    f->replay = replay_start(f->loop, answer, as == BYTES, 42, &listener);
    assert_int_equal(f->told, 0); /* a turn later */
}

static void turn(struct fixture *f, int turns)
{
    for (int i = 0; i < turns; i++)
        helper_turn(f->loop);
}

static void expect(struct fixture *f, const char *heard, int ends)
{
    if (!str_eq(buf_str(&f->heard), str_from_cstr(heard)))
        fail_msg("%.*s", STR_ARG(buf_str(&f->heard)));
    assert_int_equal(f->ends, ends);
}

static void events_alone(void **state)
{
    struct fixture *f = *state;
    start(f, 3, STR("ab"), EVENTS);
    const struct facts *facts = replay_facts(f->replay);
    assert_true(str_eq(facts->target.id, STR("fake/m")));
    assert_int_equal(facts->overhead_us, 42);
    assert_int_equal(facts->attempts, 0);
    assert_false(facts->is_raw);
    turn(f, 2);
    expect(f, "ababab", 1);
}

static void bytes_and_events(void **state)
{
    struct fixture *f = *state;
    start(f, 2, STR("ab"), BYTES);
    assert_true(replay_facts(f->replay)->is_raw);
    turn(f, 2);
    expect(f, "#abab", 1);
    assert_int_equal(f->raw_bytes, 2 * (strlen(before) + 2 + strlen(behind)) + strlen(last));
}

/* For who asks in another form than its bytes have. */
static void what_bytes_say(void **state)
{
    struct fixture *f = *state;
    start(f, 2, STR("ab"), BYTES_READ);
    assert_false(replay_facts(f->replay)->is_raw);
    turn(f, 2);
    expect(f, "abab", 1);
    assert_int_equal(f->raw_pieces, 0);
}

static void it_waits_while_paused(void **state)
{
    struct fixture *f = *state;
    f->pauses_after = 2; /* within a callback */
    start(f, 3, STR("ab"), EVENTS);
    turn(f, 3);
    expect(f, "ab", 0);
    replay_resume(f->replay);
    replay_resume(f->replay);
    assert_int_equal(f->told, 2); /* never calls back */
    replay_pause(f->replay);
    turn(f, 2);
    expect(f, "ab", 0);
    replay_resume(f->replay);
    turn(f, 2);
    expect(f, "ababab", 1);
}

static void pausing_before_it_begins(void **state)
{
    struct fixture *f = *state;
    start(f, 1, STR("ab"), EVENTS);
    replay_pause(f->replay);
    turn(f, 2);
    expect(f, "", 0);
    replay_resume(f->replay);
    turn(f, 2);
    expect(f, "ab", 1);
}

static void leaving_within_a_callback(void **state)
{
    struct fixture *f = *state;
    f->leaves_after = 3;
    start(f, 3, STR("ab"), BYTES);
    turn(f, 3);
    expect(f, "#ab", 0);
}

static void leaving_before_it_begins(void **state)
{
    struct fixture *f = *state;
    start(f, 3, STR("ab"), BYTES);
    replay_end(f->replay);
    f->replay = NULL;
    turn(f, 3);
    expect(f, "", 0);
}

static void leaving_while_paused(void **state)
{
    struct fixture *f = *state;
    f->pauses_after = 2;
    start(f, 3, STR("ab"), EVENTS);
    turn(f, 2);
    replay_resume(f->replay);
    replay_end(f->replay);
    f->replay = NULL;
    turn(f, 2);
    expect(f, "ab", 0);
}

/* Others of the loop have their turns in between. */
static void a_long_one_takes_turns(void **state)
{
    struct fixture *f = *state;
    static char piece[10000];
    memset(piece, 'x', sizeof piece);
    start(f, 100, STR_FROM(piece, sizeof piece), EVENTS);
    turn(f, 1);
    assert_true(f->heard.len > 0 && f->heard.len < 100 * sizeof piece);
    turn(f, 20);
    assert_int_equal(f->heard.len, 100 * sizeof piece);
    assert_int_equal(f->ends, 1);
}

static void long_bytes_take_turns(void **state)
{
    struct fixture *f = *state;
    static char piece[10000];
    memset(piece, 'x', sizeof piece);
    start(f, 100, STR_FROM(piece, sizeof piece), BYTES);
    turn(f, 1);
    assert_true(f->heard.len > 0 && f->heard.len < 100 * sizeof piece);
    turn(f, 20);
    assert_true(f->raw_pieces >= 4);
    assert_int_equal(f->heard.len, 100 * sizeof piece + (size_t)f->raw_pieces);
    assert_int_equal(f->ends, 1);
}

static void a_slow_reader_stops_bytes(void **state)
{
    struct fixture *f = *state;
    static char piece[10000];
    memset(piece, 'x', sizeof piece);
    f->pauses_after = 1;
    start(f, 100, STR_FROM(piece, sizeof piece), BYTES);
    turn(f, 5);
    assert_int_equal(f->raw_pieces, 1);
    replay_resume(f->replay);
    turn(f, 20);
    assert_int_equal(f->heard.len, 100 * sizeof piece + (size_t)f->raw_pieces);
    assert_int_equal(f->ends, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_and_events, setup, teardown),
        cmocka_unit_test_setup_teardown(what_bytes_say, setup, teardown),
        cmocka_unit_test_setup_teardown(long_bytes_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_reader_stops_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(it_waits_while_paused, setup, teardown),
        cmocka_unit_test_setup_teardown(pausing_before_it_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_within_a_callback, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_before_it_begins, setup, teardown),
        cmocka_unit_test_setup_teardown(leaving_while_paused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_long_one_takes_turns, setup, teardown),
    };
    return cmocka_run_group_tests_name("route/replay", tests, NULL, NULL);
}
