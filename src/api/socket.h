/* Socket: one WebSocket of docs/protocol.md. For the api floor only. */
#pragma once

#include "api/request.h"

/* All sockets of this api: a close frame and a soft end (then api->on_sockets_closed), or the end
 * at once. */
void socket_close_all(struct api *api, uint16_t code, const char *reason);
void socket_abort_all(struct api *api);
