/* REST: what was used, as sums of days and of minutes. People see their own, administrators all.
 * The rows themselves are in rest_ledger.c. */
#include "api/usage.h"

#include <stdio.h>

#include "base/clock.h"

enum {
    ROWS_MAX = 10000,
    DAYS_DEFAULT = 30,
    ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    DAY_MS = 24 * 3600 * 1000,
    MINUTE_MS = 60 * 1000
};

/* What sums can be asked for by: in a query, in an answer, in the store. */
static const struct usage_field {
    const char *name;
    enum store_usage_field field;
    enum store_usage_kind kind;
} fields[] = {
    {"user", STORE_FIELD_USER, STORE_USAGE_ALL},    {"key", STORE_FIELD_KEY, STORE_USAGE_ALL},
    {"group", STORE_FIELD_NAME, STORE_USAGE_GROUP}, {"tag", STORE_FIELD_NAME, STORE_USAGE_TAG},
    {"model", STORE_FIELD_MODEL, STORE_USAGE_ALL},  {"target", STORE_FIELD_TARGET, STORE_USAGE_ALL},
    {"day", STORE_FIELD_DAY, STORE_USAGE_ALL},
};
enum { FIELD_COUNT = sizeof fields / sizeof fields[0] };

/* ---- Times and numbers ------------------------------------------------------------------------- */

static bool usage_time(struct api_request *request, const char *name, bool is_end,
                       int64_t otherwise, int64_t *ret_ms)
{
    struct str text = api_query(request, name);
    bool is_day = text.len == 10;
    *ret_ms = otherwise;
    if (!text.len)
        return true;
    if (is_day)
        text = arena_printf(request->arena, "%.*sT00:00:00Z", STR_ARG(text));
    *ret_ms = clock_parse(text);
    if (*ret_ms >= 0) {
        *ret_ms += is_day && is_end ? DAY_MS : 0;
        return true;
    }
    struct error error = {0};
    error_set(&error, ERR_INVALID, name,
              "must be a day (2026-11-22) or a time (2026-11-22T10:00:00Z)");
    api_fail(request, ERR_INVALID, &error);
    return false;
}

bool usage_range(struct api_request *request, struct usage_range otherwise, struct usage_range *ret)
{
    if (!usage_time(request, "from", false, otherwise.from_ms, &ret->from_ms) ||
        !usage_time(request, "to", true, otherwise.to_ms, &ret->to_ms))
        return false;
    if (ret->from_ms < ret->to_ms)
        return true;
    struct error error = {0};
    error_set(&error, ERR_INVALID, "to", "must be after from");
    api_fail(request, ERR_INVALID, &error);
    return false;
}

void usage_dollars(int64_t cost_nano, char ret[USAGE_DOLLARS_BYTES])
{
    snprintf(ret, USAGE_DOLLARS_BYTES, "%lld.%09lld", (long long)(cost_nano / 1000000000),
             (long long)(cost_nano % 1000000000));
}

static void write_sums(struct json_writer *w, const struct store_sums *sums)
{
    char dollars[USAGE_DOLLARS_BYTES];
    json_key_int(w, "requests", sums->requests);
    json_key_int(w, "attempts", sums->attempts);
    json_key_int(w, "errors", sums->errors);
    json_key_int(w, "interrupted", sums->interrupted);
    json_key_int(w, "refused", sums->refused);
    json_key_int(w, "cached", sums->cached);
    json_key_int(w, "shared", sums->shared);
    json_key_int(w, "tokens_input", sums->tokens_input);
    json_key_int(w, "tokens_cached", sums->tokens_cached);
    json_key_int(w, "tokens_written", sums->tokens_written);
    json_key_int(w, "tokens_output", sums->tokens_output);
    json_key_int(w, "tokens_reasoning", sums->tokens_reasoning);
    usage_dollars(sums->cost_nano, dollars);
    json_key_str(w, "cost_usd", str_from_cstr(dollars));
    json_key_int(w, "unpriced", sums->unpriced);
}

