/* Making and changing people: checked, hashed in the pool, written, then in the directory. */
#include <string.h>

#include "account/operation.h"
#include "base/clock.h"

enum { EMAIL_BYTES_MAX = 254, NAME_BYTES_MAX = 200, PASSWORD_BYTES_MIN = 8 };

static void answer_user(struct operation *operation)
{
    bool good = operation->code == ERR_OK;
    operation->done.person(operation->user, operation->code, good ? NULL : &operation->error,
                           good ? &operation->person : NULL);
}

/* ---- Checks ------------------------------------------------------------------------------------
 */
static enum err check_email(struct str email, struct error *error)
{
    enum err code = account_check_text(email, EMAIL_BYTES_MAX, "email", error);
    if (code != ERR_OK)
        return code;
    size_t at = str_find_char(email, '@');
    if (at == SIZE_MAX || at == 0 || at == email.len - 1)
        return error_set(error, ERR_INVALID, "email", "must look like name@example.org");
    if (str_find_char(email, ' ') != SIZE_MAX)
        return error_set(error, ERR_INVALID, "email", "must not have spaces");
    return ERR_OK;
}

static enum err check_password(struct str password, struct error *error)
{
    if (password.len == 0)
        return ERR_OK;
    if (password.len < PASSWORD_BYTES_MIN)
        return error_set(error, ERR_INVALID, "password", "must have at least %d characters",
                         (int)PASSWORD_BYTES_MIN);
    if (password.len > ACCOUNT_PASSWORD_BYTES_MAX)
        return error_set(error, ERR_INVALID, "password", "has more than %d bytes",
                         (int)ACCOUNT_PASSWORD_BYTES_MAX);
    return ERR_OK;
}

static enum err check_setup(struct account *account, struct str token, struct error *error)
{
    if (!token.data)
        return ERR_OK;
    if (!account_setup_required(account))
        return error_set(error, ERR_CONFLICT, NULL, "Parley has been set up already");
    if (!crypto_equal(token, str_from_cstr(account->setup_token)))
        return error_set(error, ERR_FORBIDDEN, "token", "is not the one-time token");
    return ERR_OK;
}

static enum err check_new_user(struct operation *operation, struct str password,
                               struct str setup_token)
{
    struct error *error = &operation->error;
    struct store_user taken;
    enum err code;
    if ((code = check_setup(operation->account, setup_token, error)) != ERR_OK ||
        (code = check_email(operation->email, error)) != ERR_OK ||
        (code = check_password(password, error)) != ERR_OK ||
        (code = account_check_text(operation->person.name, NAME_BYTES_MAX, "name", error)) !=
            ERR_OK)
        return code;
    if (directory_copy_person_by_email(operation->account->directory, operation->arena,
                                       operation->email, &taken))
        return error_set(error, ERR_CONFLICT, "email", "has an account already");
    return ERR_OK;
}

/* ---- The steps ---------------------------------------------------------------------------------
 */
static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    struct operation *operation = user;
    struct store_user *people;
    size_t count = 0;
    enum err code = ERR_OK;
    if (operation->setup) /* here, inside the transaction, two at once are told apart */
        code = store_user_list(tx, operation->arena, &people, &count, error);
    if (code != ERR_OK)
        return code;
    if (count)
        return error_set(error, ERR_CONFLICT, NULL, "Parley has been set up already");
    code = store_user_insert(tx, &operation->person, error);
    if (code == ERR_CONFLICT)
        return error_set(error, ERR_CONFLICT, "email", "has an account already");
    return code;
}

static void on_person_written(struct operation *operation)
{
    directory_put_person(operation->account->directory, &operation->person);
}

static void run_hash(void *user)
{
    struct operation *operation = user;
    if (crypto_pwhash_str_alg(operation->password_hash, operation->password,
                              operation->password_length, ACCOUNT_HASH_PASSES, ACCOUNT_HASH_BYTES,
                              crypto_pwhash_ALG_ARGON2ID13) == 0)
        operation->person.password_hash = str_from_cstr(operation->password_hash);
}

static void on_hashed(void *user)
{
    struct operation *operation = user;
    if (!operation->password_hash[0]) {
        operation->code = error_set(&operation->error, ERR_UNAVAILABLE, NULL,
                                    "not enough memory to hash the password");
        operation_answer(operation);
        return;
    }
    operation->write(operation);
}

/* Hashes the password, when there is one, and then writes. */
static void hash_and_write(struct operation *operation, struct str password,
                           void (*write)(struct operation *operation))
{
    if (password.len == 0) {
        write(operation);
        return;
    }
    operation->write = write;
    operation_keep_password(operation, password);
    operation_hash(operation, run_hash, on_hashed);
}

static void write_new(struct operation *operation)
{
    operation_write(operation, run_insert, on_person_written);
}

