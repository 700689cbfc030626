/* The bytes of a ledger's row: a head of fixed size, then texts with their length in front. Names
 * are kept as text where their numbers may change from one version of Parley to the next. */
#include "route/ledger_row.h"

#include "base/bytes.h"
#include "base/utf8.h"
#include "route/route.h"

enum { VERSION = 1 };
enum { TEXTS = 9 }; /* request_id, door, model, target, mode, error class, losses, user, key */

/* Offsets of the head. */
enum {
    AT_VERSION = 0,
    AT_FLAGS = 1,
    AT_OUTCOME = 2,
    AT_NUMBER = 3,
    AT_STATUS = 4,
    AT_GROUPS = 6,
    AT_TAGS = 7,
    AT_START = 8,
    AT_USAGE = 16, /* five counts */
    AT_COST = 56,
    AT_FIRST = 64,
    AT_DURATION = 72,
    HEAD_BYTES = LEDGER_ROW_FIXED_BYTES + 8 * LEDGER_ROW_NUMBERS
};
enum {
    FLAG_STREAMED = 1,
    FLAG_HEDGE = 2,
    FLAG_BATCH = 4,
    FLAG_REACHED = 8,
    FLAG_ESTIMATED = 16,
    FLAGS_ALL = 31
};
_Static_assert(HEAD_BYTES + (TEXTS + LEDGER_TAGS_MAX) * (1 + LEDGER_TEXT_BYTES_MAX) +
                       LEDGER_LOSSES_BYTES_MAX - LEDGER_TEXT_BYTES_MAX +
                       LEDGER_GROUPS_MAX * ID_LENGTH <=
                   LEDGER_ROW_BYTES_MAX,
               "the largest row fits");
_Static_assert((int)AT_START == (int)LEDGER_ROW_FIXED_BYTES && AT_DURATION + 8 == HEAD_BYTES,
               "what is fixed, then the numbers");
_Static_assert(HEAD_BYTES + TEXTS == LEDGER_ROW_BYTES_MIN, "the smallest row");
_Static_assert(LEDGER_OUTCOME_COUNT <= 256, "an outcome is a byte");

static const char *const outcome_names[LEDGER_OUTCOME_COUNT] = {
    [LEDGER_ANSWERED] = "answered", [LEDGER_FAILED] = "failed",
    [LEDGER_CUT] = "cut",           [LEDGER_CANCELLED] = "cancelled",
    [LEDGER_LOST] = "lost",         [LEDGER_DIFFERED] = "differed",
    [LEDGER_CACHED] = "cached",     [LEDGER_SHARED] = "shared",
    [LEDGER_REFUSED] = "refused",   [LEDGER_INTERRUPTED] = "interrupted",
};

const char *ledger_outcome_name(enum ledger_outcome outcome)
{
    return (unsigned)outcome < LEDGER_OUTCOME_COUNT ? outcome_names[outcome] : "unknown";
}

/* ---- Writing ----------------------------------------------------------------------------------- */

static void put_count(char *at, int64_t value, int64_t maximum)
{
    bytes_put_u64(at, (uint64_t)(value < -1 ? -1 : value > maximum ? maximum : value));
}

static char *put_text(char *at, struct str text, size_t bytes_max)
{
    size_t length = text.len <= bytes_max ? text.len : utf8_cut(text, bytes_max);
    *at++ = (char)length;
    if (length)
        memcpy(at, text.data, length);
    return at + length;
}

static char *put_name(char *at, const char *name)
{
    return put_text(at, str_from_cstr(name), LEDGER_TEXT_BYTES_MAX);
}

static size_t at_most(size_t count, size_t maximum)
{
    return count < maximum ? count : maximum;
}

/* What is known of an attempt from its begin on. */
static void pack_begin(const struct ledger_row *row, char *ret)
{
    ret[AT_VERSION] = VERSION;
    ret[AT_FLAGS] = (char)((row->is_streamed ? FLAG_STREAMED : 0) |
                           (row->is_hedge ? FLAG_HEDGE : 0) | (row->is_batch ? FLAG_BATCH : 0));
    ret[AT_NUMBER] = (char)(row->number < 0 ? 0 : row->number > 255 ? 255 : row->number);
    ret[AT_GROUPS] = (char)at_most(row->origin.group_count, LEDGER_GROUPS_MAX);
    ret[AT_TAGS] = (char)at_most(row->origin.tag_count, LEDGER_TAGS_MAX);
    bytes_put_u64(ret + AT_START, (uint64_t)row->start_ms);
}

