/* Making, changing, rotating and revoking API keys; their text is key.c's. What a change rests on is
 * read inside its transaction, so that two at once both hold. */
#include "account/api_key.h"

#include "account/operation.h"
#include "base/clock.h"

enum { KEY_NAME_BYTES_MAX = 200 };

static void answer_key(struct operation *operation)
{
    bool good = operation->code == ERR_OK;
    bool made = good && operation->secret[0];
    operation->done.key(operation->user, operation->code, good ? NULL : &operation->error,
                        good ? &operation->key : NULL,
                        made ? str_from_cstr(operation->secret) : STR_NONE);
}

static void on_key_written(struct operation *operation)
{
    directory_put_key(operation->account->directory, &operation->key);
}

/* ---- What it is to be -------------------------------------------------------------------------
 */
static enum err check_name(struct str name, struct error *error)
{
    if (name.len == 0)
        return error_set(error, ERR_INVALID, "name", "must not be empty");
    return account_check_text(name, KEY_NAME_BYTES_MAX, "name", error);
}

static enum err check_expiry(int64_t expires_ms, int64_t now_ms, struct error *error)
{
    if (expires_ms == 0)
        return ERR_OK;
    if (expires_ms <= now_ms)
        return error_set(error, ERR_INVALID, "expires_at", "must be in the future");
    if (expires_ms > now_ms + account_key_life_ms_max)
        return error_set(error, ERR_INVALID, "expires_at", "must be within ten years");
    return ERR_OK;
}

static enum err check_bodies(uint32_t hours, struct error *error)
{
    if (hours > ACCOUNT_KEY_BODIES_HOURS_MAX)
        return error_set(error, ERR_INVALID, "keep_bodies_hours", "must be %d at most",
                         (int)ACCOUNT_KEY_BODIES_HOURS_MAX);
    return ERR_OK;
}

static enum err check_change(const struct account_key_change *change, int64_t now_ms,
                             struct error *error)
{
    enum err code = ERR_OK;
    if (change->members & ACCOUNT_KEY_NAME)
        code = check_name(change->name, error);
    if (code == ERR_OK && change->members & ACCOUNT_KEY_EXPIRY)
        code = check_expiry(change->expires_ms, now_ms, error);
    if (code == ERR_OK && change->members & ACCOUNT_KEY_MODELS)
        code = policy_check_models(&change->models, "models", error);
    if (code == ERR_OK && change->members & ACCOUNT_KEY_DOORS)
        code = policy_check_doors(&change->doors, "doors", error);
    if (code == ERR_OK && change->members & ACCOUNT_KEY_ADDRESSES)
        code = policy_check_addresses(&change->addresses, "addresses", error);
    if (code == ERR_OK && change->members & ACCOUNT_KEY_BODIES)
        code = check_bodies(change->keep_bodies_hours, error);
    return code;
}

/* Into the record; texts go to the arena. */
static void apply_change(const struct account_key_change *change, struct arena *arena,
                         struct store_key *key)
{
    if (change->members & ACCOUNT_KEY_NAME)
        key->name = arena_str(arena, change->name);
    if (change->members & ACCOUNT_KEY_EXPIRY)
        key->expires_ms = change->expires_ms;
    if (change->members & ACCOUNT_KEY_MODELS)
        key->models = policy_patterns_write(arena, &change->models);
    if (change->members & ACCOUNT_KEY_DOORS)
        key->doors = policy_patterns_write(arena, &change->doors);
    if (change->members & ACCOUNT_KEY_ADDRESSES)
        key->addresses = policy_patterns_write(arena, &change->addresses);
    if (change->members & ACCOUNT_KEY_BODIES)
        key->keep_bodies_hours = change->keep_bodies_hours;
}

/* ---- Making ------------------------------------------------------------------------------------
 */
static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return store_key_insert(tx, &operation->key, error);
}

/* Those that were revoked count too: they are kept for the ledger's sake. */
static enum err check_count(struct account *account, const struct id *owner, struct error *error)
{
    if (directory_count_keys(account->directory, owner) < ACCOUNT_KEYS_MAX)
        return ERR_OK;
    return error_set(error, ERR_TOO_BIG, NULL, "this person has had %d keys already",
                     (int)ACCOUNT_KEYS_MAX);
}

