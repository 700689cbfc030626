/* Accounts: set-up, people, signing in and out, keys, throttling; that it all is there again after
 * a restart; and that what is revoked is refused at once, on disk as well. */
#include <pthread.h>
#include <stdatomic.h>

#include "account/key.h"
#include "account/throttle.h"
#include "helper_account.h"

/* ---- Set-up ------------------------------------------------------------------------------------
 */
static void test_setup(void **state)
{
    struct fixture *f = *state;
    assert_true(account_setup_required(f->account));
    char token[64];
    assert_true(str_copy(account_setup_token(f->account), token, sizeof token));
    assert_int_equal(strlen(token), 32);
    struct answer wrong = create(f, "a@b", "password", "", STR("wrong"));
    assert_int_equal(wrong.code, ERR_FORBIDDEN);
    wrong = create(f, "a@b", "password", "", STR(""));
    assert_int_equal(wrong.code, ERR_FORBIDDEN);
    struct answer made = create(f, " Ann@Example.ORG ", "correct horse", "", str_from_cstr(token));
    assert_int_equal(made.code, ERR_OK);
    assert_string_equal(made.role, "admin");
    assert_string_equal(made.email, "ann@example.org");
    assert_string_equal(made.name, "ann");
    assert_false(account_setup_required(f->account));
    assert_null(account_setup_token(f->account).data);
    struct answer late = create(f, "bob@b", "password", "", str_from_cstr(token));
    assert_int_equal(late.code, ERR_CONFLICT);
    restart(f, 0);
    assert_false(account_setup_required(f->account));
}

/* Two at once with the right token: the transaction tells them apart. */
static void test_setup_twice_at_once(void **state)
{
    struct fixture *f = *state;
    struct answer first = {0}, second = {0};
    struct str token = account_setup_token(f->account);
    account_create_user(f->account, f->loop, STR("a@b"), STR("password"), STR(""), ROLE_USER, token,
                        on_user, &first);
    account_create_user(f->account, f->loop, STR("c@d"), STR("password"), STR(""), ROLE_USER, token,
                        on_user, &second);
    while (!first.count || !second.count)
        loop_run_once(f->loop);
    assert_int_equal((first.code == ERR_OK) + (second.code == ERR_OK), 1);
    assert_int_equal((first.code == ERR_CONFLICT) + (second.code == ERR_CONFLICT), 1);
}

/* ---- People ------------------------------------------------------------------------------------
 */
