/* Addresses and networks: both families, mapped addresses, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/address.h"

static void test_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *address;
        bool has;
    } cases[] = {
        {"192.0.2.7", "192.0.2.7", true},
        {"192.0.2.7", "192.0.2.8", false},
        {"192.0.2.7", "::ffff:192.0.2.7", true},
        {"::ffff:192.0.2.7", "192.0.2.7", true},
        {"::ffff:192.0.2.0/120", "192.0.2.99", true},
        {"::ffff:192.0.2.0/120", "192.0.3.1", false},
        {"::ffff:0:0/96", "203.0.113.1", true},
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/9", "10.127.0.1", true},
        {"10.0.0.0/9", "10.128.0.1", false},
        {"10.1.2.3/8", "10.9.9.9", true},
        {"0.0.0.0/0", "255.1.2.3", true},
        {"0.0.0.0/0", "2001:db8::1", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "10.0.0.1", false},
        {"2001:db8::/32", "2001:db8:ffff::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8::/33", "2001:db8:8000::1", false},
        {"[2001:db8::1]", "2001:db8::1", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct address_range range;
        struct address address;
        if (!address_range_parse(str_from_cstr(cases[i].range), &range) ||
            !address_parse(str_from_cstr(cases[i].address), &address) ||
            address_range_has(&range, &address) != cases[i].has)
            fail_msg("%s, %s", cases[i].range, cases[i].address);
    }
}

static void test_nonsense(void **state)
{
    (void)state;
    static const struct str cases[] = {
        {"", 0},
        {"/", 1},
        {"x", 1},
        {"10.0.0.0/33", 11},
        {"10.0.0.0/", 9},
        {"10.0.0.0/-1", 11},
        {"10.0.0/8", 8},
        {"10.0.0.0/8/8", 12},
        {"::/129", 6},
        {"[::1", 4},
        {"unix", 4},
        {"10.0.0.0/8 ", 11},
        {"127.0.0.1\0x", 11},
        {"fe80::1%eth0", 12},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", 54},
    };
    struct address_range range = {.bits = 77};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (address_range_parse(cases[i], &range))
            fail_msg("%.*s", STR_ARG(cases[i]));
    assert_int_equal(range.bits, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
