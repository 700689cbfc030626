/* The rights of a batch's maker, from the accounts in memory. */
#include "chat/batch_maker.h"

static bool has_key(struct account *account, struct arena *arena, const struct store_batch *batch)
{
    struct store_key *keys;
    size_t count;
    if (account_list_keys(account, arena, &batch->owner, &keys, &count) != ERR_OK)
        return false;
    for (size_t i = 0; i < count; i++)
        if (id_eq(&keys[i].id, &batch->maker_key))
            return !keys[i].revoked;
    return false;
}

enum err batch_maker_check(struct account *account, const struct store_batch *batch,
                           struct error *error)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_user person;
    bool is_person = account_get_user(account, arena, &batch->owner, &person) == ERR_OK;
    bool is_welcome = is_person && !person.disabled;
    if (is_welcome && batch->maker_kind == PRINCIPAL_KEY)
        is_welcome = has_key(account, arena, batch);
    arena_free(arena);
    if (is_welcome)
        return ERR_OK;
    return error_set(error, ERR_UNAUTHENTICATED, NULL,
                     "the key that the batch was made with is not valid any more");
}
