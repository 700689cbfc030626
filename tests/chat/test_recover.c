/* Recovery: journals written by hand, as a crash would leave them. */
#include "helper_chat.h"

#include <dirent.h>

/* An answer that a crash has left streaming: its row is made by an ask whose run is not awaited;
 * the journal by hand. */
struct crash {
    struct store_conversation conversation;
    struct store_message message;
    struct id run;
};

static enum err insert_crash(struct store_tx *tx, void *user, struct error *error)
{
    struct crash *crash = user;
    enum err code = store_conversation_insert(tx, &crash->conversation, error);
    return code == ERR_OK ? store_message_insert(tx, &crash->message, error) : code;
}

static void crash_init(struct chat_fixture *f, struct crash *crash, const char *held)
{
    int64_t now = clock_wall_ms();
    *crash = (struct crash){.run = id_new(now)};
    crash->conversation = (struct store_conversation){.owner = f->owner,
                                                      .id = id_new(now),
                                                      .title = STR("t"),
                                                      .model = STR("m"),
                                                      .created_ms = now,
                                                      .updated_ms = now};
    crash->message = (struct store_message){.owner = f->owner,
                                            .conversation = crash->conversation.id,
                                            .id = id_new(now),
                                            .role = STR("assistant"),
                                            .status = STORE_STATUS_STREAMING,
                                            .content = str_from_cstr(held),
                                            .model = STR(""),
                                            .finish = STR(""),
                                            .error = STR(""),
                                            .usage = STR(""),
                                            .route = STR(""),
                                            .run = crash->run,
                                            .created_ms = now};
    assert_int_equal(store_write_now(f->store, insert_crash, crash, NULL), ERR_OK);
}

static void append(struct chat_fixture *f, const struct crash *crash, enum run_record kind,
                   uint64_t sequence, const char *json)
{
    assert_int_equal(
        journal_append(f->journal, &(struct journal_record){(uint16_t)kind, crash->run, sequence,
                                                            str_from_cstr(json)}),
        ERR_OK);
}

static void append_text(struct chat_fixture *f, const struct crash *crash, uint64_t sequence,
                        const char *text)
{
    char json[200];
    snprintf(json, sizeof json, "{\"type\":\"text\",\"text\":\"%s\"}", text);
    append(f, crash, RUN_RECORD_EVENT, sequence, json);
}

/* Ends the journal without releasing anything, as the end of the process would. */
static void cut_power(struct chat_fixture *f)
{
    helper_turn(f->net->loop);
    chat_end(f, 0);
}

static void recover(struct chat_fixture *f)
{
    struct error error = {0};
    if (chat_recover(f->store, f->directory, NULL, &error) != ERR_OK)
        fail_msg("chat_recover: %s", error.message);
}

static void expect(struct chat_fixture *f, const struct crash *crash, enum store_status status,
                   const char *content)
{
    struct stored stored = stored_get(f, &crash->conversation.id, &crash->message.id);
    assert_string_equal(store_status_name(stored.message.status), store_status_name(status));
    if (!str_eq(stored.message.content, str_from_cstr(content)))
        fail_msg("%.*s is not %s", STR_ARG(stored.message.content), content);
    arena_free(stored.arena);
}

static size_t segment_count(const struct chat_fixture *f, char *ret_last, size_t size)
{
    char path[300];
    size_t count = 0;
    snprintf(path, sizeof path, "%s/journal", f->directory);
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        count++;
        if (ret_last)
            snprintf(ret_last, size, "%s/%s", path, entry->d_name);
    }
    if (directory)
        closedir(directory);
    return count;
}

#define TEXT(text) "[{\"type\":\"text\",\"text\":\"" text "\"}]"

static void test_nothing_to_recover(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    send_first(f, &asked, "eliza", "Hello");
    wait_saved(f, &asked);
    cut_power(f);
    recover(f);
    recover(f);
    expect_message(f, &asked, STORE_STATUS_COMPLETE, "text");
}

