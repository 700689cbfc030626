/* authorise: every verb, crossed with every kind of caller and every ownership, against an
 * expectation written down independently of the table: as letters, one line a verb. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "account/authorise.h"

/* Columns: anonymous, person, administrator, person's key, administrator's key, local.
 * y: yes. n: forbidden. s: sign in first. o: one's own only. */
static const struct expectation {
    enum verb verb;
    const char *name;
    const char *answers;
} expectations[] = {
    {VERB_PUBLIC, "public", "yyyyyy"},
    {VERB_SETUP, "setup", "yyyyyy"},
    {VERB_SIGN_IN, "sign_in", "yyyyyy"},
    {VERB_CHAT, "chat", "syyyyy"},
    {VERB_MODELS_LIST, "models.list", "syyyyy"},
    {VERB_CONVERSATION_LIST, "conversation.list", "soooon"},
    {VERB_CONVERSATION_CREATE, "conversation.create", "soooon"},
    {VERB_CONVERSATION_READ, "conversation.read", "soooon"},
    {VERB_CONVERSATION_WRITE, "conversation.write", "soooon"},
    {VERB_MESSAGE_SEND, "message.send", "soooon"},
    {VERB_RUN_READ, "run.read", "soooon"},
    {VERB_RUN_STOP, "run.stop", "soooon"},
    {VERB_RESPONSE_MANAGE, "response.manage", "soooon"},
    {VERB_THREAD_MANAGE, "thread.manage", "soooon"},
    {VERB_KEY_MANAGE, "key.manage", "soonno"},
    {VERB_KEY_MANAGE_ALL, "key.manage_all", "snynny"},
    {VERB_USER_MANAGE, "user.manage", "snynny"},
    {VERB_SETTINGS_READ, "settings.read", "snynny"},
    {VERB_SETTINGS_WRITE, "settings.write", "snynny"},
    {VERB_PROVIDER_CHECK, "provider.check", "snynny"},
    {VERB_TARGET_MANAGE, "target.manage", "snynny"},
    {VERB_LIMIT_READ, "limit.read", "sooooo"},
    {VERB_LIMIT_MANAGE, "limit.manage", "snynny"},
    {VERB_METRICS_READ, "metrics.read", "snynyy"},
    {VERB_USAGE_READ, "usage.read", "sooooo"},
    {VERB_USAGE_READ_ALL, "usage.read_all", "snynyy"},
    {VERB_BACKUP, "backup", "snnnny"},
    {VERB_GROUP_MANAGE, "group.manage", "snynny"},
    {VERB_FILE_MANAGE, "file.manage", "soooon"},
    {VERB_BATCH_MANAGE, "batch.manage", "soooon"},
};

static const struct {
    enum principal_kind kind;
    enum role role;
} callers[] = {
    {PRINCIPAL_ANONYMOUS, ROLE_USER}, {PRINCIPAL_SESSION, ROLE_USER},
    {PRINCIPAL_SESSION, ROLE_ADMIN},  {PRINCIPAL_KEY, ROLE_USER},
    {PRINCIPAL_KEY, ROLE_ADMIN},      {PRINCIPAL_LOCAL, ROLE_ADMIN},
};

enum ownership { NOBODYS, OWN, ANOTHERS };

static enum err expected(char answer, enum ownership ownership)
{
    switch (answer) {
    case 'y':
        return ERR_OK;
    case 'n':
        return ERR_FORBIDDEN;
    case 's':
        return ERR_UNAUTHENTICATED;
    case 'o':
        return ownership == ANOTHERS ? ERR_NOT_FOUND : ERR_OK;
    }
    fail();
    return ERR_INTERNAL;
}

static void test_everything(void **state)
{
    (void)state;
    struct id me = id_new(1), other = id_new(2);
    assert_int_equal(sizeof expectations / sizeof expectations[0], VERB_COUNT);
    for (int v = 0; v < VERB_COUNT; v++) {
        const struct expectation *row = &expectations[v];
        assert_int_equal(row->verb, v);
        assert_string_equal(verb_name(row->verb), row->name);
        assert_int_equal(strlen(row->answers), sizeof callers / sizeof callers[0]);
        for (int c = 0; row->answers[c]; c++) {
            bool person = callers[c].kind == PRINCIPAL_SESSION || callers[c].kind == PRINCIPAL_KEY;
            struct principal who = {.kind = callers[c].kind, .role = callers[c].role};
            if (person)
                who.user = me;
            for (int o = NOBODYS; o <= ANOTHERS; o++) {
                struct authorise_object what = {.owner = o == NOBODYS ? NULL
                                                         : o == OWN   ? &who.user
                                                                      : &other};
                struct error error = {0};
                enum err got = authorise(&who, row->verb, what, &error);
                enum err want = expected(row->answers[c], (enum ownership)o);
                if (got != want)
                    fail_msg("%s, caller %d, ownership %d: %s, not %s", row->name, c, o,
                             err_info(got)->name, err_info(want)->name);
                assert_int_equal(error.code, want);
                assert_int_equal(authorise(&who, row->verb, what, NULL), want);
            }
        }
    }
}

static void test_nonsense_is_refused(void **state)
{
    (void)state;
    const struct authorise_object nothing = {NULL};
    struct principal who = {.kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN};
    assert_int_equal(authorise(&who, VERB_COUNT, nothing, NULL), ERR_FORBIDDEN);
    assert_int_equal(authorise(&who, (enum verb) - 1, nothing, NULL), ERR_FORBIDDEN);
    who.kind = (enum principal_kind)77;
    assert_int_not_equal(authorise(&who, VERB_PUBLIC, nothing, NULL), ERR_OK);
    /* A role without a sign-in is worth nothing. */
    who = PRINCIPAL_NOBODY;
    who.role = ROLE_ADMIN;
    assert_int_equal(authorise(&who, VERB_USER_MANAGE, nothing, NULL), ERR_UNAUTHENTICATED);
    assert_string_equal(verb_name(VERB_COUNT), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything),
        cmocka_unit_test(test_nonsense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
