/* The rights of a batch's maker, from the accounts in memory. */
#include "chat/batch_maker.h"

#include "account/api_key.h"
#include "base/clock.h"

static enum err find_person(struct account *account, const struct store_batch *batch,
                            struct principal *ret_who)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct store_user person;
    enum err code = account_get_user(account, arena, &batch->owner, &person);
    if (code == ERR_OK && person.disabled)
        code = ERR_UNAUTHENTICATED;
    if (code == ERR_OK)
        *ret_who = (struct principal){
            .kind = (enum principal_kind)batch->maker_kind,
            .user = batch->owner,
            .key = account_key_in_force(account, &batch->maker_key),
            .role = str_eq(person.role, STR("admin")) ? ROLE_ADMIN : ROLE_USER,
        };
    arena_free(arena);
    return code;
}

static enum err check_scope(const struct policy *policy, const struct store_batch *batch,
                            struct error *error)
{
    if (!policy_is_current(policy, clock_wall_ms()))
        return error_set(error, ERR_UNAUTHENTICATED, NULL, "the batch's key is not valid any more");
    if (!policy_allows_door(policy, batch->dialect))
        return error_set(error, ERR_FORBIDDEN, NULL, "the batch's key may not use this door");
    if (!policy_allows_address(policy, batch->maker_address))
        return error_set(error, ERR_FORBIDDEN, NULL,
                         "the batch's key may not be used from the address it was made from");
    return ERR_OK;
}

enum err batch_maker_policy(struct account *account, const struct store_batch *batch,
                            struct policy **ret_policy, struct error *error)
{
    struct principal who;
    struct policy *policy = NULL;
    enum err code = find_person(account, batch, &who);
    if (code == ERR_OK)
        code = account_policy(account, &who, &policy);
    if (code != ERR_OK)
        return error_set(error, ERR_UNAUTHENTICATED, NULL, "the batch's key is not valid any more");
    code = check_scope(policy, batch, error);
    if (code == ERR_OK)
        *ret_policy = policy;
    else
        policy_unref(policy);
    return code;
}
