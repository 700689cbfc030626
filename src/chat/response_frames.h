/* Response frames: the stream of an answer of the responses door as whoever keeps it tells it: with
 * its own id and numbers, whoever wrote the frames first. Pure. For the doors and runs of that form. */
#pragma once

#include "base/json.h"
#include "llm/losses.h"
#include "llm/response.h"
#include "wire/sse.h"

/* What a response object is to say, whatever it said itself. */
struct response_words {
    struct str id;
    struct str status; /* empty: as it is */
    struct str error;  /* JSON; likewise */
    int64_t created_s;
};

/* The object once more in those words, and with "background": true: JSON in the arena; empty: it is
 * no object, or too long. */
struct str response_in_words(struct arena *arena, yyjson_val *response,
                             const struct response_words *words);
/* The same of its text. */
struct str response_text_in_words(struct arena *arena, struct str response,
                                  const struct response_words *words);
/* The object of what there is of an answer. */
struct str response_of(struct arena *arena, const struct llm_response *response,
                       const struct response_words *words);
/* An object without output: "in_progress", or what the words say. JSON in the arena. */
struct str response_begun(struct arena *arena, struct str model,
                          const struct response_words *words);

/* Appends one frame: the event in the words (STR_NONE for an id: as it is) with this number. */
void response_put_frame(struct buf *out, yyjson_val *event, const struct response_words *words,
                        int64_t sequence);
/* The same for an event that is about the response as a whole, which is JSON. */
void response_put_whole(struct buf *out, struct str type, struct str response, int64_t sequence);
/* The event that tells the end of an answer with this status: the form has none for what was
 * cancelled, which is left incomplete. */
struct str response_last_type(struct str status);
bool response_is_last_type(struct str type);

/* Calls `on_event` for every event among whole frames, in order. `scratch` is reset between them.
 * ERR_TOO_BIG, ERR_INVALID: they are none. */
MUST_USE enum err response_each_event(struct str frames, struct arena *scratch,
                                      void (*on_event)(void *user, yyjson_val *event), void *user);

/* Appends the frames of a kept answer (JSON), as a stream would have told it, numbered from 0: those
 * over `after` (-1: all), and always the last one, which has the object whole. ERR_CORRUPT: it is no
 * answer. */
MUST_USE enum err response_replay(struct str answer, int64_t after, struct buf *out);

/* What an answer's last object says beside it (`extension`: an object's text, or none), with the names
 * of what its provider's form could not carry of the request as "request_dropped", for whoever has no
 * header to read them in. In `arena`; `extension` itself when there are none. */
struct str response_extension(struct arena *arena, struct str extension,
                              const struct llm_losses *losses, struct str unmapped);
