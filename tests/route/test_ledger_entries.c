/* Blocks of rows as bytes: what is kept of a block gives back every row of it, byte for byte, in a
 * fraction of its bytes; blocks of the first form are still read; no bytes do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "route/ledger_entries.h"

enum { ROWS = 300, FILLED_BYTES_MAX = 4 << 20 };

/* What a row is made of; the rest is always the same. */
struct said {
    int kind; /* of its caller */
    int64_t start_ms;
    int64_t tokens;
    uint64_t duration_us;
    bool failed;
};

static void fill(struct buf *filled, uint64_t serial, const struct said *said)
{
    static const struct str tags[] = {{"team:x", 6}};
    char packed[LEDGER_ROW_BYTES_MAX], model[20];
    const struct id group = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq3"};
    char request[40];
    snprintf(request, sizeof request, "%.*s%llx", (int)(serial % 13), "6b5e93aa90a2-",
             (unsigned long long)serial);
    snprintf(model, sizeof model, "m%d", said->kind);
    const struct ledger_row row = {
        .start_ms = said->start_ms,
        .origin = {.request_id = str_from_cstr(request),
                   .user = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq1"},
                   .key = {.text = "01kaqqqqqqqqqqqqqqqqqqqqq2"},
                   .groups = &group,
                   .group_count = 1,
                   .tags = tags,
                   .tag_count = (size_t)(said->kind % 2),
                   .door = STR("openai"),
                   .model = str_from_cstr(model)},
        .number = 1,
        .target = STR("p/m"),
        .mode = "whole",
        .outcome = said->failed ? LEDGER_FAILED : LEDGER_ANSWERED,
        .error_class = said->failed ? ERR_OVERLOADED : ERR_OK,
        .usage = {said->tokens, -1, 0, 300, -1, false},
        .cost_nano = said->tokens * 1500,
        .duration_us = said->duration_us,
        .losses = STR(""),
    };
    ledger_entry_append(filled, serial, STR_FROM(packed, ledger_row_pack(&row, packed)));
}

static void keep(struct str filled, struct ledger_writer *writer)
{
    uint64_t serial;
    struct str packed;
    bool known;
    ledger_writer_init(writer, filled.len);
    ledger_writer_begin(writer);
    while (ledger_entry_next(&filled, &serial, &packed))
        ledger_writer_add(writer, serial, packed, &known);
    assert_true(buf_ok(&writer->out) && !filled.len);
}

static void assert_gives(struct str block, struct str filled)
{
    struct ledger_reader reader;
    struct str packed, read;
    uint64_t serial, number;
    ledger_reader_init(&reader, block);
    while (ledger_entry_next(&filled, &serial, &packed)) {
        assert_true(ledger_reader_next(&reader, &number, &read));
        assert_true(number == serial && str_eq(packed, read));
    }
    assert_int_equal(reader.rest.len, 0);
    assert_false(ledger_reader_next(&reader, &number, &read));
}

static void assert_kept(struct str filled)
{
    struct ledger_writer writer;
    keep(filled, &writer);
    assert_gives(buf_str(&writer.out), filled);
    ledger_writer_done(&writer);
}

static void test_rows_of_one_kind_are_short(void **state)
{
    (void)state;
    struct buf filled;
    struct ledger_writer writer;
    buf_init(&filled, FILLED_BYTES_MAX);
    for (int i = 0; i < ROWS; i++)
        fill(&filled, (uint64_t)(1000 + i),
             &(struct said){.start_ms = INT64_C(1795392000000) + i * 3,
                            .tokens = 1000 + i,
                            .duration_us = (uint64_t)(900000 + i * 1000)});
    keep(buf_str(&filled), &writer);
    assert_true(filled.len > (size_t)ROWS * 190);
    assert_true(writer.out.len < (size_t)ROWS * 40 + 200);
    assert_gives(buf_str(&writer.out), buf_str(&filled));
    ledger_writer_done(&writer);
    buf_done(&filled);
}