static void test_refusals_name_the_field(void **state)
{
    struct fixture *f = *state;
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    long_text[1999] = '\0';
    const struct {
        const char *email, *password, *name, *field;
    } rows[] = {
        {"", "password", "", "email"},          {"nobody", "password", "", "email"},
        {"@b", "password", "", "email"},        {"a@", "password", "", "email"},
        {"a b@c", "password", "", "email"},     {"a\n@c", "password", "", "email"},
        {"a\xFF@c", "password", "", "email"},   {long_text, "password", "", "email"},
        {"a@b", "short", "", "password"},       {"a@b", long_text, "", "password"},
        {"a@b", "password", long_text, "name"}, {"a@b", "password", "a\x01", "name"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = create(f, rows[i].email, rows[i].password, rows[i].name, STR_NONE);
        assert_int_equal(answer.code, ERR_INVALID);
        assert_string_equal(answer.field, rows[i].field);
    }
    assert_true(account_setup_required(f->account));
    assert_int_equal(create(f, "a@b", "password", "Ann", STR_NONE).code, ERR_OK);
    struct answer twin = create(f, "A@B", "password", "", STR_NONE);
    assert_int_equal(twin.code, ERR_CONFLICT);
    assert_string_equal(twin.field, "email");
    struct arena *arena = arena_new(65536);
    struct store_user *users, one;
    size_t count;
    assert_int_equal(account_list_users(f->account, arena, &users, &count), ERR_OK);
    assert_true(count == 1 && str_eq(users[0].name, STR("Ann")));
    assert_int_equal(account_get_user(f->account, arena, &users[0].id, &one), ERR_OK);
    assert_true(str_starts_with(one.password_hash, STR("$argon2id$v=19$m=19456,t=2,p=1$")));
    struct id nobody = id_new(1);
    assert_int_equal(account_get_user(f->account, arena, &nobody, &one), ERR_NOT_FOUND);
    arena_free(arena);
}

/* ---- Sessions ----------------------------------------------------------------------------------
 */
static void test_sessions(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "correct horse", "", STR_NONE);
    struct answer in = sign_in(f, " ANN@B", "correct horse", "10.0.0.1");
    assert_int_equal(in.code, ERR_OK);
    assert_int_equal(strlen(in.secret), 43);
    assert_true(id_eq(&in.id, &ann.id));
    assert_int_equal(by_session(f, in.secret, &who), ERR_OK);
    assert_true(who.kind == PRINCIPAL_SESSION && id_eq(&who.user, &ann.id) &&
                who.role == ROLE_USER && id_is_none(&who.key));
    restart(f, 0);
    assert_int_equal(by_session(f, in.secret, &who), ERR_OK);
    in.secret[5] = in.secret[5] == 'x' ? 'y' : 'x';
    assert_int_equal(by_session(f, in.secret, &who), ERR_UNAUTHENTICATED);
    assert_int_equal(by_session(f, "", &who), ERR_UNAUTHENTICATED);
    struct answer second = {0}, out = {0};
    account_begin_session(f->account, f->loop, &ann.id, on_session, &second);
    wait_for(f, &second);
    assert_int_equal(by_session(f, second.secret, &who), ERR_OK);
    account_sign_out(f->account, f->loop, str_from_cstr(second.secret), on_plain, &out);
    assert_int_equal(by_session(f, second.secret, &who), ERR_UNAUTHENTICATED); /* at once */
    assert_int_equal(wait_for(f, &out).code, ERR_OK);
    out = (struct answer){0};
    account_sign_out(f->account, f->loop, str_from_cstr(second.secret), on_plain, &out);
    assert_int_equal(wait_for(f, &out).code, ERR_OK);
    restart(f, 0);
    assert_int_equal(by_session(f, second.secret, &who), ERR_UNAUTHENTICATED);
    struct id nobody = id_new(1);
    second = (struct answer){0};
    account_begin_session(f->account, f->loop, &nobody, on_session, &second);
    assert_int_equal(wait_for(f, &second).code, ERR_NOT_FOUND);
}

static void test_sessions_expire(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    restart(f, 1); /* a session is over a millisecond after it began */
    struct answer ann = create(f, "ann@b", "", "", STR_NONE), in = {0};
    account_begin_session(f->account, f->loop, &ann.id, on_session, &in);
    assert_int_equal(wait_for(f, &in).code, ERR_OK);
    int64_t begun_ms = clock_wall_ms();
    while (clock_wall_ms() < begun_ms + 2)
        continue;
    assert_int_equal(by_session(f, in.secret, &who), ERR_UNAUTHENTICATED);
}

