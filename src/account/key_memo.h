/* Key memo: whose the keys presented lately were, so that a program's every request does not cost an
 * HMAC, a look-up and a lock. What is remembered is the key's policy, which is retired whenever
 * something that it rests on changes: while it is current, so is the key.
 *
 * A text is found again by its SipHash-2-4 of 128 bits under a random secret of the memo: a short
 * message authentication code, which nobody outside can aim at. The text itself is not kept.
 * One for each loop; one thread. */
#pragma once

#include "account/policy.h"

struct key_memo;
struct key; /* of the directory, where they stay for ever */

struct key_memo_tag {
    uint64_t words[2];
};

struct key_memo_entry {
    struct key_memo_tag tag;
    struct key *key;
    struct policy *policy; /* NULL: the place is free */
};

struct key_memo *key_memo_new(void);
/* NULL is allowed. */
void key_memo_free(struct key_memo *memo);
struct key_memo_tag key_memo_tag(const struct key_memo *memo, struct str text);
/* NULL: not remembered, or not current any more. Borrowed until the next put. */
const struct key_memo_entry *key_memo_find(const struct key_memo *memo, struct key_memo_tag tag,
                                           int64_t now_ms);
/* Takes a reference of the policy. */
void key_memo_put(struct key_memo *memo, struct key_memo_tag tag, struct key *key,
                  struct policy *policy);
