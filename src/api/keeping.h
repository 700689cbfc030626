/* Keeping: what the responses door keeps of an exchange, and what it goes on from. One for each
 * exchange of a form that keeps, used by completion.c. For the api floor only.
 *
 *   keeping_new -> [keeping_load -> on_loaded] -> keeping_pass, for every piece of a stream
 *               -> [keeping_save -> on_saved] -> keeping_end */
#pragma once

#include "api/request.h"
#include "chat/stored_response.h"

struct keeping;

/* Reads what the body says of it; refuses what cannot be had here. In the exchange's arena; end it
 * with keeping_end, once and before the exchange. */
MUST_USE enum err keeping_new(struct api_request *request, yyjson_val *body,
                              struct keeping **ret_keeping, struct error *error);
/* Nothing is heard after it; a save that is under way goes on by itself. NULL is allowed. */
void keeping_end(struct keeping *keeping);

/* ---- Settings ---------------------------------------------------------------------------------- */
int64_t keeping_setting(const struct api_request *request, const char *name);
/* How long answers are kept; 0: not at all. */
int64_t keeping_days_ms(const struct api_request *request);
/* How much of one person's. */
int64_t keeping_bytes_max(const struct api_request *request);

/* Whether the answer is to be written in the background. */
bool keeping_is_background(const struct keeping *keeping);
/* The conversation that the request names, or none. */
struct id keeping_thread(const struct keeping *keeping);
/* The arena of the conversation that was loaded, to the caller; NULL: there is none. keeping_prepend
 * has been called. */
struct arena *keeping_take_chain(struct keeping *keeping);

/* The body to decode: the client's, with what its references name in their place, once loaded. */
struct str keeping_source(const struct keeping *keeping);

/* ---- Going on from an earlier answer ----------------------------------------------------------- */
/* Whether one is named, or items of some, that has not been loaded yet. */
bool keeping_must_load(const struct keeping *keeping);
/* Loads it and those before it. `on_loaded` comes once, later: ERR_OK, or why not (tell the client
 * with keeping_fail). */
void keeping_load(struct keeping *keeping,
                  void (*on_loaded)(void *user, enum err code, const struct error *error),
                  void *user);
/* Answers that the earlier answer cannot be gone on from. */
void keeping_fail(struct api_request *request, enum err code, const struct error *error);
/* Puts it in front of a decoded request; nothing when none is named. */
MUST_USE enum err keeping_prepend(struct keeping *keeping, struct arena *arena, yyjson_val *body,
                                  struct llm_request *llm, struct error *error);
/* The body for a provider of this dialect: keeping_source when none is named. Once, after the load.
 * Lives until keeping_end. */
MUST_USE enum err keeping_body(struct keeping *keeping, struct arena *scratch, yyjson_val *body,
                               struct str *ret_body, struct error *error);

/* ---- The answer -------------------------------------------------------------------------------- */
/* Whether the answer is to be kept. */
bool keeping_wants(const struct keeping *keeping);
/* The next whole frames of a stream: returns those that go out now. From the last frame on, which
 * says that the answer is there, they are held back until it is. */
struct str keeping_pass(struct keeping *keeping, struct str frames);
/* What is held back, after on_saved. */
struct str keeping_held(const struct keeping *keeping);
/* The answer for keeping_save: the response object of the last frame among `frames`, when they have
 * not been sent (an answer that failed). */
void keeping_note(struct keeping *keeping, struct str frames);
/* A whole answer instead: its body, borrowed until keeping_end. */
void keeping_note_whole(struct keeping *keeping, struct str body);
/* Keeps what was noted; `built` as in stored_exchange, borrowed for the call. False: there is nothing
 * to keep, and `on_saved` does not come. It comes later, when the answer is in the database, or cannot
 * be (the log says so), or after SAVE_WAIT_MS: a database that is slow does not keep answers back. */
MUST_USE bool keeping_save(struct keeping *keeping, const struct llm_response *built,
                           void (*on_saved)(void *user), void *user);
