/* Who asks: cookies, keys, the local socket, and where a request comes from. */
#include "helper_api.h"

static struct str cookie_of(struct arena *arena, const char *value)
{
    struct http_request request = {0};
    if (value)
        http_headers_add(&request.headers, arena, STR("cookie"), str_from_cstr(value));
    return api_cookie_token(&request);
}

static void test_cookies(void **state)
{
    (void)state;
    static const struct {
        const char *cookie, *token; /* NULL: none */
    } rows[] = {
        {NULL, NULL},
        {"", NULL},
        {"parley_session", NULL},
        {"parley_session=", ""},
        {"parley_session=abc", "abc"},
        {"a=b; parley_session=abc; c=d", "abc"},
        {"a=b;parley_session=abc;c=d", "abc"},
        {"parley_session=a=b=", "a=b="},
        {"xparley_session=no", NULL},
        {"parley_sessions=no; Parley_session=no", NULL},
        {"a=parley_session=no", NULL},
        {"parley_session=first; parley_session=second", "first"},
        {";;; ; =; parley_session=abc", "abc"},
    };
    struct arena *arena = arena_new(65536);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str token = cookie_of(arena, rows[i].cookie);
        assert_int_equal(token.data != NULL, rows[i].token != NULL);
        if (rows[i].token)
            assert_true(str_eq(token, str_from_cstr(rows[i].token)));
    }
    arena_free(arena);
}

/* `$K` stands for the key and `$S` for the session's token. */
static void ask_as(struct api_fixture *f, const char *line, const char *header, const char *body)
{
    struct buf head;
    buf_init(&head, 4096);
    buf_append(&head, str_from_cstr(line));
    for (const char *at = header; *at; at++) {
        if (at[0] != '$') {
            buf_append_char(&head, *at);
            continue;
        }
        buf_append(&head, str_from_cstr(*++at == 'K' ? f->key : f->token));
    }
    buf_append_char(&head, '\0');
    api_ask(f, head.data, body);
    buf_done(&head);
}

static void test_who_it_is(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        const char *header;
        int status;
    } rows[] = {
        {"", 401},
        {"Authorization: Bearer $K\r\n", 200},
        {"Authorization: bearer  $K \r\n", 200},
        {"X-Api-Key: $K\r\n", 200},
        {"Cookie: parley_session=$S\r\n", 200},
        {"Cookie: a=b; parley_session=$S\r\nOrigin: https://evil.example\r\n", 200}, /* a GET */
        {"Authorization: Basic dTpw\r\nCookie: parley_session=$S\r\n", 200},         /* a proxy's */
        {"Authorization: Bearer $Kx\r\n", 401},
        {"Authorization: Bearer $S\r\n", 401},
        {"Authorization: Bearer x\r\nCookie: parley_session=$S\r\n", 401}, /* the key counts */
        {"X-Api-Key: \r\n", 401},
        {"Cookie: parley_session=$Sx\r\n", 401},
        {"Cookie: parley_session=$K\r\n", 401},
        {"Cookie: parley_session=\r\n", 401},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask_as(f, "GET /api/v1/models HTTP/1.1\r\n", rows[i].header, NULL);
        expect_status(f, rows[i].status, "");
        assert_false(answer_has(f, f->key));
    }
}

static void test_where_it_comes_from(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        const char *header;
        int status;
    } rows[] = {
        {"Cookie: parley_session=$S\r\nOrigin: http://h.example\r\n", 201},
        {"Cookie: parley_session=$S\r\nOrigin: https://app.example\r\n", 201},
        {"Cookie: parley_session=$S\r\n", 403},
        {"Cookie: parley_session=$S\r\nOrigin: \r\n", 403},
        {"Cookie: parley_session=$S\r\nOrigin: null\r\n", 403},
        {"Cookie: parley_session=$S\r\nOrigin: http://evil.example\r\n", 403},
        {"Cookie: parley_session=$S\r\nOrigin: http://h.example.evil.example\r\n", 403},
        {"Authorization: Bearer $K\r\n", 201},
        {"Authorization: Bearer $K\r\nOrigin: http://evil.example\r\n", 201}, /* not a browser's */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask_as(f, "POST /api/v1/conversations HTTP/1.1\r\n", rows[i].header, "{}");
        expect_status(f, rows[i].status, "");
    }
    /* Nobody is signed in or out by a foreign page. */
    static const char sign_in[] = "{\"email\":\"user@example.com\",\"password\":\"wrong one\"}";
    ask_as(f, "POST /api/v1/session HTTP/1.1\r\n", "Origin: http://evil.example\r\n", sign_in);
    expect_status(f, 403, "own page");
    ask_as(f, "POST /api/v1/session HTTP/1.1\r\n", "", sign_in);
    expect_status(f, 401, "");
    ask_as(f, "DELETE /api/v1/session HTTP/1.1\r\n",
           "Cookie: parley_session=$S\r\nOrigin: http://h.example\r\n", NULL);
    expect_status(f, 204,
                  "set-cookie: parley_session=; Path=/; HttpOnly; SameSite=Strict; "
                  "Max-Age=0\r\n");
    ask_as(f, "GET /api/v1/models HTTP/1.1\r\n", "Cookie: parley_session=$S\r\n", NULL);
    expect_status(f, 401, "");
}

static void test_the_local_socket(void **state)
{
    struct api_fixture *f = *state;
    api_ask_at(f, f->local, STR("GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    expect_status(f, 200, "version=0.0.4");
    api_ask_at(f, f->local,
               STR("GET /api/v1/users HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
    expect_status(f, 200, "user@example.com");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies),
        TEST(test_who_it_is),
        TEST(test_where_it_comes_from),
        TEST(test_the_local_socket),
    };
    return cmocka_run_group_tests_name("api/authenticate", tests, NULL, NULL);
}
