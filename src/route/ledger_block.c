/* A block into the database: its rows are added up in memory first, and SQL runs once for each sum
 * that changes. Most rows of a block say the same but for their numbers: what such rows count in is
 * found once and remembered as a place, by the slot that their kind has in the bytes of the block.
 *
 * A row counts in the sums of everything once, once for each of its groups and once for each of its
 * tags: three kinds, which are never added to each other. */
#include "route/ledger_block.h"

#include "base/map.h"
#include "route/ledger_entries.h"

enum { DAY_MS = 24 * 3600 * 1000, MINUTE_MS = 60 * 1000 };

struct minute {
    struct store_usage_minute row;
    int64_t errors[ERR_COUNT];
};

/* Rows of one kind and minute, which all count in the same sums. */
struct place {
    struct place *next; /* of all places, whatever slot they were in */
    int64_t minute_number;
    struct store_sums each;   /* what every row counts, but for tokens and costs */
    struct store_sums tokens; /* and costs, of all rows */
    int64_t rows;
    bool has_duration;
    enum err error_class;
    struct minute *minute;
    size_t day_count;
    struct store_usage_day *days[];
};
/* So that tokens and costs of a place cannot overflow. */
enum { PLACE_ROWS_MAX = 32768 };
_Static_assert(LEDGER_COST_NANO_MAX *PLACE_ROWS_MAX < STORE_SUM_MAX, "so it is");

/* The sums of one block. */
struct tally {
    struct arena *arena;
    struct map *days;                   /* what distinguishes them -> struct store_usage_day */
    struct map *minutes;                /* -> struct minute */
    struct place *places[LEDGER_SLOTS]; /* of the latest row of each slot */
    struct place *all;
    struct ledger_writer writer;
    struct buf key;
    int64_t from_ms;
    int64_t to_ms;
    int64_t rows;
};

int64_t ledger_day(int64_t wall_ms)
{
    return wall_ms / DAY_MS;
}

int64_t ledger_minute(int64_t wall_ms)
{
    return wall_ms / MINUTE_MS;
}

/* ---- What a row counts ------------------------------------------------------------------------- */

static bool is_attempt(enum ledger_outcome outcome)
{
    return outcome != LEDGER_CACHED && outcome != LEDGER_SHARED && outcome != LEDGER_REFUSED;
}

static bool is_error(enum ledger_outcome outcome)
{
    return outcome == LEDGER_FAILED || outcome == LEDGER_CUT;
}

static int64_t known(int64_t count)
{
    return count > 0 ? count : 0;
}

static struct store_sums sums_of_each(const struct ledger_row *row)
{
    bool refused = row->outcome == LEDGER_REFUSED;
    return (struct store_sums){
        .requests = row->number <= 1 && !row->is_hedge && !refused,
        .attempts = is_attempt(row->outcome),
        .errors = is_error(row->outcome),
        .interrupted = row->outcome == LEDGER_INTERRUPTED,
        .refused = refused,
        .cached = row->outcome == LEDGER_CACHED,
        .shared = row->outcome == LEDGER_SHARED,
    };
}

static void add_tokens(struct store_sums *sums, const struct ledger_numbers *numbers)
{
    sums->tokens_input += known(numbers->input);
    sums->tokens_cached += known(numbers->cache_read);
    sums->tokens_written += known(numbers->cache_write);
    sums->tokens_output += known(numbers->output);
    sums->tokens_reasoning += known(numbers->reasoning);
    sums->cost_nano += known(numbers->cost_nano);
    sums->unpriced += numbers->cost_nano < 0 && (numbers->input > 0 || numbers->output > 0);
}

/* ---- Adding up --------------------------------------------------------------------------------- */

static void key_number(struct tally *tally, int64_t number)
{
    buf_append(&tally->key, STR_FROM((const char *)&number, sizeof number));
}

static void key_text(struct tally *tally, struct str text)
{
    buf_append_char(&tally->key, (char)text.len); /* at most 128 */
    buf_append(&tally->key, text);
}

