/* Key memo: remembers the HMACs of keys lately presented, so that a program's every request does
 * not cost one. A memo of a pure function: whether the key is good is asked of the directory each
 * time.
 *
 * A key is found again by its SipHash-2-4 of 128 bits under a random secret of this process: a
 * short message authentication code, which nobody outside can aim at. The key itself is not kept.
 */
#pragma once

#include "base/crypto.h"

struct key_memo;

struct key_memo *key_memo_new(void);
void key_memo_free(struct key_memo *memo);

/* key_hash(key, pepper), from memory when it was asked before. `version`: of the pepper. Any
 * thread. */
void key_memo_hash(struct key_memo *memo, struct str key, int version,
                   const unsigned char pepper[SHA256_BYTES], unsigned char ret[SHA256_BYTES]);
