/* Listing: what providers say they offer, and how a wrong one is noticed. */
#include "helper_call.h"

#define MODELS "{\"object\":\"list\",\"data\":[{\"id\":\"a\"},{\"id\":\"b\"}]}"

struct heard_list {
    int dones;
    enum err code;
    struct llm_error error;
    char names[512]; /* joined by spaces */
};

static void on_listed(void *user, enum err code, const struct llm_error *error,
                      const struct llm_model_info *models, size_t count)
{
    struct heard_list *heard = user;
    heard->dones++;
    heard->code = code;
    assert_int_equal(code == ERR_OK, error == NULL);
    if (error)
        heard->error = *error;
    for (size_t i = 0; i < count; i++) {
        size_t at = strlen(heard->names);
        snprintf(heard->names + at, sizeof heard->names - at, "%.*s ", STR_ARG(models[i].id));
    }
}

static struct llm_listing *start(struct call_fixture *f, struct heard_list *heard)
{
    struct llm_listing *listing = NULL;
    struct error error = {0};
    *heard = (struct heard_list){0};
    assert_int_equal(
        llm_listing_start(f->client, f->loop, f->provider, on_listed, heard, &listing, &error),
        ERR_OK);
    assert_int_equal(heard->dones, 0);
    return listing;
}

static void expect(struct call_fixture *f, struct heard_list *heard, enum err code,
                   const char *text)
{
    TURN_UNTIL(f->loop, heard->dones);
    assert_int_equal(heard->dones, 1);
    assert_string_equal(err_info(heard->code)->name, err_info(code)->name);
    if (code == ERR_OK)
        assert_string_equal(heard->names, text);
    else if (!strstr(heard->error.message, text))
        fail_msg("'%s' is not in '%s'", text, heard->error.message);
}

static void test_models_are_listed_and_the_configured_added(void **state)
{
    struct call_fixture *f = *state;
    static const struct {
        const char *models;
        bool only;
        const char *wanted;
    } rows[] = {
        {"", false, "a b "}, {"b, c ,,a,c", false, "a b c "},
        {"x", true, "x "},   {"x,y", true, "x y "},
        {"", true, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard_list heard;
        call_provider(f, NULL,
                      (struct provider_options){.models = str_from_cstr(rows[i].models),
                                                .models_only = rows[i].only});
        start(f, &heard);
        int fd = call_accept(f);
        assert_true(str_starts_with(buf_str(&f->request), STR("GET /v1/models HTTP/1.1\r\n")));
        assert_true(str_find_nocase(buf_str(&f->request), STR("bearer secret-key")) != SIZE_MAX);
        call_send(f, fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" MODELS);
        close(fd);
        expect(f, &heard, ERR_OK, rows[i].wanted);
    }
}

static void test_what_is_wrong_is_said(void **state)
{
    struct call_fixture *f = *state;
    static const struct {
        const char *answer;
        enum err code;
        const char *message;
    } rows[] = {
        {"HTTP/1.1 401 No\r\nContent-Length: 27\r\n\r\n{\"error\":{\"message\":\"bad\"}}",
         ERR_AUTHENTICATION, "bad"},
        {"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", ERR_SERVER, "oops"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", ERR_SERVER, "could not be read"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", ERR_NETWORK, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct heard_list heard;
        start(f, &heard);
        int fd = call_accept(f);
        call_send(f, fd, rows[i].answer);
        close(fd);
        expect(f, &heard, rows[i].code, rows[i].message);
        assert_true(heard.error.message[0]);
    }
    struct heard_list nobody;
    helper_close_fd(&f->server.fd);
    start(f, &nobody);
    expect(f, &nobody, ERR_NETWORK, "127.0.0.1");
}

static void test_the_built_in_one_needs_no_server(void **state)
{
    struct call_fixture *f = *state;
    struct heard_list heard;
    call_provider(f, "parley", (struct provider_options){0});
    start(f, &heard);
    expect(f, &heard, ERR_OK, "eliza ");
    llm_listing_cancel(start(f, &heard));
    helper_turn(f->loop);
    assert_int_equal(heard.dones, 0);
}

static void test_cancel(void **state)
{
    struct call_fixture *f = *state;
    struct heard_list heard;
    struct llm_listing *listing = start(f, &heard);
    int fd = call_accept(f);
    call_send(f, fd, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{");
    llm_listing_cancel(listing);
    server_wait_end(&f->server, fd);
    close(fd);
    assert_int_equal(heard.dones, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, call_setup, call_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_models_are_listed_and_the_configured_added),
        TEST(test_what_is_wrong_is_said),
        TEST(test_the_built_in_one_needs_no_server),
        TEST(test_cancel),
    };
    return cmocka_run_group_tests_name("llm/listing", tests, NULL, NULL);
}
