/* REST: the ledger's rows, streamed: block after block is read from the store, written as the client
 * takes it, and forgotten.
 *
 *     read_block --> on_block --> pump (a piece of rows, while the client takes them)
 *         ^                         |  full: on_drain --> pump
 *         +---------- block is over +  the end, or the limit: end_list
 */
#include <inttypes.h>
#include <stdio.h>

#include "api/usage.h"
#include "base/clock.h"
#include "route/ledger_entries.h"

enum {
    PIECE_ROWS = 128,
    PIECE_BYTES_MAX = 16 * 1024 * 1024,
    BLOCK_BYTES_MAX = 1024 * 1024 * 1024, /* only what was recovered is larger than 1 MiB */
    CURSOR_BYTES = 72
};

enum format { FORMAT_JSON, FORMAT_NDJSON, FORMAT_CSV };

struct list_job {
    struct store_job job;
    struct api_request *request;
    struct http_exchange *exchange;
    struct api_credential credential;
    struct usage_range range;
    struct str user; /* whose; STR_NONE: everybody's */
    struct str key;  /* of the wanted rows, as the others: STR_NONE: all */
    struct str group;
    struct str tag;
    struct str model;
    struct str target;
    enum format format;
    uint64_t limit;      /* rows still to be told */
    struct arena *arena; /* of the block */
    struct store_block block;
    struct ledger_reader reader; /* of its rows */
    int64_t entry;               /* of its rows were looked at */
    int64_t skip;                /* of the first block */
    bool begun;                  /* something was told */
    bool reading;
    bool gone;
    struct buf piece;
};

/* ---- One row ----------------------------------------------------------------------------------- */

/* A value of a row; what is unknown has no text and is_text false. */
struct value {
    bool is_list;
    bool is_bool;
    bool is_number;
    bool is_known;
    struct str text;
    const struct str *items;
    size_t count;
    int64_t number;
    char space[USAGE_DOLLARS_BYTES];
};

static void text_value(struct value *value, struct str text)
{
    value->text = text;
    value->is_known = text.len > 0;
}

static void number_value(struct value *value, int64_t number, bool known)
{
    value->is_number = true;
    value->is_known = known;
    value->number = number;
}

static void bool_value(struct value *value, bool truth)
{
    value->is_bool = value->is_known = true;
    value->number = truth;
}

static void count_value(struct value *value, int64_t count)
{
    number_value(value, count, count >= 0);
}

static void time_value(struct value *value, uint64_t us)
{
    number_value(value, (int64_t)((us + 999) / 1000), us > 0);
}

static void list_value(struct value *value, const struct str *items, size_t count)
{
    value->is_list = value->is_known = true;
    value->items = items;
    value->count = count;
}

struct row_view {
    const struct ledger_row *row;
    char cursor[CURSOR_BYTES];
    char time[25];
    struct str groups[LEDGER_GROUPS_MAX];
};

enum column {
    COLUMN_TIME,
    COLUMN_REQUEST,
    COLUMN_USER,
    COLUMN_KEY,
    COLUMN_GROUPS,
    COLUMN_TAGS,
    COLUMN_DOOR,
    COLUMN_MODEL,
    COLUMN_TARGET,
    COLUMN_NUMBER,
    COLUMN_MODE,
    COLUMN_OUTCOME,
    COLUMN_STREAMED,
    COLUMN_HEDGE,
    COLUMN_BATCH,
    COLUMN_REACHED,
    COLUMN_ERROR,
    COLUMN_STATUS,
    COLUMN_INPUT,
    COLUMN_CACHED,
    COLUMN_WRITTEN,
    COLUMN_OUTPUT,
    COLUMN_REASONING,
    COLUMN_ESTIMATED,
    COLUMN_COST,
    COLUMN_FIRST,
    COLUMN_DURATION,
    COLUMN_LOSSES,
    COLUMN_CURSOR,
    COLUMN_COUNT
};
static const char *const column_names[COLUMN_COUNT] = {"time",
                                                       "request_id",
                                                       "user",
                                                       "key",
                                                       "groups",
                                                       "tags",
                                                       "door",
                                                       "model",
                                                       "target",
                                                       "number",
                                                       "mode",
                                                       "outcome",
                                                       "streamed",
                                                       "hedge",
                                                       "batch",
                                                       "reached",
                                                       "error",
                                                       "http_status",
                                                       "tokens_input",
                                                       "tokens_cached",
                                                       "tokens_written",
                                                       "tokens_output",
                                                       "tokens_reasoning",
                                                       "estimated",
                                                       "cost_usd",
                                                       "first_content_ms",
                                                       "duration_ms",
                                                       "losses",
                                                       "cursor"};

