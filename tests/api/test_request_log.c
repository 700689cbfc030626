/* The request log's memory: while the database takes nothing, entries wait up to a bound; what comes
 * then is answered, not kept, counted, and said once. */
#include "helper_api.h"

#include <fcntl.h>
#include <pthread.h>

#include "api/request_log.h"
#include "store/sqlite.h"

enum { BYTES_MAX = 64 * 1024, BODY_BYTES = 20000, FITTING = 2 };

struct stall {
    pthread_mutex_t lock; /* held: the store's thread waits */
    struct store_job job;
    bool *ended;
};

static enum err wait_for_lock(struct store_tx *tx, void *user, struct error *error)
{
    (void)tx, (void)error;
    struct stall *stall = user;
    pthread_mutex_lock(&stall->lock);
    pthread_mutex_unlock(&stall->lock);
    return ERR_OK;
}

static void on_stall_over(void *user, enum err code, const struct error *error)
{
    (void)error;
    assert_int_equal(code, ERR_OK);
    *((struct stall *)user)->ended = true;
}

static void ask_with_a_long_body(struct api_fixture *f)
{
    char head[400], *body = malloc(BODY_BYTES + 1);
    memset(body, ' ', BODY_BYTES);
    memcpy(body, "{\"model\":\"none/such\",\"messages\":[]", 34);
    memcpy(body + BODY_BYTES - 1, "}", 2);
    snprintf(head, sizeof head,
             "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer %s\r\n"
             "Content-Type: application/json\r\n",
             f->key);
    api_ask(f, head, body);
    free(body);
}

static enum err count_kept(struct store_tx *tx, void *user, struct error *error)
{
    struct query query = query_begin(tx->sqlite, "SELECT count(*) FROM request_log");
    if (query_next(&query))
        *(int64_t *)user = query_int(&query);
    return query_end(&query, error);
}

static int64_t kept(struct api_fixture *f)
{
    int64_t count = -1;
    assert_int_equal(store_write_now(f->chat->store, count_kept, &count, NULL), ERR_OK);
    return count;
}

static int64_t dropped(struct api_fixture *f)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    metric_registry_write(f->chat->metrics, &text);
    size_t at = str_find(buf_str(&text), STR("\nparley_request_log_dropped_total{} "));
    assert_true(at != SIZE_MAX);
    buf_append_char(&text, '\0');
    int64_t value = atoll(text.data + at + strlen("\nparley_request_log_dropped_total{} "));
    buf_done(&text);
    return value;
}

/* How often the log says so. */
static size_t said(int fd)
{
    char text[64 * 1024];
    ssize_t length = pread(fd, text, sizeof text, 0);
    assert_true(length >= 0);
    struct str rest = STR_FROM(text, (size_t)length);
    size_t times = 0, at;
    while ((at = str_find(rest, STR("too many wait"))) != SIZE_MAX) {
        times++;
        rest = str_skip(rest, at + 1);
    }
    return times;
}

static void key_keeps_bodies(struct api_fixture *f)
{
    f->key[0] = '\0';
    account_create_key(
        f->account, f->chat->net->loop, &f->chat->owner,
        &(struct account_key_change){.members = ~0u, .name = STR("kept"), .keep_bodies_hours = 1},
        api_on_key, f);
    TURN_UNTIL(f->chat->net->loop, f->key[0]);
}

static void what_does_not_fit_is_dropped(void **state)
{
    struct api_fixture *f = *state;
    bool ended = false;
    struct stall stall = {.ended = &ended};
    char path[] = "/tmp/parley-test-log-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && unlink(path) == 0);
    struct log *log = log_new(fd, LOG_DEBUG, LOG_FORMAT_TEXT);
    request_log_free(f->api->request_log);
    f->api->request_log = request_log_new(BYTES_MAX, f->chat->metrics, log);
    key_keeps_bodies(f);
    for (int round = 1; round <= 2; round++) {
        pthread_mutex_init(&stall.lock, NULL);
        pthread_mutex_lock(&stall.lock);
        ended = false;
        stall.job = (struct store_job){wait_for_lock, on_stall_over, .user = &stall};
        store_write(f->chat->store, f->chat->net->loop, &stall.job);
        for (int i = 0; i < FITTING + 3; i++)
            ask_with_a_long_body(f);
        int64_t dropped_while = dropped(f);
        size_t said_while = said(fd);
        pthread_mutex_unlock(&stall.lock); /* before a word of what was found: who fails closes */
        assert_int_equal(dropped_while, round * 3);
        assert_int_equal(said_while, round); /* once for each time that it begins */
        TURN_UNTIL(f->chat->net->loop, ended);
        assert_int_equal(kept(f), round * FITTING);
        pthread_mutex_destroy(&stall.lock);
    }
    ask_with_a_long_body(f);
    expect_status(f, 400, "messages");
    assert_int_equal(kept(f), 2 * FITTING + 1);
    request_log_free(f->api->request_log);
    f->api->request_log = request_log_new(0, NULL, NULL);
    log_free(log);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_does_not_fit_is_dropped, api_setup, api_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
