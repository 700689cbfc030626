/* A request body that is too long for memory: written to an unlinked file by the worker pool, then
 * mapped. Used by the HTTP server only. */
#pragma once

#include <stdbool.h>

#include "base/str.h"
#include "net/loop.h"

struct http_spill;

enum http_spill_state {
    HTTP_SPILL_WRITING,
    HTTP_SPILL_DONE,  /* finished, and everything is written */
    HTTP_SPILL_FAILED /* see http_spill_errno */
};

/* A new file in `directory` (copied), made when the first bytes come. on_progress(user) is called
 * from the loop after every write: look at the state then. */
struct http_spill *http_spill_new(struct loop *loop, const char *directory,
                                  void (*on_progress)(void *user), void *user);
/* Gives file, mapping and memory back, at the latest when a write under way has ended. Nothing is
 * heard after it returns. NULL is allowed. */
void http_spill_free(struct http_spill *spill);

/* Appends (copied). Never refuses: ask http_spill_is_full and stop reading. */
void http_spill_write(struct http_spill *spill, struct str data);
/* So much waits for the disk that the writer of it should wait too, for on_progress. */
bool http_spill_is_full(const struct http_spill *spill);
/* There is no more. */
void http_spill_finish(struct http_spill *spill);

enum http_spill_state http_spill_state(const struct http_spill *spill);
/* Why it failed. */
int http_spill_errno(const struct http_spill *spill);
/* All bytes, mapped privately, until http_spill_free; false (see http_spill_errno) when that
 * fails. In state HTTP_SPILL_DONE only. */
bool http_spill_map(struct http_spill *spill, struct str *ret_body);
