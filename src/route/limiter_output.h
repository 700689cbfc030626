/* Outputs: how long the answers of each model are, as the limiter estimates them. A fixed number of
 * models is remembered; the one that has answered least recently makes room. Any thread, as a rule
 * without waiting for another. */
#pragma once

#include <stdint.h>

#include "base/str.h"

enum { OUTPUTS_MODELS_MAX = 512, OUTPUTS_SAMPLES_MIN = 20 };

struct outputs;
struct outputs *outputs_new(void);
void outputs_free(struct outputs *outputs);
/* An answer had so many tokens. */
void outputs_note(struct outputs *outputs, struct str model, int64_t tokens);
/* At most an eighth more than the 95th percentile of lately; 0 with fewer than OUTPUTS_SAMPLES_MIN
 * answers. */
int64_t outputs_p95(struct outputs *outputs, struct str model);
