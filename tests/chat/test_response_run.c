/* Answers in the background: what their log and their row say, cancelling, bounds, storage that
 * refuses, and a chat that goes away. */
#include "helper_chat.h"

#include "chat/response_run.h"
#include "chat/stored_response.h"
#include "store/sqlite.h"

#define STREAM "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
#define TEXT(text)                                                                                 \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"}}]}\n\n"
#define FINISH                                                                                     \
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"     \
    "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"

/* One answer that was asked for, and all that its log says. */
struct background {
    struct chat_fixture *f;
    struct response_run *run;
    struct id id;
    char name[64];
    int accepts;
    enum err code;
    bool was_refused;
    struct run_log *log;
    struct run_listener *listener;
    struct buf frames;
    bool ended;
};

static void on_ready(void *user)
{
    struct background *b = user;
    const char *type;
    uint64_t sequence;
    enum run_pull pull;
    while ((pull = run_log_pull(b->listener, &sequence, &type, &b->frames)) == RUN_PULL_EVENT) {
        char number[48];
        assert_null(type);
        snprintf(number, sizeof number, "\"sequence_number\":%d,", (int)sequence - 1);
        assert_true(str_find(buf_str(&b->frames), str_from_cstr(number)) != SIZE_MAX);
    }
    b->ended = pull == RUN_PULL_END;
}

static void on_accepted(void *user, const struct response_accepted *accepted)
{
    struct background *b = user;
    struct arena *arena = arena_new(1 << 20);
    yyjson_val *answer;
    b->accepts++;
    b->code = accepted->code;
    b->was_refused = accepted->error != NULL;
    if (accepted->code == ERR_OK && !accepted->error) {
        assert_int_equal(json_read(arena, accepted->answer, &answer, NULL), ERR_OK);
        assert_true(str_eq(json_get_str(answer, "status"), STR("queued")));
        str_copy(json_get_str(answer, "id"), b->name, sizeof b->name);
        assert_true(id_parse(str_from_cstr(b->name + 5), &b->id));
        b->log = run_log_ref(accepted->log);
        b->listener = run_log_attach(b->log, b->f->net->loop, 0, on_ready, b);
    }
    arena_free(arena);
}

static enum err start(struct chat_fixture *f, struct background *b, const char *model,
                      size_t at_once_max, struct error *error)
{
    struct arena *arena = arena_new(1 << 24);
    struct llm_request *request = ARENA_NEW(arena, struct llm_request);
    struct str body = arena_printf(arena,
                                   "{\"model\":\"%s\",\"input\":\"Hello\",\"background\":true,"
                                   "\"stream\":true,\"metadata\":{\"a\":\"b\"}}",
                                   model);
    yyjson_val *root;
    *b = (struct background){.f = f};
    buf_init(&b->frames, 64 << 20);
    assert_int_equal(json_read(arena, body, &root, NULL), ERR_OK);
    assert_int_equal(dialect_openai_responses.decode_request(arena, root, request, NULL), ERR_OK);
    const struct route_request route = {.request = request, .request_id = STR("r")};
    const struct response_ask ask = {.arena = arena,
                                     .owner = f->owner,
                                     .body = body,
                                     .route = &route,
                                     .is_streamed = true,
                                     .at_once_max = at_once_max,
                                     .keep_ms = 1000000,
                                     .bytes_max = 1 << 30};
    return response_run_start(f->chat, &ask, on_accepted, b, &b->run, error);
}

static void begin(struct chat_fixture *f, struct background *b, const char *model)
{
    assert_int_equal(start(f, b, model, 10, NULL), ERR_OK);
    assert_int_equal(b->accepts, 0);
    TURN_UNTIL(f->net->loop, b->accepts);
}

static void done(struct background *b)
{
    if (b->listener)
        run_log_detach(b->listener);
    run_log_unref(b->log);
    buf_done(&b->frames);
}

static bool says(const struct background *b, const char *part)
{
    return str_find(buf_str(&b->frames), str_from_cstr(part)) != SIZE_MAX;
}

/* ---- The row --------------------------------------------------------------------------------- */

struct row {
    struct background *b;
    struct arena *arena;
    struct store_response row;
};

static enum err get(struct store_tx *tx, void *user, struct error *error)
{
    struct row *row = user;
    return store_response_get(tx, row->arena, &row->b->f->owner, str_from_cstr(row->b->name),
                              clock_wall_ms(), &row->row, error);
}

