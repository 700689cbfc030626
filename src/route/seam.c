/* Seam: where a continued answer really goes on. Stands behind join, which feeds it.
 *
 * Models that are asked to continue rarely do just that. They repeat the last sentence, line or
 * word; they begin the whole answer again; they open the code block again in which they were; they
 * quote the last words, or begin with "...". The rules below take such repetitions away. They are
 * asked in this order, the first that applies decides:
 *
 *   over    The first answer comes again from its start (white space in front of either does not
 *           count). All of it again: dropped. Only its beginning: dropped as far as it goes when it
 *           is SEAM_OVER_BYTES_MIN bytes at least and stands nowhere else in the first answer.
 *   end     The longest end of the first answer with which the second one begins is dropped:
 *             - SEAM_END_BYTES_MIN bytes or more, with a letter or digit among them;
 *             - two or more, from the beginning of a word or line to the end of a word, with a
 *               letter among them; where the first answer ends with a line break, only a whole
 *               line;
 *             - four bytes of a word or more, when the second answer begins that word again;
 *             - the mark of a list item, a heading or a row on the last line ("2.", "-", "##").
 *           Not when it begins inside a run of blanks (the end of another block, indented
 *           otherwise, looks like that), and not when it repeats within itself or stands twice at
 *           the end already ("0, 0, 0, "): such a text may go on like that.
 *   fence   A code block is open and its fence comes again: the fence line is dropped, and what is
 *           repeated behind it. The same language must be named; or what follows repeats at least
 *           SEAM_END_BYTES_MIN bytes; or nothing stands in the block yet. Without any of these it
 *           is a fence that closes the block, or belongs into it.
 *   quote   A quotation mark with an end (as above) behind it: both are dropped, and the mark that
 *           closes the quotation right behind it.
 *   dots    "..." with an end behind it: both are dropped. Without one only the dots are, unless
 *           they may mean something: inside a code block, or behind a bracket or "=".
 *
 * White space behind what is repeated is dropped as far as the first answer ends with the same; all
 * other white space stays. When in doubt nothing is dropped: a word said twice is better than a
 * lost one. Introductions ("Sure, here is the rest:") are kept for that reason.
 *
 * Every rule says SEAM_MORE as long as more text could change what it says, so that a verdict does
 * not depend on how the text came. */
#include "route/seam.h"

#include <string.h>

enum {
    SHORT_BYTES_MIN = 2,             /* of words that are repeated */
    WORD_BYTES_MIN = 4,              /* of a word that is begun again */
    FENCE_TICKS_MIN = 3,             /* backticks that open a code block */
    FENCE_LINE_BYTES_MAX = 64,       /* a longer line that begins with backticks is none */
    SEARCHED_BYTES_MAX = 64 * 1024u, /* of the first answer, for a second occurrence */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* What is not ASCII counts as a letter. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c);
}

/* How many bytes at the beginning are of that kind. */
static size_t span(struct str s, bool (*is_kind)(char c))
{
    size_t length = 0;
    while (length < s.len && is_kind(s.data[length]))
        length++;
    return length;
}

static bool is_tick(char c)
{
    return c == '`';
}

static bool is_not_letter(char c)
{
    return !is_letter(c);
}

static bool is_not_word(char c)
{
    return !is_word(c);
}

static size_t common_length(struct str a, struct str b)
{
    size_t max = a.len < b.len ? a.len : b.len;
    size_t length = 0;
    while (length < max && a.data[length] == b.data[length])
        length++;
    return length;
}

static struct seam verdict(enum seam_verdict which)
{
    return (struct seam){.verdict = which};
}

static struct seam found(size_t drop, size_t matched)
{
    return (struct seam){SEAM_FOUND, drop, matched};
}

static struct seam more_unless(bool is_all)
{
    return verdict(is_all ? SEAM_NONE : SEAM_MORE);
}

/* Takes a literal off the beginning: SEAM_FOUND (then *text is what follows it), SEAM_NONE, or
 * SEAM_MORE when the text ended before that was clear. */
static enum seam_verdict take(struct str *text, struct str literal, bool is_all)
{
    if (str_starts_with(*text, literal)) {
        *text = str_skip(*text, literal.len);
        return SEAM_FOUND;
    }
    return !is_all && str_starts_with(literal, *text) ? SEAM_MORE : SEAM_NONE;
}

static enum seam_verdict take_dots(struct str *text, bool is_all)
{
    enum seam_verdict taken = take(text, STR("\xE2\x80\xA6"), is_all);
    return taken == SEAM_NONE ? take(text, STR("..."), is_all) : taken;
}

/* ---- The first answer ------------------------------------------------------------------------ */