/* How it ended: over what was packed of it before. */
static void pack_end(const struct ledger_row *row, char *ret)
{
    const struct llm_usage *usage = &row->usage;
    const int64_t counts[] = {usage->input_total, usage->input_cache_read, usage->input_cache_write,
                              usage->output_total, usage->output_reasoning};
    int begun = ret[AT_FLAGS] & (FLAG_STREAMED | FLAG_HEDGE | FLAG_BATCH);
    ret[AT_FLAGS] = (char)(begun | (row->reached ? FLAG_REACHED : 0) |
                           (usage->is_estimated ? FLAG_ESTIMATED : 0));
    ret[AT_OUTCOME] = (char)row->outcome;
    bool status = row->http_status > 0 && row->http_status <= 999;
    bytes_put_u16(ret + AT_STATUS, status ? (uint16_t)row->http_status : 0);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        put_count(ret + AT_USAGE + 8 * i, counts[i], LEDGER_TOKENS_MAX);
    put_count(ret + AT_COST, row->cost_nano, LEDGER_COST_NANO_MAX);
    bytes_put_u64(ret + AT_FIRST, row->first_content_us);
    bytes_put_u64(ret + AT_DURATION, row->duration_us);
}

static size_t pack_texts(const struct ledger_row *row, const char *error_class, struct str losses,
                         char *ret)
{
    const struct ledger_origin *origin = &row->origin;
    char *at = ret + HEAD_BYTES;
    at = put_text(at, origin->request_id, LEDGER_TEXT_BYTES_MAX);
    at = put_text(at, origin->door, LEDGER_TEXT_BYTES_MAX);
    at = put_text(at, origin->model, LEDGER_TEXT_BYTES_MAX);
    at = put_text(at, row->target, LEDGER_TEXT_BYTES_MAX);
    at = put_name(at, row->mode);
    at = put_name(at, error_class);
    at = put_text(at, losses, LEDGER_LOSSES_BYTES_MAX);
    at = put_text(at, id_str(&origin->user), ID_LENGTH);
    at = put_text(at, id_str(&origin->key), ID_LENGTH);
    size_t groups = at_most(origin->group_count, LEDGER_GROUPS_MAX);
    for (size_t i = 0; i < groups; i++, at += ID_LENGTH)
        memcpy(at, origin->groups[i].text, ID_LENGTH);
    size_t tags = at_most(origin->tag_count, LEDGER_TAGS_MAX);
    for (size_t i = 0; i < tags; i++)
        at = put_text(at, origin->tags[i], LEDGER_TEXT_BYTES_MAX);
    return (size_t)(at - ret);
}

size_t ledger_row_pack(const struct ledger_row *row, char ret[LEDGER_ROW_BYTES_MAX])
{
    pack_begin(row, ret);
    pack_end(row, ret);
    const char *class = row->error_class ? err_info(row->error_class)->name : NULL;
    return pack_texts(row, class, row->losses, ret);
}

size_t ledger_row_pack_begun(const struct ledger_row *row, char ret[LEDGER_ROW_BYTES_MAX])
{
    static const struct ledger_row interrupted = {
        .outcome = LEDGER_INTERRUPTED, .usage = {-1, -1, -1, -1, -1, false}, .cost_nano = -1};
    pack_begin(row, ret);
    pack_end(&interrupted, ret);
    return pack_texts(row, NULL, STR(""), ret);
}

/* A policy that is renewed meanwhile may have others. `packed`: a row that we wrote. */
static bool has_groups(const char *packed, const struct ledger_origin *origin)
{
    size_t count = at_most(origin->group_count, LEDGER_GROUPS_MAX);
    if (count != (unsigned char)packed[AT_GROUPS])
        return false;
    const char *at = packed + HEAD_BYTES;
    for (int i = 0; i < TEXTS && count; i++)
        at += 1 + (unsigned char)*at;
    for (size_t i = 0; i < count; i++)
        if (memcmp(at + i * ID_LENGTH, origin->groups[i].text, ID_LENGTH) != 0)
            return false;
    return true;
}

bool ledger_row_end(const struct ledger_row *row, char *packed)
{
    if (row->error_class || row->losses.len || !has_groups(packed, &row->origin))
        return false;
    pack_end(row, packed);
    return true;
}

void ledger_row_set_reached(char *packed)
{
    packed[AT_FLAGS] = (char)(packed[AT_FLAGS] | FLAG_REACHED);
}

/* ---- Reading ----------------------------------------------------------------------------------- */

static bool take_text(struct str *rest, struct str *ret)
{
    struct str length;
    return bytes_take(rest, 1, &length) && bytes_take(rest, (unsigned char)length.data[0], ret);
}

/* An id, or none. */
static bool take_id(struct str *rest, struct id *ret)
{
    struct str text;
    *ret = (struct id){0};
    return take_text(rest, &text) && (!text.len || id_parse(text, ret));
}

static bool take_count(const char *at, int64_t maximum, int64_t *ret)
{
    *ret = (int64_t)bytes_get_u64(at);
    return *ret >= -1 && *ret <= maximum;
}

static const char *mode_of(struct str name)
{
    for (int i = ROUTE_WHOLE; i <= ROUTE_CONTINUE; i++)
        if (str_eq(name, str_from_cstr(route_mode_name((enum route_mode)i))))
            return route_mode_name((enum route_mode)i);
    return "";
}

