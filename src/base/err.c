/* The one table of errors, and the filling of struct error. Stands below everything. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/utf8.h"

static const struct err_info err_table[ERR_COUNT] = {
    [ERR_OK] = {"ok", 200, "All is well.", ""},
    [ERR_INVALID] = {"invalid_request", 400, "The request is not valid.", ""},
    [ERR_TOO_BIG] = {"too_big", 413, "The request is larger than allowed.", "Send less."},
    [ERR_NOT_FOUND] = {"not_found", 404, "There is nothing here.", ""},
    [ERR_CONFLICT] = {"conflict", 409, "This exists already or has changed meanwhile.",
                      "Load it again and retry."},
    [ERR_UNAUTHENTICATED] = {"unauthenticated", 401, "You are not signed in.",
                             "Sign in, or send an API key."},
    [ERR_FORBIDDEN] = {"forbidden", 403, "You may not do this.", "Ask an administrator."},
    [ERR_UNSUPPORTED] = {"unsupported", 405, "This is not supported here.", ""},
    [ERR_STORAGE] = {"storage", 507, "Parley cannot write to its storage.",
                     "Free some disk space; reading goes on meanwhile."},
    [ERR_CORRUPT] = {"corrupt", 500, "Stored data is damaged.", "Run parley doctor."},
    [ERR_CANCELLED] = {"cancelled", 499, "Cancelled.", ""},
    [ERR_TIMEOUT] = {"timeout", 504, "The provider did not answer in time.", "Try again."},
    [ERR_NETWORK] = {"network", 502, "The provider could not be reached.",
                     "Check that it runs and that its address is right."},
    [ERR_UNAVAILABLE] = {"unavailable", 503, "Parley is shutting down or not ready.",
                         "Try again in a moment."},
    [ERR_INTERNAL] = {"internal", 500, "Something went wrong inside Parley.",
                      "Try again; if it stays, report it with the request id."},
    [ERR_RATE_LIMITED] = {"rate_limited", 429, "Too many requests.", "Wait a little."},
    [ERR_AUTHENTICATION] = {"provider_authentication", 502, "The provider refused Parley's key.",
                            "Correct the provider's API key."},
    [ERR_PERMISSION] = {"provider_permission", 502, "The provider does not permit this.",
                        "Check the provider account's rights."},
    [ERR_QUOTA_EXHAUSTED] = {"quota_exhausted", 429, "The provider's quota is used up.",
                             "Check the provider account's plan and billing."},
    [ERR_OVERLOADED] = {"overloaded", 503, "The provider is overloaded.", "Try again in a moment."},
    [ERR_SERVER] = {"provider_error", 502, "The provider failed.", "Try again."},
    [ERR_CONTENT_FILTERED] = {"content_filtered", 400, "The provider filtered this content.",
                              "Change the wording."},
    [ERR_CONTEXT_LENGTH] = {"context_length", 400,
                            "The conversation is longer than the model accepts.",
                            "Start a new branch, or choose a model with a larger context."},
    [ERR_MODEL_NOT_FOUND] = {"model_not_found", 404, "No such model.",
                             "Choose one of the models listed."},
};

const struct err_info *err_info(enum err code)
{
    if ((unsigned)code >= ERR_COUNT)
        code = ERR_INTERNAL;
    return &err_table[code];
}

enum err err_from_name(struct str name)
{
    for (int i = 0; i < ERR_COUNT; i++)
        if (str_eq(name, str_from_cstr(err_table[i].name)))
            return (enum err)i;
    return ERR_INTERNAL;
}

/* vsnprintf that never leaves half a character at the end. */
static void print_cut(char *text, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void print_cut(char *text, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(text, size, format, arguments);
    if (length >= (int)size)
        text[utf8_cut(STR_FROM(text, size - 1), size - 1)] = '\0';
}

enum err error_set(struct error *ret_error, enum err code, const char *field, const char *format,
                   ...)
{
    if (!ret_error)
        return code;
    va_list arguments;
    va_start(arguments, format);
    ret_error->code = code;
    ret_error->remedy[0] = '\0';
    str_copy(str_from_cstr(field), ret_error->field, sizeof ret_error->field);
    print_cut(ret_error->message, sizeof ret_error->message, format, arguments);
    va_end(arguments);
    return code;
}

void error_remedy(struct error *ret_error, const char *format, ...)
{
    if (!ret_error)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_cut(ret_error->remedy, sizeof ret_error->remedy, format, arguments);
    va_end(arguments);
}

const char *error_message(const struct error *error)
{
    return error->message[0] ? error->message : err_info(error->code)->message;
}

const char *error_remedy_text(const struct error *error)
{
    return error->remedy[0] ? error->remedy : err_info(error->code)->remedy;
}

noreturn void assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, condition);
    abort();
}