/* One writer for many blocks, each of which is whole without the others, behind bytes of its owner. */
static void test_blocks_of_one_writer(void **state)
{
    (void)state;
    struct buf filled;
    struct ledger_writer writer;
    struct str rest, packed;
    uint64_t serial;
    bool known;
    ledger_writer_init(&writer, FILLED_BYTES_MAX);
    buf_init(&filled, FILLED_BYTES_MAX);
    for (int i = 0; i < 40; i++) {
        buf_clear(&filled);
        for (int k = 0; k < i; k++)
            fill(&filled, (uint64_t)(i + k),
                 &(struct said){.kind = k * i % 5, .start_ms = i + k, .tokens = k});
        buf_clear(&writer.out);
        buf_append(&writer.out, str_slice(STR("owner"), 0, (size_t)(i % 5)));
        ledger_writer_begin(&writer);
        for (rest = buf_str(&filled); ledger_entry_next(&rest, &serial, &packed);)
            ledger_writer_add(&writer, serial, packed, &known);
        assert_gives(str_skip(buf_str(&writer.out), (size_t)(i % 5)), buf_str(&filled));
    }
    ledger_writer_done(&writer);
    buf_done(&filled);
}

/* More kinds than there are slots, serials and starts in any order, numbers of any size. */
static void test_mixed_rows_are_kept(void **state)
{
    (void)state;
    struct random random;
    struct buf filled;
    random_init(&random, 1);
    for (int kinds = 1; kinds < 1000; kinds *= 3) {
        buf_init(&filled, FILLED_BYTES_MAX);
        for (int i = 0; i < 4 * ROWS; i++)
            fill(&filled, random_next(&random) >> random_below(&random, 64),
                 &(struct said){.kind = (int)random_below(&random, (uint64_t)kinds),
                                .start_ms = (int64_t)random_next(&random),
                                .tokens = (int64_t)random_below(&random, 100) - 1,
                                .duration_us = random_next(&random) >> random_below(&random, 64),
                                .failed = random_below(&random, 2)});
        assert_kept(buf_str(&filled));
        buf_done(&filled);
    }
}

static void test_largest_row(void **state)
{
    (void)state;
    char text[300], packed[LEDGER_ROW_BYTES_MAX];
    struct buf filled;
    memset(text, 'x', sizeof text);
    const struct str long_text = STR_FROM(text, sizeof text);
    struct str tags[LEDGER_TAGS_MAX];
    struct id groups[LEDGER_GROUPS_MAX];
    for (size_t i = 0; i < LEDGER_TAGS_MAX; i++)
        tags[i] = long_text;
    for (size_t i = 0; i < LEDGER_GROUPS_MAX; i++)
        groups[i] = id_new(1);
    const struct ledger_row row = {.start_ms = INT64_MIN,
                                   .origin = {.request_id = long_text,
                                              .user = id_new(2),
                                              .key = id_new(3),
                                              .groups = groups,
                                              .group_count = LEDGER_GROUPS_MAX,
                                              .tags = tags,
                                              .tag_count = LEDGER_TAGS_MAX,
                                              .door = long_text,
                                              .model = long_text},
                                   .target = long_text,
                                   .mode = text + sizeof text - 1,
                                   .usage = {LEDGER_TOKENS_MAX, LEDGER_TOKENS_MAX,
                                             LEDGER_TOKENS_MAX, LEDGER_TOKENS_MAX,
                                             LEDGER_TOKENS_MAX, true},
                                   .cost_nano = LEDGER_COST_NANO_MAX,
                                   .first_content_us = UINT64_MAX - 1,
                                   .duration_us = UINT64_MAX,
                                   .losses = long_text};
    text[sizeof text - 1] = '\0';
    buf_init(&filled, FILLED_BYTES_MAX);
    for (uint64_t i = 0; i < 3; i++)
        ledger_entry_append(&filled, UINT64_MAX - i * i * 1000,
                            STR_FROM(packed, ledger_row_pack(&row, packed)));
    assert_kept(buf_str(&filled));
    buf_done(&filled);
}

