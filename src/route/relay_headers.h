/* Relay's headers: what of a caller's goes on to a provider, and what of a provider's comes back.
 * Lists of what is allowed: nothing else passes. Pure. Inside route only. */
#pragma once

#include "llm/provider.h"

/* Appends views of what of `from` may go on: what the answer depends on, never who asks (keys,
 * cookies, the program's name) and nothing of a connection. */
void relay_headers_forward(struct arena *arena, const struct http_headers *from,
                           struct http_headers *to);
/* Appends copies of what of `from` may come back: content, limits, the provider's own names for the
 * request; never a cookie, nor whose key it is. A Location is given only when it stays with the
 * provider, and then as what stands behind its base URL. */
void relay_headers_answer(struct arena *arena, const struct provider *provider,
                          const struct http_headers *from, struct http_headers *to);
/* Hides what looks like a credential, the provider's own key, and the names of its owner. */
void relay_mask(const struct provider *provider, char *text, size_t len);
