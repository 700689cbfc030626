/* Accounts as a whole: loading, who is calling, and what is listed. Changes are in user.c,
 * session.c, api_key.c and group.c. */
#include "account/account.h"

#include <stdlib.h>
#include <string.h>

#include "account/key_memo.h"
#include "account/operation.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/random.h"

enum { LOAD_BYTES_MAX = 1024 * 1024 * 1024 };
static const uint64_t session_lifetime_default_ms = 30ull * 24 * 60 * 60 * 1000;

/* ---- Loading -----------------------------------------------------------------------------------
 */
struct loaded {
    struct arena *arena;
    int64_t now_ms;
    struct store_user *users;
    struct store_session *sessions;
    struct store_key *keys;
    struct store_group *groups;
    struct store_member *members;
    size_t user_count, session_count, key_count, group_count, member_count;
};

static enum err run_load(struct store_tx *tx, void *user, struct error *error)
{
    struct loaded *loaded = user;
    enum err code = store_user_list(tx, loaded->arena, &loaded->users, &loaded->user_count, error);
    if (code == ERR_OK)
        code = store_session_list(tx, loaded->now_ms, loaded->arena, &loaded->sessions,
                                  &loaded->session_count, error);
    if (code == ERR_OK)
        code = store_key_list(tx, loaded->arena, &loaded->keys, &loaded->key_count, error);
    if (code == ERR_OK)
        code = store_group_list(tx, loaded->arena, &loaded->groups, &loaded->group_count, error);
    if (code == ERR_OK)
        code = store_member_list(tx, loaded->arena, &loaded->members, &loaded->member_count, error);
    return code;
}

static enum err load(struct account *account, struct error *error)
{
    struct loaded loaded = {.arena = arena_new(LOAD_BYTES_MAX), .now_ms = clock_wall_ms()};
    enum err code = store_write_now(account->store, run_load, &loaded, error);
    for (size_t i = 0; code == ERR_OK && i < loaded.user_count; i++)
        directory_put_person(account->directory, &loaded.users[i]);
    for (size_t i = 0; code == ERR_OK && i < loaded.session_count; i++)
        directory_add_session(account->directory, &loaded.sessions[i], loaded.now_ms);
    for (size_t i = 0; code == ERR_OK && i < loaded.key_count; i++)
        directory_put_key(account->directory, &loaded.keys[i]);
    for (size_t i = 0; code == ERR_OK && i < loaded.group_count; i++)
        directory_put_group(account->directory, &loaded.groups[i]);
    for (size_t i = 0; code == ERR_OK && i < loaded.member_count; i++)
        directory_add_member(account->directory, &loaded.members[i]);
    arena_free(loaded.arena);
    return code;
}

static void make_setup_token(struct account *account)
{
    unsigned char bytes[SETUP_TOKEN_LENGTH / 4 * 3];
    random_bytes(bytes, sizeof bytes);
    base64url_encode(STR_FROM((const char *)bytes, sizeof bytes), account->setup_token);
}

/* A hash that no password is known for: checking against it takes as long as against a real one. */
static enum err make_nobody_hash(struct account *account, struct error *error)
{
    char password[32];
    random_bytes(password, sizeof password);
    if (crypto_pwhash_str_alg(account->nobody_hash, password, sizeof password, ACCOUNT_HASH_PASSES,
                              ACCOUNT_HASH_BYTES, crypto_pwhash_ALG_ARGON2ID13) != 0)
        return error_set(error, ERR_UNAVAILABLE, NULL, "not enough memory to hash passwords");
    return ERR_OK;
}

enum err account_open(const struct account_options *options, struct account **ret_account,
                      struct error *error)
{
    crypto_init();
    struct account *account = calloc(1, sizeof *account);
    ASSERT(account);
    account->store = options->store;
    account->log = options->log;
    account->session_lifetime_ms =
        options->session_lifetime_ms ? options->session_lifetime_ms : session_lifetime_default_ms;
    account->directory = directory_new();
    account->throttle = throttle_new();
    hasher_init(&account->hasher);
    for (int version = 1; version <= KEY_PEPPER_VERSION; version++)
        key_pepper(store_secret(account->store), version, account->peppers[version - 1]);
    enum err code = load(account, error);
    if (code == ERR_OK)
        code = make_nobody_hash(account, error);
    if (code != ERR_OK) {
        account_close(account);
        return code;
    }
    if (account_setup_required(account))
        make_setup_token(account);
    *ret_account = account;
    return ERR_OK;
}

void account_close(struct account *account)
{
    if (!account)
        return;
    directory_free(account->directory);
    throttle_free(account->throttle);
    hasher_done(&account->hasher);
    sodium_memzero(account, sizeof *account);
    free(account);
}

/* ---- Who is this? ------------------------------------------------------------------------------
 */
