/* Runs: what they say and write down, stopping, storage that refuses, and a chat that goes away. */
#include "helper_chat.h"

#include "store/sqlite.h"

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define TEXT(text)                                                                                 \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH                                                                                     \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"     \
    "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"

/* What the journals hold, a line for each record. */
static enum err note_record(void *user, const struct journal_record *record)
{
    struct buf *out = user;
    buf_printf(out, "%u %llu ", record->kind, (unsigned long long)record->sequence);
    buf_append(out, str_slice(record->payload, 0, 300));
    buf_append_char(out, '\n');
    return ERR_OK;
}

static size_t replay(struct chat_fixture *f, struct buf *out)
{
    struct journal_replay_result result = {0};
    buf_clear(out);
    assert_int_equal(journal_replay(f->directory, note_record, out, &result, NULL), ERR_OK);
    return result.records;
}

static void test_events_and_journal(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    struct buf journal;
    buf_init(&journal, 65536);
    send_first(f, &asked, "fake/m", "Hello");
    listening_begin(f, &l, &asked.run, 0);
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Hel") TEXT("lo"));
    TURN_UNTIL(f->net->loop, l.sequence == 3);
    helper_turn(f->net->loop);
    assert_int_equal(replay(f, &journal), 4);
    struct str text = buf_str(&journal);
    assert_true(str_starts_with(text, STR("1 0 {\"owner\":\"")));
    assert_true(str_find(text, STR("2 1 {\"type\":\"start\",\"model\":\"fake/m\"}\n")) != SIZE_MAX);
    assert_true(str_find(text, STR("2 2 {\"type\":\"text\",\"text\":\"Hel\"}\n")) != SIZE_MAX);
    assert_true(str_ends_with(text, STR("2 3 {\"type\":\"text\",\"text\":\"lo\"}\n")));
    call_send(f->net, fd, FINISH);
    TURN_UNTIL(f->net->loop, l.ended);
    assert_true(str_eq(buf_str(&l.types), STR("start text text usage finish saved ")));
    assert_true(listening_has(&l, "{\"type\":\"finish\",\"status\":\"complete\",\"finish\":"
                                  "\"stop\",\"error\":null}"));
    assert_true(listening_has(&l, "{\"type\":\"saved\",\"message\":{"));
    assert_true(listening_has(&l, "\"text\":\"Hello\""));
    struct listening late; /* it lingers for who comes late */
    listening_begin(f, &late, &asked.run, 4);
    TURN_UNTIL(f->net->loop, late.ended);
    assert_true(str_eq(buf_str(&late.types), STR("finish saved ")));
    listening_done(&late);
    listening_done(&l);
    buf_done(&journal);
    close(fd);
}

static void test_tools_and_long_texts(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    size_t size = 200 * 1000;
    char *text = malloc(size + 1);
    for (size_t i = 0; i < size; i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[size] = '\0';
    send_first(f, &asked, "fake/m", "Hello");
    listening_begin(f, &l, &asked.run, 0);
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM);
    call_send(f->net, fd,
              "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x");
    call_send(f->net, fd, text);
    call_send(f->net, fd,
              "\"}}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{"
              "\"index\":0,\"id\":\"call_1\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}"
              "]}\n\n");
    call_send(f->net, fd, FINISH);
    TURN_UNTIL(f->net->loop, l.ended);
    assert_true(str_eq(buf_str(&l.types), STR("start text text text text tool_start "
                                              "tool_arguments usage finish saved ")));
    assert_true(listening_has(
        &l, "{\"type\":\"tool_start\",\"index\":0,\"id\":\"call_1\",\"name\":\"f\"}"));
    assert_true(listening_has(&l, "{\"type\":\"tool_arguments\",\"index\":0,\"text\":\"{}\"}"));
    expect_message(f, &asked, STORE_STATUS_COMPLETE, text); /* whole again */
    listening_done(&l);
    free(text);
    close(fd);
}

static void test_an_answer_that_is_too_long(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    size_t size = RUN_ANSWER_BYTES_MAX;
    char *text = malloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    send_first(f, &asked, "fake/m", "Hello");
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("begin"));
    call_send(f->net, fd,
              "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"");
    call_send(f->net, fd, text);
    call_send(f->net, fd, "\"}}]}\n\n");
    wait_saved(f, &asked);
    expect_message(f, &asked, STORE_STATUS_FAILED, "begin");
    struct stored stored = stored_get(f, &asked.conversation, &asked.message);
    assert_true(str_find(stored.message.error, STR("longer than Parley keeps")) != SIZE_MAX);
    arena_free(stored.arena);
    free(text);
    close(fd);
}

