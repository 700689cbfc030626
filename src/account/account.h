/* Accounts: people, their sessions and API keys, kept in memory for the hot path and written
 * through to the store. Every loop may ask; the directory is guarded by one read-write lock, and
 * nobody waits for the disk to learn who a caller is. Keys are in api_key.h, groups in group.h. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "net/loop.h"
#include "store/records.h"

enum role { ROLE_USER, ROLE_ADMIN };

enum principal_kind {
    PRINCIPAL_ANONYMOUS,
    PRINCIPAL_SESSION, /* a person in a browser */
    PRINCIPAL_KEY,     /* a program with an API key */
    PRINCIPAL_LOCAL    /* the command line on the Unix socket */
};

/* Who is calling. A value: copied freely. */
struct principal {
    enum principal_kind kind;
    struct id user; /* none for ANONYMOUS; LOCAL acts for no person */
    struct id key;  /* KEY only */
    enum role role;
};
#define PRINCIPAL_NOBODY ((struct principal){.kind = PRINCIPAL_ANONYMOUS})

struct account;
struct key_memo;
struct policy;

struct account_options {
    struct store *store;          /* borrowed */
    struct log *log;              /* borrowed */
    uint64_t session_lifetime_ms; /* [30 days] */
};

/* Loads people, sessions and keys. Blocks; at start-up. */
MUST_USE enum err account_open(const struct account_options *options, struct account **ret_account,
                               struct error *error);
/* After every change has been answered, and before store_close. NULL is allowed. */
void account_close(struct account *account);

/* ---- Who is this? Memory only, any thread ---------------------------------------------------- */
/* `token`: the value of the cookie. ERR_UNAUTHENTICATED when unknown or expired. */
MUST_USE enum err account_authenticate_session(struct account *account, struct str token,
                                               struct principal *ret_principal);
/* `key`: "sk-parley-...". A wrong checksum is refused without a look-up. `memo`: of the caller's
 * thread, and for this account alone. *ret_policy (may be NULL): what account_policy would give,
 * referenced; NULL where that would fail. */
MUST_USE enum err account_authenticate_key(struct account *account, struct key_memo *memo,
                                           struct str key, int64_t now_ms,
                                           struct principal *ret_principal,
                                           struct policy **ret_policy);
/* As whom one acts with the key of that id, without presenting it: for who is trusted by other means.
 * Notes the use. ERR_UNAUTHENTICATED: it is not valid. */
MUST_USE enum err account_act_as_key(struct account *account, const struct id *key,
                                     struct principal *ret_principal);
/* A copy of the person's record in the arena. */
MUST_USE enum err account_get_user(struct account *account, struct arena *arena,
                                   const struct id *id, struct store_user *ret_user);
MUST_USE enum err account_list_users(struct account *account, struct arena *arena,
                                     struct store_user **ret_users, size_t *ret_count);

/* ---- Set-up: the first administrator --------------------------------------------------------- */
/* Whether there is nobody yet. */
bool account_setup_required(struct account *account);
/* The one-time token (made at first need, 32 URL-safe characters, only in memory): valid until the
 * first account exists. */
struct str account_setup_token(struct account *account);

/* ---- Changes: answered on the caller's loop after the commit --------------------------------- */
/* `done(user, code, error, ...)` comes exactly once, never before the call returns. `error` is NULL
 * with ERR_OK, and the records and texts are absent without. What the views show is valid during
 * the call. Passwords are hashed in the pool (argon2id, 19 MiB, t=2). */
typedef void account_user_done_fn(void *user, enum err code, const struct error *error,
                                  const struct store_user *created);
/* Email (needs an @, up to 254 bytes, lower-cased), password (8 to 1,024 bytes, or empty for none),
 * name (up to 200 bytes; empty: the email's local part). Refusals name the field. With
 * `setup_token` not STR_NONE it must be the right one and nobody may exist yet; the role is then
 * admin. */
void account_create_user(struct account *account, struct loop *loop, struct str email,
                         struct str password, struct str name, enum role role,
                         struct str setup_token, account_user_done_fn *done, void *user);
typedef void account_session_done_fn(void *user, enum err code, const struct error *error,
                                     const struct store_user *person, struct str token);
/* Checks the password (the same time for an unknown email) and begins a session. Wrong:
 * ERR_UNAUTHENTICATED; after 10 wrong ones for one email or address (an IPv6 address counts as its
 * /64) in 15 minutes: ERR_RATE_LIMITED; too many hashing at once: ERR_UNAVAILABLE. */
void account_sign_in(struct account *account, struct loop *loop, struct str email,
                     struct str password, struct str peer_address, account_session_done_fn *done,
                     void *user);
/* Begins a session without a password (after set-up). */
void account_begin_session(struct account *account, struct loop *loop, const struct id *person,
                           account_session_done_fn *done, void *user);
typedef void account_done_fn(void *user, enum err code, const struct error *error);
/* At once in memory, then on disk. An unknown token is ERR_OK: it is signed out. */
void account_sign_out(struct account *account, struct loop *loop, struct str token,
                      account_done_fn *done, void *user);
/* What is to change of a person: only the members named count. */
enum {
    ACCOUNT_USER_NAME = 1 << 0,
    ACCOUNT_USER_ROLE = 1 << 1,
    ACCOUNT_USER_DISABLED = 1 << 2,
    ACCOUNT_USER_PASSWORD = 1 << 3
};
struct account_user_change {
    unsigned members;
    struct str name;
    enum role role;
    bool disabled;
    struct str password; /* empty: cannot sign in with one */
};
/* Works on every loop when it is answered. Who is disabled or gets another password is signed out
 * everywhere; the keys of somebody disabled are refused. ERR_CONFLICT: nobody would be left who
 * administers. */
void account_edit_user(struct account *account, struct loop *loop, const struct id *id,
                       const struct account_user_change *change, account_user_done_fn *done,
                       void *user);
