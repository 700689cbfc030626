/* Usage: what the two files of the ledger's REST share. For the api floor only. */
#pragma once

#include "api/request.h"
#include "store/usage.h"

struct usage_range {
    int64_t from_ms;
    int64_t to_ms; /* not included */
};
/* ?from= and ?to=, which are days (the last one included) or times. On false the request has been
 * failed. */
bool usage_range(struct api_request *request, struct usage_range otherwise,
                 struct usage_range *ret);
/* Whose rows the caller asks for and may see: STR_NONE: everybody's. On false the request has been
 * failed. */
bool usage_whose(struct api_request *request, struct str *ret_user);

/* "0.000123456": dollars of nano-dollars, with all nine decimals. */
enum { USAGE_DOLLARS_BYTES = 32 };
void usage_dollars(int64_t cost_nano, char ret[USAGE_DOLLARS_BYTES]);

void api_get_ledger(struct api_request *request); /* rest_ledger.c */
