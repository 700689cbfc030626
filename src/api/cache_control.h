/* Cache control: what the headers of a request say of kept answers: Cache-Control (RFC 9111 section
 * 5.2.1) and our own x-parley-cache. Pure. For the api floor only. */
#pragma once

#include "net/http.h"
#include "route/router.h"

/* no-store (not kept), no-cache (not read), max-age=SECONDS, only-if-cached; other directives say
 * nothing here. x-parley-cache is a number of seconds, `true` (300 of them) or `false`; ERR_INVALID when it is anything else. */
MUST_USE enum err api_cache_control_read(const struct http_headers *headers,
                                         struct route_cache_ask *ret_ask, struct error *error);
/* x-parley-cache alone, where `true` stands for the usual number of seconds; without it *seconds stays. */
MUST_USE enum err api_keep_seconds_read(const struct http_headers *headers, uint64_t usual,
                                        uint64_t *seconds, struct error *error);