static void cost_value(struct value *value, int64_t cost_nano)
{
    if (cost_nano < 0)
        return;
    usage_dollars(cost_nano, value->space);
    text_value(value, str_from_cstr(value->space));
}

static void origin_values(const struct row_view *view, struct value values[COLUMN_COUNT])
{
    const struct ledger_origin *origin = &view->row->origin;
    text_value(&values[COLUMN_TIME], str_from_cstr(view->time));
    text_value(&values[COLUMN_REQUEST], origin->request_id);
    text_value(&values[COLUMN_USER], id_str(&origin->user));
    text_value(&values[COLUMN_KEY], id_str(&origin->key));
    list_value(&values[COLUMN_GROUPS], view->groups, origin->group_count);
    list_value(&values[COLUMN_TAGS], origin->tags, origin->tag_count);
    text_value(&values[COLUMN_DOOR], origin->door);
    text_value(&values[COLUMN_MODEL], origin->model);
    text_value(&values[COLUMN_CURSOR], str_from_cstr(view->cursor));
}

static void values_of(const struct row_view *view, struct value values[COLUMN_COUNT])
{
    const struct ledger_row *row = view->row;
    const char *error = row->error_class ? err_info(row->error_class)->name : "";
    memset(values, 0, COLUMN_COUNT * sizeof *values);
    origin_values(view, values);
    text_value(&values[COLUMN_TARGET], row->target);
    number_value(&values[COLUMN_NUMBER], row->number, true);
    text_value(&values[COLUMN_MODE], str_from_cstr(row->mode));
    text_value(&values[COLUMN_OUTCOME], str_from_cstr(ledger_outcome_name(row->outcome)));
    bool_value(&values[COLUMN_STREAMED], row->is_streamed);
    bool_value(&values[COLUMN_HEDGE], row->is_hedge);
    bool_value(&values[COLUMN_BATCH], row->is_batch);
    bool_value(&values[COLUMN_REACHED], row->reached);
    text_value(&values[COLUMN_ERROR], str_from_cstr(error));
    number_value(&values[COLUMN_STATUS], row->http_status, row->http_status > 0);
    count_value(&values[COLUMN_INPUT], row->usage.input_total);
    count_value(&values[COLUMN_CACHED], row->usage.input_cache_read);
    count_value(&values[COLUMN_WRITTEN], row->usage.input_cache_write);
    count_value(&values[COLUMN_OUTPUT], row->usage.output_total);
    count_value(&values[COLUMN_REASONING], row->usage.output_reasoning);
    bool_value(&values[COLUMN_ESTIMATED], row->usage.is_estimated);
    cost_value(&values[COLUMN_COST], row->cost_nano);
    time_value(&values[COLUMN_FIRST], row->first_content_us);
    time_value(&values[COLUMN_DURATION], row->duration_us);
    text_value(&values[COLUMN_LOSSES], row->losses);
}

/* ---- As JSON ----------------------------------------------------------------------------------- */

static void put_json(struct json_writer *w, const struct value *value)
{
    if (value->is_list) {
        json_begin_array(w);
        for (size_t i = 0; i < value->count; i++)
            json_put_str(w, value->items[i]);
        json_end_array(w);
    } else if (!value->is_known) {
        json_put_null(w);
    } else if (value->is_bool) {
        json_put_bool(w, value->number);
    } else if (value->is_number) {
        json_put_int(w, value->number);
    } else {
        json_put_str(w, value->text);
    }
}

static void write_json(struct buf *out, const struct value values[COLUMN_COUNT])
{
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    for (int i = 0; i < COLUMN_COUNT; i++) {
        json_key(&w, str_from_cstr(column_names[i]));
        put_json(&w, &values[i]);
    }
    json_end_object(&w);
}

/* ---- As CSV (RFC 4180) ------------------------------------------------------------------------- */

static void put_quoted(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == '"')
            buf_append_char(out, '"');
        buf_append_char(out, text.data[i]);
    }
}

/* What a spreadsheet would run as a formula gets an apostrophe in front. */
static bool is_formula(struct str text)
{
    return text.len && memchr("=+-@\t\r\n", text.data[0], 7);
}

static void put_cell(struct buf *out, const struct str *items, size_t count)
{
    buf_append_char(out, '"');
    if (count && is_formula(items[0]))
        buf_append_char(out, '\'');
    for (size_t i = 0; i < count; i++) {
        if (i)
            buf_append_char(out, ';');
        put_quoted(out, items[i]);
    }
    buf_append_char(out, '"');
}

static void put_csv(struct buf *out, const struct value *value)
{
    if (value->is_list)
        put_cell(out, value->items, value->count);
    else if (!value->is_known)
        return;
    else if (value->is_bool)
        buf_append(out, value->number ? STR("true") : STR("false"));
    else if (value->is_number)
        buf_printf(out, "%" PRId64, value->number);
    else if (value->text.data == value->space) /* a number, written by us */
        buf_append(out, value->text);
    else
        put_cell(out, &value->text, 1);
}

