/* Time. */
#include "base/clock.h"

#include <stdio.h>
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

static struct tm utc(int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    return parts;
}

void clock_format_rfc3339(int64_t wall_ms, char ret[25])
{
    struct tm parts = utc(wall_ms);
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret, 25, "%.19s.%03uZ", date, (unsigned)((uint64_t)wall_ms % 1000u));
}

void clock_format_http(int64_t wall_ms, char ret[30])
{
    struct tm parts = utc(wall_ms);
    strftime(ret, 30, "%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static int64_t parse_fraction_ms(const char **at)
{
    int64_t ms = 0;
    int digits = 0;
    if (**at != '.')
        return 0;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++)
        if (digits++ < 3)
            ms = ms * 10 + (**at - '0');
    for (; digits < 3; digits++)
        ms *= 10;
    return ms;
}

int64_t clock_parse(struct str text)
{
    char copy[64];
    if (!str_copy(text, copy, sizeof copy))
        return -1;
    struct tm parts = {0};
    const char *rest = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    if (rest && !*rest)
        return (int64_t)timegm(&parts) * 1000;
    memset(&parts, 0, sizeof parts);
    rest = strptime(copy, "%Y-%m-%dT%H:%M:%S", &parts);
    if (!rest)
        return -1;
    int64_t ms = (int64_t)timegm(&parts) * 1000 + parse_fraction_ms(&rest);
    int hours, minutes;
    if (strcmp(rest, "Z") == 0)
        return ms;
    if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2)
        return ms - (*rest == '-' ? -1 : 1) * (hours * 60 + minutes) * 60000LL;
    return -1;
}
