/* authorise: the one place that says who may do what. Called by every door, for every request and
 * every socket message. Pure. */
#pragma once

#include "account/account.h"

/* What somebody wants to do. One row each in the table of authorise.c. */
enum verb {
    VERB_PUBLIC, /* session state, assets, health */
    VERB_SETUP,
    VERB_SIGN_IN,
    VERB_CHAT, /* talk to models */
    VERB_MODELS_LIST,
    VERB_CONVERSATION_LIST, /* one's own */
    VERB_CONVERSATION_CREATE,
    VERB_CONVERSATION_READ,
    VERB_CONVERSATION_WRITE,
    VERB_MESSAGE_SEND, /* talk in one's conversations: the WebSocket and what goes through it */
    VERB_RUN_READ,
    VERB_RUN_STOP,
    VERB_RESPONSE_MANAGE, /* read and delete answers that the responses door has kept */
    VERB_THREAD_MANAGE,   /* conversations of that door */
    VERB_KEY_MANAGE,      /* one's own */
    VERB_KEY_MANAGE_ALL,
    VERB_USER_MANAGE,
    VERB_SETTINGS_READ,
    VERB_SETTINGS_WRITE,
    VERB_PROVIDER_CHECK,
    VERB_TARGET_MANAGE, /* look at targets, take them out and bring them back */
    VERB_LIMIT_READ,    /* of oneself and one's keys */
    VERB_LIMIT_MANAGE,
    VERB_METRICS_READ,
    VERB_USAGE_READ, /* one's own */
    VERB_USAGE_READ_ALL,
    VERB_BACKUP,
    VERB_GROUP_MANAGE,
    VERB_FILE_MANAGE,  /* one's own */
    VERB_BATCH_MANAGE, /* one's own */
    VERB_COUNT
};

/* What it is to be done to. */
struct authorise_object {
    const struct id *owner; /* whose it is; NULL for what belongs to nobody or to the caller */
};

/* ERR_OK, ERR_UNAUTHENTICATED (sign in first), ERR_FORBIDDEN, or ERR_NOT_FOUND where even the
 * existence of another person's object is not to be told. `error` may be NULL. */
MUST_USE enum err authorise(const struct principal *who, enum verb verb,
                            struct authorise_object what, struct error *error);
/* For generated tests and documentation: "conversation.read". */
const char *verb_name(enum verb verb);