static void test_stopping(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked, early;
    struct id stranger = id_new(1);
    send_first(f, &asked, "fake/m", "Hello");
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Some"));
    struct listening l;
    listening_begin(f, &l, &asked.run, 0);
    TURN_UNTIL(f->net->loop, listening_has(&l, "Some"));
    assert_int_equal(chat_stop(f->chat, &stranger, &asked.run), ERR_NOT_FOUND);
    assert_int_equal(chat_stop(f->chat, &f->owner, &stranger), ERR_NOT_FOUND);
    assert_int_equal(chat_stop(f->chat, &f->owner, &asked.run), ERR_OK);
    assert_int_equal(chat_stop(f->chat, &f->owner, &asked.run), ERR_OK); /* twice is once */
    server_wait_end(&f->net->server, fd);
    TURN_UNTIL(f->net->loop, l.ended);
    assert_true(str_eq(buf_str(&l.types), STR("start text finish saved ")));
    expect_message(f, &asked, STORE_STATUS_STOPPED, "Some");
    assert_int_equal(chat_stop(f->chat, &f->owner, &asked.run), ERR_OK); /* it stays as it is */
    for (int i = 0; i < 3; i++)
        helper_turn(f->net->loop);
    expect_message(f, &asked, STORE_STATUS_STOPPED, "Some");
    listening_done(&l);
    close(fd);
    send_first(f, &early, "eliza", "Hello"); /* before its first event, perhaps */
    assert_int_equal(chat_stop(f->chat, &f->owner, &early.run), ERR_OK);
    wait_saved(f, &early);
}

static void test_a_stop_that_comes_too_late(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    send_first(f, &asked, "eliza", "Hello");
    wait_saved(f, &asked); /* it lingers */
    f->drained = false;
    chat_drain(f->chat, 0, chat_on_drained, f);
    TURN_UNTIL(f->net->loop, f->drained);
    /* Posted to the loop, which is turned no more before the chat is gone. */
    assert_int_equal(chat_stop(f->chat, &f->owner, &asked.run), ERR_OK);
    chat_free(f->chat);
    f->chat = NULL;
    for (int i = 0; i < 3; i++)
        helper_turn(f->net->loop);
    journal_close(f->journal);
    router_free(f->router);
    hub_free(f->hub);
}

static enum err delete_conversation(struct store_tx *tx, void *user, struct error *error)
{
    struct asked *asked = user;
    return store_conversation_delete(tx, &asked->f->owner, &asked->conversation, error);
}

static void test_a_conversation_deleted_meanwhile(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    struct buf journal;
    buf_init(&journal, 65536);
    send_first(f, &asked, "fake/m", "Hello");
    listening_begin(f, &l, &asked.run, 0);
    assert_int_equal(store_write_now(f->store, delete_conversation, &asked, NULL), ERR_OK);
    assert_int_equal(chat_stop(f->chat, &f->owner, &asked.run), ERR_OK);
    TURN_UNTIL(f->net->loop, l.ended);
    assert_true(str_ends_with(buf_str(&l.types), STR("finish "))); /* nothing is saved */
    listening_done(&l);
    chat_end(f, 0);
    assert_int_equal(replay(f, &journal), 0);
    buf_done(&journal);
}

/* ---- Storage that refuses -------------------------------------------------------------------- */

/* A trigger that makes every change of an answer fail, or takes it away again. */
static enum err refuse_updates(struct store_tx *tx, void *user, struct error *error)
{
    struct query query = query_begin(
        tx->sqlite, *(bool *)user ? "CREATE TRIGGER refuse BEFORE UPDATE ON messages WHEN "
                                    "old.status = 1 BEGIN SELECT RAISE(ABORT, 'refused'); END"
                                  : "DROP TRIGGER refuse");
    (void)query_next(&query);
    return query_end(&query, error);
}

static void set_refusing(struct chat_fixture *f, bool refusing)
{
    struct error error = {0};
    if (store_write_now(f->store, refuse_updates, &refusing, &error) != ERR_OK)
        fail_msg("%s", error.message);
}

static void test_saving_is_tried_again(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    send_first(f, &asked, "fake/m", "Hello");
    int fd = call_accept(f->net);
    set_refusing(f, true);
    listening_begin(f, &l, &asked.run, 0);
    call_send(f->net, fd, STREAM TEXT("kept") FINISH);
    TURN_UNTIL(f->net->loop, str_ends_with(buf_str(&l.types), STR("finish ")));
    uint64_t begin = clock_monotonic_ms();
    while (clock_monotonic_ms() < begin + 50)
        helper_turn(f->net->loop);
    assert_false(l.ended); /* not saved, and not said to be */
    set_refusing(f, false);
    TURN_UNTIL(f->net->loop, l.ended);
    assert_true(str_ends_with(buf_str(&l.types), STR("finish saved ")));
    expect_message(f, &asked, STORE_STATUS_COMPLETE, "kept");
    listening_done(&l);
    close(fd);
}

