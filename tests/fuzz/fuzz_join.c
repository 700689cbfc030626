/* Fuzzes the joining of answers. The first bytes choose the kind, where the first answer ends and
 * how the second one is cut: whatever comes, the same is shown as from one piece, it is an end of
 * the second answer, whole characters only, and little is held meanwhile. */
#include "base/assert.h"
#include "base/utf8.h"
#include "route/join.h"

enum { CUTS = 4, HEAD = CUTS + 3, TEXT_BYTES_MAX = 1 << 24 };

static void check_held(const struct join *join)
{
    if (join->state == JOIN_HOLDING)
        ASSERT(join->held.len <= JOIN_HELD_BYTES);
    if (join->state == JOIN_MATCHING)
        ASSERT(join->held.len == 0);
}

/* Adds pieces whose lengths are `steps` in turn (0: all that is left). */
static void run(struct join *join, struct str second, const uint8_t *steps, struct buf *shown)
{
    for (size_t i = 0; second.len; i++) {
        size_t step = steps ? steps[i % CUTS] : 0;
        size_t length = step ? utf8_cut(second, step) : second.len;
        length = length ? length : utf8_length_at(second, 0);
        buf_append(shown, join_add(join, str_slice(second, 0, length)));
        second = str_skip(second, length);
        check_held(join);
    }
    buf_append(shown, join_finish(join));
}

static void compare(struct str sent, struct str second, bool is_splice, const uint8_t *steps)
{
    struct join whole, cut;
    struct buf one, other;
    buf_init(&one, TEXT_BYTES_MAX);
    buf_init(&other, TEXT_BYTES_MAX);
    join_init(&whole, sent, is_splice);
    join_init(&cut, sent, is_splice);
    run(&whole, second, NULL, &one);
    run(&cut, second, steps, &other);
    ASSERT(str_eq(buf_str(&one), buf_str(&other)));
    ASSERT(whole.state == cut.state && whole.matched == cut.matched);
    ASSERT(whole.dropped == cut.dropped && whole.dropped + one.len == second.len);
    ASSERT(whole.matched <= sent.len);
    ASSERT(!is_splice || utf8_cut(sent, whole.matched) == whole.matched);
    ASSERT(str_ends_with(second, buf_str(&one)) && utf8_valid(buf_str(&one), NULL));
    join_done(&whole);
    join_done(&cut);
    buf_done(&one);
    buf_done(&other);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf text, second;
    if (size < HEAD)
        return 0;
    buf_init(&text, TEXT_BYTES_MAX);
    buf_init(&second, TEXT_BYTES_MAX);
    utf8_repair(&text, STR_FROM((const char *)data + HEAD, size - HEAD));
    struct str all = buf_str(&text);
    struct str sent = str_slice(all, 0, utf8_cut(all, all.len * data[CUTS] / 255));
    /* The second answer begins with some of the first, or none, and goes on as the input does. */
    size_t from = utf8_cut(sent, sent.len * data[CUTS + 1] / 255);
    buf_append(&second, str_skip(sent, from));
    buf_append(&second, str_skip(all, sent.len));
    compare(sent, buf_str(&second), data[CUTS + 2] & 1, data);
    buf_done(&text);
    buf_done(&second);
    return 0;
}