bool usage_whose(struct api_request *request, struct str *ret_user)
{
    struct error error = {0};
    struct str wanted = api_query(request, "user");
    struct id user = {0};
    *ret_user = wanted.len ? wanted : STR_NONE;
    if (authorise(&request->who, VERB_USAGE_READ_ALL, (struct authorise_object){0}, NULL) == ERR_OK)
        return true;
    *ret_user = id_str(&request->who.user);
    if (!wanted.len || str_eq(wanted, *ret_user))
        return true;
    id_parse(wanted, &user); /* no id: nobody's, and not theirs */
    enum err code =
        authorise(&request->who, VERB_USAGE_READ, (struct authorise_object){&user}, &error);
    api_fail(request, code == ERR_OK ? ERR_NOT_FOUND : code, &error);
    return false;
}

/* ---- Days -------------------------------------------------------------------------------------- */

/* In the exchange's arena but for `rows`, which the reader's thread fills. */
struct days_job {
    struct store_job job;
    struct api_request *request;
    struct store_usage_question question;
    const struct usage_field *by[STORE_USAGE_BY_MAX];
    int by_count;
    struct buf rows;
    struct json_writer w;
    struct store_sums total;
    int64_t row_count;
};

static void write_day(struct json_writer *w, const char *name, int64_t day)
{
    char text[25];
    clock_format_rfc3339(day * DAY_MS, text);
    json_key_str(w, name, STR_FROM(text, 10));
}

static void write_days_row(void *user, const struct str by[STORE_USAGE_BY_MAX],
                           const struct store_sums *sums)
{
    struct days_job *job = user;
    int64_t day = 0;
    if (++job->row_count > ROWS_MAX)
        return;
    json_begin_object(&job->w);
    for (int i = 0; i < job->by_count; i++) {
        if (job->by[i]->field != STORE_FIELD_DAY)
            json_key_str(&job->w, job->by[i]->name, by[i]);
        else if (str_to_i64(by[i], &day))
            write_day(&job->w, "day", day);
    }
    write_sums(&job->w, sums);
    json_end_object(&job->w);
}

static void add_total(void *user, const struct str by[STORE_USAGE_BY_MAX],
                      const struct store_sums *sums)
{
    (void)by;
    store_sums_add(user, sums);
}

/* The rows, and what they are parts of: each attempt once, however many groups and tags it has. */
static enum err run_days(struct store_tx *tx, void *user, struct error *error)
{
    struct days_job *job = user;
    struct store_usage_question whole = job->question;
    enum err code = store_usage_ask(tx, &job->question, write_days_row, job, error);
    json_end_array(&job->w);
    for (int i = 0; i < STORE_USAGE_BY_MAX; i++)
        whole.by[i] = STORE_FIELD_NONE;
    if (!whole.is[STORE_FIELD_NAME].data)
        whole.kind = STORE_USAGE_ALL;
    return code == ERR_OK ? store_usage_ask(tx, &whole, add_total, &job->total, error) : code;
}

/* The job goes with the exchange: what is not in its arena goes first. */
static void reply_days(void *user, enum err code, const struct error *error)
{
    struct days_job *job = user;
    struct api_request *request = job->request;
    struct api_reply reply;
    bool too_big = code == ERR_OK && !buf_ok(&job->rows);
    if (code != ERR_OK || too_big) {
        buf_done(&job->rows);
        api_fail(request, too_big ? ERR_TOO_BIG : code, too_big ? NULL : error);
        return;
    }
    api_reply_begin(&reply);
    write_day(&reply.w, "from", job->question.from_day);
    write_day(&reply.w, "to", job->question.to_day - 1);
    json_key_bool(&reply.w, "truncated", job->row_count > ROWS_MAX);
    json_key_object(&reply.w, "total");
    write_sums(&reply.w, &job->total);
    json_end_object(&reply.w);
    json_key(&reply.w, STR("rows"));
    json_put_raw(&reply.w, buf_str(&job->rows));
    buf_done(&job->rows);
    api_reply(request, 200, &reply);
}

static const struct usage_field *find_field(struct str name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (str_eq(name, str_from_cstr(fields[i].name)))
            return &fields[i];
    return NULL;
}

/* Groups and tags are sums of their own, of which one question can have one. */
static enum err take_kind(struct days_job *job, const struct usage_field *field,
                          struct error *error)
{
    if (field->kind == STORE_USAGE_ALL)
        return ERR_OK;
    if (job->question.kind != STORE_USAGE_ALL && job->question.kind != field->kind)
        return error_set(error, ERR_INVALID, field->name,
                         "groups and tags cannot be asked for together");
    job->question.kind = field->kind;
    return ERR_OK;
}

