/* Model names to behaviours. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "behaviour.h"

static struct behaviour parse(const char *name)
{
    struct behaviour behaviour = {0};
    assert_true(behaviour_parse(str_from_cstr(name), &(struct behaviour_history){0}, &behaviour));
    return behaviour;
}

static struct behaviour parse_at(const char *name, uint64_t requests, uint64_t first_ms)
{
    struct behaviour_history history = {requests, first_ms};
    struct behaviour behaviour = {0};
    assert_true(behaviour_parse(str_from_cstr(name), &history, &behaviour));
    return behaviour;
}

static void test_contents(void **state)
{
    (void)state;
    struct behaviour behaviour = parse("count-7");
    assert_int_equal(behaviour.content, CONTENT_COUNT);
    assert_int_equal(behaviour.event_count, 7);
    behaviour = parse("burst-100x60");
    assert_int_equal(behaviour.pace, PACE_BURST);
    assert_int_equal(behaviour.event_count, 100);
    assert_int_equal(behaviour.event_bytes, 60);
    behaviour = parse("paced-100x60-10");
    assert_int_equal(behaviour.pace, PACE_TIMED);
    assert_int_equal(behaviour.pace_ms, 10);
    behaviour = parse("tools");
    assert_string_equal(behaviour.recording, "tools");
    behaviour = parse("big");
    assert_int_equal(behaviour.event_count, 1);
    assert_int_equal(behaviour.event_bytes, 1024 * 1024);
}

static void test_a_fault_alone_cuts_a_count(void **state)
{
    (void)state;
    struct behaviour behaviour = parse("cut-3");
    assert_int_equal(behaviour.content, CONTENT_COUNT);
    assert_int_equal(behaviour.event_count, 20);
    assert_int_equal(behaviour.ending, ENDING_CUT);
    assert_int_equal(behaviour.ending_at, 3);
    assert_int_equal(parse("cut-byte-9").ending, ENDING_CUT_BYTE);
    assert_int_equal(parse("stall-0").ending, ENDING_STALL);
    assert_int_equal(parse("reset").answer, ANSWER_RESET);
    assert_int_equal(parse("reset-2").ending, ENDING_RESET);
}

static void test_words_join(void **state)
{
    (void)state;
    struct behaviour behaviour = parse("echo+slow-50+malformed-2+crlf+delay-9");
    assert_int_equal(behaviour.content, CONTENT_ECHO);
    assert_int_equal(behaviour.pace, PACE_TIMED);
    assert_int_equal(behaviour.pace_ms, 50);
    assert_int_equal(behaviour.malformed_at, 2);
    assert_int_equal(behaviour.delay_ms, 9);
    assert_true(behaviour.crlf);
}

static void test_errors(void **state)
{
    (void)state;
    struct behaviour behaviour = parse("429-after-2");
    assert_int_equal(behaviour.answer, ANSWER_ERROR);
    assert_string_equal(behaviour.recording, "429-after");
    assert_int_equal(behaviour.retry_after_s, 2);
    assert_string_equal(parse("400-context").recording, "400-context");
    assert_int_equal(parse("fail-2").fail_first, 2);
}

static void test_stages_by_count(void **state)
{
    (void)state;
    static const char name[] = "503+times-2+then+429-after-1+then+count-3";
    assert_string_equal(parse_at(name, 0, 0).recording, "503");
    assert_string_equal(parse_at(name, 1, 99).recording, "503");
    assert_string_equal(parse_at(name, 2, 99).recording, "429-after");
    struct behaviour behaviour = parse_at(name, 3, 99);
    assert_int_equal(behaviour.answer, ANSWER_REPLY);
    assert_int_equal(behaviour.event_count, 3);
    assert_int_equal(parse_at(name, 1000, 99).event_count, 3);
    assert_int_equal(parse("503+times-0+then+count-3").event_count, 3);
    assert_string_equal(parse_at("503+times-2", 2, 0).recording, "503"); /* the last stage stays */
}

static void test_stages_by_time(void **state)
{
    (void)state;
    static const char name[] = "503+for-500+then+count-3";
    assert_int_equal(parse_at(name, 0, 0).answer, ANSWER_ERROR);
    assert_int_equal(parse_at(name, 40, 499).answer, ANSWER_ERROR);
    assert_int_equal(parse_at(name, 1, 500).answer, ANSWER_REPLY);
}

static void test_numbers_and_flags(void **state)
{
    (void)state;
    struct behaviour behaviour =
        parse("differs-4+repeats-9+late-7+limits-10-3-250+prefills+continues+tag-8+open-end");
    assert_int_equal(behaviour.differs_at, 4);
    assert_int_equal(behaviour.repeats, 9);
    assert_int_equal(behaviour.late_ms, 7);
    assert_true(behaviour.has_limits && behaviour.prefills && behaviour.continues);
    assert_false(behaviour.rejects_prefill);
    assert_int_equal(behaviour.limits[0], 10);
    assert_int_equal(behaviour.limits[1], 3);
    assert_int_equal(behaviour.limits[2], 250);
    assert_int_equal(behaviour.ending, ENDING_OPEN);
    assert_int_equal(parse("big-16").event_bytes, 16 * 1024 * 1024);
    assert_int_equal(parse("endless-headers").answer, ANSWER_HEADERS);
    assert_string_equal(parse("tools-interleaved").recording, "tools-interleaved");
    assert_int_equal(parse("claude-3-5-haiku-20241022:count-4").event_count, 4);
}

static void test_unknown_names(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "gpt-5.5",
                                        "count-",
                                        "count-x",
                                        "echo+",
                                        "+echo",
                                        "count-1x2",
                                        "echo2",
                                        "cut-3-4",
                                        "burst-5",
                                        "count-100001",
                                        "burst-1x1048577",
                                        "Echo",
                                        "echo +cut-3",
                                        "slow-99999999999999999999",
                                        "echo+then",
                                        "echo+then+",
                                        "echo+then+gpt-5.5",
                                        "big-17",
                                        "claude-3-5-haiku",
                                        "o3:count-4",
                                        "limits-1-2"};
    struct behaviour_history none = {0};
    struct behaviour behaviour = {.event_count = 42};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        assert_false(behaviour_parse(str_from_cstr(names[i]), &none, &behaviour));
    assert_false(behaviour_parse(STR("burst-100000x1048576"), &none, &behaviour));
    assert_int_equal(behaviour.event_count, 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contents),          cmocka_unit_test(test_a_fault_alone_cuts_a_count),
        cmocka_unit_test(test_words_join),        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_stages_by_count),   cmocka_unit_test(test_stages_by_time),
        cmocka_unit_test(test_numbers_and_flags), cmocka_unit_test(test_unknown_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