/* One line, without its line break: may open or close a code block. */
static void fence_note(struct seam_text *text, struct str line)
{
    struct str trimmed = str_trim(line);
    size_t ticks = span(trimmed, is_tick);
    struct str language = str_skip(trimmed, ticks);
    if (trimmed.len)
        text->fence_is_fresh = false;
    if (ticks < FENCE_TICKS_MIN || str_find_char(language, '`') != SIZE_MAX)
        return;
    if (text->fence_ticks == 0) {
        text->fence_ticks = ticks;
        text->fence_language = language;
        text->fence_is_fresh = true;
    } else if (ticks >= text->fence_ticks && language.len == 0) {
        text->fence_ticks = 0;
    }
}

void seam_text_init(struct seam_text *text, struct str sent)
{
    *text = (struct seam_text){.sent = sent};
    text->start = span(sent, is_space);
    text->end = sent.len;
    while (text->end > text->start && is_space(sent.data[text->end - 1]))
        text->end--;
    struct str rest = sent;
    struct str line = STR_NONE;
    while (rest.data) {
        line = str_next(&rest, '\n');
        fence_note(text, line);
    }
    line = str_skip(line, span(line, is_blank));
    if (line.len && span(line, is_tick) == line.len)
        text->line_ticks = line.len;
}

static struct str white_at_end(const struct seam_text *text)
{
    return str_skip(text->sent, text->end);
}

/* White space at the end of the first answer that comes again behind a repetition. False: more must
 * be seen. */
static bool white_again(const struct seam_text *text, struct str after, bool is_all,
                        size_t *ret_length)
{
    struct str white = white_at_end(text);
    *ret_length = common_length(white, after);
    return is_all || *ret_length == white.len || *ret_length < after.len;
}

/* ---- Begun over ------------------------------------------------------------------------------ */

/* How much of the beginning is dropped when only `length` bytes of it came again; 0: nothing, it is
 * no sign of beginning over. */
static size_t over_judge(const struct seam_text *text, struct str body, struct str again,
                         size_t length)
{
    while (length && length < again.len && ((unsigned char)again.data[length] & 0xC0) == 0x80)
        length--;
    if (length < SEAM_OVER_BYTES_MIN)
        return 0;
    struct str others = str_slice(text->sent, text->start + 1, SEARCHED_BYTES_MAX);
    return str_find(others, str_slice(body, 0, length)) == SIZE_MAX ? length : 0;
}

static struct seam over_rule(const struct seam_text *text, struct str begun, bool is_all)
{
    struct str body = str_slice(text->sent, text->start, text->end - text->start);
    size_t lead = span(begun, is_space);
    struct str again = str_skip(begun, lead);
    if (body.len == 0)
        return verdict(SEAM_NONE);
    if (again.len == 0)
        return more_unless(is_all);
    size_t length = common_length(body, again);
    if (length == again.len && length < body.len && !is_all)
        return (struct seam){SEAM_OVER, begun.len, text->start + length};
    if (length < body.len) {
        size_t dropped = over_judge(text, body, again, length);
        return dropped ? found(lead + dropped, text->start + dropped) : verdict(SEAM_NONE);
    }
    /* A short word with other white space in front of it is just a word: "a" and " and". */
    bool same_lead = str_eq(str_slice(begun, 0, lead), str_slice(text->sent, 0, text->start));
    if (body.len < SEAM_END_BYTES_MIN && !same_lead)
        return verdict(SEAM_NONE);
    size_t white;
    if (!white_again(text, str_skip(again, length), is_all, &white))
        return verdict(SEAM_MORE);
    return found(lead + length + white, text->end + white);
}

/* ---- An end repeated ------------------------------------------------------------------------- */

static bool has_word(struct str s)
{
    return span(s, is_not_word) < s.len;
}

/* Whether the text would come again by its own nature: it is a unit said twice or more, or it
 * stands twice at the end of what was sent. */
static bool is_periodic(const struct seam_text *text, struct str end)
{
    struct str all = str_skip(text->sent, text->end - end.len); /* white space too */
    if (text->sent.len >= 2 * all.len && memcmp(all.data - all.len, all.data, all.len) == 0)
        return true;
    for (size_t unit = 1; unit <= all.len / 2; unit++)
        if (memcmp(all.data, all.data + unit, all.len - unit) == 0)
            return true;
    return false;
}

static bool is_line_mark(char c)
{
    return is_digit(c) || (c && strchr("-*+#>|.)", c));
}

/* The mark with which an item, a heading or a row begins, as a whole: "2.", "##", "|". */
static bool is_only_mark(struct str end, struct str after)
{
    return span(end, is_line_mark) == end.len && !is_digit(end.data[end.len - 1]) && after.len &&
           is_blank(after.data[0]);
}