static void test_what_cannot_be_saved_at_the_end_stays_in_the_journal(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct buf journal;
    buf_init(&journal, 65536);
    send_first(f, &asked, "fake/m", "Hello");
    int fd = call_accept(f->net);
    set_refusing(f, true);
    call_send(f->net, fd, STREAM TEXT("kept") FINISH);
    for (int i = 0; i < 20; i++)
        helper_turn(f->net->loop);
    chat_end(f, 10); /* does not hang */
    set_refusing(f, false);
    assert_true(replay(f, &journal) > 3);
    expect_message(f, &asked, STORE_STATUS_STREAMING, "[]");
    assert_int_equal(chat_recover(f->store, f->directory, NULL, NULL), ERR_OK);
    expect_message(f, &asked, STORE_STATUS_COMPLETE, "kept");
    buf_done(&journal);
    close(fd);
}

/* ---- What the router does --------------------------------------------------------------------- */

/* A listener that a failed test left behind would be heard of in its teardown. */
static void expect_told(struct listening *l, const char *part)
{
    if (listening_has(l, part))
        return;
    print_error("%.*s\n", STR_ARG(buf_str(&l->lines)));
    listening_done(l);
    fail_msg("no %s", part);
}

static void expect_types(struct listening *l, const char *types)
{
    if (str_eq(buf_str(&l->types), str_from_cstr(types)))
        return;
    print_error("%.*s\n%.*s\n", STR_ARG(buf_str(&l->types)), STR_ARG(buf_str(&l->lines)));
    listening_done(l);
    fail_msg("not %s", types);
}

static void test_an_answer_that_goes_on_from_further_back(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    send_first(f, &asked, "both", "Hello");
    listening_begin(f, &l, &asked.run, 0);
    int first = call_accept(f->net);
    call_send(f->net, first, STREAM TEXT("Gr\xc3\xbc\xc3\x9f Gott") TEXT(" und guten"));
    TURN_UNTIL(f->net->loop, l.sequence == 3);
    close(first); /* mid-answer */
    TURN_UNTIL(f->net->loop, listening_has(&l, "\"type\":\"route\""));
    int second = call_accept(f->net);
    expect_told(
        &l, "{\"type\":\"route\",\"route\":{\"target\":\"fake/n\",\"attempts\":2,\"failures\":[{"
            "\"target\":\"fake/m\",\"class\":\"provider_error\"}],\"joints\":[]}}");
    call_send(f->net, second, STREAM TEXT("Gr\xc3\xbc\xc3\x9f dich") FINISH);
    TURN_UNTIL(f->net->loop, l.ended);
    expect_types(&l, "start text text route rewind text route usage finish saved ");
    expect_told(&l, "{\"type\":\"rewind\",\"text_bytes\":7}");
    expect_message(f, &asked, STORE_STATUS_COMPLETE, "\"Gr\xc3\xbc\xc3\x9f dich\"");
    struct stored stored = stored_get(f, &asked.conversation, &asked.message);
    assert_true(str_eq(stored.message.model, STR("fake/n")));
    assert_true(
        str_eq(stored.message.route,
               STR("{\"target\":\"fake/n\",\"attempts\":2,\"failures\":[{\"target\":"
                   "\"fake/m\",\"class\":\"provider_error\"}],\"joints\":[{\"text_bytes\":7,"
                   "\"mode\":\"splice\",\"from\":\"fake/m\",\"to\":\"fake/n\","
                   "\"class\":\"provider_error\"}]}")));
    expect_told(&l, "\"route\":{\"target\":\"fake/n\",\"attempts\":2");
    arena_free(stored.arena);
    listening_done(&l);
    close(second);
}

