/* Limits over REST: set, told, stored, removed; who may look; what is refused. */
#include "helper_api.h"

#include "account/group.h"
#include "route/quotas.h"

/* As the command line asks: as an administrator. */
static void ask_local(struct api_fixture *f, const char *method, const char *path, const char *body)
{
    struct buf request;
    buf_init(&request, 64 * 1024);
    buf_printf(&request, "%s /api/v1/limits%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", method,
               path);
    if (body)
        buf_printf(&request, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
    else
        buf_append(&request, STR("\r\n"));
    api_ask_at(f, f->local, buf_str(&request));
    buf_done(&request);
}

static void ask_as_person(struct api_fixture *f, const char *method, const char *path)
{
    char head[400];
    snprintf(head, sizeof head, "%s /api/v1/limits%s HTTP/1.1\r\nAuthorization: Bearer %s\r\n",
             method, path, f->key);
    api_ask(f, head, NULL);
}

static const char *path_of(const char *kind, struct id id)
{
    static char path[64];
    snprintf(path, sizeof path, "/%s/%s", kind, id.text);
    return path;
}

static struct id key_of(struct api_fixture *f)
{
    struct arena *arena = arena_new(4096);
    struct store_key *keys;
    size_t count;
    assert_int_equal(account_list_keys(f->account, arena, &(struct id){0}, &keys, &count), ERR_OK);
    struct id id = keys[0].id;
    arena_free(arena);
    return id;
}

static void test_set_told_and_removed(void **state)
{
    struct api_fixture *f = *state;
    const char *path = path_of("user", f->chat->owner);
    ask_local(f, "PUT", path, "{\"requests_per_minute\":60,\"budget_per_day\":2.5}");
    expect_status(f, 200, "\"limits\":{\"requests_per_minute\":60,\"budget_per_day\":2.5}");
    assert_true(answer_has(f, "\"is_default\":false"));
    struct limiter_subject subject = {QUOTA_USER, id_str(&f->chat->owner)};
    struct limiter_lease lease;
    struct limiter_refusal refusal;
    struct limiter_time now = {clock_monotonic_ns() / 1000, clock_wall_ms()};
    assert_true(limiter_reserve(f->limiter, &(struct limiter_ask){&subject, 1, 10, 5, now}, &lease,
                                &refusal, NULL, NULL));
    ask_local(f, "GET", path, NULL);
    expect_status(f, 200, "\"now\":{\"streams\":1,\"requests_remaining\":59,");
    limiter_settle(f->limiter, &lease, 70, 1000000, now);
    ask_local(f, "GET", "", NULL);
    expect_status(f, 200, "\"day\":{\"requests\":1,\"tokens\":70,\"cost_usd\":0.001}");
    ask_local(f, "DELETE", path, NULL);
    expect_status(f, 204, "");
    ask_local(f, "GET", path, NULL);
    expect_status(f, 404, "nothing limits this user");
    ask_local(f, "DELETE", path, NULL);
    expect_status(f, 404, "not_found");
    ask_local(f, "GET", "", NULL);
    expect_status(f, 200, "{\"limits\":[]}");
}

static void test_stars_and_forms_of_ids(void **state)
{
    struct api_fixture *f = *state;
    static const struct {
        const char *path, *body;
        int status;
        const char *part;
    } rows[] = {
        {"/user/*", "{\"streams\":3}", 200, "\"id\":\"*\""},
        {"/model/openai%2Fgpt-5", "{\"tokens_per_day\":3}", 200, "\"id\":\"openai/gpt-5\""},
        {"/model/a/b", "{\"tokens_per_day\":3}", 200, "\"id\":\"a/b\""},
        {"/address/2001:DB8::5", "{\"streams\":3}", 200, "\"id\":\"2001:db8::/64\""},
        {"/address/%2A", "{}", 200, "\"limits\":{}"},
        {"/tag/team:blue", "{\"budget_per_month\":3}", 200, "\"id\":\"team:blue\""},
        {"/tag/team:blue", "{\"streams\":3}", 400, "\"field\":\"streams\""},
        {"/tag/blue", "{}", 404, "KEY:VALUE"},
        {"/address/10.0.0.0%2F8", "{}", 404, "an IP address"},
        {"/user/nobody", "{}", 404, "the id of a person"},
        {"/key/01ARZ3NDEKTSV4RRFFQ69G5FAV", "{}", 404, "the id of an API key"},
        {"/group/friends", "{}", 404, "the id of a group"},
        {"/group/01arz3ndektsv4rrffq69g5fav", "{}", 404, "the id of a group"},
        {"/thing/x", "{}", 404, "\"field\":\"kind\""},
        {"/model/%0A", "{}", 404, "\"field\":\"id\""},
        {"/model/m", "{\"stream\":3}", 400, "did you mean"},
        {"/model/m", "[]", 400, "object"},
        {"/model/m", "{", 400, "invalid"},
        {"/model/m", "", 400, "invalid"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask_local(f, "PUT", rows[i].path, rows[i].body);
        expect_status(f, rows[i].status, rows[i].part);
    }
    ask_local(f, "GET", path_of("user", f->chat->owner), NULL);
    expect_status(f, 200, "\"is_default\":true,\"limits\":{\"streams\":3}");
}

static void on_group(void *user, enum err code, const struct error *error,
                     const struct store_group *group)
{
    struct id *made = user;
    assert_int_equal(code, ERR_OK);
    assert_null(error);
    *made = group->id;
}

static void test_groups_that_exist(void **state)
{
    struct api_fixture *f = *state;
    struct id made = {0};
    struct loop *loop = f->chat->net->loop;
    account_create_group(f->account, loop, STR("g"), on_group, &made);
    TURN_UNTIL(loop, made.text[0]);
    ask_local(f, "PUT", path_of("group", made), "{\"streams\":4}");
    expect_status(f, 200, "\"streams\":4");
}

static void test_people_see_their_own(void **state)
{
    struct api_fixture *f = *state;
    struct id key = key_of(f);
    ask_local(f, "PUT", "/user/*", "{\"streams\":3}");
    ask_local(f, "PUT", path_of("key", key), "{\"streams\":2}");
    ask_as_person(f, "GET", path_of("user", f->chat->owner));
    expect_status(f, 200, "\"streams\":3");
    ask_as_person(f, "GET", path_of("key", key));
    expect_status(f, 200, "\"streams\":2");
    static const char *const others[] = {"/user/*", "/user/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/key/*",
                                         "/model/m", "/tag/a:b"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        ask_as_person(f, "GET", others[i]);
        expect_status(f, 404, "not_found");
    }
    ask_as_person(f, "GET", "");
    expect_status(f, 403, "forbidden");
    ask_as_person(f, "DELETE", path_of("key", key));
    expect_status(f, 403, "forbidden");
    api_ask(f, "GET /api/v1/limits HTTP/1.1\r\n", NULL);
    expect_status(f, 401, "unauthenticated");
}

static void test_they_are_there_after_a_restart(void **state)
{
    struct api_fixture *f = *state;
    struct quota quota;
    struct error error = {0};
    ask_local(f, "PUT", "/model/m", "{\"streams\":1}");
    ask_local(f, "PUT", "/model/m", "{\"streams\":2,\"budget_per_week\":0.1}");
    ask_local(f, "PUT", "/model/n", "{\"streams\":3}");
    ask_local(f, "DELETE", "/model/n", NULL);
    struct limiter *next = limiter_new();
    assert_int_equal(quotas_load(next, f->chat->store, &error), ERR_OK);
    assert_true(limiter_get(next, (struct limiter_subject){QUOTA_MODEL, STR("m")}, &quota));
    assert_int_equal(quota.streams_max, 2);
    assert_int_equal(quota.hard_nano[QUOTA_WEEK], 100000000);
    assert_false(limiter_get(next, (struct limiter_subject){QUOTA_MODEL, STR("n")}, &quota));
    limiter_free(next);
}

static enum err write_wrong(struct store_tx *tx, void *user, struct error *error)
{
    (void)user;
    return store_quota_set(
        tx, &(struct store_quota){STR("model"), STR("m"), STR("{\"streams\":-1}")}, error);
}

static void test_what_cannot_be_read_is_told(void **state)
{
    struct api_fixture *f = *state;
    struct error error = {0};
    struct limiter *next = limiter_new();
    assert_int_equal(store_write_now(f->chat->store, write_wrong, NULL, &error), ERR_OK);
    assert_int_equal(quotas_load(next, f->chat->store, &error), ERR_CORRUPT);
    assert_non_null(strstr(error.message, "model m"));
    assert_non_null(strstr(error.message, "streams"));
    limiter_free(next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, api_setup, api_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_set_told_and_removed),           TEST(test_stars_and_forms_of_ids),
        TEST(test_people_see_their_own),           TEST(test_groups_that_exist),
        TEST(test_they_are_there_after_a_restart), TEST(test_what_cannot_be_read_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
