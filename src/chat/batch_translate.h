/* Batch translation: a line's request as the canonical one and in another dialect, and an answer of
 * that dialect in the line's own. Pure. For the chat floor only. */
#pragma once

#include "chat/batch_result.h"
#include "llm/provider.h"

/* The canonical request of a line of chats, whose body batch_line_body has read into `arena`. */
MUST_USE enum err batch_decode_body(struct arena *arena, const struct batch_endpoint *endpoint,
                                    const struct batch_line *line, yyjson_val *body,
                                    struct llm_request *ret_request, struct error *error);

/* Appends the line's body as a provider of that kind takes it, asking `model`; bytes of the same dialect
 * stay as they are. *ret_dropped: the names of what cannot be carried, in the arena. An error: the
 * line cannot be asked of it. */
MUST_USE enum err batch_encode_line(struct arena *arena, const struct batch_endpoint *endpoint,
                                    const struct batch_line *line, const struct provider_kind *kind,
                                    struct str model, struct buf *out, struct str *ret_dropped,
                                    struct error *error);

/* Appends, in the line's dialect, an answer that is `body` in `dialect`; `name` goes into its id when
 * it has none. An error of it, or what is no answer, is in *ret_error. */
MUST_USE enum err batch_encode_answer(struct arena *arena, const struct batch_endpoint *endpoint,
                                      const struct dialect *dialect, struct str body,
                                      struct str name, struct buf *out,
                                      struct llm_error *ret_error);
