/* The common way of every change:
 *
 *   called --(refused)--> operation_answer_later --> answer
 *     |
 *     +--> [operation_hash: pool] --> operation_write: store --> committed --> answer
 */
#include "account/operation.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

enum { ARENA_BYTES_MAX = 256 * 1024 };

struct operation *operation_new(struct account *account, struct loop *loop,
                                void (*answer)(struct operation *operation), void *user)
{
    struct operation *operation = calloc(1, sizeof *operation);
    ASSERT(operation);
    operation->account = account;
    operation->loop = loop;
    operation->arena = arena_new(ARENA_BYTES_MAX);
    operation->answer = answer;
    operation->user = user;
    return operation;
}

void operation_free(struct operation *operation)
{
    if (operation->password) {
        sodium_memzero(operation->password, operation->password_length);
        free(operation->password);
    }
    arena_free(operation->arena);
    sodium_memzero(operation, sizeof *operation);
    free(operation);
}

void operation_answer(struct operation *operation)
{
    operation->error.code = operation->code;
    operation->answer(operation);
    operation_free(operation);
}

void operation_answer_plain(struct operation *operation)
{
    operation->done.plain(operation->user, operation->code,
                          operation->code == ERR_OK ? NULL : &operation->error);
}

static void on_answer(void *user)
{
    operation_answer(user);
}

void operation_answer_later(struct operation *operation)
{
    loop_defer(operation->loop, &operation->task, on_answer, operation);
}

/* On the writer's thread. */
static void on_written(void *user, enum err code, const struct error *error)
{
    struct operation *operation = user;
    operation->code = code;
    operation->error = *error;
    if (code == ERR_OK && operation->committed)
        operation->committed(operation);
    if (!loop_post(operation->loop, &operation->task, on_answer, operation))
        operation_free(operation); /* a closed loop has nobody to tell */
}

void operation_write(struct operation *operation,
                     enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                     void (*committed)(struct operation *operation))
{
    operation->committed = committed;
    operation->job.run = run;
    operation->job.done = on_written;
    operation->job.user = operation;
    store_write(operation->account->store, NULL, &operation->job);
}

static void abandon(void *user)
{
    operation_free(user);
}

bool operation_hash(struct operation *operation, void (*run)(void *user), void (*then)(void *user))
{
    operation->hash = (struct hash_job){
        .loop = operation->loop, .run = run, .done = then, .abandon = abandon, .user = operation};
    if (hasher_start(&operation->account->hasher, &operation->hash))
        return true;
    operation->code = error_set(&operation->error, ERR_UNAVAILABLE, NULL,
                                "too many people are signing in; try again in a moment");
    operation_answer_later(operation);
    return false;
}

void operation_keep_password(struct operation *operation, struct str password)
{
    operation->password = malloc(password.len + 1);
    ASSERT(operation->password);
    if (password.len)
        memcpy(operation->password, password.data, password.len);
    operation->password_length = password.len;
}

struct str account_lower(struct arena *arena, struct str text)
{
    char *lower = arena_cstr(arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (lower[i] >= 'A' && lower[i] <= 'Z')
            lower[i] = (char)(lower[i] - 'A' + 'a');
    return STR_FROM(lower, text.len);
}

enum err account_check_text(struct str text, size_t max, const char *field, struct error *error)
{
    if (text.len > max)
        return error_set(error, ERR_INVALID, field, "has more than %zu bytes", max);
    if (!utf8_valid(text, NULL))
        return error_set(error, ERR_INVALID, field, "is not valid UTF-8");
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7F)
            return error_set(error, ERR_INVALID, field, "has control characters");
    return ERR_OK;
}