static enum err read_by(struct days_job *job, struct str by, struct error *error)
{
    while (by.len) {
        struct str name = str_trim(str_next(&by, ','));
        const struct usage_field *field = find_field(name);
        if (!field)
            return error_set(error, ERR_INVALID, "by",
                             "must be of user, key, group, tag, model, target, day");
        if (job->by_count == STORE_USAGE_BY_MAX)
            return error_set(error, ERR_INVALID, "by", "has three names at most");
        for (int i = 0; i < job->by_count; i++)
            if (job->by[i] == field)
                return error_set(error, ERR_INVALID, "by", "names %s twice", field->name);
        if (take_kind(job, field, error) != ERR_OK)
            return ERR_INVALID;
        job->question.by[job->by_count] = field->field;
        job->by[job->by_count++] = field;
    }
    return ERR_OK;
}

static enum err read_filters(struct days_job *job, struct error *error)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        struct str text = api_query(job->request, fields[i].name);
        if (!text.len || fields[i].field == STORE_FIELD_DAY || fields[i].field == STORE_FIELD_USER)
            continue;
        if (take_kind(job, &fields[i], error) != ERR_OK)
            return ERR_INVALID;
        job->question.is[fields[i].field] = text;
    }
    return ERR_OK;
}

static void get_usage(struct api_request *request)
{
    struct days_job *job = ARENA_NEW(request->arena, struct days_job);
    struct error error = {0};
    int64_t tomorrow_ms = (clock_wall_ms() / DAY_MS + 1) * DAY_MS;
    struct usage_range range;
    job->request = request;
    if (!usage_range(
            request,
            (struct usage_range){tomorrow_ms - (int64_t)DAYS_DEFAULT * DAY_MS, tomorrow_ms},
            &range) ||
        !usage_whose(request, &job->question.is[STORE_FIELD_USER]))
        return;
    enum err code = read_by(job, api_query(request, "by"), &error);
    if (code == ERR_OK)
        code = read_filters(job, &error);
    if (api_failed(request, code, &error))
        return;
    job->question.from_day = range.from_ms / DAY_MS;
    job->question.to_day = (range.to_ms + DAY_MS - 1) / DAY_MS;
    job->question.limit = ROWS_MAX + 1;
    buf_init(&job->rows, ANSWER_BYTES_MAX);
    json_writer_init(&job->w, &job->rows);
    json_begin_array(&job->w);
    job->job = (struct store_job){.run = run_days, .done = reply_days, .user = job};
    store_read(request->api->options.store, request->api->options.loop, &job->job);
}

/* ---- Minutes ----------------------------------------------------------------------------------- */

struct minutes_job {
    struct store_job job;
    struct api_request *request;
    int64_t from;
    int64_t to; /* not included */
    int64_t row_count;
    int64_t next; /* the minute that did not fit any more; 0: all did */
    struct buf rows;
    struct json_writer w;
    struct buf errors;
    struct json_writer errors_w;
};

static void write_minute_head(struct json_writer *w, const struct store_usage_minute *minute)
{
    json_key_time(w, "minute", minute->minute * MINUTE_MS);
    json_key_str(w, "model", minute->model);
    json_key_str(w, "target", minute->target);
}

static void write_times(struct json_writer *w, const char *name, const struct store_times *times)
{
    json_key_object(w, name);
    json_key_int(w, "count", times->count);
    json_key_int(w, "total_ms", times->total_us / 1000);
    json_key_int(w, "max_ms", times->max_us / 1000);
    json_key_array(w, "buckets");
    for (int i = 0; i < STORE_TIME_BUCKETS; i++)
        json_put_int(w, times->buckets[i]);
    json_end_array(w);
    json_end_object(w);
}

static void write_minute(void *user, const struct store_usage_minute *minute)
{
    struct minutes_job *job = user;
    struct json_writer *w = &job->w;
    if (++job->row_count > ROWS_MAX) {
        job->next = minute->minute;
        return;
    }
    json_begin_object(w);
    write_minute_head(w, minute);
    write_sums(w, &minute->sums);
    write_times(w, "duration", &minute->duration);
    write_times(w, "first_content", &minute->first_content);
    json_end_object(w);
}