static enum err drop(struct store_tx *tx, void *user, struct error *error)
{
    struct background *b = user;
    return store_response_delete(tx, &b->f->owner, str_from_cstr(b->name), clock_wall_ms(), error);
}

static void expect_row(struct background *b, const char *status, const char *part)
{
    struct row row = {.b = b, .arena = arena_new(1 << 24)};
    yyjson_val *answer;
    assert_int_equal(store_read_now(b->f->store, get, &row, NULL), ERR_OK);
    assert_int_equal(json_read(row.arena, row.row.answer, &answer, NULL), ERR_OK);
    if (!str_eq(json_get_str(answer, "status"), str_from_cstr(status)))
        fail_msg("%.*s", STR_ARG(row.row.answer));
    assert_true(yyjson_is_true(json_get(answer, "background")));
    assert_true(str_eq(json_get_str(answer, "id"), str_from_cstr(b->name)));
    assert_true(str_eq(json_get_str(json_get(answer, "metadata"), "a"), STR("b")));
    if (str_find(row.row.answer, str_from_cstr(part)) == SIZE_MAX)
        fail_msg("%.*s", STR_ARG(row.row.answer));
    assert_int_equal(stored_response_is_under_way(&row.row), strcmp(status, "in_progress") == 0);
    arena_free(row.arena);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_an_answer(void **state)
{
    struct chat_fixture *f = *state;
    struct background b;
    struct hub_run found;
    begin(f, &b, "fake/m");
    expect_row(&b, "in_progress", "\"output\":[]");
    assert_int_equal(hub_find_run(f->hub, &b.id, &found), ERR_NOT_FOUND); /* no conversation's */
    assert_int_equal(hub_find_response(f->hub, &b.id, &found), ERR_OK);
    run_log_unref(found.log);
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Hel") TEXT("lo"));
    TURN_UNTIL(f->net->loop, says(&b, "\"delta\":\"lo\""));
    assert_false(b.ended);
    call_send(f->net, fd, FINISH);
    TURN_UNTIL(f->net->loop, b.ended);
    assert_true(str_starts_with(buf_str(&b.frames), STR("event: response.created\ndata: {")));
    assert_true(says(&b, "event: response.completed\n"));
    assert_false(says(&b, "response.failed"));
    expect_row(&b, "completed", "\"text\":\"Hello\"");
    assert_int_equal(hub_find_response(f->hub, &b.id, &found), ERR_OK); /* it lingers */
    run_log_unref(found.log);
    done(&b);
    close(fd);
}

static void test_nobody_waits_for_it(void **state)
{
    struct chat_fixture *f = *state;
    struct background b;
    assert_int_equal(start(f, &b, "fake/m", 10, NULL), ERR_OK);
    response_run_forget(b.run);
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Hello") FINISH);
    server_wait_end(&f->net->server, fd);
    assert_int_equal(b.accepts, 0);
    done(&b);
    close(fd);
}

static void test_cancelling(void **state)
{
    struct chat_fixture *f = *state;
    struct background b;
    struct id stranger = id_new(1);
    begin(f, &b, "fake/m");
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Some"));
    TURN_UNTIL(f->net->loop, says(&b, "Some"));
    assert_int_equal(chat_stop(f->chat, &f->owner, &b.id), ERR_NOT_FOUND);
    assert_int_equal(chat_stop_response(f->chat, &stranger, &b.id), ERR_NOT_FOUND);
    assert_int_equal(chat_stop_response(f->chat, &f->owner, &b.id), ERR_OK);
    assert_int_equal(chat_stop_response(f->chat, &f->owner, &b.id), ERR_OK);
    TURN_UNTIL(f->net->loop, b.ended);
    server_wait_end(&f->net->server, fd);
    assert_true(says(&b, "event: response.incomplete\n"));
    expect_row(&b, "cancelled", "\"text\":\"Some\"");
    assert_int_equal(chat_stop_response(f->chat, &f->owner, &b.id), ERR_OK); /* it stays so */
    helper_turn(f->net->loop);
    expect_row(&b, "cancelled", "\"text\":\"Some\"");
    done(&b);
    close(fd);
}

static void test_a_failure(void **state)
{
    struct chat_fixture *f = *state;
    struct background b;
    begin(f, &b, "fake/m");
    int fd = call_accept(f->net);
    call_send(f->net, fd,
              "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 37\r\n"
              "\r\n{\"error\":{\"message\":\"it is not so\"}} ");
    TURN_UNTIL(f->net->loop, b.ended);
    assert_true(says(&b, "event: response.failed\n"));
    expect_row(&b, "failed", "it is not so");
    done(&b);
    close(fd);
}

static void test_deleted_meanwhile(void **state)
{
    struct chat_fixture *f = *state;
    struct background b;
    struct row row = {.b = &b, .arena = arena_new(1 << 20)};
    begin(f, &b, "fake/m");
    int fd = call_accept(f->net);
    assert_int_equal(store_write_now(f->store, drop, &b, NULL), ERR_OK);
    call_send(f->net, fd, STREAM TEXT("Hello") FINISH);
    TURN_UNTIL(f->net->loop, b.ended);
    assert_int_equal(store_read_now(f->store, get, &row, NULL), ERR_NOT_FOUND);
    arena_free(row.arena);
    done(&b);
    close(fd);
}

static void test_so_many_at_once(void **state)
{
    struct chat_fixture *f = *state;
    struct background one, two;
    struct error error = {0};
    assert_int_equal(start(f, &one, "fake/m", 1, &error), ERR_OK);
    assert_int_equal(start(f, &two, "fake/m", 1, &error), ERR_RATE_LIMITED);
    assert_non_null(strstr(error.message, "1 answers"));
    done(&two);
    TURN_UNTIL(f->net->loop, one.accepts);
    assert_int_equal(chat_stop_response(f->chat, &f->owner, &one.id), ERR_OK);
    TURN_UNTIL(f->net->loop, one.ended);
    assert_int_equal(start(f, &two, "fake/m", 1, &error), ERR_OK);
    TURN_UNTIL(f->net->loop, two.accepts);
    assert_int_equal(chat_stop_response(f->chat, &f->owner, &two.id), ERR_OK);
    TURN_UNTIL(f->net->loop, two.ended);
    done(&one);
    done(&two);
    assert_int_equal(start(f, &two, "nobody/m", 10, &error), ERR_MODEL_NOT_FOUND);
    done(&two);
}

static void test_shutting_down(void **state)
{
    struct chat_fixture *f = *state;
    struct background b, early, late;
    struct error error = {0};
    begin(f, &b, "fake/m");
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Some"));
    TURN_UNTIL(f->net->loop, says(&b, "Some"));
    assert_int_equal(start(f, &early, "fake/m", 10, &error), ERR_OK);
    f->drained = false;
    chat_drain(f->chat, 0, chat_on_drained, f);
    assert_int_equal(start(f, &late, "fake/m", 10, &error), ERR_UNAVAILABLE);
    TURN_UNTIL(f->net->loop, f->drained);
    TURN_UNTIL(f->net->loop, b.ended);
    assert_true(says(&b, "event: response.failed\n"));
    expect_row(&b, "failed", "the server was stopped");
    assert_int_equal(early.accepts, 1);
    TURN_UNTIL(f->net->loop, !early.listener || early.ended);
    done(&b);
    done(&early);
    done(&late);
    close(fd);
    chat_free(f->chat);
    f->chat = NULL;
    journal_close(f->journal);
    router_free(f->router);
    hub_free(f->hub);
}

static void test_storage_that_is_gone(void **state)
{
    struct chat_fixture *f = *state;
    struct background b, late;
    begin(f, &b, "fake/m");
    int fd = call_accept(f->net);
    call_send(f->net, fd, STREAM TEXT("Some"));
    TURN_UNTIL(f->net->loop, says(&b, "Some"));
    store_stop(f->store);
    assert_int_equal(start(f, &late, "fake/m", 10, NULL), ERR_OK);
    TURN_UNTIL(f->net->loop, late.accepts);
    assert_int_equal(late.code, ERR_UNAVAILABLE);
    done(&late);
    call_send(f->net, fd, FINISH);
    server_wait_end(&f->net->server, fd);
    chat_end(f, 0); /* gives up, and says so */
    TURN_UNTIL(f->net->loop, b.ended);
    assert_true(says(&b, "event: response.completed\n"));
    done(&b);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_an_answer, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_nobody_waits_for_it, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_cancelling, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_a_failure, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_deleted_meanwhile, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_so_many_at_once, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_shutting_down, chat_setup, chat_teardown),
        cmocka_unit_test_setup_teardown(test_storage_that_is_gone, chat_setup, chat_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