enum err account_authenticate_session(struct account *account, struct str token,
                                      struct principal *ret_principal)
{
    unsigned char hash[SHA256_BYTES];
    if (token.len != SESSION_TOKEN_LENGTH)
        return ERR_UNAUTHENTICATED;
    sha256(token, hash);
    bool found =
        directory_find_session(account->directory, STR_FROM((const char *)hash, sizeof hash),
                               clock_wall_ms(), ret_principal);
    return found ? ERR_OK : ERR_UNAUTHENTICATED;
}

/* Writes when a key was last used; nobody waits for it, and losing it is no harm. */
struct touch {
    struct store_job job;
    struct id owner, key;
    int64_t used_ms;
    struct log *log;
};

static enum err run_touch(struct store_tx *tx, void *user, struct error *error)
{
    const struct touch *touch = user;
    return store_key_touch(tx, &touch->owner, &touch->key, touch->used_ms, error);
}

static void on_touched(void *user, enum err code, const struct error *error)
{
    struct touch *touch = user;
    if (code != ERR_OK)
        log_warning(touch->log, "the last use of an API key was not written",
                    LOG_STR("key", id_str(&touch->key)), LOG_CSTR("reason", error_message(error)));
    free(touch);
}

static void write_use(struct account *account, const struct principal *principal, int64_t now_ms)
{
    struct touch *touch = calloc(1, sizeof *touch);
    ASSERT(touch);
    touch->job.run = run_touch;
    touch->job.done = on_touched;
    touch->job.user = touch;
    touch->owner = principal->user;
    touch->key = principal->key;
    touch->used_ms = now_ms;
    touch->log = account->log;
    store_write(account->store, NULL, &touch->job);
}

/* By its hash under each pepper; NULL: there is none. */
static struct key *find_key(struct account *account, struct str text)
{
    struct key *key = NULL;
    if (!key_is_valid(text))
        return NULL;
    for (int version = KEY_PEPPER_VERSION; !key && version >= 1; version--) {
        unsigned char hash[SHA256_BYTES];
        key_hash(text, account->peppers[version - 1], hash);
        key = directory_find_key(account->directory, STR_FROM((const char *)hash, sizeof hash),
                                 version);
    }
    return key;
}

/* What is remembered is as good as the directory's word: see key_memo.h. */
static bool use_key(struct account *account, struct key_memo *memo, struct str text, int64_t now_ms,
                    struct principal *ret_principal, struct policy **ret_policy, bool *ret_write)
{
    struct key_memo_tag tag = key_memo_tag(memo, text);
    const struct key_memo_entry *known = key_memo_find(memo, tag, now_ms);
    if (known) {
        *ret_policy = policy_ref(known->policy);
        *ret_principal = known->policy->who;
        *ret_write = directory_note_use(known->key, now_ms);
        return true;
    }
    struct key *key = find_key(account, text);
    if (!key || !directory_use_found_key(account->directory, key, now_ms, ret_principal, ret_write))
        return false;
    *ret_policy = directory_policy(account->directory, ret_principal, now_ms);
    if (*ret_policy)
        key_memo_put(memo, tag, key, *ret_policy);
    return true;
}

enum err account_authenticate_key(struct account *account, struct key_memo *memo, struct str text,
                                  int64_t now_ms, struct principal *ret_principal,
                                  struct policy **ret_policy)
{
    struct policy *policy;
    bool write;
    if (!key_has_form(text) ||
        !use_key(account, memo, text, now_ms, ret_principal, &policy, &write))
        return ERR_UNAUTHENTICATED;
    if (write)
        write_use(account, ret_principal, now_ms);
    if (ret_policy)
        *ret_policy = policy;
    else
        policy_unref(policy);
    return ERR_OK;
}

enum err account_act_as_key(struct account *account, const struct id *key,
                            struct principal *ret_principal)
{
    int64_t now_ms = clock_wall_ms();
    bool write = false;
    if (!directory_use_key(account->directory, key, now_ms, ret_principal, &write))
        return ERR_UNAUTHENTICATED;
    if (write)
        write_use(account, ret_principal, now_ms);
    return ERR_OK;
}

/* ---- Lists -------------------------------------------------------------------------------------
 */
enum err account_get_user(struct account *account, struct arena *arena, const struct id *id,
                          struct store_user *ret_user)
{
    bool found = directory_copy_person(account->directory, arena, id, ret_user);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

enum err account_list_users(struct account *account, struct arena *arena,
                            struct store_user **ret_users, size_t *ret_count)
{
    struct store_user *users;
    size_t count;
    directory_list_people(account->directory, arena, &users, &count);
    if (arena_exceeded(arena))
        return ERR_TOO_BIG;
    *ret_users = users;
    *ret_count = count;
    return ERR_OK;
}

/* ---- Set-up ------------------------------------------------------------------------------------
 */
bool account_setup_required(struct account *account)
{
    return directory_person_count(account->directory) == 0;
}

struct str account_setup_token(struct account *account)
{
    return account_setup_required(account) ? str_from_cstr(account->setup_token) : STR_NONE;
}
