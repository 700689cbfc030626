/* Asking: what is stored, what is refused, and that nothing is stored by halves. */
#include "helper_chat.h"

static void test_send_and_answer(void **state)
{
    struct chat_fixture *f = *state;
    struct asked first, second, again;
    send_first(f, &first, "", "Hello there\nand more");
    assert_string_equal(first.title, "Hello there");
    assert_string_equal(first.status, "streaming");
    wait_saved(f, &first);
    expect_message(f, &first, STORE_STATUS_COMPLETE, "\"text\":");

    assert_int_equal(
        ask(f, &second,
            (struct chat_ask){.conversation = first.conversation, .parent = first.message}, "More"),
        ERR_OK);
    wait_saved(f, &second);
    assert_int_equal(ask(f, &again,
                         (struct chat_ask){.kind = CHAT_ANSWER,
                                           .conversation = first.conversation,
                                           .message = second.user_message},
                         NULL),
                     ERR_OK);
    assert_true(id_is_none(&again.user_message));
    wait_saved(f, &again);
    struct stored stored = stored_get(f, &first.conversation, &again.message);
    assert_int_equal(stored.count, 5);
    assert_true(id_eq(&stored.message.parent, &second.user_message));
    assert_true(id_eq(&stored.conversation_row.leaf, &again.message));
    assert_true(str_eq(stored.message.model, STR("parley/eliza")));
    assert_true(str_eq(stored.message.finish, STR("stop")));
    assert_true(stored.message.usage.len > 0);
    assert_int_equal(stored.message.error.len, 0);
    arena_free(stored.arena);
}

static void test_it_is_committed_before_it_is_told(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    send_first(f, &asked, "fake/m", "Hello"); /* which does not answer */
    expect_message(f, &asked, STORE_STATUS_STREAMING, "[]");
    struct stored stored = stored_get(f, &asked.conversation, &asked.user_message);
    assert_int_equal(stored.count, 2);
    assert_true(str_eq(stored.message.content, STR("[{\"type\":\"text\",\"text\":\"Hello\"}]")));
    arena_free(stored.arena);
}

static void test_a_new_root(void **state)
{
    struct chat_fixture *f = *state;
    struct asked first, root;
    send_first(f, &first, "eliza", "Hello");
    assert_int_equal(ask(f, &root, (struct chat_ask){.conversation = first.conversation}, "Anew"),
                     ERR_OK);
    wait_saved(f, &root);
    struct stored stored = stored_get(f, &first.conversation, &root.user_message);
    assert_true(id_is_none(&stored.message.parent));
    assert_true(str_eq(stored.conversation_row.model, STR("eliza"))); /* the conversation's */
    arena_free(stored.arena);
}

static enum err insert_empty(struct store_tx *tx, void *user, struct error *error)
{
    return store_conversation_insert(tx, user, error);
}

/* A conversation that was made before anything was said in it. */
static struct id make_empty(struct chat_fixture *f, const char *title)
{
    struct store_conversation empty = {.owner = f->owner,
                                       .id = id_new(clock_wall_ms()),
                                       .title = str_from_cstr(title),
                                       .model = STR(""),
                                       .created_ms = 1,
                                       .updated_ms = 1};
    assert_int_equal(store_write_now(f->store, insert_empty, &empty, NULL), ERR_OK);
    return empty.id;
}

static void test_the_first_message_names_an_empty_conversation(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct id conversation = make_empty(f, CONTENT_TITLE_DEFAULT);
    assert_int_equal(ask(f, &asked, (struct chat_ask){.conversation = conversation}, "Tea?"),
                     ERR_OK);
    assert_string_equal(asked.title, "Tea?");
    wait_saved(f, &asked);
    assert_int_equal(ask(f, &asked, (struct chat_ask){.conversation = conversation}, "Coffee?"),
                     ERR_OK);
    assert_string_equal(asked.title, "Tea?"); /* the second names nothing */
    wait_saved(f, &asked);
    conversation = make_empty(f, "Given by hand");
    assert_int_equal(ask(f, &asked, (struct chat_ask){.conversation = conversation}, "Tea?"),
                     ERR_OK);
    assert_string_equal(asked.title, "Given by hand");
    wait_saved(f, &asked);
}