static void test_what_came_is_kept(void **state)
{
    struct chat_fixture *f = *state;
    struct crash crash, silent;
    crash_init(f, &crash, "[]");
    crash_init(f, &silent, "[]");
    append(f, &crash, RUN_RECORD_BEGIN, 0, "{\"message\":\"x\"}");
    append(f, &crash, RUN_RECORD_EVENT, 1, "{\"type\":\"start\",\"model\":\"p/m\"}");
    append_text(f, &crash, 2, "Hel");
    append_text(f, &crash, 3, "lo");
    append_text(f, &crash, 3, "again"); /* a repeat counts once */
    append_text(f, &crash, 2, "and again");
    append(f, &crash, RUN_RECORD_EVENT, 4,
           "{\"type\":\"tool_start\",\"index\":0,\"id\":\"c\",\"name\":\"f\"}");
    append(f, &crash, RUN_RECORD_EVENT, 5,
           "{\"type\":\"tool_arguments\",\"index\":0,\"text\":\"{}\"}");
    append(f, &crash, RUN_RECORD_EVENT, 6, "{\"type\":\"reasoning\",\"text\":\"hm\"}");
    append(f, &crash, RUN_RECORD_EVENT, 7,
           "{\"type\":\"usage\",\"usage\":{\"input\":1,\"output\":2}}");
    cut_power(f);
    recover(f);
    static const char content[] = "[{\"type\":\"text\",\"text\":\"Hello\"},"
                                  "{\"type\":\"tool_call\",\"id\":\"c\",\"name\":\"f\","
                                  "\"arguments\":\"{}\"},{\"type\":\"reasoning\",\"text\":\"hm\"}]";
    expect(f, &crash, STORE_STATUS_INTERRUPTED, content);
    expect(f, &silent, STORE_STATUS_INTERRUPTED, "[]");
    assert_int_equal(segment_count(f, NULL, 0), 0);
    recover(f);
    expect(f, &crash, STORE_STATUS_INTERRUPTED, content);
    struct stored stored = stored_get(f, &crash.conversation.id, &crash.message.id);
    assert_true(str_eq(stored.message.model, STR("p/m")));
    assert_true(str_find(stored.message.usage, STR("\"output\":2")) != SIZE_MAX);
    arena_free(stored.arena);
}

static void test_a_continued_answer_keeps_what_it_held(void **state)
{
    struct chat_fixture *f = *state;
    struct crash crash;
    crash_init(f, &crash, TEXT("One "));
    append(f, &crash, RUN_RECORD_BEGIN, 0, "{}");
    append_text(f, &crash, 1, "two");
    cut_power(f);
    recover(f);
    expect(f, &crash, STORE_STATUS_INTERRUPTED, TEXT("One two"));
    recover(f);
    expect(f, &crash, STORE_STATUS_INTERRUPTED, TEXT("One two"));
}