/* A new secret for operation->key. */
static void make_secret(struct operation *operation)
{
    const unsigned char *pepper = operation->account->peppers[KEY_PEPPER_VERSION - 1];
    struct store_key *key = &operation->key;
    key_make(operation->secret);
    key_hash(STR_FROM(operation->secret, KEY_LENGTH), pepper, operation->hash_bytes);
    key->id = id_new(operation->now_ms);
    key->prefix = STR_FROM(operation->secret, KEY_PREFIX_LENGTH);
    key->key_hash = STR_FROM((const char *)operation->hash_bytes, sizeof operation->hash_bytes);
    key->pepper_version = KEY_PEPPER_VERSION;
    key->created_ms = operation->now_ms;
}

static struct operation *key_operation(struct account *account, struct loop *loop,
                                       account_key_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, answer_key, user);
    operation->done.key = done;
    operation->now_ms = clock_wall_ms();
    return operation;
}

void account_create_key(struct account *account, struct loop *loop, const struct id *owner,
                        const struct account_key_change *settings, account_key_done_fn *done,
                        void *user)
{
    struct operation *operation = key_operation(account, loop, done, user);
    struct account_key_change wanted = *settings;
    wanted.members |= ACCOUNT_KEY_NAME;
    wanted.name = str_trim(wanted.name);
    if (directory_copy_person(account->directory, operation->arena, owner, &operation->person))
        operation->code = check_change(&wanted, operation->now_ms, &operation->error);
    else
        operation->code = error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such person");
    if (operation->code == ERR_OK)
        operation->code = check_count(account, owner, &operation->error);
    if (operation->code != ERR_OK) {
        operation_answer_later(operation);
        return;
    }
    operation->key.owner = *owner;
    apply_change(&wanted, operation->arena, &operation->key);
    make_secret(operation);
    operation_write(operation, run_insert, on_key_written);
}

/* ---- Changing ----------------------------------------------------------------------------------
 */
static enum err refuse_revoked(struct error *error)
{
    return error_set(error, ERR_CONFLICT, NULL, "this key is revoked");
}

/* Reads the newest row of what operation->replaced names; a refusal when it is revoked. */
static enum err read_unrevoked(struct operation *operation, struct store_tx *tx,
                               struct store_key *ret, struct error *error)
{
    const struct store_key *known = &operation->replaced;
    struct store_key key;
    enum err code = store_key_get(tx, operation->arena, &known->owner, &known->id, &key, error);
    if (code != ERR_OK)
        return code;
    if (key.revoked)
        return refuse_revoked(error);
    *ret = key;
    return ERR_OK;
}

static enum err run_edit(struct store_tx *tx, void *user, struct error *error)
{
    struct operation *operation = user;
    struct store_key key = {0};
    enum err code = read_unrevoked(operation, tx, &key, error);
    if (code != ERR_OK)
        return code;
    apply_change(&operation->key_change, operation->arena, &key);
    operation->key = key;
    return store_key_update(tx, &key, error);
}

/* Starts `run` on the key; an answer when there is none, or operation->code says no. */
static void change_key(struct operation *operation, const struct id *key,
                       enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                       void (*committed)(struct operation *operation))
{
    struct directory *directory = operation->account->directory;
    if (!directory_copy_key(directory, operation->arena, key, &operation->replaced))
        operation->code = error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such key");
    else if (operation->replaced.revoked)
        operation->code = refuse_revoked(&operation->error);
    if (operation->code == ERR_OK)
        operation_write(operation, run, committed);
    else
        operation_answer_later(operation);
}

static struct policy_patterns keep_patterns(struct arena *arena, struct policy_patterns patterns)
{
    struct str *items = ARENA_NEW_ARRAY(arena, patterns.count, struct str);
    for (size_t i = 0; i < patterns.count; i++)
        items[i] = arena_str(arena, patterns.items[i]);
    return (struct policy_patterns){items, patterns.count};
}

static struct account_key_change keep_change(struct arena *arena,
                                             const struct account_key_change *change)
{
    struct account_key_change kept = *change;
    kept.name = arena_str(arena, str_trim(change->name));
    kept.models = keep_patterns(arena, change->models);
    kept.doors = keep_patterns(arena, change->doors);
    kept.addresses = keep_patterns(arena, change->addresses);
    return kept;
}