/* The local part of the email, where no name was given. */
static struct str name_or_default(struct str name, struct str email)
{
    name = str_trim(name);
    return name.len ? name : str_next(&email, '@');
}

void account_create_user(struct account *account, struct loop *loop, struct str email,
                         struct str password, struct str name, enum role role,
                         struct str setup_token, account_user_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, answer_user, user);
    int64_t now_ms = clock_wall_ms();
    operation->done.person = done;
    operation->setup = setup_token.data != NULL;
    operation->email = account_lower(operation->arena, str_trim(email));
    operation->person = (struct store_user){
        .id = id_new(now_ms),
        .email = operation->email,
        .name = arena_str(operation->arena, name_or_default(name, operation->email)),
        .role = operation->setup || role == ROLE_ADMIN ? STR("admin") : STR("user"),
        .password_hash = STR(""),
        .created_ms = now_ms,
    };
    operation->code = check_new_user(operation, password, setup_token);
    if (operation->code != ERR_OK) {
        operation_answer_later(operation);
        return;
    }
    hash_and_write(operation, password, write_new);
}

/* ---- Changing ----------------------------------------------------------------------------------
 */
static bool is_admin(const struct store_user *person)
{
    return str_eq(person->role, STR("admin")) && !person->disabled;
}

static void apply_change(const struct operation *operation, struct store_user *person)
{
    const struct account_user_change *change = &operation->user_change;
    if (change->members & ACCOUNT_USER_NAME)
        person->name = change->name;
    if (change->members & ACCOUNT_USER_ROLE)
        person->role = change->role == ROLE_ADMIN ? STR("admin") : STR("user");
    if (change->members & ACCOUNT_USER_DISABLED)
        person->disabled = change->disabled;
    if (change->members & ACCOUNT_USER_PASSWORD)
        person->password_hash = str_from_cstr(operation->password_hash);
}

static bool ends_sessions(const struct operation *operation)
{
    return operation->person.disabled || operation->user_change.members & ACCOUNT_USER_PASSWORD;
}

/* Somebody has to be left who may repair what went wrong. */
static enum err check_last(struct store_tx *tx, struct error *error)
{
    int64_t count = 0;
    enum err code = store_user_count_admins(tx, &count, error);
    if (code == ERR_OK && count <= 1) {
        code = error_set(error, ERR_CONFLICT, NULL,
                         "this is the last administrator, who cannot be disabled or demoted");
        error_remedy(error, "Make somebody else an administrator first.");
    }
    return code;
}

static enum err run_edit(struct store_tx *tx, void *user, struct error *error)
{
    struct operation *operation = user;
    struct id id = operation->person.id;
    struct store_user person = {0};
    enum err code = store_user_get(tx, operation->arena, &id, &person, error);
    if (code != ERR_OK)
        return code;
    bool was_admin = is_admin(&person);
    apply_change(operation, &person);
    if (was_admin && !is_admin(&person) && (code = check_last(tx, error)) != ERR_OK)
        return code;
    operation->person = person;
    if ((code = store_user_update(tx, &person, error)) != ERR_OK)
        return code;
    return ends_sessions(operation) ? store_session_delete_of(tx, &id, error) : ERR_OK;
}

static void on_edited(struct operation *operation)
{
    on_person_written(operation);
    if (ends_sessions(operation))
        directory_end_sessions(operation->account->directory, &operation->person.id);
}

static void write_edit(struct operation *operation)
{
    operation_write(operation, run_edit, on_edited);
}

static enum err check_edit(struct operation *operation, const struct id *id, struct str password)
{
    struct error *error = &operation->error;
    struct str name = operation->user_change.name;
    if (!directory_copy_person(operation->account->directory, operation->arena, id,
                               &operation->person))
        return error_set(error, ERR_NOT_FOUND, NULL, "no such person");
    if (operation->user_change.members & ACCOUNT_USER_NAME && name.len == 0)
        return error_set(error, ERR_INVALID, "name", "must not be empty");
    enum err code = account_check_text(name, NAME_BYTES_MAX, "name", error);
    return code == ERR_OK ? check_password(password, error) : code;
}

void account_edit_user(struct account *account, struct loop *loop, const struct id *id,
                       const struct account_user_change *change, account_user_done_fn *done,
                       void *user)
{
    struct operation *operation = operation_new(account, loop, answer_user, user);
    bool has_password = change->members & ACCOUNT_USER_PASSWORD;
    struct str password = has_password ? change->password : STR_NONE;
    operation->done.person = done;
    operation->user_change = *change;
    operation->user_change.password = STR_NONE;
    operation->user_change.name = arena_str(operation->arena, str_trim(change->name));
    operation->code = check_edit(operation, id, password);
    if (operation->code == ERR_OK)
        hash_and_write(operation, password, write_edit);
    else
        operation_answer_later(operation);
}
