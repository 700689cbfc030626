/* What became of the faults: a table for people, JSON for programs. */
#include <stdio.h>
#include <string.h>

#include "app/selftest.h"

static const char *outcome_of(const struct selftest_result *result)
{
    switch (result->outcome) {
    case SELFTEST_NONE:
        return "nothing";
    case SELFTEST_WHOLE:
        return "whole";
    case SELFTEST_TRUNCATED:
        return "TRUNCATED";
    case SELFTEST_ERROR:
        break;
    }
    return err_info(result->class)->name;
}

/* "primary", "secondary", or NULL. */
static const char *answered_of(const struct selftest_result *result)
{
    static const char *const names[] = {NULL, "primary", "secondary"};
    return result->outcome == SELFTEST_ERROR ? NULL : names[result->answered];
}

/* ---- The table: dialects that fared alike share a line ---------------------------------------- */

/* Results that stand in one line. */
struct line {
    const struct selftest_result *first;
    char dialects[64];
    uint64_t least_ms, most_ms;
    size_t count;
};

static bool is_alike(const struct selftest_result *a, const struct selftest_result *b)
{
    return a->fault == b->fault && a->is_streamed == b->is_streamed && a->passed == b->passed &&
           a->outcome == b->outcome && a->class == b->class && a->answered == b->answered &&
           a->attempts == b->attempts && a->rung == b->rung;
}

static void add_to_line(struct line *line, const struct selftest_result *result)
{
    size_t len = strlen(line->dialects);
    snprintf(line->dialects + len, sizeof line->dialects - len, "%s%s", len ? " " : "",
             selftest_dialects[result->dialect]);
    if (!line->count || result->ms < line->least_ms)
        line->least_ms = result->ms;
    if (result->ms > line->most_ms)
        line->most_ms = result->ms;
    line->count++;
}

static void print_line(const struct line *line)
{
    const struct selftest_result *first = line->first;
    const char *answered = answered_of(first);
    char times[48];
    if (line->least_ms == line->most_ms)
        snprintf(times, sizeof times, "%llu", (unsigned long long)line->most_ms);
    else
        snprintf(times, sizeof times, "%llu-%llu", (unsigned long long)line->least_ms,
                 (unsigned long long)line->most_ms);
    printf("%s %-39s %-8s %-23s %-16s %-9s %8d  %-8s %9s%s%s\n", first->passed ? " " : "!",
           first->fault->name, first->is_streamed ? "streamed" : "whole",
           line->count == SELFTEST_DIALECTS ? "all" : line->dialects, outcome_of(first),
           answered ? answered : "-", first->attempts, first->rung ? first->rung : "-", times,
           first->complaint ? "  " : "", first->complaint ? first->complaint : "");
}

/* Whether an earlier line has it. */
static bool was_printed(const struct selftest_result *results, size_t i)
{
    for (size_t k = i; k > 0 && results[k - 1].fault == results[i].fault; k--)
        if (is_alike(&results[k - 1], &results[i]))
            return true;
    return false;
}

void selftest_print(const struct selftest_result *results, size_t count)
{
    printf("  %-39s %-8s %-23s %-16s %-9s %8s  %-8s %9s\n", "fault of the primary", "asked",
           "dialect", "outcome", "answered", "attempts", "joint", "ms");
    for (size_t i = 0; i < count; i++) {
        struct line line = {.first = &results[i]};
        if (was_printed(results, i))
            continue;
        for (size_t k = i; k < count && results[k].fault == results[i].fault; k++)
            if (is_alike(&results[i], &results[k]))
                add_to_line(&line, &results[k]);
        print_line(&line);
    }
}

/* ---- JSON: every one of them ------------------------------------------------------------------- */

static void put_name(struct json_writer *w, const char *key, const char *name)
{
    json_key_str(w, key, str_from_cstr(name));
}

static void write_row(const struct selftest_result *result, struct json_writer *w)
{
    bool is_error = result->outcome == SELFTEST_ERROR;
    json_begin_object(w);
    put_name(w, "fault", result->fault->name);
    put_name(w, "dialect", selftest_dialects[result->dialect]);
    json_key_bool(w, "streamed", result->is_streamed);
    json_key_bool(w, "passed", result->passed);
    put_name(w, "outcome",
             is_error                                ? "error"
             : result->outcome == SELFTEST_TRUNCATED ? "truncated"
                                                     : outcome_of(result));
    put_name(w, "class", is_error ? outcome_of(result) : NULL);
    put_name(w, "answered", answered_of(result));
    json_key_int(w, "attempts", result->attempts);
    json_key_int(w, "requests", result->requests);
    put_name(w, "joint", result->rung);
    json_key_int(w, "ms", (int64_t)result->ms);
    put_name(w, "complaint", result->complaint);
    json_end_object(w);
}

void selftest_write(const struct selftest_result *results, size_t count, struct json_writer *w)
{
    json_key_array(w, "faults");
    for (size_t i = 0; i < count; i++)
        write_row(&results[i], w);
    json_end_array(w);
}