/* As databases hold them that were written before. */
static void test_first_form(void **state)
{
    (void)state;
    struct buf filled;
    struct ledger_reader reader;
    struct str packed;
    uint64_t serial;
    buf_init(&filled, FILLED_BYTES_MAX);
    for (int i = 0; i < ROWS; i++)
        fill(&filled, (uint64_t)i, &(struct said){.kind = i % 3, .start_ms = i, .tokens = i});
    assert_gives(buf_str(&filled), buf_str(&filled));
    ledger_reader_init(&reader, str_slice(buf_str(&filled), 0, filled.len - 1));
    for (int i = 0; i < ROWS - 1; i++)
        assert_true(ledger_reader_next(&reader, &serial, &packed));
    assert_false(ledger_reader_next(&reader, &serial, &packed)); /* torn */
    assert_true(reader.rest.len > 0);
    buf_done(&filled);
}

/* Whether all of `block` is read. */
static bool reads(struct str block, int *ret_rows)
{
    struct ledger_reader reader;
    struct ledger_row_space space;
    struct ledger_row row;
    struct str packed;
    uint64_t serial;
    char *exact = malloc(block.len ? block.len : 1); /* so that a byte too far is seen */
    assert_non_null(exact);
    memcpy(exact, block.data, block.len);
    ledger_reader_init(&reader, STR_FROM(exact, block.len));
    for (*ret_rows = 0; ledger_reader_next(&reader, &serial, &packed); ++*ret_rows)
        if (ledger_row_unpack(packed, &space, &row))
            assert_true(packed.len <= LEDGER_ROW_BYTES_MAX &&
                        row.origin.group_count <= LEDGER_GROUPS_MAX);
    assert_false(ledger_reader_next(&reader, &serial, &packed)); /* and stays so */
    free(exact);
    return reader.rest.len == 0;
}

#define NINE      "\0\0\0\0\0\0\0\0\0"
#define MOST      "\377\377\377\377\377\377\377\377\377"
#define FIRST     "\2\0\7\10kindkind\1" NINE
#define ASK(text) reads(STR(text), &rows)
static void test_what_is_no_block_is_refused(void **state)
{
    (void)state;
    int rows;
    assert_true(ASK("") && rows == 0);
    assert_true(ASK("\2\0") && rows == 0);
    assert_false(ASK("\2"));
    assert_false(ASK("\3\0\0\0") || rows); /* of a newer version */
    assert_false(ASK("\1\0\0\0") || rows);
    /* The smallest entries, of which none is a row: a kind of eight bytes, then one that refers. */
    assert_true(ASK(FIRST "\0\0") && rows == 1);
    assert_true(ASK(FIRST "\0\0\7\0\1" NINE "\0\0") && rows == 2);
    assert_false(ASK(FIRST "\0\0\6\0\1" NINE "\0\0")); /* an empty slot */
    assert_int_equal(rows, 1);
    assert_false(ASK("\2\0\7\7kindkin\1" NINE "\0\0")); /* less than a kind */
    assert_false(ASK("\2\0\7\11kindkind"));             /* more than there is */
    assert_false(ASK("\2\0\7" MOST "\1kindkind\1" NINE "\0\0"));
    assert_false(ASK(FIRST));
    assert_false(ASK(FIRST "\0"));
    assert_false(ASK(FIRST "\0\1")); /* no byte of the id */
    assert_false(ASK(FIRST "\1\0")); /* there is no id before */
    assert_true(ASK(FIRST "\0\2ab\7\0\1" NINE "\2\0\7\0\1" NINE "\2\1c") && rows == 3);
    assert_false(ASK(FIRST "\0\2ab\7\0\1" NINE "\1\0\7\0\1" NINE "\2\0"));
    assert_int_equal(rows, 2);
    assert_false(ASK("\2\0\7\10kindkind" MOST "\2" NINE "\0\0")); /* more than 64 bits */
    assert_true(ASK("\2\0\7\10kindkind" MOST "\1" NINE "\0\0"));
    assert_false(ASK("\2\0\7\10kindkind" MOST "\377\1" NINE "\0\0"));
}