/* What a continued answer held already is counted with in every place. */
static void test_a_continued_answer_is_rewound_behind_its_beginning(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked, more;
    struct listening l;
    send_first(f, &asked, "fake/m", "Hello");
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("One "));
    listening_begin(f, &l, &asked.run, 0);
    TURN_UNTIL(f->net->loop, l.sequence == 2);
    assert_int_equal(chat_stop(f->chat, &f->owner, &asked.run), ERR_OK);
    TURN_UNTIL(f->net->loop, l.ended);
    listening_done(&l);
    close(fd);
    assert_int_equal(ask(f, &more,
                         (struct chat_ask){.kind = CHAT_CONTINUE,
                                           .conversation = asked.conversation,
                                           .message = asked.message,
                                           .model = STR("both")},
                         NULL),
                     ERR_OK);
    listening_begin(f, &l, &more.run, 0);
    int first = call_accept(f->net);
    call_send(f->net, first, STREAM TEXT("two three"));
    TURN_UNTIL(f->net->loop, l.sequence == 2);
    close(first);
    TURN_UNTIL(f->net->loop, listening_has(&l, "\"type\":\"route\""));
    int second = call_accept(f->net);
    call_send(f->net, second, STREAM TEXT("two four") FINISH);
    TURN_UNTIL(f->net->loop, l.ended);
    expect_told(&l, "{\"type\":\"rewind\",\"text_bytes\":8}");
    expect_told(&l, "\"joints\":[{\"text_bytes\":8,");
    expect_message(f, &asked, STORE_STATUS_COMPLETE, "\"One two four\"");
    listening_done(&l);
    close(second);
}

static void test_who_was_asked_in_vain_is_told(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    send_first(f, &asked, "both", "Hello");
    listening_begin(f, &l, &asked.run, 0);
    int fd = call_accept(f->net);
    call_send(f->net, fd,
              "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    TURN_UNTIL(f->net->loop, listening_has(&l, "\"type\":\"route\""));
    int second = call_accept(f->net);
    call_send(f->net, second, STREAM TEXT("Hi") FINISH);
    TURN_UNTIL(f->net->loop, l.ended);
    expect_types(&l, "route start text usage finish saved ");
    expect_told(
        &l, "{\"type\":\"route\",\"route\":{\"target\":\"fake/n\",\"attempts\":2,\"failures\":[{"
            "\"target\":\"fake/m\",\"class\":\"provider_authentication\"}],\"joints\":[]}}");
    listening_done(&l);
    close(fd);
    close(second);
    send_first(f, &asked, "fake/n", "Hello again"); /* nothing to tell */
    fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Hi") FINISH);
    wait_saved(f, &asked);
    struct stored stored = stored_get(f, &asked.conversation, &asked.message);
    assert_int_equal(stored.message.route.len, 0);
    arena_free(stored.arena);
    close(fd);
}

/* ---- Merging --------------------------------------------------------------------------------- */

static void test_merging(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct llm_opaque opaque = {STR("d"), STR("m"), STR("k"), STR("v")};
    const struct llm_part a = {.kind = LLM_PART_TEXT, .text = STR("a")};
    const struct llm_part b = {.kind = LLM_PART_TEXT, .text = STR("b")};
    const struct llm_part reasoning = {.kind = LLM_PART_REASONING, .text = STR("r")};
    const struct llm_part sealed = {
        .kind = LLM_PART_TEXT, .text = STR("s"), .opaque = &opaque, .opaque_count = 1};
    const struct llm_part two[] = {b, a}, last_text[] = {reasoning, a};
    struct llm_part *all;
    size_t count;
    run_merge_parts(arena, &a, 1, two, 2, &all, &count);
    assert_int_equal(count, 2); /* only the first goes on */
    assert_true(str_eq(all[0].text, STR("ab")));
    run_merge_parts(arena, last_text, 2, &b, 1, &all, &count);
    assert_int_equal(count, 2);
    assert_true(str_eq(all[1].text, STR("ab")));
    run_merge_parts(arena, &a, 1, &reasoning, 1, &all, &count);
    assert_int_equal(count, 2);
    run_merge_parts(arena, &sealed, 1, &b, 1, &all, &count);
    assert_int_equal(count, 2); /* what is signed is not changed */
    run_merge_parts(arena, NULL, 0, NULL, 0, &all, &count);
    assert_int_equal(count, 0);
    arena_free(arena);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chat_setup, chat_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_events_and_journal),
        TEST(test_tools_and_long_texts),
        TEST(test_an_answer_that_is_too_long),
        TEST(test_stopping),
        TEST(test_a_stop_that_comes_too_late),
        TEST(test_a_conversation_deleted_meanwhile),
        TEST(test_saving_is_tried_again),
        TEST(test_what_cannot_be_saved_at_the_end_stays_in_the_journal),
        TEST(test_an_answer_that_goes_on_from_further_back),
        TEST(test_a_continued_answer_is_rewound_behind_its_beginning),
        TEST(test_who_was_asked_in_vain_is_told),
        cmocka_unit_test(test_merging),
    };
    return cmocka_run_group_tests_name("chat/run", tests, NULL, NULL);
}
