/* Making and revoking API keys; their text is key.c's. */
#include "account/operation.h"
#include "base/clock.h"

enum { KEY_NAME_BYTES_MAX = 200 };

/* ---- Making ------------------------------------------------------------------------------------
 */
static void answer_key(struct operation *operation)
{
    bool good = operation->code == ERR_OK;
    operation->done.key(operation->user, operation->code, good ? NULL : &operation->error,
                        good ? &operation->key : NULL,
                        good ? str_from_cstr(operation->secret) : STR_NONE);
}

static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return store_key_insert(tx, &operation->key, error);
}

static void on_inserted(struct operation *operation)
{
    directory_add_key(operation->account->directory, &operation->key);
}

static enum err check_new_key(struct operation *operation, const struct id *owner, struct str name)
{
    struct error *error = &operation->error;
    if (!directory_copy_person(operation->account->directory, operation->arena, owner,
                               &operation->person))
        return error_set(error, ERR_NOT_FOUND, NULL, "no such person");
    if (name.len == 0)
        return error_set(error, ERR_INVALID, "name", "must not be empty");
    return account_check_text(name, KEY_NAME_BYTES_MAX, "name", error);
}

static void make_key(struct operation *operation, struct str name)
{
    const unsigned char *pepper = operation->account->peppers[KEY_PEPPER_VERSION - 1];
    key_make(operation->secret);
    key_hash(STR_FROM(operation->secret, KEY_LENGTH), pepper, operation->hash_bytes);
    int64_t now_ms = clock_wall_ms();
    operation->key = (struct store_key){
        .owner = operation->person.id,
        .id = id_new(now_ms),
        .name = arena_str(operation->arena, name),
        .prefix = STR_FROM(operation->secret, KEY_PREFIX_LENGTH),
        .key_hash = STR_FROM((const char *)operation->hash_bytes, sizeof operation->hash_bytes),
        .pepper_version = KEY_PEPPER_VERSION,
        .created_ms = now_ms,
    };
}

void account_create_key(struct account *account, struct loop *loop, const struct id *owner,
                        struct str name, account_key_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, answer_key, user);
    operation->done.key = done;
    name = str_trim(name);
    operation->code = check_new_key(operation, owner, name);
    if (operation->code != ERR_OK) {
        operation_answer_later(operation);
        return;
    }
    make_key(operation, name);
    operation_write(operation, run_insert, on_inserted);
}

/* ---- Revoking ----------------------------------------------------------------------------------
 */
static enum err run_update(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return store_key_update(tx, &operation->key, error);
}

void account_revoke_key(struct account *account, struct loop *loop, const struct id *owner,
                        const struct id *key, account_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, operation_answer_plain, user);
    operation->done.plain = done;
    if (directory_revoke_key(account->directory, owner, key, operation->arena, &operation->key)) {
        operation_write(operation, run_update, NULL); /* refused from now on, whatever comes */
        return;
    }
    operation->code = error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such key");
    operation_answer_later(operation);
}
