/* Usage over HTTP: who sees what, sums by any fields, rows as JSON and CSV, page by page. */
#include "helper_api.h"

#include "route/ledger_block.h"
#include "route/ledger_entries.h"

#define DAY_START_MS INT64_C(1795392000000) /* 2026-11-23 */

struct usage_fixture {
    struct api_fixture *api;
    struct id other;
};

static enum err store_block(struct store_tx *tx, void *user, struct error *error)
{
    return ledger_block_store(tx, user, error);
}

struct rows {
    struct buf bytes;
    struct ledger_row row;
    int64_t number;
};

static void rows_init(struct rows *rows, const struct id *user)
{
    static const struct str tags[] = {{"=cmd|' /C calc'!A0", 18}, {"team:\"x\"", 8}};
    *rows = (struct rows){0};
    buf_init(&rows->bytes, 64 << 20);
    rows->row = (struct ledger_row){.start_ms = DAY_START_MS,
                                    .origin = {.request_id = STR("r1"),
                                               .user = *user,
                                               .key = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq2"},
                                               .tags = tags,
                                               .tag_count = 2,
                                               .door = STR("openai"),
                                               .model = STR("fast")},
                                    .number = 1,
                                    .target = STR("p/m"),
                                    .mode = "whole",
                                    .outcome = LEDGER_ANSWERED,
                                    .usage = {10, 4, 0, 5, 1, false},
                                    .cost_nano = 1500000001,
                                    .duration_us = 1500000};
}

static void rows_add(struct rows *rows)
{
    char packed[LEDGER_ROW_BYTES_MAX];
    ledger_entry_append(&rows->bytes, (uint64_t)rows->number++,
                        STR_FROM(packed, ledger_row_pack(&rows->row, packed)));
}

static void rows_store(struct usage_fixture *f, struct rows *rows)
{
    struct ledger_block block = {.ledger = id_new(1), .rows = buf_str(&rows->bytes)};
    assert_int_equal(store_write_now(f->api->chat->store, store_block, &block, NULL), ERR_OK);
    buf_clear(&rows->bytes);
}

/* Two rows of the fixture's person, one of somebody else, the day after. */
static int setup(void **state)
{
    struct usage_fixture *f = calloc(1, sizeof *f);
    struct rows rows;
    api_setup((void **)&f->api);
    f->other = id_new(7);
    rows_init(&rows, &f->api->chat->owner);
    rows_add(&rows);
    rows.row.target = STR("q/n");
    rows.row.outcome = LEDGER_FAILED;
    rows.row.error_class = ERR_OVERLOADED;
    rows.row.cost_nano = -1;
    rows_add(&rows);
    rows_store(f, &rows);
    rows.row.origin.user = f->other;
    rows.row.start_ms += 24 * 3600 * 1000;
    rows_add(&rows);
    rows_store(f, &rows);
    buf_done(&rows.bytes);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct usage_fixture *f = *state;
    api_teardown((void **)&f->api);
    free(f);
    return 0;
}

/* As the person (with the key), or as an administrator (on the Unix socket). */
static void fetch(struct usage_fixture *f, bool local, const char *target)
{
    char text[1000];
    if (local)
        snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", target);
    else
        snprintf(text, sizeof text, "GET %s HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n", target,
                 f->api->key);
    helper_turn(f->api->chat->net->loop); /* its clock stood while the store worked */
    api_ask_at(f->api, local ? f->api->local : f->api->server, str_from_cstr(text));
}

static void expect(struct usage_fixture *f, bool local, const char *target, int status,
                   const char *part)
{
    fetch(f, local, target);
    expect_status(f->api, status, part);
}

#define DAYS "from=2026-11-01&to=2026-11-30"

static void test_people_see_their_own(void **state)
{
    struct usage_fixture *f = *state;
    char target[300];
    expect(f, false, "/api/v1/usage?" DAYS, 200, "\"total\":{\"requests\":2,\"attempts\":2,");
    expect(f, true, "/api/v1/usage?" DAYS, 200, "\"total\":{\"requests\":3,\"attempts\":3,");
    snprintf(target, sizeof target, "/api/v1/usage?" DAYS "&user=%s", f->other.text);
    expect(f, false, target, 404, "not_found");
    expect(f, true, target, 200, "\"total\":{\"requests\":1,");
    snprintf(target, sizeof target, "/api/v1/ledger?user=%s", f->other.text);
    expect(f, false, target, 404, "not_found");
    expect(f, false, "/api/v1/usage/minutes", 403, "usage.read_all");
    api_ask(f->api, "GET /api/v1/usage HTTP/1.1\r\n", NULL);
    expect_status(f->api, 401, "unauthenticated");
}

