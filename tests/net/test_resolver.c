/* The resolver: literals, pinned names, the machine's own names, order, cancelling. */
#include <arpa/inet.h>
#include <stdlib.h>

#include "helper_loop.h"

#include "net/resolver.h"

struct heard_answer {
    struct resolver_query query;
    int answers;
    struct resolver_addresses addresses;
    struct error error;
    struct resolver_query *cancel; /* from inside the answer */
    struct resolver *ask;          /* the same again, from inside the answer */
};

static void on_done(void *user, const struct resolver_addresses *addresses,
                    const struct error *error)
{
    struct heard_answer *heard = user;
    heard->answers++;
    assert_true(!addresses != !error);
    if (addresses)
        heard->addresses = *addresses;
    if (error)
        heard->error = *error;
    if (heard->cancel)
        resolver_cancel(heard->cancel);
    if (heard->ask) {
        struct resolver *resolver = heard->ask;
        heard->ask = NULL;
        resolver_start(resolver, &heard->query, STR("pinned.example"), 80, on_done, heard);
        assert_int_equal(heard->answers, 1);
    }
}

struct fixture {
    struct loop *loop;
    struct resolver *resolver;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    fixture->loop = loop_new(0, NULL);
    fixture->resolver = resolver_new(fixture->loop, 1000);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    resolver_free(fixture->resolver);
    loop_free(fixture->loop);
    free(fixture);
    return 0;
}

static void ask(struct fixture *fixture, struct heard_answer *heard, const char *host,
                uint16_t port)
{
    *heard = (struct heard_answer){0};
    resolver_start(fixture->resolver, &heard->query, str_from_cstr(host), port, on_done, heard);
    assert_int_equal(heard->answers, 0);
}

static struct resolver_address literal(const char *text)
{
    struct resolver_address address;
    assert_true(resolver_parse_literal(str_from_cstr(text), &address));
    return address;
}

static void pin(struct fixture *fixture, const char *first, const char *second)
{
    struct resolver_addresses addresses = {.count = 2};
    addresses.items[0] = literal(first);
    addresses.items[1] = literal(second);
    resolver_pin(fixture->resolver, STR("pinned.example"), &addresses);
}

static void test_literals(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer heard;
    ask(fixture, &heard, "192.0.2.7", 81);
    TURN_UNTIL(fixture->loop, heard.answers);
    assert_int_equal(heard.addresses.count, 1);
    assert_int_equal(heard.addresses.items[0].v4.sin_addr.s_addr, inet_addr("192.0.2.7"));
    assert_int_equal(ntohs(heard.addresses.items[0].v4.sin_port), 81);
    ask(fixture, &heard, "2001:db8::7", 82);
    TURN_UNTIL(fixture->loop, heard.answers);
    assert_int_equal(heard.addresses.items[0].any.sa_family, AF_INET6);
    assert_int_equal(heard.addresses.items[0].length, sizeof(struct sockaddr_in6));
    assert_int_equal(ntohs(heard.addresses.items[0].v6.sin6_port), 82);
}

static void test_literal_grammar(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",          "1.2.3", "1.2.3.4.5", "256.1.1.1", "::g",
                                        "localhost", "[::1]", "1.2.3.4 ",  "0x7f.1"};
    struct resolver_address address;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(resolver_parse_literal(str_from_cstr(wrong[i]), &address));
}

static void test_unix_paths(void **state)
{
    (void)state;
    char path[200];
    struct resolver_address address;
    memset(path, 'p', sizeof path);
    assert_true(resolver_unix_address(STR_FROM(path, 107), &address));
    assert_int_equal(address.any.sa_family, AF_UNIX);
    assert_int_equal(strlen(address.local.sun_path), 107);
    assert_false(resolver_unix_address(STR_FROM(path, 108), &address));
    assert_false(resolver_unix_address(STR(""), &address));
    assert_false(resolver_unix_address(STR("a\0b"), &address));
}

