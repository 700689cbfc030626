/* A ring of records, written out as JSON lines. */
#include "fake_log.h"

#include <stdlib.h>

#include "base/crypto.h"
#include "base/json.h"

enum { RECORD_TEXT_BYTES_MAX = 16 * 1024, LAST_BODY_BYTES_MAX = 64 * 1024 * 1024 };

struct record {
    uint64_t number; /* 0: none */
    struct buf seen; /* the JSON of what was noted at first, without the closing brace */
    struct buf body; /* empty when it was too large */
    enum fake_outcome outcome;
    int status;
    uint64_t body_bytes;
    uint64_t after_ms;
};

struct fake_log {
    struct record records[FAKE_LOG_RECORDS_MAX];
    uint64_t last; /* number of the newest */
    struct buf last_body;
};

struct fake_log *fake_log_new(void)
{
    struct fake_log *log = calloc(1, sizeof *log);
    for (size_t i = 0; i < FAKE_LOG_RECORDS_MAX; i++) {
        buf_init(&log->records[i].seen, RECORD_TEXT_BYTES_MAX);
        buf_init(&log->records[i].body, FAKE_LOG_BODY_BYTES_MAX);
    }
    buf_init(&log->last_body, LAST_BODY_BYTES_MAX);
    crypto_init();
    return log;
}

void fake_log_clear(struct fake_log *log)
{
    for (size_t i = 0; i < FAKE_LOG_RECORDS_MAX; i++) {
        buf_release(&log->records[i].seen);
        buf_release(&log->records[i].body);
        log->records[i].number = FAKE_NO_RECORD;
    }
    buf_release(&log->last_body);
}

void fake_log_free(struct fake_log *log)
{
    if (!log)
        return;
    fake_log_clear(log);
    free(log);
}

static bool is_kept(const struct fake_log *log, uint64_t number)
{
    return number != FAKE_NO_RECORD && log->records[number % FAKE_LOG_RECORDS_MAX].number == number;
}

static void write_seen(struct json_writer *w, uint64_t number, const struct fake_seen *seen)
{
    unsigned char digest[SHA256_BYTES];
    char text[2 * SHA256_BYTES + 1];
    struct str target = seen->target;
    sha256(seen->body, digest);
    hex_encode(STR_FROM((const char *)digest, sizeof digest), text);
    json_key_int(w, "number", (int64_t)number);
    json_key_int(w, "connection", (int64_t)seen->connection);
    json_key_int(w, "at_ms", seen->wall_ms);
    json_key_str(w, "method", seen->method);
    json_key_str(w, "path", str_next(&target, '?'));
    json_key_str(w, "model", seen->model);
    json_key_bool(w, "stream", seen->stream);
    json_key_bool(w, "credentials", seen->credentials);
    json_key_int(w, "request_bytes", (int64_t)seen->body.len);
    json_key_str(w, "body_sha256", str_from_cstr(text));
    json_key_array(w, "headers");
    for (size_t i = 0; i < seen->headers->count; i++)
        json_put_str(w, seen->headers->items[i].name);
    json_end_array(w);
}

uint64_t fake_log_add(struct fake_log *log, const struct fake_seen *seen)
{
    uint64_t number = ++log->last;
    struct record *record = &log->records[number % FAKE_LOG_RECORDS_MAX];
    struct json_writer w;
    buf_clear(&record->seen);
    json_writer_init(&w, &record->seen);
    write_seen(&w, number, seen);
    record->number = number;
    record->outcome = FAKE_OPEN;
    record->status = 0;
    record->body_bytes = record->after_ms = 0;
    buf_clear(&record->body);
    if (seen->body.len <= FAKE_LOG_BODY_BYTES_MAX)
        buf_append(&record->body, seen->body);
    buf_clear(&log->last_body);
    buf_append(&log->last_body, seen->body);
    return number;
}

void fake_log_end(struct fake_log *log, uint64_t number, enum fake_outcome outcome, int status,
                  uint64_t body_bytes, uint64_t after_ms)
{
    struct record *record = &log->records[number % FAKE_LOG_RECORDS_MAX];
    if (!is_kept(log, number) || record->outcome != FAKE_OPEN)
        return;
    record->outcome = outcome;
    record->status = status;
    record->body_bytes = body_bytes;
    record->after_ms = after_ms;
}

static void write_record(const struct record *record, struct buf *out)
{
    static const char *const names[] = {"open", "done", "client_gone"};
    struct json_writer w;
    json_writer_init(&w, out);
    buf_append_char(out, '{');
    buf_append(out, buf_ok(&record->seen) ? buf_str(&record->seen) : STR("\"number\":0"));
    w.comma = true;
    json_key_str(&w, "outcome", str_from_cstr(names[record->outcome]));
    json_key_int(&w, "status", record->status);
    json_key_int(&w, "sent_bytes", (int64_t)record->body_bytes);
    json_key_bool(&w, "client_gone", record->outcome == FAKE_CLIENT_GONE);
    json_key_int(&w, "after_ms", (int64_t)record->after_ms);
    buf_append(out, STR("}\n"));
}

void fake_log_write(const struct fake_log *log, struct buf *out)
{
    for (uint64_t i = 1; i <= FAKE_LOG_RECORDS_MAX; i++) {
        const struct record *record = &log->records[(log->last + i) % FAKE_LOG_RECORDS_MAX];
        if (record->number != FAKE_NO_RECORD)
            write_record(record, out);
    }
}

struct str fake_log_body(const struct fake_log *log, uint64_t number)
{
    const struct record *record = &log->records[number % FAKE_LOG_RECORDS_MAX];
    return is_kept(log, number) && record->body.len ? buf_str(&record->body) : STR_NONE;
}

struct str fake_log_last_body(const struct fake_log *log)
{
    return buf_str(&log->last_body);
}
