/* Assets: the web app's files, embedded in the program at build time. */
#pragma once

#include "base/str.h"

struct asset {
    const char *path; /* "/app-abc123.js" */
    const char *content_type;
    const char *cache_control;
    const char *etag; /* quoted */
    const unsigned char *data;
    size_t len;
    const unsigned char *gzip; /* the same, compressed; len 0: not */
    size_t gzip_len;
};

/* The end has path NULL. Generated from web/dist by tools/embed.sh. */
extern const struct asset assets[];
