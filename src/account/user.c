/* Making people: checked, hashed in the pool, written, then in the directory. */
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

static void on_inserted(struct operation *operation)
{
    directory_add_person(operation->account->directory, &operation->person);
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
    if (!operation->person.password_hash.len) {
        operation->code = error_set(&operation->error, ERR_UNAVAILABLE, NULL,
                                    "not enough memory to hash the password");
        operation_answer(operation);
        return;
    }
    operation_write(operation, run_insert, on_inserted);
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
    if (password.len == 0) {
        operation_write(operation, run_insert, on_inserted);
        return;
    }
    operation_keep_password(operation, password);
    operation_hash(operation, run_hash, on_hashed);
}
