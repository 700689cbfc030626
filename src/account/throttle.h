/* Throttle: how often signing in may fail. A table of fixed size, whatever an attacker tries. */
#pragma once

#include <stdbool.h>

#include "base/str.h"

enum { THROTTLE_FAILURES_MAX = 10, THROTTLE_WINDOW_MS = 15 * 60 * 1000 };

struct throttle;

struct throttle *throttle_new(void);
void throttle_free(struct throttle *throttle);
/* Counts an attempt for this email and this address (an IPv6 address counts as its /64), before it
 * is checked, so that many at once gain nothing. False when one of them has failed too often;
 * *ret_wait_ms is then how long until it may be tried again. Any thread. */
bool throttle_admit(struct throttle *throttle, struct str email, struct str address,
                    uint64_t now_ms, uint64_t *ret_wait_ms);
/* The attempt was not a wrong password: takes back what admit counted, and with `succeeded` all
 * that was counted for the email. */
void throttle_forgive(struct throttle *throttle, struct str email, struct str address,
                      bool succeeded);