static void test_sums_by_fields(void **state)
{
    struct usage_fixture *f = *state;
    expect(f, true, "/api/v1/usage?" DAYS "&by=target,day", 200,
           "{\"target\":\"p/m\",\"day\":\"2026-11-23\",\"requests\":1,\"attempts\":1,\"errors\":0,"
           "\"interrupted\":0,\"refused\":0,\"cached\":0,\"shared\":0,\"tokens_input\":10,"
           "\"tokens_cached\":4,\"tokens_written\":0,\"tokens_output\":5,\"tokens_reasoning\":1,"
           "\"cost_usd\":\"1.500000001\",\"unpriced\":0}");
    assert_true(answer_has(f->api, "{\"target\":\"q/n\",\"day\":\"2026-11-24\""));
    /* A tag of each row: three rows with two tags are not six. */
    expect(f, true, "/api/v1/usage?" DAYS "&by=tag", 200, "\"total\":{\"requests\":3,");
    assert_true(answer_has(f->api, "{\"tag\":\"team:\\\"x\\\"\",\"requests\":3,"));
    expect(f, true, "/api/v1/usage?" DAYS "&tag=team:%22x%22&target=q/n&by=model", 200,
           "{\"model\":\"fast\",\"requests\":2,");
    expect(f, true, "/api/v1/usage?from=2026-11-24&to=2026-11-24", 200,
           "\"total\":{\"requests\":1,");
    expect(f, true, "/api/v1/usage?from=2025-01-01&to=2025-01-02&by=day", 200, "\"rows\":[]");
}

static void test_bad_questions(void **state)
{
    struct usage_fixture *f = *state;
    expect(f, true, "/api/v1/usage?from=yesterday", 400, "from");
    expect(f, true, "/api/v1/usage?from=2026-11-02&to=2026-11-01", 400, "after from");
    expect(f, true, "/api/v1/usage?by=color", 400, "must be of user");
    expect(f, true, "/api/v1/usage?by=user,key,model,day", 400, "three");
    expect(f, true, "/api/v1/usage?by=day,day", 400, "twice");
    expect(f, true, "/api/v1/usage?by=group&tag=x", 400, "together");
    expect(f, true, "/api/v1/ledger?format=xml", 400, "format");
    expect(f, true, "/api/v1/ledger?after=1-x-3", 400, "cursor");
    expect(f, true, "/api/v1/ledger?limit=0", 400, "limit");
}

static void test_minutes(void **state)
{
    struct usage_fixture *f = *state;
    expect(f, true, "/api/v1/usage/minutes?" DAYS, 200,
           "{\"minute\":\"2026-11-23T00:00:00.000Z\",\"model\":\"fast\",\"target\":\"q/n\","
           "\"class\":\"overloaded\",\"errors\":1}");
    assert_true(answer_has(f->api, "\"duration\":{\"count\":1,\"total_ms\":1500,\"max_ms\":1500,"
                                   "\"buckets\":[0,0,0,0,1,0,0,0,0,0,0,0]}"));
    assert_true(answer_has(f->api, "\"next\":null"));
}

static void test_rows_as_csv(void **state)
{
    struct usage_fixture *f = *state;
    fetch(f, false, "/api/v1/ledger?format=csv");
    expect_status(f->api, 200, "text/csv");
    struct str body = answer_body(f->api);
    size_t lines = 0;
    for (size_t i = 0; i < body.len; i++)
        lines += body.data[i] == '\n';
    assert_int_equal(lines, 3); /* the names, two rows */
    assert_true(str_starts_with(body, STR("time,request_id,user,key,groups,tags,door,model,")));
    assert_true(answer_has(f->api, ",\"'=cmd|' /C calc'!A0;team:\"\"x\"\"\","));
    assert_true(answer_has(f->api, "\"overloaded\",,10,4,0,5,1,false,,,1500,,"));
    assert_true(answer_has(f->api, ",1.500000001,"));
}

static size_t count_rows(struct usage_fixture *f, struct arena *arena, char cursor[100])
{
    yyjson_val *root;
    assert_int_equal(json_read(arena, answer_body(f->api), &root, NULL), ERR_OK);
    size_t count = yyjson_arr_size(root);
    if (count)
        str_copy(json_get_str(yyjson_arr_get(root, count - 1), "cursor"), cursor, 100);
    return count;
}

