/* Fuzzes the response parser of the HTTP client. The first bytes choose options and how the rest is
 * cut into reads; whatever comes, the events must keep their order and the limits must hold, and
 * the same bytes in one read must give the same answer. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "net/http_response.h"

enum { HEADER_BYTES_MAX = 2048, BODY_BYTES_MAX = 4096 };

struct heard {
    bool has_headers;
    bool stop; /* at every event */
    int status;
    size_t field_bytes;
    struct buf body;
};

static bool on_headers(void *user, int status, const struct http_headers *headers)
{
    struct heard *heard = user;
    ASSERT(!heard->has_headers && heard->body.len == 0);
    ASSERT(status >= 200 && status <= 999 && headers->count <= HTTP_HEADER_COUNT_MAX);
    heard->has_headers = true;
    heard->status = status;
    for (size_t i = 0; i < headers->count; i++) {
        const struct http_header *header = &headers->items[i];
        ASSERT(http_header_is_valid(header->name, header->value));
        heard->field_bytes += header->name.len + header->value.len;
    }
    ASSERT(heard->field_bytes <= HEADER_BYTES_MAX);
    return !heard->stop;
}

static bool on_body(void *user, struct str data)
{
    struct heard *heard = user;
    ASSERT(heard->has_headers && data.len > 0);
    buf_append(&heard->body, data);
    ASSERT(buf_ok(&heard->body));
    return !heard->stop;
}

/* Feeds all of it in reads of `step` bytes, then ends the connection. */
static enum http_response_result run(struct heard *heard, bool headers_only, const char *data,
                                     size_t size, size_t step)
{
    static const struct http_response_events events = {on_headers, on_body};
    struct http_response_options options = {.header_bytes_max = HEADER_BYTES_MAX,
                                            .body_bytes_max = BODY_BYTES_MAX,
                                            .headers_only = headers_only};
    struct http_response response;
    buf_init(&heard->body, BODY_BYTES_MAX);
    http_response_init(&response, &options, &events, heard);
    enum http_response_result result = HTTP_RESPONSE_MORE;
    for (size_t at = 0; result == HTTP_RESPONSE_MORE && at < size; at += step) {
        size_t len = size - at < step ? size - at : step, used = 0, part;
        char *copy = malloc(len); /* with nothing behind it */
        ASSERT(copy);
        memcpy(copy, data + at, len);
        do {
            result = http_response_feed(&response, copy + used, len - used, &part);
            used += part;
            ASSERT(used <= len);
        } while (result == HTTP_RESPONSE_STOPPED);
        ASSERT(result != HTTP_RESPONSE_MORE || used == len);
        free(copy);
    }
    if (result == HTTP_RESPONSE_MORE)
        result = http_response_finish(&response);
    ASSERT(result == HTTP_RESPONSE_COMPLETE || result == HTTP_RESPONSE_FAILED);
    const char *reason = NULL;
    ASSERT(result == HTTP_RESPONSE_COMPLETE ||
           (http_response_failure(&response, &reason) != ERR_OK && reason));
    http_response_done(&response);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    bool headers_only = data[0] & 1;
    struct heard cut = {.stop = data[0] & 2}, whole = {0};
    const char *text = (const char *)data + 2;
    enum http_response_result one = run(&cut, headers_only, text, size - 2, (size_t)data[1] + 1);
    enum http_response_result two = run(&whole, headers_only, text, size - 2, size);
    /* Quiet bytes are counted by the read, so only where nothing is near that limit are results
     * the same for every cut. */
    if (size < HEADER_BYTES_MAX) {
        ASSERT(one == two && cut.status == whole.status && cut.field_bytes == whole.field_bytes);
        ASSERT(one == HTTP_RESPONSE_FAILED || str_eq(buf_str(&cut.body), buf_str(&whole.body)));
    }
    buf_done(&cut.body);
    buf_done(&whole.body);
    return 0;
}
