/* Words: the text of an answer, made so that it can be seen of any text whether something of it is
 * lost, doubled or cut off.
 *
 * A word says where it stands ("B27ca": the 28th; of request c; as sampling a made it), and the
 * last one is a mark. Words have the same length however they are sampled: whoever continues a partial
 * answer goes on at the same byte of its own. */
#include "world.h"

#include <string.h>

#include "base/assert.h"

enum { WORD_BYTES_MAX = 12, MARK_BYTES = 6 };

static size_t write_word(char *text, int index, char request, char sampling)
{
    size_t at = 0;
    if (index > 0)
        text[at++] = index % 11 == 10 ? '\n' : ' ';
    text[at++] = (char)('A' + index % 26);
    at += str_from_u64((uint64_t)index, text + at);
    text[at++] = request;
    text[at++] = sampling;
    if (index % 5 == 4) {
        memcpy(text + at, "é", 2);
        at += 2;
    }
    return at;
}

static void write_mark(char text[MARK_BYTES], char sampling)
{
    memcpy(text, "~End .", MARK_BYTES);
    text[4] = sampling;
}

/* Words behind `shown` up to the mark. Those from `differs_from` on are this sampling's own. */
static void write_text(struct world_attempt *attempt, size_t shown, int words, int differs_from)
{
    char request = (char)('a' + attempt->request->id % 26);
    char sampling = (char)('b' + attempt->number % 20);
    char word[WORD_BYTES_MAX + STR_U64_BYTES_MAX];
    size_t at = 0;
    int index = 0;
    for (; index < words || at < shown; index++) {
        size_t length = write_word(word, index, request, index < differs_from ? 'a' : sampling);
        ASSERT(at + length + MARK_BYTES + 1 < WORLD_TEXT_MAX);
        size_t skipped = at >= shown ? 0 : shown - at < length ? shown - at : length;
        memcpy(attempt->text + at + skipped, word + skipped, length - skipped);
        at += length;
    }
    attempt->text[at] = ' ';
    write_mark(attempt->text + at + 1, index <= differs_from ? 'a' : sampling);
    attempt->text_bytes = at + 1 + MARK_BYTES;
}

/* What was shown may end within the mark, or with it. */
static bool continue_mark(struct world_attempt *attempt, struct str shown)
{
    size_t at = str_find_char(shown, '~');
    if (at == SIZE_MAX)
        return false;
    char mark[MARK_BYTES];
    size_t there = shown.len - at;
    write_mark(mark, (char)('b' + attempt->number % 20));
    memcpy(attempt->text + shown.len, mark + there, MARK_BYTES - there);
    attempt->text_bytes = at + MARK_BYTES;
    return true;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n';
}

/* A provider that is given the beginning does not see white space at its end, and says it again. */
static size_t trimmed(struct str shown)
{
    size_t length = shown.len;
    while (length > 0 && is_space(shown.data[length - 1]))
        length--;
    return length;
}

/* How much of what was shown is said again: from the start, or from a word's begin so that there
 * are at least eight bytes. */
static size_t repeats_from(struct world_attempt *attempt, struct str shown)
{
    struct simulation *world = attempt->request->world;
    if (!world_chance(world, attempt->target->repeats_percent))
        return shown.len;
    if (shown.len < 12 || world_chance(world, 20))
        return shown.len < 12 ? shown.len : 0;
    size_t from = shown.len - 8 - random_below(&world->world_random, shown.len - 11);
    while (from > 0 && !is_space(shown.data[from - 1]))
        from--;
    return from;
}

void words_write(struct world_attempt *attempt, struct str shown)
{
    struct world_request *request = attempt->request;
    struct simulation *world = request->world;
    bool continues = attempt->mode == ROUTE_PREFILL || attempt->mode == ROUTE_CONTINUE;
    int words = request->words, differs_from = WORLD_TEXT_MAX;
    attempt->from = attempt->text_bytes = 0;
    if (attempt->target->is_sampled) {
        differs_from = (int)random_below(&world->world_random, (uint64_t)words + 1);
        words += (int)random_below(&world->world_random, 4);
    }
    if (attempt->fault == FAULT_EMPTY)
        return;
    if (!continues) {
        write_text(attempt, 0, words, differs_from);
        return;
    }
    ASSERT(shown.len < WORLD_TEXT_MAX / 2);
    memcpy(attempt->text, shown.data, shown.len);
    if (!continue_mark(attempt, shown))
        write_text(attempt, shown.len, words, differs_from);
    attempt->from = attempt->mode == ROUTE_PREFILL ? trimmed(shown) : repeats_from(attempt, shown);
}
