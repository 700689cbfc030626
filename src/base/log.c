/* Structured log. */
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/utf8.h"

/* TAIL_BYTES: of the longest ending, `,"cut":true}` and the line feed, with room to spare. */
enum {
    RECORD_BYTES_MAX = 4096,
    RECORD_BYTES_EXPECTED = 480,
    FIELD_BYTES_MAX = 1024,
    TAIL_BYTES = 32
};

struct log {
    int fd;
    enum log_level level_min;
    enum log_format format;
};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

struct log *log_new(int fd, enum log_level level_min, enum log_format format)
{
    struct log *log = calloc(1, sizeof *log);
    ASSERT(log);
    *log = (struct log){fd, level_min, format};
    return log;
}

void log_free(struct log *log)
{
    free(log);
}

bool log_enabled(const struct log *log, enum log_level level)
{
    return log && log->fd >= 0 && level >= log->level_min;
}

static bool needs_quotes(struct str s)
{
    static const char others[] = {' ', '=', 0x7F}; /* beside what is escaped */
    if (s.len == 0 || !json_is_plain(s))
        return true;
    for (size_t i = 0; i < sizeof others; i++)
        if (memchr(s.data, others[i], s.len))
            return true;
    return false;
}

static void put_int(struct buf *out, int64_t number)
{
    char digits[STR_U64_BYTES_MAX];
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    if (number < 0)
        buf_append_char(out, '-');
    buf_append(out, STR_FROM(digits, str_from_u64(size, digits)));
}

static void put_text_field(struct buf *out, const struct log_field *field)
{
    buf_append_char(out, ' ');
    buf_append(out, str_from_cstr(field->key));
    buf_append_char(out, '=');
    if (field->kind == LOG_FIELD_INT) {
        put_int(out, field->number);
    } else if (field->kind == LOG_FIELD_BOOL) {
        buf_append(out, field->number ? STR("true") : STR("false"));
    } else if (needs_quotes(field->text)) {
        buf_append_char(out, '"');
        json_escape(out, field->text);
        buf_append_char(out, '"');
    } else {
        buf_append(out, field->text);
    }
}

static void put_json_field(struct json_writer *w, const struct log_field *field)
{
    if (field->kind == LOG_FIELD_INT)
        json_key_int(w, field->key, field->number);
    else if (field->kind == LOG_FIELD_BOOL)
        json_key_bool(w, field->key, field->number != 0);
    else
        json_key_str(w, field->key, field->text);
}

static void put_field(const struct log *log, struct json_writer *w, const struct log_field *field)
{
    if (log->format == LOG_FORMAT_JSON)
        put_json_field(w, field);
    else
        put_text_field(w->out, field);
}

/* What does not fit goes whole, so that the record can still be read by a program, and the record
 * says so. */
static void put_fields(const struct log *log, struct json_writer *w, const struct log_field *fields)
{
    static const struct log_field cut = {.key = "cut", .kind = LOG_FIELD_BOOL, .number = 1};
    bool is_cut = false;
    for (; fields->kind != LOG_FIELD_END; fields++) {
        struct log_field field = *fields;
        size_t before = w->out->len;
        if (field.text.len > FIELD_BYTES_MAX) {
            field.text = str_slice(field.text, 0, utf8_cut(field.text, FIELD_BYTES_MAX));
            is_cut = true;
        }
        put_field(log, w, &field);
        if (buf_ok(w->out) && w->out->len <= RECORD_BYTES_MAX - TAIL_BYTES)
            continue;
        buf_truncate(w->out, before);
        w->out->overflowed = false;
        w->comma = true;
        is_cut = true;
    }
    if (is_cut)
        put_field(log, w, &cut);
}

static void put_text_head(struct buf *out, const char *time, enum log_level level,
                          const char *message)
{
    enum { LEVEL_WIDTH = sizeof "warning" };
    struct str name = str_from_cstr(level_names[level]);
    buf_append(out, str_from_cstr(time));
    buf_append_char(out, ' ');
    buf_append(out, name);
    buf_append(out, str_slice(STR("        "), 0, LEVEL_WIDTH - name.len));
    buf_append(out, str_from_cstr(message));
}

static void put_json_head(struct json_writer *w, const char *time, enum log_level level,
                          const char *message)
{
    json_begin_object(w);
    json_key_str(w, "time", str_from_cstr(time));
    json_key_str(w, "level", str_from_cstr(level_names[level]));
    json_key_str(w, "message", str_from_cstr(message));
}

void log_write(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields)
{
    if (!log_enabled(log, level))
        return;
    char time[25];
    clock_format_rfc3339(clock_wall_ms(), time);
    struct buf out;
    buf_init(&out, RECORD_BYTES_MAX);
    buf_expect(&out, RECORD_BYTES_EXPECTED);
    struct json_writer w;
    json_writer_init(&w, &out);
    if (log->format == LOG_FORMAT_JSON)
        put_json_head(&w, time, level, message);
    else
        put_text_head(&out, time, level, message);
    put_fields(log, &w, fields);
    if (log->format == LOG_FORMAT_JSON)
        json_end_object(&w);
    buf_append_char(&out, '\n');
    ssize_t written = write(log->fd, out.data, out.len);
    (void)written; /* a log that cannot be written has nowhere to say so */
    buf_done(&out);
}