static void test_refusals_store_nothing(void **state)
{
    struct chat_fixture *f = *state;
    struct asked first, streaming, asked;
    send_first(f, &first, "", "Hello");
    wait_saved(f, &first);
    send_first(f, &streaming, "fake/m", "Hello");
    struct id nobody = id_new(1), stranger = id_new(2);
    const struct id conversation = first.conversation;
    const struct {
        struct chat_ask request;
        const char *text;
        enum err code;
        const char *field;
    } rows[] = {
        {{.model = STR("elisa")}, "x", ERR_MODEL_NOT_FOUND, "model"},
        {{.parent = first.message}, "x", ERR_INVALID, "parent_id"},
        {{.conversation = nobody}, "x", ERR_NOT_FOUND, NULL},
        {{.conversation = conversation, .owner = stranger}, "x", ERR_NOT_FOUND, NULL},
        {{.conversation = conversation, .parent = nobody}, "x", ERR_NOT_FOUND, "parent_id"},
        {{.conversation = conversation, .parent = first.user_message},
         "x",
         ERR_INVALID,
         "parent_id"},
        {{.conversation = conversation, .parent = streaming.message},
         "x",
         ERR_NOT_FOUND,
         "parent_id"},
        {{.conversation = streaming.conversation, .parent = streaming.message},
         "x",
         ERR_CONFLICT,
         "parent_id"},
        {{.kind = CHAT_ANSWER, .conversation = conversation, .message = nobody},
         NULL,
         ERR_NOT_FOUND,
         "message_id"},
        {{.kind = CHAT_ANSWER, .message = first.user_message}, NULL, ERR_NOT_FOUND, "message_id"},
        {{.kind = CHAT_ANSWER, .conversation = conversation, .message = first.message},
         NULL,
         ERR_INVALID,
         "message_id"},
        {{.kind = CHAT_CONTINUE, .conversation = conversation, .message = first.user_message},
         NULL,
         ERR_INVALID,
         "message_id"},
        {{.kind = CHAT_CONTINUE, .conversation = conversation, .message = first.message},
         NULL,
         ERR_CONFLICT,
         "message_id"},
        {{.kind = CHAT_CONTINUE,
          .conversation = streaming.conversation,
          .message = streaming.message},
         NULL,
         ERR_CONFLICT,
         "message_id"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum err code = ask(f, &asked, rows[i].request, rows[i].text);
        if (code != rows[i].code)
            fail_msg("row %zu: %s: %s", i, err_info(code)->name, asked.error.message);
        if (rows[i].field)
            assert_string_equal(asked.error.field, rows[i].field);
    }
    assert_int_equal(conversation_count(f), 2);
    struct stored stored = stored_get(f, &first.conversation, NULL);
    assert_int_equal(stored.count, 2);
    assert_true(id_eq(&stored.conversation_row.leaf, &first.message));
    arena_free(stored.arena);
    assert_int_equal(chat_stop(f->chat, &f->owner, &streaming.run), ERR_OK);
    wait_saved(f, &streaming);
}

static void test_a_provider_that_is_away_fails_the_answer(void **state)
{
    struct chat_fixture *f = *state;
    static const char *const models[] = {"away/m", "broken/m"};
    for (size_t i = 0; i < 2; i++) {
        struct asked asked;
        send_first(f, &asked, models[i], "Hello"); /* the message is kept */
        wait_saved(f, &asked);
        struct stored stored = stored_get(f, &asked.conversation, &asked.message);
        assert_int_equal(stored.count, 2);
        assert_int_equal(stored.message.status, STORE_STATUS_FAILED);
        assert_true(str_find(stored.message.error, i ? STR("not usable") : STR("127.0.0.1")) !=
                    SIZE_MAX);
        arena_free(stored.arena);
    }
}

static void test_continue(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked, more;
    send_first(f, &asked, "fake/m", "Hello");
    int fd = call_accept(f->net);
    call_send(
        f->net, fd,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"One \"}}]}\n\n"
        "data: {\"error\":{\"type\":\"invalid_request_error\",\"message\":\"no\"}}\n\n");
    wait_saved(f, &asked);
    close(fd);
    expect_message(f, &asked, STORE_STATUS_FAILED, "\"One \"");
    assert_int_equal(ask(f, &more,
                         (struct chat_ask){.kind = CHAT_CONTINUE,
                                           .conversation = asked.conversation,
                                           .message = asked.message},
                         NULL),
                     ERR_OK);
    assert_true(id_eq(&more.message, &asked.message));
    assert_false(id_eq(&more.run, &asked.run));
    fd = call_accept(f->net);
    struct str request = buf_str(&f->net->request);
    assert_true(str_find(request, STR("One ")) != SIZE_MAX);
    assert_true(str_find(request, STR("exactly where it stopped")) != SIZE_MAX);
    call_send(f->net, fd,
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
              "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"},"
              "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    wait_saved(f, &more);
    expect_message(f, &asked, STORE_STATUS_COMPLETE, "[{\"type\":\"text\",\"text\":\"One two\"}]");
    struct stored stored = stored_get(f, &asked.conversation, &asked.message);
    assert_int_equal(stored.count, 2);
    assert_int_equal(stored.message.error.len, 0); /* of the first attempt no more */
    arena_free(stored.arena);
    close(fd);
}

struct heard_changes {
    struct id conversation;
    int count;
};

static void on_changed(void *user, const struct id *conversation)
{
    struct heard_changes *heard = user;
    assert_true(id_eq(&heard->conversation, conversation));
    heard->count++;
}

static void test_others_hear_of_it(void **state)
{
    struct chat_fixture *f = *state;
    struct asked first, second;
    send_first(f, &first, "", "Hello");
    wait_saved(f, &first);
    struct heard_changes heard = {.conversation = first.conversation};
    struct watcher *asker = hub_watch(f->hub, f->net->loop, &f->owner, on_changed, &heard);
    assert_int_equal(ask(f, &second,
                         (struct chat_ask){.conversation = first.conversation,
                                           .model = STR("fake/m"),
                                           .asker = asker},
                         "More"),
                     ERR_OK);
    for (int i = 0; i < 3; i++)
        helper_turn(f->net->loop);
    assert_int_equal(heard.count, 0); /* its own */
    assert_int_equal(chat_stop(f->chat, &f->owner, &second.run), ERR_OK);
    TURN_UNTIL(f->net->loop, heard.count == 1); /* the answer's end is everybody's */
    hub_unwatch(asker);
}

static void test_nothing_begins_while_draining(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked, late;
    send_first(f, &asked, "fake/m", "Hello");
    chat_drain(f->chat, 20, chat_on_drained, f);
    assert_int_equal(ask(f, &late, (struct chat_ask){0}, "Too late"), ERR_UNAVAILABLE);
    TURN_UNTIL(f->net->loop, f->drained); /* after 20 ms the rest is interrupted */
    assert_int_equal(ask(f, &late, (struct chat_ask){0}, "Later still"), ERR_UNAVAILABLE);
    for (int i = 0; i < 3; i++)
        helper_turn(f->net->loop); /* and done is not said again */
    expect_message(f, &asked, STORE_STATUS_INTERRUPTED, "[]");
    assert_int_equal(conversation_count(f), 1);
    chat_free(f->chat);
    journal_close(f->journal);
    router_free(f->router);
    hub_free(f->hub);
    f->chat = NULL;
}

static void test_what_is_on_its_way_when_time_is_over_is_interrupted(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked = {.f = f};
    struct chat_ask request = {
        .owner = f->owner, .model = STR("fake/m"), .arena = arena_new(1024 * 1024)};
    request.parts = ARENA_NEW(request.arena, struct llm_part);
    request.parts[0].text = STR("Hello");
    request.part_count = 1;
    chat_ask(f->chat, &request, asked_done, &asked);
    chat_end(f, 0);
    assert_int_equal(asked.code, ERR_OK);
    expect_message(f, &asked, STORE_STATUS_INTERRUPTED, "[]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chat_setup, chat_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_send_and_answer),
        TEST(test_it_is_committed_before_it_is_told),
        TEST(test_a_new_root),
        TEST(test_the_first_message_names_an_empty_conversation),
        TEST(test_refusals_store_nothing),
        TEST(test_a_provider_that_is_away_fails_the_answer),
        TEST(test_continue),
        TEST(test_others_hear_of_it),
        TEST(test_nothing_begins_while_draining),
        TEST(test_what_is_on_its_way_when_time_is_over_is_interrupted),
    };
    return cmocka_run_group_tests_name("chat/ask", tests, NULL, NULL);
}