static struct store_usage_day *day_of(struct tally *tally, const struct ledger_row *row,
                                      enum store_usage_kind kind, struct str name)
{
    const struct ledger_origin *origin = &row->origin;
    int64_t number = ledger_day(row->start_ms);
    buf_clear(&tally->key);
    key_number(tally, number);
    buf_append_char(&tally->key, (char)kind);
    key_text(tally, name);
    key_text(tally, id_str(&origin->user));
    key_text(tally, id_str(&origin->key));
    key_text(tally, origin->model);
    key_text(tally, row->target);
    struct store_usage_day *day = map_get(tally->days, buf_str(&tally->key));
    if (day)
        return day;
    struct arena *arena = tally->arena;
    day = ARENA_NEW(arena, struct store_usage_day);
    *day = (struct store_usage_day){.day = number,
                                    .kind = kind,
                                    .name = arena_str(arena, name),
                                    .user = arena_str(arena, id_str(&origin->user)),
                                    .key = arena_str(arena, id_str(&origin->key)),
                                    .model = arena_str(arena, origin->model),
                                    .target = arena_str(arena, row->target)};
    map_set(tally->days, buf_str(&tally->key), day);
    return day;
}

static struct minute *minute_of(struct tally *tally, const struct ledger_row *row)
{
    int64_t number = ledger_minute(row->start_ms);
    buf_clear(&tally->key);
    key_number(tally, number);
    key_text(tally, row->origin.model);
    key_text(tally, row->target);
    struct minute *minute = map_get(tally->minutes, buf_str(&tally->key));
    if (minute)
        return minute;
    minute = ARENA_NEW(tally->arena, struct minute);
    minute->row.minute = number;
    minute->row.model = arena_str(tally->arena, row->origin.model);
    minute->row.target = arena_str(tally->arena, row->target);
    map_set(tally->minutes, buf_str(&tally->key), minute);
    return minute;
}

static bool named_before(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(names[i], name))
            return true;
    return false;
}

/* `row` with all it says. */
static struct place *make_place(struct tally *tally, const struct ledger_row *row)
{
    const struct ledger_origin *origin = &row->origin;
    size_t day_max = 1 + origin->group_count + origin->tag_count;
    struct place *place = arena_alloc(tally->arena, sizeof *place + day_max * sizeof *place->days);
    *place = (struct place){
        .next = tally->all,
        .minute_number = ledger_minute(row->start_ms),
        .minute = minute_of(tally, row),
        .each = sums_of_each(row),
        .has_duration = is_attempt(row->outcome) && row->outcome != LEDGER_INTERRUPTED,
        .error_class = (unsigned)row->error_class < ERR_COUNT ? row->error_class : ERR_INTERNAL};
    tally->all = place;
    place->days[place->day_count++] = day_of(tally, row, STORE_USAGE_ALL, STR(""));
    for (size_t i = 0; i < origin->group_count; i++)
        place->days[place->day_count++] =
            day_of(tally, row, STORE_USAGE_GROUP, id_str(&origin->groups[i]));
    for (size_t i = 0; i < origin->tag_count; i++)
        if (!named_before(origin->tags, i, origin->tags[i])) /* a caller may say it twice */
            place->days[place->day_count++] = day_of(tally, row, STORE_USAGE_TAG, origin->tags[i]);
    return place;
}

/* Puts the row into the bytes of the block too. NULL: it is none. */
static struct place *place_of(struct tally *tally, uint64_t serial, struct str packed,
                              int64_t start_ms)
{
    struct ledger_row_space space;
    struct ledger_row row;
    bool known;
    struct place **at = &tally->places[ledger_writer_add(&tally->writer, serial, packed, &known)];
    if (known && *at && (*at)->minute_number == ledger_minute(start_ms) &&
        (*at)->rows < PLACE_ROWS_MAX)
        return *at;
    return *at = ledger_row_unpack(packed, &space, &row) ? make_place(tally, &row) : NULL;
}

static void count_row(struct tally *tally, uint64_t serial, struct str packed)
{
    struct ledger_numbers numbers;
    struct place *place = NULL;
    if (ledger_row_unpack_numbers(packed, &numbers))
        place = place_of(tally, serial, packed, numbers.start_ms);
    if (!place)
        return; /* nobody makes such a row: who recovers a journal has read it before */
    if (!tally->rows || numbers.start_ms < tally->from_ms)
        tally->from_ms = numbers.start_ms;
    if (!tally->rows || numbers.start_ms > tally->to_ms)
        tally->to_ms = numbers.start_ms;
    tally->rows++;
    place->rows++;
    if (place->each.attempts) /* else nobody was paid for it */
        add_tokens(&place->tokens, &numbers);
    if (place->has_duration)
        store_times_add(&place->minute->row.duration, numbers.duration_us);
    if (numbers.first_content_us)
        store_times_add(&place->minute->row.first_content, numbers.first_content_us);
}