/* Another target went on from further back; a place is counted with what the message held. */
static void test_what_was_taken_back_stays_away(void **state)
{
    static const char story[] = "{\"target\":\"b/n\",\"attempts\":2,\"failures\":[],\"joints\":[]}";
    static const char event[] = "{\"type\":\"route\",\"route\":{\"target\":\"b/n\",\"attempts\":2,"
                                "\"failures\":[],\"joints\":[]}}";
    struct chat_fixture *f = *state;
    struct crash whole, continued, strange;
    crash_init(f, &whole, "[]");
    crash_init(f, &continued, TEXT("One "));
    crash_init(f, &strange, TEXT("One "));
    append(f, &whole, RUN_RECORD_BEGIN, 0, "{\"text_bytes\":0}");
    append(f, &whole, RUN_RECORD_EVENT, 1, "{\"type\":\"start\",\"model\":\"a/m\"}");
    append_text(f, &whole, 2, "Gr\xc3\xbc\xc3\x9f ");
    append_text(f, &whole, 3, "Gott");
    append(f, &whole, RUN_RECORD_EVENT, 4, "{\"type\":\"rewind\",\"text_bytes\":7}");
    append_text(f, &whole, 5, "dich");
    append(f, &whole, RUN_RECORD_EVENT, 6, event);
    append(f, &continued, RUN_RECORD_BEGIN, 0, "{\"text_bytes\":4}");
    append_text(f, &continued, 1, "two three");
    append(f, &continued, RUN_RECORD_EVENT, 2, "{\"type\":\"rewind\",\"text_bytes\":8}");
    append_text(f, &continued, 3, "four");
    append(f, &strange, RUN_RECORD_BEGIN, 0, "{\"text_bytes\":4}");
    append_text(f, &strange, 1, "two");
    append(f, &strange, RUN_RECORD_EVENT, 2, "{\"type\":\"rewind\",\"text_bytes\":3}");
    append(f, &strange, RUN_RECORD_EVENT, 3, "{\"type\":\"rewind\",\"text_bytes\":900}");
    append(f, &strange, RUN_RECORD_EVENT, 4, "{\"type\":\"rewind\"}");
    append(f, &strange, RUN_RECORD_EVENT, 5, "{\"type\":\"route\",\"route\":[]}");
    cut_power(f);
    recover(f);
    expect(f, &whole, STORE_STATUS_INTERRUPTED, TEXT("Gr\xc3\xbc\xc3\x9f dich"));
    expect(f, &continued, STORE_STATUS_INTERRUPTED, TEXT("One two four"));
    expect(f, &strange, STORE_STATUS_INTERRUPTED, TEXT("One two"));
    struct stored stored = stored_get(f, &whole.conversation.id, &whole.message.id);
    assert_true(str_eq(stored.message.route, str_from_cstr(story)));
    assert_true(str_eq(stored.message.model, STR("b/n")));
    arena_free(stored.arena);
    stored = stored_get(f, &strange.conversation.id, &strange.message.id);
    assert_int_equal(stored.message.route.len, 0);
    arena_free(stored.arena);
}

static void test_an_answer_that_had_ended_keeps_its_end(void **state)
{
    struct chat_fixture *f = *state;
    struct crash complete, failed, strange;
    crash_init(f, &complete, "[]");
    crash_init(f, &failed, "[]");
    crash_init(f, &strange, "[]");
    append_text(f, &complete, 1, "all");
    append(f, &complete, RUN_RECORD_EVENT, 2,
           "{\"type\":\"finish\",\"status\":\"complete\",\"finish\":\"stop\",\"error\":null}");
    append(
        f, &failed, RUN_RECORD_EVENT, 1,
        "{\"type\":\"finish\",\"status\":\"failed\",\"finish\":\"\",\"error\":{\"code\":\"x\"}}");
    append(f, &strange, RUN_RECORD_EVENT, 1, "{\"type\":\"finish\",\"status\":\"streaming\"}");
    cut_power(f);
    recover(f);
    expect(f, &complete, STORE_STATUS_COMPLETE, TEXT("all"));
    expect(f, &failed, STORE_STATUS_FAILED, "[]");
    expect(f, &strange, STORE_STATUS_INTERRUPTED, "[]");
    struct stored stored = stored_get(f, &complete.conversation.id, &complete.message.id);
    assert_true(str_eq(stored.message.finish, STR("stop")));
    assert_int_equal(stored.message.error.len, 0);
    arena_free(stored.arena);
    stored = stored_get(f, &failed.conversation.id, &failed.message.id);
    assert_true(str_eq(stored.message.error, STR("{\"code\":\"x\"}")));
    arena_free(stored.arena);
}