static void test_many_rows_and_pages(void **state)
{
    struct usage_fixture *f = *state;
    struct arena *arena = arena_new(SIZE_MAX);
    struct rows rows;
    char cursor[100] = "", target[300];
    size_t total = 0, pages = 0, count;
    rows_init(&rows, &f->other);
    for (int i = 0; i < 9000; i++) {
        rows_add(&rows);
        if (i % 3000 == 2999)
            rows_store(f, &rows);
    }
    buf_done(&rows.bytes);
    fetch(f, true, "/api/v1/ledger?from=2026-11-23T00:00:00Z&to=2026-11-25");
    expect_status(f->api, 200, "application/json");
    assert_int_equal(count_rows(f, arena, cursor), 9003);
    fetch(f, false, "/api/v1/ledger");
    assert_int_equal(count_rows(f, arena, cursor), 2);
    fetch(f, true, "/api/v1/ledger?target=p/m&tag=team:%22x%22&limit=9000&model=fast");
    assert_int_equal(count_rows(f, arena, cursor), 9000);
    fetch(f, true, "/api/v1/ledger?target=q/n&key=01kaqqqqqqqqqqqqqqqqqqqqq2");
    assert_int_equal(count_rows(f, arena, cursor), 2);
    fetch(f, true, "/api/v1/ledger?group=01kaqqqqqqqqqqqqqqqqqqqqq2");
    assert_int_equal(count_rows(f, arena, cursor), 0);
    fetch(f, true, "/api/v1/ledger?from=2030-01-01");
    assert_int_equal(count_rows(f, arena, cursor), 0);
    cursor[0] = '\0';
    do {
        snprintf(target, sizeof target, "/api/v1/ledger?limit=1234&after=%s", cursor);
        fetch(f, true, target);
        count = count_rows(f, arena, cursor);
        total += count;
        pages++;
    } while (count == 1234);
    assert_true(total == 9003 && pages == 8);
    fetch(f, true, "/api/v1/ledger?format=ndjson&limit=2");
    assert_true(answer_has(f->api, "}\n{\"time\":\"2026-11-2"));
    arena_free(arena);
}

static enum err insert_block(struct store_tx *tx, void *user, struct error *error)
{
    bool inserted;
    return store_block_insert(tx, user, &inserted, error);
}

/* As an older Parley has written them; and one that is damaged, which hides no other. */
static void test_rows_of_the_first_form(void **state)
{
    struct usage_fixture *f = *state;
    struct arena *arena = arena_new(SIZE_MAX);
    struct rows rows;
    char cursor[100] = "", target[300] = "/api/v1/ledger?from=2026-12-01&limit=1";
    rows_init(&rows, &f->other);
    rows.row.start_ms += 10 * 24 * 3600 * 1000;
    for (int i = 0; i < 3; i++)
        rows_add(&rows);
    struct store_block block = {.ledger = id_new(2),
                                .number = 1,
                                .from_ms = rows.row.start_ms,
                                .to_ms = rows.row.start_ms,
                                .rows = 3,
                                .data = STR("\2\0\1\0")};
    assert_int_equal(store_write_now(f->api->chat->store, insert_block, &block, NULL), ERR_OK);
    block.number = 2;
    block.data = buf_str(&rows.bytes);
    assert_int_equal(store_write_now(f->api->chat->store, insert_block, &block, NULL), ERR_OK);
    rows_store(f, &rows);
    fetch(f, true, "/api/v1/ledger?from=2026-12-01");
    assert_int_equal(count_rows(f, arena, cursor), 6);
    for (int i = 1; i <= 6; i++) { /* one by one, through both forms */
        fetch(f, true, target);
        assert_int_equal(count_rows(f, arena, cursor), 1);
        snprintf(target, sizeof target, "/api/v1/ledger?limit=1&after=%s", cursor);
    }
    fetch(f, true, target);
    assert_int_equal(count_rows(f, arena, cursor), 0);
    buf_done(&rows.bytes);
    arena_free(arena);
}

/* Who leaves in the middle takes nothing along. */
static void test_leaving(void **state)
{
    struct usage_fixture *f = *state;
    struct loop *loop = f->api->chat->net->loop;
    struct rows rows;
    rows_init(&rows, &f->other);
    for (int i = 0; i < 4000; i++)
        rows_add(&rows);
    rows_store(f, &rows);
    buf_done(&rows.bytes);
    for (int turns = 0; turns < 8; turns++) {
        int pair[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair),
                         0);
        http_server_accept(f->api->local, pair[1], NULL);
        struct str request = STR("GET /api/v1/ledger HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_int_equal(send(pair[0], request.data, request.len, 0), request.len);
        for (int i = 0; i < turns; i++)
            helper_turn(loop);
        close(pair[0]);
        for (int i = 0; i < 20; i++)
            helper_turn(loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_people_see_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sums_by_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_questions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_minutes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_as_csv, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_rows_and_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_of_the_first_form, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leaving, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
