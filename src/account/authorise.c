/* Who may do what: one row a verb. Data, so that documentation and tests can read it.
 *
 * A key is a program's: it talks to models and to its owner's conversations, and reads metrics and
 * everybody's usage when its owner is an administrator, but it makes no keys, people or settings, because it lies in files
 * and environments. LOCAL is whoever may read DATA_DIR: an administrator, but nobody's
 * conversations, because it acts for no person. */
#include "account/authorise.h"

enum {
    ANYBODY = 1 << 0,
    SESSION_USER = 1 << 1,
    SESSION_ADMIN = 1 << 2,
    KEY_USER = 1 << 3,
    KEY_ADMIN = 1 << 4,
    LOCAL = 1 << 5,
    SESSION = SESSION_USER | SESSION_ADMIN,
    KEY = KEY_USER | KEY_ADMIN,
    PERSON = SESSION | KEY,
    ADMINISTRATOR = SESSION_ADMIN | LOCAL,
};

static const struct verb_row {
    const char *name;
    unsigned who;
    bool owned; /* only what is one's own; another's does not even exist */
} verbs[VERB_COUNT] = {
    [VERB_PUBLIC] = {"public", ANYBODY, false},
    [VERB_SETUP] = {"setup", ANYBODY, false},
    [VERB_SIGN_IN] = {"sign_in", ANYBODY, false},
    [VERB_CHAT] = {"chat", PERSON | LOCAL, false},
    [VERB_MODELS_LIST] = {"models.list", PERSON | LOCAL, false},
    [VERB_CONVERSATION_LIST] = {"conversation.list", PERSON, true},
    [VERB_CONVERSATION_CREATE] = {"conversation.create", PERSON, true},
    [VERB_CONVERSATION_READ] = {"conversation.read", PERSON, true},
    [VERB_CONVERSATION_WRITE] = {"conversation.write", PERSON, true},
    [VERB_MESSAGE_SEND] = {"message.send", PERSON, true},
    [VERB_RUN_READ] = {"run.read", PERSON, true},
    [VERB_RUN_STOP] = {"run.stop", PERSON, true},
    [VERB_RESPONSE_MANAGE] = {"response.manage", PERSON, true},
    [VERB_THREAD_MANAGE] = {"thread.manage", PERSON, true},
    [VERB_KEY_MANAGE] = {"key.manage", SESSION | LOCAL, true},
    [VERB_KEY_MANAGE_ALL] = {"key.manage_all", ADMINISTRATOR, false},
    [VERB_USER_MANAGE] = {"user.manage", ADMINISTRATOR, false},
    [VERB_SETTINGS_READ] = {"settings.read", ADMINISTRATOR, false},
    [VERB_SETTINGS_WRITE] = {"settings.write", ADMINISTRATOR, false},
    [VERB_PROVIDER_CHECK] = {"provider.check", ADMINISTRATOR, false},
    [VERB_TARGET_MANAGE] = {"target.manage", ADMINISTRATOR, false},
    [VERB_LIMIT_READ] = {"limit.read", PERSON | LOCAL, true},
    [VERB_LIMIT_MANAGE] = {"limit.manage", ADMINISTRATOR, false},
    [VERB_METRICS_READ] = {"metrics.read", ADMINISTRATOR | KEY_ADMIN, false},
    [VERB_USAGE_READ] = {"usage.read", PERSON | LOCAL, true},
    [VERB_USAGE_READ_ALL] = {"usage.read_all", ADMINISTRATOR | KEY_ADMIN, false},
    [VERB_BACKUP] = {"backup", LOCAL, false}, /* it writes to a path of the server */
    [VERB_GROUP_MANAGE] = {"group.manage", ADMINISTRATOR, false},
    [VERB_FILE_MANAGE] = {"file.manage", PERSON, true},
    [VERB_BATCH_MANAGE] = {"batch.manage", PERSON, true},
};

static unsigned who_is(const struct principal *who)
{
    bool admin = who->role == ROLE_ADMIN;
    switch (who->kind) {
    case PRINCIPAL_ANONYMOUS:
        return ANYBODY;
    case PRINCIPAL_SESSION:
        return ANYBODY | (admin ? SESSION_ADMIN : SESSION_USER);
    case PRINCIPAL_KEY:
        return ANYBODY | (admin ? KEY_ADMIN : KEY_USER);
    case PRINCIPAL_LOCAL:
        return ANYBODY | LOCAL;
    }
    return 0;
}

enum err authorise(const struct principal *who, enum verb verb, struct authorise_object what,
                   struct error *error)
{
    if ((unsigned)verb >= VERB_COUNT)
        return error_set(error, ERR_FORBIDDEN, NULL, "no such permission");
    const struct verb_row *row = &verbs[verb];
    if (!(who_is(who) & row->who)) {
        if (who->kind == PRINCIPAL_ANONYMOUS)
            return error_set(error, ERR_UNAUTHENTICATED, NULL, "%s",
                             err_info(ERR_UNAUTHENTICATED)->message);
        return error_set(error, ERR_FORBIDDEN, NULL, "you may not do this (%s)", row->name);
    }
    if (row->owned && what.owner && !id_eq(what.owner, &who->user))
        return error_set(error, ERR_NOT_FOUND, NULL, "%s", err_info(ERR_NOT_FOUND)->message);
    return ERR_OK;
}

const char *verb_name(enum verb verb)
{
    return (unsigned)verb < VERB_COUNT ? verbs[verb].name : "unknown";
}