static void add_up(const struct place *place)
{
    struct store_sums sums = place->each;
    sums.requests *= place->rows;
    sums.attempts *= place->rows;
    sums.errors *= place->rows;
    sums.interrupted *= place->rows;
    sums.refused *= place->rows;
    sums.cached *= place->rows;
    sums.shared *= place->rows;
    place->minute->errors[place->error_class] += sums.errors;
    store_sums_add(&sums, &place->tokens);
    store_sums_add(&place->minute->row.sums, &sums);
    for (size_t i = 0; i < place->day_count; i++)
        store_sums_add(&place->days[i]->sums, &sums);
}

static void count_rows(struct tally *tally, struct str rows)
{
    uint64_t serial;
    struct str packed;
    while (ledger_entry_next(&rows, &serial, &packed))
        count_row(tally, serial, packed);
    for (const struct place *place = tally->all; place; place = place->next)
        add_up(place);
}

/* ---- Into the database ------------------------------------------------------------------------- */

static enum err store_day(struct store_tx *tx, struct store_usage_day *day, struct error *error)
{
    bool admitted = true;
    enum err code = day->kind == STORE_USAGE_TAG
                        ? store_usage_admit_tag(tx, day, LEDGER_TAGS_A_DAY_MAX, &admitted, error)
                        : ERR_OK;
    if (!admitted)
        day->name = STR(LEDGER_TAG_OTHER);
    return code == ERR_OK ? store_usage_add_day(tx, day, error) : code;
}

static enum err store_days(struct store_tx *tx, const struct tally *tally, struct error *error)
{
    size_t position = 0;
    enum err code = ERR_OK;
    struct store_usage_day *day;
    while (code == ERR_OK && (day = map_next(tally->days, &position, NULL)))
        code = store_day(tx, day, error);
    return code;
}

static enum err store_errors(struct store_tx *tx, const struct minute *minute, struct error *error)
{
    enum err code = ERR_OK;
    for (int i = 0; i < ERR_COUNT && code == ERR_OK; i++)
        if (minute->errors[i])
            code =
                store_usage_add_error(tx, &minute->row, str_from_cstr(err_info((enum err)i)->name),
                                      minute->errors[i], error);
    return code;
}

static enum err store_minutes(struct store_tx *tx, const struct tally *tally, struct error *error)
{
    size_t position = 0;
    enum err code = ERR_OK;
    struct minute *minute;
    while (code == ERR_OK && (minute = map_next(tally->minutes, &position, NULL))) {
        code = store_usage_add_minute(tx, &minute->row, error);
        if (code == ERR_OK)
            code = store_errors(tx, minute, error);
    }
    return code;
}

static enum err store_tally(struct store_tx *tx, const struct ledger_block *block,
                            const struct tally *tally, struct error *error)
{
    bool inserted = false;
    enum err code = store_block_insert(tx,
                                       &(struct store_block){.ledger = block->ledger,
                                                             .number = block->number,
                                                             .from_ms = tally->from_ms,
                                                             .to_ms = tally->to_ms,
                                                             .rows = tally->rows,
                                                             .data = buf_str(&tally->writer.out)},
                                       &inserted, error);
    if (code != ERR_OK || !inserted)
        return code;
    code = store_days(tx, tally, error);
    if (code == ERR_OK)
        code = store_minutes(tx, tally, error);
    if (code == ERR_OK && block->forget_ms)
        code = store_usage_forget_minutes(tx, ledger_minute(block->forget_ms) - LEDGER_MINUTES_KEPT,
                                          error);
    return code;
}

enum err ledger_block_store(struct store_tx *tx, const struct ledger_block *block,
                            struct error *error)
{
    struct tally tally = {.arena = arena_new(SIZE_MAX), .days = map_new(), .minutes = map_new()};
    ledger_writer_init(&tally.writer, block->rows.len);
    ledger_writer_begin(&tally.writer);
    buf_init(&tally.key, LEDGER_ROW_BYTES_MAX);
    count_rows(&tally, block->rows);
    enum err code = store_tally(tx, block, &tally, error);
    buf_done(&tally.key);
    ledger_writer_done(&tally.writer);
    map_free(tally.minutes);
    map_free(tally.days);
    arena_free(tally.arena);
    return code;
}