static void test_wrong_passwords(void **state)
{
    struct fixture *f = *state;
    create(f, "ann@b", "correct horse", "", STR_NONE);
    create(f, "nopassword@b", "", "", STR_NONE);
    assert_int_equal(sign_in(f, "nopassword@b", "", "10.0.0.2").code, ERR_UNAUTHENTICATED);
    assert_int_equal(sign_in(f, "nobody@b", "correct horse", "10.0.0.3").code, ERR_UNAUTHENTICATED);
    assert_int_equal(sign_in(f, "ann@b", "wrong", "10.0.0.4").code, ERR_UNAUTHENTICATED);
    struct answer right = sign_in(f, "ann@b", "correct horse", "10.0.0.4");
    assert_int_equal(right.code, ERR_OK); /* and what was counted for the email is forgotten */
    enum { TRIES = THROTTLE_FAILURES_MAX + 5 };
    struct answer answers[TRIES] = {0};
    for (int i = 0; i < TRIES; i++) /* all at once gains nothing */
        account_sign_in(f->account, f->loop, STR("ann@b"), STR("wrong"), STR("10.0.0.5"),
                        on_session, &answers[i]);
    turn(f);
    int wrong = 0, limited = 0;
    for (int i = 0; i < TRIES; i++) {
        while (!answers[i].count)
            loop_run_once(f->loop);
        wrong += answers[i].code == ERR_UNAUTHENTICATED;
        limited += answers[i].code == ERR_RATE_LIMITED;
    }
    assert_int_equal(wrong, THROTTLE_FAILURES_MAX);
    assert_int_equal(limited, TRIES - THROTTLE_FAILURES_MAX);
    assert_int_equal(sign_in(f, "ann@b", "correct horse", "10.9.9.9").code, ERR_RATE_LIMITED);
}

/* ---- Throttle ----------------------------------------------------------------------------------
 */
static void test_throttle(void **state)
{
    (void)state;
    struct throttle *throttle = throttle_new();
    uint64_t wait_ms = 0, now_ms = 1000;
    for (int i = 0; i < THROTTLE_FAILURES_MAX; i++) /* one person's /64, many emails */
        assert_true(throttle_admit(throttle, STR_FROM((const char *)&i, sizeof i),
                                   i % 2 ? STR("2001:db8::1") : STR("2001:db8::ffff:2"), now_ms,
                                   &wait_ms));
    assert_false(throttle_admit(throttle, STR("x"), STR("2001:db8:0:0:1::"), now_ms, &wait_ms));
    assert_int_equal(wait_ms, THROTTLE_WINDOW_MS);
    assert_true(throttle_admit(throttle, STR("x"), STR("2001:db8:0:1::"), now_ms, &wait_ms));
    /* A loop whose time is behind must not look like one far ahead. */
    assert_false(throttle_admit(throttle, STR("x"), STR("2001:db8::1"), now_ms - 1, &wait_ms));
    assert_true(throttle_admit(throttle, STR("x"), STR("2001:db8::1"), now_ms + THROTTLE_WINDOW_MS,
                               &wait_ms));
    for (int i = 0; i < 100; i++) { /* too busy is not a wrong password */
        assert_true(throttle_admit(throttle, STR("busy"), STR("b"), now_ms, &wait_ms));
        throttle_forgive(throttle, STR("busy"), STR("b"), false);
    }
    /* Filling the table does not clear the counter of one that is near its limit. */
    for (int i = 0; i < THROTTLE_FAILURES_MAX; i++)
        assert_true(throttle_admit(throttle, STR("victim"), STR_FROM((const char *)&i, 1), now_ms,
                                   &wait_ms));
    for (uint32_t i = 0; i < 100000; i++) {
        struct str text = STR_FROM((const char *)&i, sizeof i);
        throttle_admit(throttle, text, text, now_ms, &wait_ms);
    }
    assert_false(throttle_admit(throttle, STR("victim"), STR("v"), now_ms, &wait_ms));
    throttle_free(throttle);
}

/* ---- Keys --------------------------------------------------------------------------------------
 */
static void test_key_text(void **state)
{
    (void)state;
    char key[KEY_LENGTH + 1], other[KEY_LENGTH + 1];
    key_make(key);
    key_make(other);
    assert_string_not_equal(key, other);
    assert_int_equal(strlen(key), 10 + 43 + 6);
    struct str text = str_from_cstr(key);
    assert_true(key_is_valid(text) && str_starts_with(text, STR("sk-parley-")));
    for (size_t i = 0; i < KEY_LENGTH; i++) { /* one wrong character anywhere is noticed */
        char kept = key[i];
        key[i] = kept == 'A' ? 'B' : 'A';
        assert_false(key_is_valid(text));
        key[i] = kept;
    }
    for (size_t length = 0; length < KEY_LENGTH; length++)
        assert_false(key_is_valid(str_slice(text, 0, length)));
    assert_false(key_is_valid(STR_NONE));
}