void account_edit_key(struct account *account, struct loop *loop, const struct id *key,
                      const struct account_key_change *change, account_key_done_fn *done,
                      void *user)
{
    struct operation *operation = key_operation(account, loop, done, user);
    operation->key_change = keep_change(operation->arena, change);
    operation->code = check_change(&operation->key_change, operation->now_ms, &operation->error);
    change_key(operation, key, run_edit, on_key_written);
}

/* ---- Rotating ----------------------------------------------------------------------------------
 */
static enum err run_rotate(struct store_tx *tx, void *user, struct error *error)
{
    struct operation *operation = user;
    struct store_key *old = &operation->replaced;
    enum err code = read_unrevoked(operation, tx, old, error);
    if (code != ERR_OK)
        return code;
    if (old->expires_ms && old->expires_ms <= operation->now_ms)
        return error_set(error, ERR_CONFLICT, NULL, "this key has expired");
    operation->key = *old;
    operation->key.replaces = old->id;
    operation->key.last_used_ms = 0;
    make_secret(operation);
    int64_t ends_ms = operation->now_ms + operation->overlap_ms;
    if (!old->expires_ms || old->expires_ms > ends_ms)
        old->expires_ms = ends_ms;
    code = store_key_update(tx, old, error);
    return code == ERR_OK ? store_key_insert(tx, &operation->key, error) : code;
}

static void on_rotated(struct operation *operation)
{
    directory_put_key(operation->account->directory, &operation->key);
    directory_put_key(operation->account->directory, &operation->replaced);
}

void account_rotate_key(struct account *account, struct loop *loop, const struct id *key,
                        int64_t overlap_seconds, account_key_done_fn *done, void *user)
{
    struct operation *operation = key_operation(account, loop, done, user);
    operation->overlap_ms = overlap_seconds * 1000;
    if (overlap_seconds < 0 || overlap_seconds > ACCOUNT_KEY_OVERLAP_SECONDS_MAX)
        operation->code = error_set(&operation->error, ERR_INVALID, "overlap_seconds",
                                    "must be from 0 to %d", (int)ACCOUNT_KEY_OVERLAP_SECONDS_MAX);
    struct store_key old;
    if (operation->code == ERR_OK &&
        directory_copy_key(account->directory, operation->arena, key, &old))
        operation->code = check_count(account, &old.owner, &operation->error);
    change_key(operation, key, run_rotate, on_rotated);
}

/* ---- Revoking ----------------------------------------------------------------------------------
 */
static enum err run_revoke(struct store_tx *tx, void *user, struct error *error)
{
    struct operation *operation = user;
    struct store_key key = {0};
    enum err code =
        store_key_get(tx, operation->arena, &operation->key.owner, &operation->key.id, &key, error);
    key.revoked = true;
    return code == ERR_OK ? store_key_update(tx, &key, error) : code;
}

void account_revoke_key(struct account *account, struct loop *loop, const struct id *owner,
                        const struct id *key, account_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, operation_answer_plain, user);
    operation->done.plain = done;
    if (directory_revoke_key(account->directory, owner, key, operation->arena, &operation->key)) {
        operation_write(operation, run_revoke, NULL); /* refused from now on, whatever comes */
        return;
    }
    operation->code = error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such key");
    operation_answer_later(operation);
}

/* ---- Lists -------------------------------------------------------------------------------------
 */
enum err account_get_key(struct account *account, struct arena *arena, const struct id *key,
                         struct store_key *ret_key)
{
    bool found = directory_copy_key(account->directory, arena, key, ret_key);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

struct id account_key_in_force(struct account *account, const struct id *key)
{
    return directory_key_in_force(account->directory, key, clock_wall_ms());
}

enum err account_list_keys(struct account *account, struct arena *arena, const struct id *owner,
                           struct store_key **ret_keys, size_t *ret_count)
{
    struct store_key *keys;
    size_t count;
    directory_list_keys(account->directory, arena, owner, &keys, &count);
    if (arena_exceeded(arena))
        return ERR_TOO_BIG;
    *ret_keys = keys;
    *ret_count = count;
    return ERR_OK;
}
