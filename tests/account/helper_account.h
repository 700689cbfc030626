/* For tests of the account floor: one account, one loop, answers kept. */
#pragma once

#include "../store/support.h"
#include "account/api_key.h"
#include "account/group.h"
#include "account/key_memo.h"
#include "base/clock.h"

struct fixture {
    char *directory;
    struct store *store;
    struct account *account;
    struct key_memo *memo;
    struct loop *loop;
};

static inline void open_account(struct fixture *f, uint64_t lifetime_ms)
{
    f->store = open_store(f->directory);
    const struct account_options options = {.store = f->store, .session_lifetime_ms = lifetime_ms};
    struct error error = {0};
    if (account_open(&options, &f->account, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
    f->memo = key_memo_new();
}

static inline void close_account(struct fixture *f)
{
    key_memo_free(f->memo);
    account_close(f->account);
    store_close(f->store);
}

static inline void restart(struct fixture *f, uint64_t lifetime_ms)
{
    close_account(f);
    open_account(f, lifetime_ms);
}

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_new();
    f->loop = loop_new(0, NULL);
    open_account(f, 0);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;
    close_account(f);
    loop_free(f->loop);
    directory_remove(f->directory);
    free(f);
    return 0;
}

struct answer {
    int count;
    enum err code;
    char field[sizeof((struct error *)0)->field];
    struct id id;
    char role[16], name[64], email[64];
    char secret[128];
};

static inline void keep(struct answer *answer, enum err code, const struct error *error)
{
    answer->count++;
    answer->code = code;
    assert_int_equal(code != ERR_OK, error != NULL);
    if (error) {
        assert_int_equal(error->code, code);
        snprintf(answer->field, sizeof answer->field, "%s", error->field);
    }
}

static inline void keep_person(struct answer *answer, const struct store_user *person)
{
    if (!person)
        return;
    answer->id = person->id;
    snprintf(answer->role, sizeof answer->role, "%.*s", STR_ARG(person->role));
    snprintf(answer->name, sizeof answer->name, "%.*s", STR_ARG(person->name));
    snprintf(answer->email, sizeof answer->email, "%.*s", STR_ARG(person->email));
}

static inline void on_user(void *user, enum err code, const struct error *error,
                           const struct store_user *created)
{
    keep(user, code, error);
    keep_person(user, created);
}

static inline void on_session(void *user, enum err code, const struct error *error,
                              const struct store_user *person, struct str token)
{
    struct answer *answer = user;
    keep(user, code, error);
    keep_person(user, person);
    assert_true(str_copy(token, answer->secret, sizeof answer->secret));
}

static inline void on_key(void *user, enum err code, const struct error *error,
                          const struct store_key *key, struct str secret)
{
    struct answer *answer = user;
    keep(user, code, error);
    if (key)
        answer->id = key->id;
    assert_true(str_copy(secret, answer->secret, sizeof answer->secret));
}

static inline void on_group(void *user, enum err code, const struct error *error,
                            const struct store_group *group)
{
    struct answer *answer = user;
    keep(user, code, error);
    if (!group)
        return;
    answer->id = group->id;
    assert_true(str_copy(group->name, answer->name, sizeof answer->name));
}

static inline void on_plain(void *user, enum err code, const struct error *error)
{
    keep(user, code, error);
}

static inline void nothing(void *user)
{
    (void)user;
}

/* One turn that does not wait: for answers that were known at once. */
static inline void turn(struct fixture *f)
{
    struct loop_task task = {0};
    assert_true(loop_post(f->loop, &task, nothing, NULL));
    loop_run_once(f->loop);
}

static inline struct answer wait_for(struct fixture *f, struct answer *answer)
{
    assert_int_equal(answer->count, 0); /* never before the call returns */
    turn(f);
    while (!answer->count)
        loop_run_once(f->loop);
    assert_int_equal(answer->count, 1);
    return *answer;
}

static inline struct answer create(struct fixture *f, const char *email, const char *password,
                                   const char *name, struct str setup_token)
{
    struct answer answer = {0};
    account_create_user(f->account, f->loop, str_from_cstr(email), str_from_cstr(password),
                        str_from_cstr(name), ROLE_USER, setup_token, on_user, &answer);
    return wait_for(f, &answer);
}

static inline struct answer sign_in(struct fixture *f, const char *email, const char *password,
                                    const char *address)
{
    struct answer answer = {0};
    account_sign_in(f->account, f->loop, str_from_cstr(email), str_from_cstr(password),
                    str_from_cstr(address), on_session, &answer);
    return wait_for(f, &answer);
}

static inline struct answer create_key(struct fixture *f, const struct id *owner, const char *name)
{
    struct answer answer = {0};
    const struct account_key_change settings = {.name = str_from_cstr(name)};
    account_create_key(f->account, f->loop, owner, &settings, on_key, &answer);
    return wait_for(f, &answer);
}

static inline struct answer revoke_key(struct fixture *f, const struct id *owner,
                                       const struct id *key)
{
    struct answer answer = {0};
    account_revoke_key(f->account, f->loop, owner, key, on_plain, &answer);
    return wait_for(f, &answer);
}

static inline enum err by_key(struct fixture *f, const char *key, struct principal *ret)
{
    struct policy *policy = NULL;
    enum err code = account_authenticate_key(f->account, f->memo, str_from_cstr(key),
                                             clock_wall_ms(), ret, &policy);
    policy_unref(policy);
    return code;
}

static inline enum err by_session(struct fixture *f, const char *token, struct principal *ret)
{
    return account_authenticate_session(f->account, str_from_cstr(token), ret);
}

#define WITH_ACCOUNT(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