static bool unpack_fixed(const char *head, struct ledger_row *ret)
{
    unsigned flags = (unsigned char)head[AT_FLAGS], outcome = (unsigned char)head[AT_OUTCOME];
    if (head[AT_VERSION] != VERSION || flags > FLAGS_ALL || outcome >= LEDGER_OUTCOME_COUNT)
        return false;
    ret->is_streamed = flags & FLAG_STREAMED;
    ret->is_hedge = flags & FLAG_HEDGE;
    ret->is_batch = flags & FLAG_BATCH;
    ret->reached = flags & FLAG_REACHED;
    ret->usage.is_estimated = flags & FLAG_ESTIMATED;
    ret->outcome = (enum ledger_outcome)outcome;
    ret->number = (unsigned char)head[AT_NUMBER];
    ret->http_status = (int)bytes_get_u16(head + AT_STATUS);
    ret->origin.group_count = (unsigned char)head[AT_GROUPS];
    ret->origin.tag_count = (unsigned char)head[AT_TAGS];
    return ret->http_status <= 999 && ret->origin.group_count <= LEDGER_GROUPS_MAX &&
           ret->origin.tag_count <= LEDGER_TAGS_MAX;
}

static bool unpack_numbers(const char *head, struct ledger_numbers *ret)
{
    ret->start_ms = (int64_t)bytes_get_u64(head + AT_START);
    ret->first_content_us = bytes_get_u64(head + AT_FIRST);
    ret->duration_us = bytes_get_u64(head + AT_DURATION);
    return take_count(head + AT_USAGE, LEDGER_TOKENS_MAX, &ret->input) &&
           take_count(head + AT_USAGE + 8, LEDGER_TOKENS_MAX, &ret->cache_read) &&
           take_count(head + AT_USAGE + 16, LEDGER_TOKENS_MAX, &ret->cache_write) &&
           take_count(head + AT_USAGE + 24, LEDGER_TOKENS_MAX, &ret->output) &&
           take_count(head + AT_USAGE + 32, LEDGER_TOKENS_MAX, &ret->reasoning) &&
           take_count(head + AT_COST, LEDGER_COST_NANO_MAX, &ret->cost_nano);
}

static bool unpack_head(const char *head, struct ledger_row *ret)
{
    struct ledger_numbers numbers;
    if (!unpack_fixed(head, ret) || !unpack_numbers(head, &numbers))
        return false;
    ret->start_ms = numbers.start_ms;
    ret->usage.input_total = numbers.input;
    ret->usage.input_cache_read = numbers.cache_read;
    ret->usage.input_cache_write = numbers.cache_write;
    ret->usage.output_total = numbers.output;
    ret->usage.output_reasoning = numbers.reasoning;
    ret->cost_nano = numbers.cost_nano;
    ret->first_content_us = numbers.first_content_us;
    ret->duration_us = numbers.duration_us;
    return true;
}

static bool unpack_lists(struct str *rest, struct ledger_row_space *space, struct ledger_row *ret)
{
    struct str text;
    for (size_t i = 0; i < ret->origin.group_count; i++)
        if (!bytes_take(rest, ID_LENGTH, &text) || !id_parse(text, &space->groups[i]))
            return false;
    for (size_t i = 0; i < ret->origin.tag_count; i++)
        if (!take_text(rest, &space->tags[i]))
            return false;
    ret->origin.groups = space->groups;
    ret->origin.tags = space->tags;
    return true;
}

bool ledger_row_unpack_numbers(struct str bytes, struct ledger_numbers *ret)
{
    return bytes.len <= LEDGER_ROW_BYTES_MAX && bytes.len >= LEDGER_ROW_BYTES_MIN &&
           (unsigned char)bytes.data[HEAD_BYTES] < bytes.len - HEAD_BYTES &&
           unpack_numbers(bytes.data, ret);
}

bool ledger_row_unpack(struct str bytes, struct ledger_row_space *space, struct ledger_row *ret)
{
    struct str head, rest = bytes, mode, class;
    struct ledger_origin *origin = &ret->origin;
    *ret = (struct ledger_row){0};
    if (bytes.len > LEDGER_ROW_BYTES_MAX || !bytes_take(&rest, HEAD_BYTES, &head) ||
        !unpack_head(head.data, ret) || !take_text(&rest, &origin->request_id) ||
        !take_text(&rest, &origin->door) || !take_text(&rest, &origin->model) ||
        !take_text(&rest, &ret->target) || !take_text(&rest, &mode) || !take_text(&rest, &class) ||
        !take_text(&rest, &ret->losses) || !take_id(&rest, &origin->user) ||
        !take_id(&rest, &origin->key) || !unpack_lists(&rest, space, ret))
        return false;
    ret->mode = mode_of(mode);
    ret->error_class = class.len ? err_from_name(class) : ERR_OK;
    return rest.len == 0;
}
