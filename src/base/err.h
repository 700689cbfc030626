/* Errors: one enumeration for the whole program, and one table that says what each means. */
#pragma once

#include <stddef.h>

#include "base/str.h"

#define MUST_USE __attribute__((warn_unused_result))

/* What went wrong. The first group is ours or our caller's; the second group classifies what a
 * provider did (the classes of the canonical model), and doors pass both on in their own shape. */
enum err {
    ERR_OK = 0,
    ERR_INVALID,         /* the input is wrong; the message names the field */
    ERR_TOO_BIG,         /* over a stated limit */
    ERR_NOT_FOUND,       /* no such thing, or not visible to this caller */
    ERR_CONFLICT,        /* exists already, or changed meanwhile */
    ERR_UNAUTHENTICATED, /* who are you? */
    ERR_FORBIDDEN,       /* we know who you are, and no */
    ERR_UNSUPPORTED,     /* a method, media type or feature that does not exist here */
    ERR_STORAGE,         /* the disk is full, or the database is locked or broken */
    ERR_CORRUPT,         /* stored or received bytes fail their checksum or grammar */
    ERR_CANCELLED,       /* the owner asked for it to end */
    ERR_TIMEOUT,         /* a timer fired; the message says which */
    ERR_NETWORK,         /* resolve, connect, TLS, reset */
    ERR_UNAVAILABLE,     /* shutting down, not ready */
    ERR_INTERNAL,        /* our own mistake */
    ERR_RATE_LIMITED,    /* too many; a wait may be given */
    ERR_AUTHENTICATION,  /* a provider refused our key */
    ERR_PERMISSION,      /* a provider knows our key and refuses */
    ERR_QUOTA_EXHAUSTED, /* a provider's money or quota is used up */
    ERR_OVERLOADED,      /* a provider is overloaded */
    ERR_SERVER,          /* a provider failed (5xx), or answered what is not its protocol */
    ERR_CONTENT_FILTERED,
    ERR_CONTEXT_LENGTH, /* the conversation is longer than the model takes */
    ERR_MODEL_NOT_FOUND,
    ERR_COUNT
};

/* One row of the table that every door reads. */
struct err_info {
    const char *name;    /* stable, lower_snake_case: the "code" of our own errors */
    int http_status;     /* what our own doors answer */
    const char *message; /* for a person, when nothing more precise is known */
    const char *remedy;  /* what to do about it; may be "" */
};

/* The row of `code`; never NULL (an unknown code gives the row of ERR_INTERNAL). */
const struct err_info *err_info(enum err code);

/* The code whose name is `name`, or ERR_INTERNAL. */
enum err err_from_name(struct str name);

/* A precise error where a person reads it. Bounded, owned by whoever declares it.
 * Every text is UTF-8, NUL-terminated, cut at a character border when too long. */
struct error {
    enum err code;
    char field[128];   /* path of the wrong field ("messages[2].content"), or "" */
    char message[384]; /* what is wrong */
    char remedy[192];  /* what to do, or "" (then the table's) */
};

/* As if zeroed, without touching all of its bytes. */
static inline void error_init(struct error *error)
{
    error->code = ERR_OK;
    error->field[0] = error->message[0] = error->remedy[0] = '\0';
}

/* Fills *ret_error (which may be NULL) and returns `code`, so that a failing function can write
 * `return error_set(error, ERR_INVALID, "model", "must be a string")`. `field` may be NULL. */
enum err error_set(struct error *ret_error, enum err code, const char *field, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/* Adds what to do about it. `ret_error` may be NULL. */
void error_remedy(struct error *ret_error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The message to show: error->message, or the table's when that is empty. Never NULL. */
const char *error_message(const struct error *error);
const char *error_remedy_text(const struct error *error);
