/* Structured log. */
#include "base/log.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum { RECORD_BYTES_MAX = 4096 };

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
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= ' ' || s.data[i] == '"' || s.data[i] == '=' ||
            s.data[i] == '\\' || s.data[i] == 0x7F)
            return true;
    return s.len == 0;
}

static void put_text_field(struct buf *out, const struct log_field *field)
{
    buf_printf(out, " %s=", field->key);
    if (field->kind == LOG_FIELD_INT) {
        buf_printf(out, "%lld", (long long)field->number);
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

static void put_json(struct buf *out, const char *time, enum log_level level, const char *message,
                     const struct log_field *fields)
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key_str(&w, "time", str_from_cstr(time));
    json_key_str(&w, "level", str_from_cstr(level_names[level]));
    json_key_str(&w, "message", str_from_cstr(message));
    for (; fields->kind != LOG_FIELD_END; fields++)
        put_json_field(&w, fields);
    json_end_object(&w);
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
    if (log->format == LOG_FORMAT_JSON) {
        put_json(&out, time, level, message, fields);
    } else {
        buf_printf(&out, "%s %-7s %s", time, level_names[level], message);
        for (; fields->kind != LOG_FIELD_END; fields++)
            put_text_field(&out, fields);
    }
    if (out.len == RECORD_BYTES_MAX)
        buf_truncate(&out, RECORD_BYTES_MAX - 1);
    out.overflowed = false;
    buf_append_char(&out, '\n');
    ssize_t written = write(log->fd, out.data, out.len);
    (void)written; /* a log that cannot be written has nowhere to say so */
    buf_done(&out);
}
