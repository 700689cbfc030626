/* Operation: one change under way, from the call to its one answer. Private to this floor. */
#pragma once

#include <sodium.h>

#include "account/api_key.h"
#include "account/directory.h"
#include "account/group.h"
#include "account/hasher.h"
#include "account/key.h"
#include "account/throttle.h"

enum { SETUP_TOKEN_LENGTH = 32, SESSION_TOKEN_LENGTH = 43, ACCOUNT_PASSWORD_BYTES_MAX = 1024 };
/* Argon2id: OWASP's first recommendation for it. */
enum { ACCOUNT_HASH_PASSES = 2, ACCOUNT_HASH_BYTES = 19 * 1024 * 1024 };

struct account {
    struct store *store;
    struct log *log;
    uint64_t session_lifetime_ms;
    struct directory *directory;
    struct throttle *throttle;
    struct hasher hasher;
    unsigned char peppers[KEY_PEPPER_VERSION][SHA256_BYTES]; /* of version 1, 2, ... */
    char setup_token[SETUP_TOKEN_LENGTH + 1];                /* "" when somebody existed at start */
    char nobody_hash[crypto_pwhash_STRBYTES]; /* checked where there is nothing to check against */
};

struct operation {
    struct account *account;
    struct loop *loop;
    struct arena *arena; /* what was handed in, copied */
    /* Says the result to the caller, through the function it gave. */
    void (*answer)(struct operation *operation);
    union {
        account_user_done_fn *person;
        account_session_done_fn *session;
        account_done_fn *plain;
        account_key_done_fn *key;
        account_group_done_fn *group;
    } done;
    void *user;
    enum err code;
    struct error error;
    struct loop_task task;
    struct hash_job hash;
    struct store_job job;
    /* Makes what was committed visible, on the writer's thread, so that changes become visible in
     * the order in which they were written; not called after an error. May be NULL. */
    void (*committed)(struct operation *operation);

    void (*write)(struct operation *operation); /* what follows the hashing of a password */
    struct store_user person;
    struct store_session session;
    struct store_key key;
    struct store_key replaced;              /* the key as it is: to be changed, or rotated */
    struct account_key_change key_change;   /* texts in the arena */
    struct account_user_change user_change; /* but for the password */
    int64_t now_ms;
    int64_t overlap_ms;
    struct store_group group;
    struct store_member member;
    struct str email;   /* lower case */
    struct str address; /* of the peer */
    char *password;     /* wiped and freed with the operation */
    size_t password_length;
    bool setup;            /* nobody may exist yet */
    bool may_sign_in;      /* there is somebody with this email and a password */
    bool password_matches; /* what the pool found */
    char password_hash[crypto_pwhash_STRBYTES];
    unsigned char hash_bytes[SHA256_BYTES]; /* of the token or key */
    char secret[KEY_LENGTH + 1];            /* token or key */
};

struct operation *operation_new(struct account *account, struct loop *loop,
                                void (*answer)(struct operation *operation), void *user);
/* Wipes and frees, without an answer. */
void operation_free(struct operation *operation);
/* Answers in a later call of this turn, and frees. `operation->code` and `error` say what. */
void operation_answer_later(struct operation *operation);
/* Answers and frees now: from callbacks of loop, pool and store. */
void operation_answer(struct operation *operation);
/* Hands a transaction to the store; then `committed`, and the answer. */
void operation_write(struct operation *operation,
                     enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                     void (*committed)(struct operation *operation));
/* Runs `run` in the pool, then `then` on the loop; an answer instead when too many wait. */
bool operation_hash(struct operation *operation, void (*run)(void *user), void (*then)(void *user));
void operation_keep_password(struct operation *operation, struct str password);

/* Answers through done.plain. */
void operation_answer_plain(struct operation *operation);

/* Lower case (ASCII) in the arena. */
struct str account_lower(struct arena *arena, struct str text);
/* ERR_INVALID with `field` unless it is UTF-8 without control characters, of at most `max` bytes.
 */
MUST_USE enum err account_check_text(struct str text, size_t max, const char *field,
                                     struct error *error);