static void test_interleave(void **state)
{
    (void)state;
    static const struct {
        const char *from[6], *to[6];
    } cases[] = {
        {{"::1", "::2", "::3", "1.0.0.1", "1.0.0.2"}, {"::1", "1.0.0.1", "::2", "1.0.0.2", "::3"}},
        {{"1.0.0.1", "::1", "::2"}, {"1.0.0.1", "::1", "::2"}},
        {{"1.0.0.1", "1.0.0.2", "1.0.0.3", "::1"}, {"1.0.0.1", "::1", "1.0.0.2", "1.0.0.3"}},
        {{"::1", "::2"}, {"::1", "::2"}},
        {{NULL}, {NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct resolver_addresses addresses = {0};
        for (; cases[i].from[addresses.count]; addresses.count++)
            addresses.items[addresses.count] = literal(cases[i].from[addresses.count]);
        resolver_interleave(&addresses);
        for (size_t k = 0; k < addresses.count; k++) {
            struct resolver_address expected = literal(cases[i].to[k]);
            assert_memory_equal(&addresses.items[k], &expected, sizeof expected);
        }
    }
}

static void test_localhost(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer heard, again;
    ask(fixture, &heard, "localhost", 90);
    ask(fixture, &again, "localhost", 91);
    TURN_UNTIL(fixture->loop, heard.answers && again.answers);
    assert_true(heard.addresses.count >= 1);
    assert_int_equal(ntohs(again.addresses.items[0].v4.sin_port), 91);
    /* Known now: the answer needs no trip to the pool. */
    ask(fixture, &heard, "localhost", 92);
    helper_turn(fixture->loop);
    assert_int_equal(heard.answers, 1);
    assert_int_equal(ntohs(heard.addresses.items[0].v4.sin_port), 92);
}

static void test_failure_is_not_kept(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer heard;
    char host[300];
    memset(host, 'x', sizeof host);
    host[299] = '\0';
    ask(fixture, &heard, host, 80); /* longer than any name: refused without asking */
    TURN_UNTIL(fixture->loop, heard.answers);
    assert_int_equal(heard.error.code, ERR_NETWORK);
    for (int i = 0; i < 2; i++) {
        ask(fixture, &heard, "bad..name", 80); /* empty label: refused by the library */
        TURN_UNTIL(fixture->loop, heard.answers);
        assert_int_equal(heard.error.code, ERR_NETWORK);
        assert_non_null(strstr(heard.error.message, "resolved"));
    }
}

static void test_cancel(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer one, two, three;
    pin(fixture, "192.0.2.1", "192.0.2.2");
    ask(fixture, &one, "pinned.example", 1);
    ask(fixture, &two, "pinned.example", 2);
    ask(fixture, &three, "192.0.2.1", 3);
    one.cancel = &two.query;
    resolver_cancel(&three.query);
    TURN_UNTIL(fixture->loop, one.answers);
    helper_turn(fixture->loop);
    assert_int_equal(two.answers, 0);
    assert_int_equal(three.answers, 0);
    resolver_cancel(&two.query); /* idle: nothing happens */
}

static void test_ask_inside_answer(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer heard;
    pin(fixture, "192.0.2.1", "2001:db8::1");
    ask(fixture, &heard, "pinned.example", 1);
    heard.ask = fixture->resolver;
    TURN_UNTIL(fixture->loop, heard.answers == 2);
    assert_int_equal(heard.addresses.count, 2);
}

static void test_free_while_looking_up(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer heard;
    ask(fixture, &heard, "localhost", 1);
    resolver_cancel(&heard.query);
    /* teardown frees resolver and loop with the look-up in the pool */
}

static void test_many_names(void **state)
{
    struct fixture *fixture = *state;
    struct heard_answer heard;
    struct resolver_addresses addresses = {.count = 1};
    addresses.items[0] = literal("192.0.2.1");
    for (int i = 0; i < 256; i++) {
        char name[32];
        snprintf(name, sizeof name, "n%d.example", i);
        resolver_pin(fixture->resolver, str_from_cstr(name), &addresses);
    }
    ask(fixture, &heard, "localhost", 1);
    TURN_UNTIL(fixture->loop, heard.answers);
    assert_non_null(strstr(heard.error.message, "too many"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_literals, setup, teardown),
        cmocka_unit_test(test_literal_grammar),
        cmocka_unit_test(test_unix_paths),
        cmocka_unit_test(test_interleave),
        cmocka_unit_test_setup_teardown(test_localhost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failure_is_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ask_inside_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_while_looking_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_names, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