/* Fewer bytes than SEAM_END_BYTES_MIN, or no letter or digit among them. */
static bool short_is_sign(const struct seam_text *text, struct str end, struct str after)
{
    size_t at = text->end - end.len;
    struct str white = white_at_end(text);
    bool is_line = at == 0 || text->sent.data[at - 1] == '\n';
    bool is_at_word = is_line || (is_word(end.data[0]) && !is_word(text->sent.data[at - 1]));
    bool has_letter = span(end, is_not_letter) < end.len;
    bool ends_line = str_find_char(white, '\n') != SIZE_MAX;
    if (is_line && !ends_line && is_only_mark(end, after))
        return true;
    if (end.len < SHORT_BYTES_MIN || !has_letter || !is_at_word || (ends_line && !is_line))
        return false;
    bool ends_inside_word = is_word(end.data[end.len - 1]) && after.len && is_word(after.data[0]);
    return !ends_inside_word || (white.len == 0 && end.len >= WORD_BYTES_MIN);
}

static bool end_is_sign(const struct seam_text *text, struct str end, struct str after,
                        size_t white)
{
    size_t at = text->end - end.len;
    if (at && is_blank(end.data[0]) && is_blank(text->sent.data[at - 1]))
        return false;
    if (!has_word(end) || end.len + white < SEAM_END_BYTES_MIN)
        return short_is_sign(text, end, after);
    return true;
}

/* One end that the text begins with. */
static struct seam end_judge(const struct seam_text *text, struct str end, struct str after,
                             bool is_all)
{
    size_t white;
    if (!white_again(text, after, is_all, &white) || (after.len == 0 && !is_all))
        return verdict(SEAM_MORE);
    if (!end_is_sign(text, end, after, white))
        return verdict(SEAM_NONE);
    if (has_word(end) && is_periodic(text, end))
        return found(0, 0);
    return found(end.len + white, end.len + white);
}

/* The longest end that `begun` begins with behind its first `skip` bytes, which are dropped with
 * it. */
static struct seam end_find(const struct seam_text *text, struct str begun, size_t skip,
                            bool is_all)
{
    struct str body = str_skip(begun, skip);
    size_t longest = text->end - text->start;
    if (body.len == 0 || longest == 0)
        return more_unless(is_all || longest == 0);
    if (longest > SEAM_END_BYTES_MAX)
        longest = SEAM_END_BYTES_MAX;
    for (size_t length = longest; length; length--) {
        struct str end = str_slice(text->sent, text->end - length, length);
        size_t shared = length < body.len ? length : body.len;
        if (end.data[0] != body.data[0] || memcmp(end.data, body.data, shared) != 0)
            continue;
        if (shared < length && !is_all)
            return verdict(SEAM_MORE); /* it may still become that end */
        if (shared < length)
            continue;
        struct seam seam = end_judge(text, end, str_skip(body, length), is_all);
        if (seam.verdict == SEAM_FOUND && seam.drop)
            seam.drop += skip;
        if (seam.verdict != SEAM_NONE)
            return seam;
    }
    return verdict(SEAM_NONE);
}

static struct seam end_rule(const struct seam_text *text, struct str begun, bool is_all)
{
    return end_find(text, begun, 0, is_all);
}

/* ---- A fence opened again -------------------------------------------------------------------- */

/* The last line is the beginning of a fence, or a whole one without its line break: "``". */
static struct seam fence_on_line(const struct seam_text *text, struct str begun, bool is_all)
{
    size_t ticks = span(begun, is_tick);
    if (ticks == begun.len && !is_all)
        return verdict(SEAM_MORE);
    bool is_closing = text->line_ticks >= FENCE_TICKS_MIN && text->fence_ticks == 0;
    bool closes_again = ticks == begun.len || is_space(begun.data[ticks]);
    if (ticks < FENCE_TICKS_MIN || ticks < text->line_ticks || (is_closing && !closes_again))
        return verdict(SEAM_NONE);
    return found(text->line_ticks, text->line_ticks);
}

/* Finds the fence line that the text begins with: *ret_length with its line break, the language. */
static enum seam_verdict fence_line(struct str begun, bool is_all, size_t *ret_length,
                                    struct str *ret_language)
{
    size_t lead = span(begun, is_space);
    struct str line = str_skip(begun, lead);
    size_t ticks = span(line, is_tick);
    size_t length = str_find_char(line, '\n');
    bool is_open = length == SIZE_MAX && line.len <= FENCE_LINE_BYTES_MAX && !is_all;
    if ((ticks == line.len || ticks >= FENCE_TICKS_MIN) && is_open)
        return SEAM_MORE;
    if (ticks < FENCE_TICKS_MIN || length == SIZE_MAX || length > FENCE_LINE_BYTES_MAX)
        return SEAM_NONE;
    *ret_language = str_trim(str_slice(line, ticks, length - ticks));
    *ret_length = lead + length + 1;
    return SEAM_FOUND;
}