/* With the id, a row longer than any. */
static void test_too_long_a_row_is_refused(void **state)
{
    (void)state;
    struct buf block;
    int rows;
    char kind[LEDGER_ROW_BYTES_MAX] = {0};
    for (size_t over = 0; over < 2; over++) {
        size_t length = LEDGER_ROW_BYTES_MAX - 8 * LEDGER_ROW_NUMBERS - 6 + over;
        buf_init(&block, 2 * LEDGER_ROW_BYTES_MAX);
        buf_append(&block, STR("\2\0\7"));
        buf_append_char(&block, (char)(length | 0x80));
        buf_append_char(&block, (char)(length >> 7));
        buf_append(&block, STR_FROM(kind, length));
        buf_append(&block, STR("\1" NINE "\0\5hello"));
        assert_true(reads(buf_str(&block), &rows) == !over && rows == !over);
        buf_done(&block);
    }
}

static void test_damage_is_safe(void **state)
{
    (void)state;
    struct random random;
    struct buf filled;
    struct ledger_writer writer;
    int rows;
    random_init(&random, 3);
    buf_init(&filled, FILLED_BYTES_MAX);
    for (int i = 0; i < 8; i++)
        fill(&filled, (uint64_t)i, &(struct said){.kind = i % 3, .start_ms = i, .tokens = i});
    keep(buf_str(&filled), &writer);
    for (size_t i = 0; i < writer.out.len; i++) /* torn anywhere */
        assert_true(!reads(str_slice(buf_str(&writer.out), 0, i), &rows) || rows < 8);
    for (int i = 0; i < 20000; i++) {
        size_t at = random_below(&random, writer.out.len);
        char was = writer.out.data[at];
        writer.out.data[at] = (char)random_next(&random);
        reads(buf_str(&writer.out), &rows);
        writer.out.data[at] = was;
    }
    assert_true(reads(buf_str(&writer.out), &rows) && rows == 8);
    ledger_writer_done(&writer);
    buf_done(&filled);
}

static void test_entries_as_filled(void **state)
{
    (void)state;
    struct buf out;
    uint64_t serial;
    struct str packed;
    buf_init(&out, 4096);
    ledger_entry_append(&out, 7, STR("seven"));
    ledger_entry_append(&out, UINT64_MAX, STR(""));
    struct str rest = buf_str(&out), torn = str_slice(rest, 0, rest.len - 1);
    assert_true(ledger_entry_next(&rest, &serial, &packed));
    assert_true(serial == 7 && str_eq(packed, STR("seven")));
    assert_true(ledger_entry_next(&rest, &serial, &packed));
    assert_true(serial == UINT64_MAX && packed.len == 0 && rest.len == 0);
    assert_false(ledger_entry_next(&rest, &serial, &packed));
    assert_true(ledger_entry_next(&torn, &serial, &packed));
    assert_false(ledger_entry_next(&torn, &serial, &packed));
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_one_kind_are_short),
        cmocka_unit_test(test_blocks_of_one_writer),
        cmocka_unit_test(test_mixed_rows_are_kept),
        cmocka_unit_test(test_largest_row),
        cmocka_unit_test(test_first_form),
        cmocka_unit_test(test_what_is_no_block_is_refused),
        cmocka_unit_test(test_too_long_a_row_is_refused),
        cmocka_unit_test(test_damage_is_safe),
        cmocka_unit_test(test_entries_as_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