/* RFC 5869, test cases 1 and 3 (the first 32 bytes of their output). */
static void test_key_derivation(void **state)
{
    (void)state;
    unsigned char secret[22], salt[13], info[10], derived[SHA256_BYTES];
    char hex[2 * SHA256_BYTES + 1];
    memset(secret, 0x0b, sizeof secret);
    for (unsigned char i = 0; i < sizeof salt; i++)
        salt[i] = i;
    for (unsigned char i = 0; i < sizeof info; i++)
        info[i] = (unsigned char)(0xf0 + i);
    struct str material = STR_FROM((const char *)secret, sizeof secret);
    key_derive(material, STR_FROM((const char *)salt, sizeof salt),
               STR_FROM((const char *)info, sizeof info), derived);
    hex_encode(STR_FROM((const char *)derived, sizeof derived), hex);
    assert_string_equal(hex, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
    key_derive(material, STR_NONE, STR_NONE, derived);
    hex_encode(STR_FROM((const char *)derived, sizeof derived), hex);
    assert_string_equal(hex, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer bob = create(f, "bob@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, " laptop ");
    assert_int_equal(key.code, ERR_OK);
    assert_int_equal(by_key(f, key.secret, &who), ERR_OK);
    assert_true(who.kind == PRINCIPAL_KEY && id_eq(&who.user, &ann.id) && id_eq(&who.key, &key.id));
    assert_int_equal(create_key(f, &ann.id, "").code, ERR_INVALID);
    assert_int_equal(create_key(f, &key.id, "x").code, ERR_NOT_FOUND);
    char unknown[KEY_LENGTH + 1];
    key_make(unknown);
    assert_int_equal(by_key(f, unknown, &who), ERR_UNAUTHENTICATED);
    assert_int_equal(by_key(f, "sk-other", &who), ERR_UNAUTHENTICATED);
    restart(f, 0);
    assert_int_equal(by_key(f, key.secret, &who), ERR_OK);
    struct answer other = create_key(f, &bob.id, "phone");
    struct arena *arena = arena_new(65536);
    struct store_key *keys;
    size_t count;
    struct id none = {0};
    assert_int_equal(account_list_keys(f->account, arena, &ann.id, &keys, &count), ERR_OK);
    assert_true(count == 1 && str_eq(keys[0].name, STR("laptop")));
    assert_true(str_eq(keys[0].prefix, STR_FROM(key.secret, 14)) && keys[0].last_used_ms > 0);
    assert_int_equal(account_list_keys(f->account, arena, &none, &keys, &count), ERR_OK);
    assert_int_equal(count, 2);
    arena_free(arena);
    assert_int_equal(revoke_key(f, &bob.id, &key.id).code, ERR_NOT_FOUND);
    assert_int_equal(by_key(f, key.secret, &who), ERR_OK);
    struct answer revoked = {0};
    account_revoke_key(f->account, f->loop, &ann.id, &key.id, on_plain, &revoked);
    assert_int_equal(by_key(f, key.secret, &who), ERR_UNAUTHENTICATED); /* before the disk */
    assert_int_equal(wait_for(f, &revoked).code, ERR_OK);
    assert_int_equal(revoke_key(f, &none, &other.id).code, ERR_OK);
    restart(f, 0);
    assert_int_equal(by_key(f, key.secret, &who), ERR_UNAUTHENTICATED);
    assert_int_equal(by_key(f, other.secret, &who), ERR_UNAUTHENTICATED);
}

/* A use that is written late must not bring a revoked key back. */
static void test_use_does_not_unrevoke(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    for (int i = 0; i < 20; i++) {
        struct answer key = create_key(f, &ann.id, "k"), revoked = {0};
        assert_int_equal(by_key(f, key.secret, &who), ERR_OK); /* its first use is written */
        account_revoke_key(f->account, f->loop, &ann.id, &key.id, on_plain, &revoked);
        assert_int_equal(wait_for(f, &revoked).code, ERR_OK);
        if (i % 10 == 0)
            restart(f, 0);
        assert_int_equal(by_key(f, key.secret, &who), ERR_UNAUTHENTICATED);
    }
    restart(f, 0);
    struct arena *arena = arena_new(65536);
    struct store_key *keys;
    size_t count;
    assert_int_equal(account_list_keys(f->account, arena, &ann.id, &keys, &count), ERR_OK);
    assert_int_equal(count, 20);
    for (size_t i = 0; i < count; i++)
        assert_true(keys[i].revoked && keys[i].last_used_ms > 0);
    arena_free(arena);
}

/* ---- Many threads ------------------------------------------------------------------------------
 */
struct asker {
    struct fixture *f;
    const char *key, *token;
    atomic_bool is_revoked; /* the key is, and somebody was told so */
    atomic_bool has_seen;   /* what followed */
    size_t good, bad, late;
};

/* On a thread of its own, as a loop would, with its own memo. */
static void *ask(void *user)
{
    struct asker *asker = user;
    struct principal who;
    struct key_memo *memo = key_memo_new();
    struct str key = str_from_cstr(asker->key);
    while (!atomic_load(&asker->has_seen)) {
        bool is_revoked = atomic_load(&asker->is_revoked);
        struct policy *policy = NULL;
        asker->good += by_session(asker->f, asker->token, &who) == ERR_OK;
        bool is_good = account_authenticate_key(asker->f->account, memo, key, clock_wall_ms(), &who,
                                                &policy) == ERR_OK;
        asker->bad += !is_good && !is_revoked;
        asker->late += is_good && is_revoked;
        policy_unref(policy);
        atomic_store(&asker->has_seen, is_revoked);
    }
    key_memo_free(memo);
    return NULL;
}

static void test_many_threads(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE), in = {0};
    account_begin_session(f->account, f->loop, &ann.id, on_session, &in);
    wait_for(f, &in);
    struct answer key = create_key(f, &ann.id, "k");
    struct asker asker[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        asker[i] = (struct asker){.f = f, .key = key.secret, .token = in.secret};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &asker[i]), 0);
    }
    char email[32];
    for (int i = 0; i < 20; i++) {
        snprintf(email, sizeof email, "p%d@b", i);
        struct answer person = create(f, email, "", "", STR_NONE);
        assert_int_equal(create_key(f, &person.id, "k").code, ERR_OK);
    }
    const struct account_key_change change = {.members = ACCOUNT_KEY_NAME, .name = STR("l")};
    struct answer edited = {0};
    account_edit_key(f->account, f->loop, &key.id, &change, on_key, &edited);
    assert_int_equal(wait_for(f, &edited).code, ERR_OK);
    assert_int_equal(revoke_key(f, &ann.id, &key.id).code, ERR_OK);
    for (int i = 0; i < 3; i++)
        atomic_store(&asker[i].is_revoked, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_true(asker[i].good > 0);
        assert_int_equal(asker[i].late, 0);
    }
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        WITH_ACCOUNT(test_setup),
        WITH_ACCOUNT(test_setup_twice_at_once),
        WITH_ACCOUNT(test_refusals_name_the_field),
        WITH_ACCOUNT(test_sessions),
        WITH_ACCOUNT(test_sessions_expire),
        WITH_ACCOUNT(test_wrong_passwords),
        cmocka_unit_test(test_throttle),
        cmocka_unit_test(test_key_text),
        cmocka_unit_test(test_key_derivation),
        WITH_ACCOUNT(test_keys),
        WITH_ACCOUNT(test_use_does_not_unrevoke),
        WITH_ACCOUNT(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
