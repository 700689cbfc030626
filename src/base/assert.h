/* ASSERT: for our own mistakes only, never for input. Always on: a wrong state must not go on. */
#pragma once

#include <stdnoreturn.h>

/* Prints the place and the condition to standard error and aborts. */
noreturn void assert_failed(const char *file, int line, const char *condition);

#define ASSERT(condition)                                                                          \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            assert_failed(__FILE__, __LINE__, #condition);                                         \
    } while (0)