static void write_minute_error(void *user, const struct store_usage_minute *minute,
                               struct str class, int64_t count)
{
    struct json_writer *w = &((struct minutes_job *)user)->errors_w;
    json_begin_object(w);
    write_minute_head(w, minute);
    json_key_str(w, "class", class);
    json_key_int(w, "errors", count);
    json_end_object(w);
}

static enum err run_minutes(struct store_tx *tx, void *user, struct error *error)
{
    struct minutes_job *job = user;
    enum err code =
        store_usage_each_minute(tx, job->from, job->to, ROWS_MAX + 1, write_minute, job, error);
    int64_t to = job->next ? job->next + 1 : job->to;
    if (code == ERR_OK)
        code = store_usage_each_error(tx, job->from, to, write_minute_error, job, error);
    json_end_array(&job->w);
    json_end_array(&job->errors_w);
    return code;
}

static void write_bounds(struct json_writer *w)
{
    json_key_array(w, "bounds_ms");
    for (int i = 0; i < STORE_TIME_BUCKETS - 1; i++)
        json_put_int(w, (int64_t)(store_time_bounds_us[i] / 1000));
    json_end_array(w);
}

static void write_minutes(struct json_writer *w, struct minutes_job *job)
{
    json_key_time(w, "from", job->from * MINUTE_MS);
    json_key_time(w, "to", job->to * MINUTE_MS);
    json_key_time(w, "next", job->next * MINUTE_MS);
    write_bounds(w);
    json_key(w, STR("rows"));
    json_put_raw(w, buf_str(&job->rows));
    json_key(w, STR("errors"));
    json_put_raw(w, buf_str(&job->errors));
}

static void reply_minutes(void *user, enum err code, const struct error *error)
{
    struct minutes_job *job = user;
    struct api_request *request = job->request;
    struct api_reply reply;
    bool good = code == ERR_OK, too_big = !buf_ok(&job->rows) || !buf_ok(&job->errors);
    if (good && !too_big) {
        api_reply_begin(&reply);
        write_minutes(&reply.w, job);
    }
    buf_done(&job->rows);
    buf_done(&job->errors);
    if (good && !too_big)
        api_reply(request, 200, &reply);
    else
        api_fail(request, good ? ERR_TOO_BIG : code, good ? NULL : error);
}

static void begin_list(struct buf *out, struct json_writer *w)
{
    buf_init(out, ANSWER_BYTES_MAX);
    json_writer_init(w, out);
    json_begin_array(w);
}

static void get_minutes(struct api_request *request)
{
    struct minutes_job *job = ARENA_NEW(request->arena, struct minutes_job);
    int64_t now_ms = clock_wall_ms();
    struct usage_range range;
    job->request = request;
    if (!usage_range(request, (struct usage_range){now_ms - 60 * MINUTE_MS, now_ms}, &range))
        return;
    job->from = range.from_ms / MINUTE_MS;
    job->to = (range.to_ms + MINUTE_MS - 1) / MINUTE_MS;
    begin_list(&job->rows, &job->w);
    begin_list(&job->errors, &job->errors_w);
    job->job = (struct store_job){.run = run_minutes, .done = reply_minutes, .user = job};
    store_read(request->api->options.store, request->api->options.loop, &job->job);
}

const struct endpoint usage_endpoints[] = {
    {HTTP_GET, "/api/v1/usage", VERB_USAGE_READ, NULL, get_usage, NULL, 0,
     "Sums of what was used (?from=, ?to=, ?by=user,key,group,tag,model,target,day: three at most; "
     "each of them also as a filter)."},
    {HTTP_GET, "/api/v1/usage/minutes", VERB_USAGE_READ_ALL, NULL, get_minutes, NULL, 0,
     "Sums of minutes by model and target, with times, of the last 30 days (?from=, ?to=)."},
    {HTTP_GET, "/api/v1/ledger", VERB_USAGE_READ, NULL, api_get_ledger, NULL, 0,
     "The rows themselves, one for each attempt (?from=, ?to=, filters as in usage, "
     "?after=, ?limit=, ?format=json, ndjson or csv)."},
    {0},
};
