/* The request side of the HTTP client: checks what it was asked to send and writes the head of it.
 * Pure. */
#pragma once

#include "base/buf.h"
#include "net/http_client.h"
#include "net/http_proxy.h"

/* Where a request goes; views of its URL. */
struct http_call_target {
    struct url url;
    struct str unix_path; /* or empty */
    struct str path;      /* "/..." without the query */
};

/* Where `url` leads: views of it. ERR_INVALID names what is wrong, without the query. */
MUST_USE enum err http_call_target_parse(struct str url, struct http_call_target *ret_target,
                                         struct error *error);
/* Checks method and headers. */
MUST_USE enum err http_call_request_check(const struct http_call_request *request,
                                          struct error *error);
/* Appends the request line and headers. `authority` is the Host; with a proxy that is not a tunnel
 * the target is in absolute form and the proxy's credentials are sent. */
void http_call_request_write_head(struct buf *out, const struct http_call_request *request,
                                  const struct http_call_target *target, struct str authority,
                                  const struct http_proxy *proxy);
