/* API keys as records: making, changing, rotating, revoking, listing. Their text is key.h's. */
#pragma once

#include "account/policy.h"

static const int64_t account_key_life_ms_max = 3650ll * 24 * 60 * 60 * 1000;
enum {
    ACCOUNT_KEY_OVERLAP_SECONDS = 24 * 3600, /* where none is said */
    ACCOUNT_KEY_OVERLAP_SECONDS_MAX = 30 * 24 * 3600,
    ACCOUNT_KEY_BODIES_HOURS_MAX = 366 * 24,
    ACCOUNT_KEYS_MAX = 10000 /* of a person, with those that are revoked: else ERR_TOO_BIG */
};

/* What a key is to be: only the members named count. */
enum {
    ACCOUNT_KEY_NAME = 1 << 0,
    ACCOUNT_KEY_EXPIRY = 1 << 1,
    ACCOUNT_KEY_MODELS = 1 << 2,
    ACCOUNT_KEY_DOORS = 1 << 3,
    ACCOUNT_KEY_ADDRESSES = 1 << 4,
    ACCOUNT_KEY_BODIES = 1 << 5
};
struct account_key_change {
    unsigned members;
    struct str name;    /* up to 200 bytes, not empty */
    int64_t expires_ms; /* in the future, within account_key_life_ms_max; 0: never */
    struct policy_patterns models, doors, addresses;
    uint32_t keep_bodies_hours; /* 0: the request log keeps none */
};

/* As account.h says of all changes. `secret` is STR_NONE where none was made. */
typedef void account_key_done_fn(void *user, enum err code, const struct error *error,
                                 const struct store_key *key, struct str secret);
/* A new API key for `owner`: "sk-parley-" + 43 URL-safe characters + 6 of checksum. The secret is
 * shown this once, and stored as an HMAC under a versioned pepper derived from store_secret. The
 * name is needed. ERR_NOT_FOUND: no such person. */
void account_create_key(struct account *account, struct loop *loop, const struct id *owner,
                        const struct account_key_change *settings, account_key_done_fn *done,
                        void *user);
/* Works on every loop when it is answered. ERR_CONFLICT: it is revoked. */
void account_edit_key(struct account *account, struct loop *loop, const struct id *key,
                      const struct account_key_change *change, account_key_done_fn *done,
                      void *user);
/* A new secret with the same settings, as a new key; the old one expires `overlap_seconds` from now,
 * unless it does so earlier. ERR_CONFLICT: it is revoked or has expired. */
void account_rotate_key(struct account *account, struct loop *loop, const struct id *key,
                        int64_t overlap_seconds, account_key_done_fn *done, void *user);
/* Works at once on every loop, also when the disk then refuses (ERR_STORAGE: it would be back after
 * a restart; call again). `owner` none: any owner's (administrators). */
void account_revoke_key(struct account *account, struct loop *loop, const struct id *owner,
                        const struct id *key, account_done_fn *done, void *user);

/* Copies in the arena. Memory only, any thread. */
MUST_USE enum err account_get_key(struct account *account, struct arena *arena,
                                  const struct id *key, struct store_key *ret_key);
/* Which key acts for `key` now, for what goes on longer than it: itself, or, once it has expired after a
 * rotation, the one that it was rotated to, and so on. None acts for one that was revoked: then it is
 * itself. Memory only, any thread. */
struct id account_key_in_force(struct account *account, const struct id *key);
/* The keys of `owner` (none: everybody's). */
MUST_USE enum err account_list_keys(struct account *account, struct arena *arena,
                                    const struct id *owner, struct store_key **ret_keys,
                                    size_t *ret_count);