static struct seam fence_rule(const struct seam_text *text, struct str begun, bool is_all)
{
    size_t length;
    struct str language;
    if (text->line_ticks && text->end == text->sent.len)
        return fence_on_line(text, begun, is_all);
    if (text->fence_ticks == 0)
        return verdict(SEAM_NONE);
    enum seam_verdict line = fence_line(begun, is_all, &length, &language);
    if (line != SEAM_FOUND)
        return verdict(line);
    bool is_same = language.len && str_eq_nocase(language, text->fence_language);
    bool is_again = is_same || (text->fence_is_fresh && language.len == 0);
    struct seam behind = end_find(text, begun, length, is_all);
    if (behind.verdict == SEAM_MORE)
        return behind;
    if (behind.verdict == SEAM_FOUND &&
        (is_again ? behind.drop > 0 : behind.matched >= SEAM_END_BYTES_MIN))
        return behind;
    return is_again ? found(length, 0) : verdict(SEAM_NONE);
}

/* ---- Quotations and dots --------------------------------------------------------------------- */

struct quotation {
    const char *open;
    const char *close;
};

static const struct quotation quotations[] = {
    {"\"", "\""},
    {"\xE2\x80\x9C", "\xE2\x80\x9D"}, /* “ ” */
    {"\xE2\x80\x9E", "\xE2\x80\x9C"}, /* „ “ */
    {"\xE2\x80\x98", "\xE2\x80\x99"}, /* ‘ ’ */
    {"\xC2\xAB", "\xC2\xBB"},         /* « » */
    {"'", "'"},
    {"`", "`"},
};

/* Drops the closing mark too, and dots in front of it. */
static struct seam quote_close(struct seam seam, struct str begun, const char *close, bool is_all)
{
    struct str after = str_skip(begun, seam.drop);
    enum seam_verdict dots = take_dots(&after, is_all);
    enum seam_verdict closed =
        dots == SEAM_MORE ? dots : take(&after, str_from_cstr(close), is_all);
    if (closed == SEAM_MORE)
        return verdict(SEAM_MORE);
    if (closed == SEAM_FOUND)
        seam.drop = begun.len - after.len;
    return seam;
}

static struct seam quote_find(const struct seam_text *text, struct str begun,
                              const struct quotation *quotation, bool is_all)
{
    struct str inner = begun;
    enum seam_verdict opened = take(&inner, str_from_cstr(quotation->open), is_all);
    if (opened != SEAM_FOUND)
        return verdict(opened);
    if (take_dots(&inner, is_all) == SEAM_MORE)
        return verdict(SEAM_MORE);
    size_t skip = begun.len - inner.len + span(inner, is_blank);
    struct seam seam = end_find(text, begun, skip, is_all);
    if (seam.verdict != SEAM_FOUND || seam.drop == 0)
        return seam;
    return quote_close(seam, begun, quotation->close, is_all);
}

static struct seam quote_rule(const struct seam_text *text, struct str begun, bool is_all)
{
    for (size_t i = 0; i < sizeof quotations / sizeof quotations[0]; i++) {
        struct seam seam = quote_find(text, begun, &quotations[i], is_all);
        if (seam.verdict != SEAM_NONE)
            return seam;
    }
    return verdict(SEAM_NONE);
}

/* Whether dots at the seam are only the sign of going on. */
static bool dots_say_nothing(const struct seam_text *text, struct str after)
{
    if (text->end == text->start || text->fence_ticks || after.len == 0 || after.data[0] == '.')
        return false;
    return !strchr("([{<=", text->sent.data[text->end - 1]);
}

static struct seam dots_rule(const struct seam_text *text, struct str begun, bool is_all)
{
    struct str after = begun;
    enum seam_verdict dots = take_dots(&after, is_all);
    if (dots != SEAM_FOUND)
        return verdict(dots);
    size_t blanks = span(after, is_blank);
    size_t length = begun.len - after.len;
    if (blanks == after.len && !is_all)
        return verdict(SEAM_MORE);
    struct seam seam = end_find(text, begun, length + blanks, is_all);
    if (seam.verdict == SEAM_MORE || (seam.verdict == SEAM_FOUND && seam.drop))
        return seam;
    if (!dots_say_nothing(text, after))
        return verdict(SEAM_NONE);
    return found(length + (text->end < text->sent.len ? blanks : 0), 0);
}

/* ---- All of them ----------------------------------------------------------------------------- */

static struct seam (*const rules[])(const struct seam_text *text, struct str begun, bool is_all) = {
    over_rule, end_rule, fence_rule, quote_rule, dots_rule,
};

struct seam seam_find(const struct seam_text *text, struct str begun, bool is_all)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct seam seam = rules[i](text, begun, is_all);
        if (seam.verdict != SEAM_NONE)
            return seam;
    }
    return found(0, 0);
}
