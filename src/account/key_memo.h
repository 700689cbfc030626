/* Key memo: which keys the texts lately presented were, so that a program's every request does not
 * cost an HMAC and a look-up. Whether the key is good is asked of the directory each time.
 *
 * A text is found again by its SipHash-2-4 of 128 bits under a random secret of this process: a
 * short message authentication code, which nobody outside can aim at. The text itself is not kept.
 * Any thread. */
#pragma once

#include <stdint.h>

#include "base/str.h"

struct key_memo;
struct key; /* of the directory, where they stay for ever */

struct key_memo_tag {
    uint64_t words[2];
};

struct key_memo *key_memo_new(void);
void key_memo_free(struct key_memo *memo);
struct key_memo_tag key_memo_tag(const struct key_memo *memo, struct str text);
/* NULL: not remembered. It may have been revoked since. */
struct key *key_memo_find(struct key_memo *memo, struct key_memo_tag tag);
void key_memo_put(struct key_memo *memo, struct key_memo_tag tag, struct key *key);
