/* Signing in and out. The token is known to the browser alone; memory and disk have its hash. */
#include "account/operation.h"
#include "base/clock.h"
#include "base/random.h"

static void answer_session(struct operation *operation)
{
    bool good = operation->code == ERR_OK;
    operation->done.session(operation->user, operation->code, good ? NULL : &operation->error,
                            good ? &operation->person : NULL,
                            good ? str_from_cstr(operation->secret) : STR_NONE);
}

/* ---- Beginning a session for operation->person -------------------------------------------------
 */
static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return store_session_insert(tx, &operation->session, error);
}

static void on_inserted(struct operation *operation)
{
    directory_add_session(operation->account->directory, &operation->session, clock_wall_ms());
}

static void hash_token(struct operation *operation, struct str token)
{
    sha256(token, operation->hash_bytes);
    operation->session.token_hash =
        STR_FROM((const char *)operation->hash_bytes, sizeof operation->hash_bytes);
}

static void begin(struct operation *operation)
{
    unsigned char bytes[32];
    int64_t now_ms = clock_wall_ms();
    random_bytes(bytes, sizeof bytes);
    base64url_encode(STR_FROM((const char *)bytes, sizeof bytes), operation->secret);
    sodium_memzero(bytes, sizeof bytes);
    hash_token(operation, STR_FROM(operation->secret, SESSION_TOKEN_LENGTH));
    operation->session.user = operation->person.id;
    operation->session.created_ms = now_ms;
    operation->session.expires_ms = now_ms + (int64_t)operation->account->session_lifetime_ms;
    operation_write(operation, run_insert, on_inserted);
}

void account_begin_session(struct account *account, struct loop *loop, const struct id *person,
                           account_session_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, answer_session, user);
    operation->done.session = done;
    if (directory_copy_person(account->directory, operation->arena, person, &operation->person) &&
        !operation->person.disabled) {
        begin(operation);
        return;
    }
    operation->code = error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such person");
    operation_answer_later(operation);
}

/* ---- With a password ---------------------------------------------------------------------------
 */
static void run_verify(void *user)
{
    struct operation *operation = user;
    const char *hash = operation->may_sign_in ? operation->person.password_hash.data
                                              : operation->account->nobody_hash;
    operation->password_matches =
        crypto_pwhash_str_verify(hash, operation->password, operation->password_length) == 0;
}

static void on_verified(void *user)
{
    struct operation *operation = user;
    struct account *account = operation->account;
    if (operation->may_sign_in && operation->password_matches) {
        throttle_forgive(account->throttle, operation->email, operation->address, true);
        begin(operation);
        return;
    }
    log_info(account->log, "a sign-in was refused", LOG_STR("address", operation->address));
    operation->code = error_set(&operation->error, ERR_UNAUTHENTICATED, NULL,
                                "the email or the password is wrong");
    error_remedy(&operation->error, "Try again, or ask an administrator for a new password.");
    operation_answer(operation);
}

static bool admit(struct operation *operation)
{
    uint64_t wait_ms;
    if (throttle_admit(operation->account->throttle, operation->email, operation->address,
                       loop_now_ms(operation->loop), &wait_ms))
        return true;
    operation->code = error_set(&operation->error, ERR_RATE_LIMITED, NULL,
                                "too many wrong passwords; try again in %llu minutes",
                                (unsigned long long)(wait_ms / 60000 + 1));
    operation_answer_later(operation);
    return false;
}

void account_sign_in(struct account *account, struct loop *loop, struct str email,
                     struct str password, struct str peer_address, account_session_done_fn *done,
                     void *user)
{
    struct operation *operation = operation_new(account, loop, answer_session, user);
    operation->done.session = done;
    operation->email = account_lower(operation->arena, str_trim(email));
    operation->address = arena_str(operation->arena, peer_address);
    if (!admit(operation))
        return;
    operation->may_sign_in = directory_copy_person_by_email(account->directory, operation->arena,
                                                            operation->email, &operation->person) &&
                             operation->person.password_hash.len && !operation->person.disabled &&
                             password.len <= ACCOUNT_PASSWORD_BYTES_MAX;
    operation_keep_password(operation, str_slice(password, 0, ACCOUNT_PASSWORD_BYTES_MAX));
    if (!operation_hash(operation, run_verify, on_verified)) /* not wrong, only too busy */
        throttle_forgive(account->throttle, operation->email, operation->address, false);
}

/* ---- Signing out -------------------------------------------------------------------------------
 */
static enum err run_delete(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    enum err code = store_session_delete(tx, operation->session.token_hash, error);
    return code == ERR_NOT_FOUND ? ERR_OK : code; /* signed out already */
}

void account_sign_out(struct account *account, struct loop *loop, struct str token,
                      account_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, operation_answer_plain, user);
    operation->done.plain = done;
    hash_token(operation, token);
    directory_remove_session(account->directory, operation->session.token_hash);
    /* It left the directory before the disk was asked. */
    operation_write(operation, run_delete, NULL);
}
