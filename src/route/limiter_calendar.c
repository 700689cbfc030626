/* Calendar: where the limiter's days, weeks and months begin and end. Days are counted from
 * 1970-01-01, a Thursday; months from the year 0. Days and months are turned into one another in
 * years that begin in March, so that the leap day is the last of a year, and in cycles of 400 years,
 * after which the calendar repeats itself. */
#include "route/limiter_calendar.h"

enum {
    WEEK_SHIFT_DAYS = 3, /* from the Monday before to 1970-01-01 */
    CYCLE_YEARS = 400,
    CYCLE_DAYS = 146097,
    EPOCH_DAYS = 719468, /* from 0000-03-01 to 1970-01-01 */
    MONTHS = 12,
    MARCH = 2 /* months before it in the year */
};

static int64_t divide_down(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

/* Days before a month of a year that begins in March: 153 in five months, 31, 30, 31, 30, 31. */
static int64_t days_before_month(int64_t month)
{
    return (153 * month + 2) / 5;
}

static int64_t days_before_year(int64_t year)
{
    return year * 365 + year / 4 - year / 100;
}

/* The month's number of the day, both from their epochs. */
static int64_t month_of_day(int64_t day)
{
    int64_t cycle = divide_down(day + EPOCH_DAYS, CYCLE_DAYS);
    int64_t rest = day + EPOCH_DAYS - cycle * CYCLE_DAYS;
    int64_t year = rest / 366;
    while (year + 1 < CYCLE_YEARS && days_before_year(year + 1) <= rest)
        year++;
    rest -= days_before_year(year);
    int64_t month = (5 * rest + 2) / 153;
    return (cycle * CYCLE_YEARS + year) * MONTHS + month + MARCH;
}

static int64_t first_day_of_month(int64_t index)
{
    int64_t from_march = index - MARCH;
    int64_t year = divide_down(from_march, MONTHS);
    int64_t month = from_march - year * MONTHS;
    int64_t cycle = divide_down(year, CYCLE_YEARS);
    year -= cycle * CYCLE_YEARS;
    return cycle * CYCLE_DAYS + days_before_year(year) + days_before_month(month) - EPOCH_DAYS;
}

int64_t calendar_index(enum quota_period period, int64_t wall_ms)
{
    int64_t day = divide_down(wall_ms, CALENDAR_DAY_MS);
    switch (period) {
    case QUOTA_WEEK:
        return divide_down(day + WEEK_SHIFT_DAYS, 7);
    case QUOTA_MONTH:
        return month_of_day(day);
    default:
        return day;
    }
}

int64_t calendar_start_ms(enum quota_period period, int64_t index)
{
    switch (period) {
    case QUOTA_WEEK:
        return (index * 7 - WEEK_SHIFT_DAYS) * CALENDAR_DAY_MS;
    case QUOTA_MONTH:
        return first_day_of_month(index) * CALENDAR_DAY_MS;
    default:
        return index * CALENDAR_DAY_MS;
    }
}

int64_t calendar_advance(enum quota_period period, int64_t index, int64_t wall_ms)
{
    int64_t now = calendar_index(period, wall_ms);
    return now == index - 1 ? index : now;
}
