/* Time. */
#include "base/clock.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

uint64_t clock_monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000u;
}

int64_t clock_wall_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 1000-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
static const time_t seconds_min = -30610224000, seconds_max = 253402300799;

/* Broken down, with what is left of the second. Years have four digits in both formats. */
static struct tm utc(int64_t wall_ms, unsigned *ret_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
    *ret_ms = (unsigned)(wall_ms - (int64_t)seconds * 1000);
    if (seconds < seconds_min)
        seconds = seconds_min;
    if (seconds > seconds_max)
        seconds = seconds_max;
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    return parts;
}

static char *put_digits(char *at, unsigned number, int count)
{
    for (int i = count; i-- > 0; number /= 10)
        at[i] = (char)('0' + number % 10);
    return at + count;
}

/* By hand, since every record of the log has one. */
void clock_format_rfc3339(int64_t wall_ms, char ret[25])
{
    unsigned ms;
    struct tm parts = utc(wall_ms, &ms);
    const struct {
        int number, count;
        char end;
    } fields[] = {
        {parts.tm_year + 1900, 4, '-'}, {parts.tm_mon + 1, 2, '-'}, {parts.tm_mday, 2, 'T'},
        {parts.tm_hour, 2, ':'},        {parts.tm_min, 2, ':'},     {parts.tm_sec, 2, '.'},
        {(int)(ms % 1000u), 3, 'Z'},
    };
    char *at = ret;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        at = put_digits(at, (unsigned)fields[i].number, fields[i].count);
        *at++ = fields[i].end;
    }
    *at = '\0';
}

void clock_format_http(int64_t wall_ms, char ret[30])
{
    unsigned ms;
    struct tm parts = utc(wall_ms, &ms);
    strftime(ret, 30, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static int64_t parse_fraction_ms(const char **at)
{
    int64_t ms = 0;
    int digits = 0;
    if (**at != '.' || (*at)[1] < '0' || (*at)[1] > '9')
        return 0;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++)
        if (digits++ < 3)
            ms = ms * 10 + (**at - '0');
    for (; digits < 3; digits++)
        ms *= 10;
    return ms;
}

/* "Z", "+hh:mm" or "-hh:mm". */
static bool parse_offset_ms(struct str text, int64_t *ret_ms)
{
    uint64_t hours, minutes;
    *ret_ms = 0;
    if (str_eq(text, STR("Z")))
        return true;
    if (text.len != 6 || (text.data[0] != '+' && text.data[0] != '-') || text.data[3] != ':' ||
        !str_to_u64(str_slice(text, 1, 2), &hours) || hours > 23 ||
        !str_to_u64(str_slice(text, 4, 2), &minutes) || minutes > 59)
        return false;
    *ret_ms = (int64_t)(hours * 60 + minutes) * 60000 * (text.data[0] == '-' ? -1 : 1);
    return true;
}

/* What was read is written again and must be the same: strptime alone takes days that do not
 * exist, missing digits and spaces anywhere. */
int64_t clock_parse(struct str text)
{
    char copy[64], again[30];
    struct tm parts = {0};
    int64_t ms, offset_ms;
    if (str_find_char(text, '\0') != SIZE_MAX || !str_copy(text, copy, sizeof copy))
        return -1;
    if (strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &parts)) {
        ms = (int64_t)timegm(&parts) * 1000;
        clock_format_http(ms, again);
        return strcmp(copy, again) == 0 ? ms : -1;
    }
    parts = (struct tm){0};
    const char *rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest)
        return -1;
    ms = (int64_t)timegm(&parts) * 1000;
    clock_format_rfc3339(ms, again);
    if (rest != copy + 19 || memcmp(copy, again, 19) != 0)
        return -1;
    ms += parse_fraction_ms(&rest);
    return parse_offset_ms(str_from_cstr(rest), &offset_ms) ? ms - offset_ms : -1;
}
