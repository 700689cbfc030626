/* Counting: how many tokens a request has, as providers are asked that. The question is a request of
 * theirs in a form of its own. One row for each dialect that has it; pure. */
#pragma once

#include "llm/dialect.h"

struct counting_form;

/* How a provider of that dialect is asked, and a door of it answers; NULL: it has no such form. */
const struct counting_form *counting_form_of(const struct dialect *dialect);
const struct dialect *counting_form_dialect(const struct counting_form *form);

/* The request that is to be counted; as dialect.decode_request. */
MUST_USE enum err counting_decode_request(const struct counting_form *form, struct arena *arena,
                                          yyjson_val *root, struct llm_request *ret_request,
                                          struct error *error);
/* Appends the JSON body that asks for it. What only shapes an answer is no part of the question, and
 * not lost. */
MUST_USE enum err counting_encode_request(const struct counting_form *form, struct arena *arena,
                                          const struct llm_request *request,
                                          const struct dialect_target *target, struct buf *out,
                                          struct llm_losses *losses, struct error *error);
/* The body of whoever asks in the same form: its bytes but for the model and Parley's own members. */
void counting_forward(const struct counting_form *form, struct arena *arena, struct str body,
                      struct str model, struct buf *out);

/* The number told; -1: it is not this protocol. */
int64_t counting_decode_answer(const struct counting_form *form, struct arena *arena,
                               struct str body);
void counting_encode_answer(const struct counting_form *form, int64_t tokens, struct buf *out);
