/* Dispatch: which path is whose, and what is refused with which status. */
#include "helper_api.h"

static void test_paths(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        const char *line;
        int status;
        const char *part;
    } rows[] = {
        {"GET /healthz HTTP/1.1\r\n", 200, "ok\n"},
        {"HEAD /healthz HTTP/1.1\r\n", 200, "content-length: 3"},
        {"GET /healthz?x=1 HTTP/1.1\r\n", 200, "ok\n"},
        {"GET /readyz HTTP/1.1\r\n", 200, "ready\n"},
        {"GET /healthz/ HTTP/1.1\r\n", 404, "not_found"},
        {"GET //healthz HTTP/1.1\r\n", 404, "not_found"},
        {"GET /api/v1 HTTP/1.1\r\n", 404, "not_found"},
        {"GET /api/v1/%6dodels HTTP/1.1\r\n", 404, "not_found"},
        {"GET /api/v1/nothing HTTP/1.1\r\n", 404, "\"request_id\":\""},
        {"POST /somewhere HTTP/1.1\r\nContent-Length: 0\r\n", 404, "not_found"},
        {"GET /v1/nothing HTTP/1.1\r\n", 404, "\"type\":"},
        {"DELETE /healthz HTTP/1.1\r\n", 405, "allow: GET, HEAD\r\n"},
        {"PUT /api/v1/session HTTP/1.1\r\nContent-Length: 0\r\n", 405,
         "allow: GET, HEAD, POST, DELETE\r\n"},
        {"GET /v1/chat/completions HTTP/1.1\r\n", 405, "allow: POST\r\n"},
        {"OPTIONS /api/v1/conversations/x HTTP/1.1\r\n", 405,
         "allow: GET, HEAD, PATCH, DELETE\r\n"},
        {"GET /api/v1/models HTTP/1.1\r\n", 401, "unauthenticated"},
        {"GET /v1/models HTTP/1.1\r\n", 401, "\"type\":"},
        {"GET /api/v1/conversations/%zz HTTP/1.1\r\n", 404, "not_found"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        api_ask(f, rows[i].line, NULL);
        expect_status(f, rows[i].status, rows[i].part);
    }
}

static void ask_with_key(struct api_fixture *f, const char *line, const char *body)
{
    char head[400];
    snprintf(head, sizeof head, "%sAuthorization: Bearer %s\r\n", line, f->key);
    api_ask(f, head, body);
}

static void test_parameters_and_bodies(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        const char *line, *body;
        int status;
        const char *part;
    } rows[] = {
        {"GET /api/v1/models HTTP/1.1\r\n", NULL, 200, "parley/eliza"},
        {"GET /v1/models/parley/eliza HTTP/1.1\r\n", NULL, 200, "\"parley/eliza\""},
        {"GET /v1/models/parley%2Feliza HTTP/1.1\r\n", NULL, 200, "\"parley/eliza\""},
        {"GET /v1/models/nobody HTTP/1.1\r\n", NULL, 404, "\"error\""},
        {"GET /api/v1/conversations/short HTTP/1.1\r\n", NULL, 404, "not_found"},
        {"GET /api/v1/conversations/ HTTP/1.1\r\n", NULL, 404, "not_found"},
        {"POST /api/v1/conversations HTTP/1.1\r\n", "", 201, "\"title\":\"New conversation\""},
        {"POST /api/v1/conversations HTTP/1.1\r\n", "{}", 201, "\"conversation\":"},
        {"POST /api/v1/conversations HTTP/1.1\r\n", "{", 400, "invalid"},
        {"POST /api/v1/conversations HTTP/1.1\r\n", "[]", 400, "JSON object"},
        {"POST /api/v1/conversations HTTP/1.1\r\n", "{\"titel\":\"x\"}", 400, "Did you mean"},
        {"POST /api/v1/conversations HTTP/1.1\r\n", "{\"title\":7}", 400, "\"field\":\"title\""},
        {"DELETE /api/v1/session HTTP/1.1\r\n", "x", 413, "too_big"},
        {"GET /metrics HTTP/1.1\r\n", NULL, 403, "forbidden"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ask_with_key(f, rows[i].line, rows[i].body);
        expect_status(f, rows[i].status, rows[i].part);
    }
}

static void test_what_the_server_refuses(void **state)
{
    struct api_fixture *f = *state;
    char *text = malloc(100 * 1024);
    memset(text, 'x', 100 * 1024);
    snprintf(text + 90000, 100, " HTTP/1.1\r\n");
    memcpy(text, "GET /", 5);
    text[90000 + 11] = '\0';
    api_ask(f, text, NULL);
    expect_status(f, 414, "\"error\"");
    memset(text, 'x', 90000);
    memcpy(text, "GET /healthz HTTP/1.1\r\nX: ", 26);
    memcpy(text + 90000, "\r\n", 3);
    api_ask(f, text, NULL);
    expect_status(f, 431, "\"error\"");
    free(text);
    api_ask_at(f, f->server, STR("GET /healthz HTTP/1.1\r\nHost: h")); /* and then nothing */
    expect_status(f, 408, "\"error\"");
    api_ask_at(f, f->server, STR("nonsense\r\n\r\n"));
    expect_status(f, 400, "\"error\"");
}

static void test_large_bodies_are_for_known_callers(void **state)
{
    struct api_fixture *f = *state;
    char *body = malloc(200 * 1024);
    memset(body, ' ', 200 * 1024 - 1);
    body[200 * 1024 - 1] = '\0';
    api_ask(f, "POST /v1/chat/completions HTTP/1.1\r\n", body);
    expect_status(f, 401, "\"type\":");
    ask_with_key(f, "POST /v1/chat/completions HTTP/1.1\r\n", body);
    expect_status(f, 400, "\"error\""); /* read, and not JSON */
    api_ask(f, "POST /v1/chat/completions HTTP/1.1\r\n", "{}");
    expect_status(f, 401, "\"type\":");
    char head[400];
    snprintf(head, sizeof head,
             "POST /v1/chat/completions HTTP/1.1\r\nX-API-Key: %s\r\nContent-Length: 9999999\r\n",
             f->key);
    api_ask(f, head, NULL);
    expect_status(f, 413, "\"type\":");
    free(body);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_paths),
        TEST(test_parameters_and_bodies),
        TEST(test_what_the_server_refuses),
        TEST(test_large_bodies_are_for_known_callers),
    };
    return cmocka_run_group_tests_name("api/dispatch", tests, NULL, NULL);
}
