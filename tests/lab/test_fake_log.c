/* The record of what the fake saw. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "base/json.h"
#include "fake_log.h"

static uint64_t add(struct fake_log *log, const char *body)
{
    struct http_header header = {STR("X-Api-Key"), STR("very-secret")};
    struct http_headers headers = {&header, 1, 1};
    return fake_log_add(log, &(struct fake_seen){STR("POST"), STR("/v1/messages?key=very-secret"),
                                                 STR("echo"), str_from_cstr(body), true, true,
                                                 &headers, 3, 1700000000000});
}

static struct str lines_of(struct fake_log *log, struct buf *lines)
{
    buf_init(lines, 16 * 1024 * 1024);
    fake_log_write(log, lines);
    return buf_str(lines);
}

static void test_records_are_json_without_secrets(void **state)
{
    (void)state;
    struct fake_log *log = fake_log_new();
    struct arena *arena = arena_new(65536);
    struct buf lines;
    uint64_t number = add(log, "abc");
    fake_log_end(log, number, FAKE_CLIENT_GONE, 200, 17, 42);
    fake_log_end(log, number, FAKE_DONE, 500, 1, 1); /* too late */
    struct str text = lines_of(log, &lines), line = str_next(&text, '\n');
    yyjson_val *root;
    int64_t count;
    bool gone;
    assert_int_equal(json_read(arena, line, &root, NULL), ERR_OK);
    assert_true(str_eq(json_get_str(root, "path"), STR("/v1/messages")));
    assert_true(str_eq(json_get_str(root, "outcome"), STR("client_gone")));
    assert_true(json_get_bool(root, "client_gone", &gone) && gone);
    assert_true(json_get_int(root, "after_ms", &count) && count == 42);
    assert_true(str_eq(json_get_str(root, "body_sha256"),
                       STR("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")));
    assert_int_equal(str_find(line, STR("very-secret")), SIZE_MAX);
    assert_int_not_equal(str_find(line, STR("X-Api-Key")), SIZE_MAX);
    assert_true(str_eq(fake_log_last_body(log), STR("abc")));
    buf_done(&lines);
    arena_free(arena);
    fake_log_free(log);
}

static void test_the_oldest_give_way(void **state)
{
    (void)state;
    struct fake_log *log = fake_log_new();
    struct buf lines;
    uint64_t first = add(log, "");
    for (int i = 0; i < FAKE_LOG_RECORDS_MAX; i++)
        add(log, "");
    fake_log_end(log, first, FAKE_DONE, 200, 0, 0); /* its place is another's */
    struct str text = lines_of(log, &lines);
    size_t count = 0;
    assert_true(str_starts_with(text, STR("{\"number\":2,")));
    assert_int_equal(str_find(text, STR("\"outcome\":\"done\"")), SIZE_MAX);
    while (text.data)
        count += str_next(&text, '\n').len > 0;
    assert_int_equal(count, FAKE_LOG_RECORDS_MAX);
    buf_done(&lines);
    fake_log_clear(log);
    assert_int_equal(lines_of(log, &lines).len, 0);
    assert_int_equal(fake_log_last_body(log).len, 0);
    buf_done(&lines);
    fake_log_free(log);
}

static void test_bodies(void **state)
{
    (void)state;
    struct fake_log *log = fake_log_new();
    char *large = calloc(1, FAKE_LOG_BODY_BYTES_MAX + 2);
    uint64_t first = add(log, "one"), second = add(log, "two");
    assert_true(str_eq(fake_log_body(log, first), STR("one")));
    assert_true(str_eq(fake_log_body(log, second), STR("two")));
    assert_null(fake_log_body(log, FAKE_NO_RECORD).data);
    assert_null(fake_log_body(log, second + 1).data);
    memset(large, 'x', FAKE_LOG_BODY_BYTES_MAX + 1);
    assert_null(fake_log_body(log, add(log, large)).data);
    for (int i = 0; i < FAKE_LOG_RECORDS_MAX; i++)
        add(log, "");
    assert_null(fake_log_body(log, first).data);
    free(large);
    fake_log_free(log);
}

static void test_when_and_where(void **state)
{
    (void)state;
    struct fake_log *log = fake_log_new();
    struct buf lines;
    add(log, "abc");
    assert_int_not_equal(
        str_find(lines_of(log, &lines), STR("\"connection\":3,\"at_ms\":1700000000000,")),
        SIZE_MAX);
    buf_done(&lines);
    fake_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_are_json_without_secrets),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_when_and_where),
        cmocka_unit_test(test_the_oldest_give_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