static void test_a_torn_tail(void **state)
{
    struct chat_fixture *f = *state;
    struct crash crash;
    char path[600];
    crash_init(f, &crash, "[]");
    append_text(f, &crash, 1, "one ");
    append_text(f, &crash, 2, "two ");
    append_text(f, &crash, 3, "torn");
    cut_power(f);
    assert_int_equal(segment_count(f, path, sizeof path), 1);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(truncate(path, info.st_size - 3), 0);
    recover(f);
    expect(f, &crash, STORE_STATUS_INTERRUPTED, TEXT("one two "));
}

static void test_strange_records(void **state)
{
    struct chat_fixture *f = *state;
    struct crash crash, unknown = {.run = id_new(5)};
    static const char *const strange[] = {
        "",
        "not JSON",
        "[]",
        "5",
        "{}",
        "{\"type\":\"hologram\"}",
        "{\"type\":\"text\"}",
        "{\"type\":\"text\",\"text\":7}",
        "{\"type\":\"tool_start\",\"index\":-1}",
        "{\"type\":\"tool_arguments\",\"index\":4294967296,\"text\":\"x\"}",
        "{\"type\":\"tool_start\",\"index\":99999999,\"id\":\"a\"}",
        "{\"type\":\"usage\",\"usage\":5}",
        "{\"type\":\"start\"}",
        "{\"type\":\"finish\"}",
    };
    crash_init(f, &crash, "broken content");
    append(f, &unknown, RUN_RECORD_EVENT, 1, "{\"type\":\"text\",\"text\":\"of nobody\"}");
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++) {
        append(f, &crash, RUN_RECORD_EVENT, i + 1, strange[i]);
        append(f, &crash, (enum run_record)7, i + 1, strange[i]); /* of a later version */
    }
    append_text(f, &crash, 1000, "kept");
    cut_power(f);
    recover(f);
    struct stored stored = stored_get(f, &crash.conversation.id, &crash.message.id);
    assert_int_equal(stored.message.status, STORE_STATUS_INTERRUPTED);
    assert_true(str_find(stored.message.content, STR("kept")) != SIZE_MAX);
    arena_free(stored.arena);
}

/* A real run, cut off: what it told is what is recovered. */
static void test_an_abandoned_run(void **state)
{
    struct chat_fixture *f = *state;
    struct asked asked;
    struct listening l;
    char command[700];
    send_first(f, &asked, "fake/m", "Hello");
    listening_begin(f, &l, &asked.run, 0);
    int fd = call_accept(f->net);
    call_send(
        f->net, fd,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Some\"}}]}\n\n");
    TURN_UNTIL(f->net->loop, l.sequence == 2);
    helper_turn(f->net->loop);
    snprintf(command, sizeof command, "cp -r '%s' '%s-copy'", f->directory, f->directory);
    assert_int_equal(system(command), 0); /* the folder as kill -9 would leave it now */
    listening_done(&l);
    struct store *running = f->store, *copy = NULL;
    char directory[600];
    struct error error = {0};
    snprintf(directory, sizeof directory, "%s-copy", f->directory);
    if (store_open(&(struct store_options){.directory = directory}, &copy, &error) != ERR_OK)
        fail_msg("store_open: %s", error.message);
    assert_int_equal(chat_recover(copy, directory, NULL, &error), ERR_OK);
    f->store = copy;
    expect_message(f, &asked, STORE_STATUS_INTERRUPTED, TEXT("Some"));
    f->store = running;
    store_close(copy);
    snprintf(command, sizeof command, "rm -rf '%s'", directory);
    assert_int_equal(system(command), 0);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, chat_setup, chat_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_to_recover),
        TEST(test_what_came_is_kept),
        TEST(test_a_continued_answer_keeps_what_it_held),
        TEST(test_an_answer_that_had_ended_keeps_its_end),
        TEST(test_what_was_taken_back_stays_away),
        TEST(test_a_torn_tail),
        TEST(test_strange_records),
        TEST(test_an_abandoned_run),
    };
    return cmocka_run_group_tests_name("chat/recover", tests, NULL, NULL);
}