static void write_csv(struct buf *out, const struct value values[COLUMN_COUNT])
{
    for (int i = 0; i < COLUMN_COUNT; i++) {
        if (i)
            buf_append_char(out, ',');
        put_csv(out, &values[i]);
    }
    buf_append(out, STR("\r\n"));
}

static void write_csv_head(struct buf *out)
{
    for (int i = 0; i < COLUMN_COUNT; i++)
        buf_printf(out, "%s%s", i ? "," : "", column_names[i]);
    buf_append(out, STR("\r\n"));
}

/* ---- Rows of a block --------------------------------------------------------------------------- */

static bool fits(struct str wanted, struct str text)
{
    return !wanted.data || str_eq(wanted, text);
}

static bool has_group(const struct ledger_origin *origin, struct str group)
{
    for (size_t i = 0; i < origin->group_count; i++)
        if (str_eq(id_str(&origin->groups[i]), group))
            return true;
    return !group.data;
}

static bool has_tag(const struct ledger_origin *origin, struct str tag)
{
    for (size_t i = 0; i < origin->tag_count; i++)
        if (str_eq(origin->tags[i], tag))
            return true;
    return !tag.data;
}

static bool is_wanted(const struct list_job *job, const struct ledger_row *row)
{
    const struct ledger_origin *origin = &row->origin;
    return row->start_ms >= job->range.from_ms && row->start_ms < job->range.to_ms &&
           fits(job->user, id_str(&origin->user)) && fits(job->key, id_str(&origin->key)) &&
           fits(job->model, origin->model) && fits(job->target, row->target) &&
           has_group(origin, job->group) && has_tag(origin, job->tag);
}

static void write_row(struct list_job *job, const struct ledger_row *row)
{
    struct row_view view = {.row = row};
    struct value values[COLUMN_COUNT];
    clock_format_rfc3339(row->start_ms, view.time);
    snprintf(view.cursor, sizeof view.cursor, "%" PRId64 "-%" PRId64 "-%" PRId64, job->block.to_ms,
             job->block.place, job->entry);
    for (size_t i = 0; i < row->origin.group_count; i++)
        view.groups[i] = id_str(&row->origin.groups[i]);
    values_of(&view, values);
    if (job->format == FORMAT_CSV) {
        write_csv(&job->piece, values);
        return;
    }
    if (job->begun && job->format == FORMAT_JSON)
        buf_append(&job->piece, STR(",\n"));
    write_json(&job->piece, values);
    if (job->format == FORMAT_NDJSON)
        buf_append_char(&job->piece, '\n');
}

/* The next rows of the block; false: it is over. */
static bool write_piece(struct list_job *job)
{
    uint64_t serial;
    struct str packed;
    struct ledger_row_space space;
    struct ledger_row row;
    buf_clear(&job->piece);
    for (int i = 0; i < PIECE_ROWS && job->limit; i++) {
        if (!ledger_reader_next(&job->reader, &serial, &packed))
            return false;
        if (++job->entry <= job->skip || !ledger_row_unpack(packed, &space, &row) ||
            !is_wanted(job, &row))
            continue;
        write_row(job, &row);
        job->begun = true;
        job->limit--;
    }
    return true;
}

/* ---- The stream -------------------------------------------------------------------------------- */

static void job_end(struct list_job *job)
{
    arena_free(job->arena);
    buf_done(&job->piece);
    http_respond_on_drain(job->exchange, NULL, NULL);
    http_exchange_on_abort(job->exchange, NULL, NULL);
}

static void end_list(struct list_job *job)
{
    struct http_exchange *exchange = job->exchange;
    if (job->format == FORMAT_JSON)
        http_respond_write(exchange, STR("]\n"));
    job_end(job);
    http_respond_end(exchange);
}

static void break_off(struct list_job *job)
{
    struct http_exchange *exchange = job->exchange;
    job_end(job);
    http_respond_break(exchange); /* so that nobody takes it for whole */
}

static enum err run_read(struct store_tx *tx, void *user, struct error *error)
{
    struct list_job *job = user;
    struct store_block after = job->block;
    return store_block_next(tx, job->arena, job->range.from_ms, job->range.to_ms, &after,
                            &job->block, error);
}

static void pump(void *user);

static void on_block(void *user, enum err code, const struct error *error)
{
    struct list_job *job = user;
    (void)error;
    job->reading = false;
    if (job->gone || (code != ERR_OK && code != ERR_NOT_FOUND) ||
        !api_credential_is_good(job->request->api, &job->credential)) {
        break_off(job);
        return;
    }
    if (code == ERR_NOT_FOUND) {
        end_list(job);
        return;
    }
    ledger_reader_init(&job->reader, job->block.data);
    job->entry = 0;
    pump(job);
}

