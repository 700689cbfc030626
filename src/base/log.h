/* Structured log: one record a line, to one file descriptor. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log;

/* A log that writes to `fd` (borrowed; -1 drops everything). Any thread may write to it: a record
 * is one write(2). Free with log_free. */
struct log *log_new(int fd, enum log_level level_min, enum log_format format);
void log_free(struct log *log);

/* One key and value of a record. Never a secret: mask before. */
struct log_field {
    const char *key;
    enum { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_BOOL } kind;
    struct str text;
    int64_t number;
};
#define LOG_STR(key, value)  ((struct log_field){(key), LOG_FIELD_STR, (value), 0})
#define LOG_CSTR(key, value) ((struct log_field){(key), LOG_FIELD_STR, str_from_cstr(value), 0})
#define LOG_INT(key, value)  ((struct log_field){(key), LOG_FIELD_INT, STR_NONE, (int64_t)(value)})
#define LOG_BOOL(key, value) ((struct log_field){(key), LOG_FIELD_BOOL, STR_NONE, (value)})

/* Writes one record: time, level, message (a literal), then the fields. Control characters are
 * escaped. A record has at most 4 KiB: values are cut at 1 KiB, fields that do not fit are left
 * out, and the field cut=true says so. `log` may be NULL (nothing happens). */
void log_write(struct log *log, enum log_level level, const char *message,
               const struct log_field *fields);
bool log_enabled(const struct log *log, enum log_level level);

/* log_info(log, "listening", LOG_STR("address", a), LOG_INT("port", 8080)); fields may be none. */
#define LOG_PARTS(log, level, message, ...)                                                        \
    log_write((log), (level), (message), (const struct log_field[]){__VA_ARGS__})
#define LOG_AT(log, level, ...) LOG_PARTS(log, level, __VA_ARGS__, ((struct log_field){0}))
#define log_debug(log, ...)     LOG_AT(log, LOG_DEBUG, __VA_ARGS__)
#define log_info(log, ...)      LOG_AT(log, LOG_INFO, __VA_ARGS__)
#define log_warning(log, ...)   LOG_AT(log, LOG_WARNING, __VA_ARGS__)
#define log_error(log, ...)     LOG_AT(log, LOG_ERROR, __VA_ARGS__)
