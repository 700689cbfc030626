/* Books: what is counted and logged of every attempt. One per loop. */
#pragma once

#include "base/log.h"
#include "base/metric.h"
#include "route/flow.h"

struct books;

struct books *books_new(struct metric_registry *metrics, struct log *log);
void books_free(struct books *books);
/* One attempt has ended: metrics, one log record, and a word to the administrator when the target
 * was taken out by it. */
void books_note(struct books *books, const struct flow_row *row, struct str request_id);
