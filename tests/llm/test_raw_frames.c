/* Raw frames: what is given of a stream, however it is cut into feeds. The frames of these streams
 * end with a ';'; one with a '!' in it is not understood. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/raw_frames.h"

struct stream {
    struct raw_frames frames;
    struct buf given;
    int gives;
    bool is_bad; /* the frame that is being read */
};

static void give(void *user, struct str bytes)
{
    struct stream *stream = user;
    assert_true(bytes.len > 0);
    stream->gives++;
    buf_append(&stream->given, bytes);
}

static void begin(struct stream *stream, size_t frame_bytes_max)
{
    *stream = (struct stream){0};
    buf_init(&stream->given, 65536);
    raw_frames_init(&stream->frames, frame_bytes_max, give, stream);
}

static void end(struct stream *stream)
{
    raw_frames_done(&stream->frames);
    buf_done(&stream->given);
}

static bool feed(struct stream *stream, struct str bytes)
{
    raw_frames_begin(&stream->frames, bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        stream->is_bad = stream->is_bad || bytes.data[i] == '!';
        if (bytes.data[i] != ';')
            continue;
        raw_frames_read(&stream->frames, i + 1);
        if (stream->is_bad)
            raw_frames_skip(&stream->frames);
        else
            raw_frames_understood(&stream->frames);
        stream->is_bad = false;
    }
    return raw_frames_end(&stream->frames);
}

static void expect(struct stream *stream, const char *given)
{
    assert_true(str_eq(buf_str(&stream->given), str_from_cstr(given)));
}

static void a_feed_of_whole_frames_is_given_at_once(void **state)
{
    (void)state;
    struct stream stream;
    begin(&stream, 100);
    assert_true(feed(&stream, STR("a;bb;ccc;")));
    assert_int_equal(stream.gives, 1);
    expect(&stream, "a;bb;ccc;");
    assert_true(feed(&stream, STR("")));
    assert_int_equal(stream.gives, 1);
    end(&stream);
}

static void half_a_frame_waits_for_its_rest(void **state)
{
    (void)state;
    struct stream stream;
    begin(&stream, 100);
    assert_true(feed(&stream, STR("a;b")));
    expect(&stream, "a;");
    assert_true(feed(&stream, STR("b")));
    expect(&stream, "a;");
    assert_true(feed(&stream, STR("b;c;")));
    expect(&stream, "a;bbb;c;");
    assert_int_equal(stream.gives, 2);
    end(&stream);
}

static void cuts_change_nothing(void **state)
{
    (void)state;
    const struct str whole = STR("a;b!;cc;!;!;dd;e!e;f");
    for (size_t first = 0; first <= whole.len; first++)
        for (size_t second = first; second <= whole.len; second++) {
            struct stream stream;
            begin(&stream, 100);
            assert_true(feed(&stream, str_slice(whole, 0, first)));
            assert_true(feed(&stream, str_slice(whole, first, second - first)));
            assert_true(feed(&stream, str_skip(whole, second)));
            expect(&stream, "a;cc;dd;");
            end(&stream);
        }
}

static void a_flush_gives_what_was_understood(void **state)
{
    (void)state;
    for (int with_current = 0; with_current < 2; with_current++) {
        struct stream stream;
        begin(&stream, 100);
        assert_true(feed(&stream, STR("a")));
        raw_frames_begin(&stream.frames, STR("a;b;c"));
        raw_frames_read(&stream.frames, 2);
        raw_frames_understood(&stream.frames);
        raw_frames_read(&stream.frames, 4);
        raw_frames_flush(&stream.frames, with_current);
        expect(&stream, with_current ? "aa;b;" : "aa;");
        raw_frames_flush(&stream.frames, with_current); /* nothing is given twice */
        expect(&stream, with_current ? "aa;b;" : "aa;");
        raw_frames_understood(&stream.frames);
        assert_true(raw_frames_end(&stream.frames));
        expect(&stream, "aa;b;");
        assert_true(feed(&stream, STR(";")));
        expect(&stream, "aa;b;c;");
        end(&stream);
    }
}

static void half_a_frame_has_a_limit(void **state)
{
    (void)state;
    struct stream stream;
    begin(&stream, 8);
    assert_true(feed(&stream, STR("a;1234")));
    assert_true(feed(&stream, STR("5678")));
    assert_false(feed(&stream, STR("9")));
    expect(&stream, "a;");
    end(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_feed_of_whole_frames_is_given_at_once),
        cmocka_unit_test(half_a_frame_waits_for_its_rest),
        cmocka_unit_test(cuts_change_nothing),
        cmocka_unit_test(a_flush_gives_what_was_understood),
        cmocka_unit_test(half_a_frame_has_a_limit),
    };
    return cmocka_run_group_tests_name("llm/raw_frames", tests, NULL, NULL);
}
