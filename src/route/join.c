/* Join: puts a second answer behind the part of a first one that was shown. Stands between the
 * flow, which asks for the second one, and seam.c, which judges how it begins. Its states are in
 * the header; the functions of its arrows:
 *
 *   SPLICE    MATCHING --match: all equalled--> PASSING
 *             MATCHING --match: a difference, join_finish--> DIFFERS
 *   CONTINUE  HOLDING --settle: the seam is found--> PASSING
 *             HOLDING --settle: full, and begun over so far--> MATCHING
 *             MATCHING --match: all equalled, or a difference--> PASSING
 *
 * HOLDING keeps at most JOIN_HELD_BYTES, up to a character's end, and judges nothing that lies
 * behind them: so its verdict is the same however the text was cut. MATCHING keeps nothing, for
 * what it drops equals `sent`. */
#include "route/join.h"

#include "base/utf8.h"

/* Held are JOIN_HELD_BYTES; when they are passed on, the rest of one piece comes behind them, whose
 * size whoever made it has bounded. */
#define HELD_BYTES_MAX (SIZE_MAX / 2)

void join_init(struct join *join, struct str sent, bool is_splice)
{
    *join = (struct join){.is_splice = is_splice, .sent = sent};
    join->state = sent.len == 0 ? JOIN_PASSING : is_splice ? JOIN_MATCHING : JOIN_HOLDING;
    if (join->state == JOIN_HOLDING)
        seam_text_init(&join->text, sent);
    buf_init(&join->held, HELD_BYTES_MAX);
}

void join_done(struct join *join)
{
    buf_done(&join->held);
}

/* Forgets `sent`, which is not borrowed any longer. */
static void set_state(struct join *join, enum join_state state)
{
    join->state = state;
    if (state == JOIN_PASSING || state == JOIN_DIFFERS) {
        join->sent = STR_NONE;
        join->text = (struct seam_text){.sent = STR_NONE};
    }
}

/* Bytes that both begin with, whole characters only. */
static size_t same_length(struct str sent, struct str piece)
{
    size_t max = sent.len < piece.len ? sent.len : piece.len;
    size_t length = 0;
    while (length < max && sent.data[length] == piece.data[length])
        length++;
    while (length && length < piece.len && ((unsigned char)piece.data[length] & 0xC0) == 0x80)
        length--;
    return length;
}

static struct str match(struct join *join, struct str piece)
{
    struct str left = str_skip(join->sent, join->matched);
    size_t length = same_length(left, piece);
    join->matched += length;
    join->dropped += length;
    if (length == left.len)
        set_state(join, JOIN_PASSING);
    else if (length < piece.len)
        set_state(join, join->is_splice ? JOIN_DIFFERS : JOIN_PASSING);
    return str_skip(piece, length);
}

/* The seam is known: gives what is held behind it, and `rest`, which was not held. */
static struct str pass(struct join *join, struct seam seam, struct str rest)
{
    join->matched = seam.matched;
    join->dropped = seam.drop;
    set_state(join, JOIN_PASSING);
    buf_append(&join->held, rest);
    return str_skip(buf_str(&join->held), seam.drop);
}

/* Judges what is held. `rest`: of the piece, more than could be held. */
static struct str settle(struct join *join, struct str rest, bool is_end)
{
    bool is_full = rest.len > 0;
    struct seam seam = seam_find(&join->text, buf_str(&join->held), is_end);
    if (seam.verdict == SEAM_OVER && is_full) {
        join->dropped = join->held.len;
        join->matched = seam.matched;
        buf_release(&join->held);
        set_state(join, JOIN_MATCHING);
        return match(join, rest);
    }
    if (seam.verdict != SEAM_FOUND && is_full)
        seam = seam_find(&join->text, buf_str(&join->held), true);
    return seam.verdict == SEAM_FOUND ? pass(join, seam, rest) : STR_NONE;
}

static struct str hold(struct join *join, struct str piece)
{
    size_t taken = utf8_cut(piece, JOIN_HELD_BYTES - join->held.len);
    buf_append(&join->held, str_slice(piece, 0, taken));
    return settle(join, str_skip(piece, taken), false);
}

struct str join_add(struct join *join, struct str piece)
{
    if (piece.len == 0)
        return STR_NONE;
    if (join->state == JOIN_HOLDING)
        return hold(join, piece);
    buf_release(&join->held);
    return join->state == JOIN_MATCHING ? match(join, piece) : piece;
}

struct str join_finish(struct join *join)
{
    if (join->state == JOIN_HOLDING)
        return settle(join, STR_NONE, true);
    if (join->state == JOIN_MATCHING)
        set_state(join, join->is_splice ? JOIN_DIFFERS : JOIN_PASSING);
    return STR_NONE;
}
