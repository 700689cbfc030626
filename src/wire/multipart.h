/* Multipart forms (RFC 7578), read in place: names and places of their parts, so that one value can
 * be replaced and every other byte stays. Strict: what two readers could understand differently (a
 * part twice, a name in escapes, folded headers, a delimiter behind a bare line feed, text around the
 * parts) is refused, for whoever checks a form is not who uses it. Pure. */
#pragma once

#include "base/err.h"

enum { MULTIPART_PARTS_MAX = 256, MULTIPART_HEADER_BYTES_MAX = 4096 };

/* Views of the body. */
struct multipart_part {
    struct str name;
    struct str filename; /* STR_NONE: none */
    struct str type;     /* Content-Type, or empty */
    struct str value;
    struct str
        whole; /* from the delimiter before it to the one behind: without it, it is still a form */
};

struct multipart_reader {
    struct str body;
    struct str boundary;
    size_t at;
    size_t count;
    bool is_over;
};

/* ERR_UNSUPPORTED: `content_type` is not multipart/form-data. ERR_INVALID: it has no usable
 * boundary, or the body does not begin with it. Both texts are borrowed. */
MUST_USE enum err multipart_begin(struct multipart_reader *reader, struct str content_type,
                                  struct str body, struct error *error);
/* The next part; ERR_NOT_FOUND behind the last one. ERR_INVALID names what is wrong. */
MUST_USE enum err multipart_next(struct multipart_reader *reader, struct multipart_part *ret,
                                 struct error *error);
/* The value of the part `name` of a whole form, in *ret_value; STR_NONE: there is none. Checks all
 * of the form. ERR_INVALID also: it is there twice, or is a file. */
MUST_USE enum err multipart_find(struct str content_type, struct str body, struct str name,
                                 struct str *ret_value, struct error *error);
