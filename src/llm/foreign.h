/* Foreign: members of a request's body that would send it elsewhere or sign it otherwise. Other
 * gateways obey them; behind one that does, or in one, they hand our keys to whoever asks. */
#pragma once

#include "base/json.h"

/* ERR_INVALID, naming the member, when the object has one of: api_base, base_url, api_host, endpoint
 * URLs and credentials of the clouds (aws_*, azure_*, vertex_credentials, ...), api_key, extra_headers.
 * Only top-level members; anything but an object is ERR_OK. */
MUST_USE enum err llm_refuse_redirections(yyjson_val *root, struct error *error);
/* The same for what is no JSON: whether a name is one of them, and saying so. ERR_INVALID. */
bool llm_is_redirection(struct str name);
MUST_USE enum err llm_refuse_redirection(struct str name, struct error *error);