static void read_block(struct list_job *job)
{
    struct api *api = job->request->api;
    arena_reset(job->arena);
    job->reading = true;
    job->job = (struct store_job){.run = run_read, .done = on_block, .user = job};
    store_read(api->options.store, api->options.loop, &job->job);
}

static void pump(void *user)
{
    struct list_job *job = user;
    if (job->reading)
        return;
    while (http_respond_pending_bytes(job->exchange) <= STREAM_HIGH_BYTES) {
        bool more = write_piece(job);
        if (job->piece.len)
            http_respond_write(job->exchange, buf_str(&job->piece));
        if (!job->limit) {
            end_list(job);
            return;
        }
        if (more)
            continue;
        job->skip = 0;
        read_block(job);
        return;
    }
}

static void on_abort(void *user)
{
    struct list_job *job = user;
    job->gone = true;
    if (!job->reading) /* else when the store has answered */
        break_off(job);
}

/* ---- The question ------------------------------------------------------------------------------ */

static bool fail_field(struct api_request *request, const char *name, const char *message)
{
    struct error error = {0};
    error_set(&error, ERR_INVALID, name, "%s", message);
    api_fail(request, ERR_INVALID, &error);
    return false;
}

static void read_filters(struct list_job *job)
{
    const struct {
        const char *name;
        struct str *text;
    } filters[] = {{"key", &job->key},
                   {"group", &job->group},
                   {"tag", &job->tag},
                   {"model", &job->model},
                   {"target", &job->target}};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        struct str text = api_query(job->request, filters[i].name);
        *filters[i].text = text.len ? text : STR_NONE;
    }
}

/* "to_ms-place-entry": where the row is that was told last. */
static bool read_after(struct list_job *job)
{
    struct str text = api_query(job->request, "after");
    uint64_t to_ms, place, entry;
    if (!text.len)
        return true;
    struct str first = str_next(&text, '-'), second = str_next(&text, '-');
    if (!str_to_u64(first, &to_ms) || !str_to_u64(second, &place) || !str_to_u64(text, &entry) ||
        to_ms > INT64_MAX || !place || place > INT64_MAX || entry > INT64_MAX)
        return fail_field(job->request, "after", "must be the cursor of a row");
    job->block.to_ms = (int64_t)to_ms;
    job->block.place = (int64_t)place - 1; /* that block again, without its first rows */
    job->skip = (int64_t)entry;
    return true;
}

static bool read_limit(struct list_job *job)
{
    struct str text = api_query(job->request, "limit");
    job->limit = UINT64_MAX;
    if (text.len && (!str_to_u64(text, &job->limit) || !job->limit))
        return fail_field(job->request, "limit", "must be a number of rows");
    return true;
}

static bool read_format(struct list_job *job)
{
    static const char *const names[] = {"json", "ndjson", "csv"};
    struct str text = api_query(job->request, "format");
    if (!text.len)
        return true;
    for (int i = FORMAT_JSON; i <= FORMAT_CSV; i++) {
        job->format = (enum format)i;
        if (str_eq(text, str_from_cstr(names[i])))
            return true;
    }
    return fail_field(job->request, "format", "must be json, ndjson or csv");
}

static void begin_list(struct list_job *job)
{
    static const char *const types[] = {"application/json", "application/x-ndjson",
                                        "text/csv; charset=utf-8"};
    http_respond_header(job->exchange, "cache-control", STR("no-store"));
    if (job->format == FORMAT_CSV)
        http_respond_header(job->exchange, "content-disposition",
                            STR("attachment; filename=\"parley-ledger.csv\""));
    http_respond_begin(job->exchange, 200, types[job->format]);
    if (job->format == FORMAT_JSON)
        buf_append_char(&job->piece, '[');
    else if (job->format == FORMAT_CSV)
        write_csv_head(&job->piece);
    if (job->piece.len)
        http_respond_write(job->exchange, buf_str(&job->piece));
    http_exchange_on_abort(job->exchange, on_abort, job);
    http_respond_on_drain(job->exchange, pump, job);
    read_block(job);
}

void api_get_ledger(struct api_request *request)
{
    struct list_job *job = ARENA_NEW(request->arena, struct list_job);
    job->request = request;
    job->exchange = request->exchange;
    if (!usage_range(request, (struct usage_range){0, INT64_MAX}, &job->range) ||
        !usage_whose(request, &job->user) || !read_format(job) || !read_after(job) ||
        !read_limit(job))
        return;
    read_filters(job);
    api_credential_of(request, &job->credential);
    job->arena = arena_new(BLOCK_BYTES_MAX);
    buf_init(&job->piece, PIECE_BYTES_MAX);
    begin_list(job);
}
