/* Batch hand: a batch handed on to the batches that its provider has of its own: uploaded, made there,
 * asked after, and its results stored line by line as if they had been asked here. Of one run, on its
 * loop. For batch_run.c only. */
#pragma once

#include "chat/batch_internal.h"

/* Begins, or goes on with what the run's row says of it. Its input is open. */
struct batch_hand *batch_hand_new(struct batch_run *run);
/* When it is idle. NULL is allowed. */
void batch_hand_free(struct batch_hand *hand);
/* The run was cancelled, or expired before the provider had it. */
void batch_hand_cancel(struct batch_hand *hand);
/* Nothing more is begun: the next start goes on. */
void batch_hand_stop(struct batch_hand *hand);
bool batch_hand_is_idle(const struct batch_hand *hand);
/* The provider has it, or may have it: then it says when it expires. */
bool batch_hand_is_out(const struct batch_hand *hand);

/* ---- What it tells the run: batch_run.c ------------------------------------------------------- */
/* It does not fit, and its lines are asked here; or what there are of results is stored. */
void batch_run_go_on(struct batch_run *run);
/* The provider has it: for hours nothing is done here, and it takes no place from others. */
void batch_run_release(struct batch_run *run);
/* It fails as a whole: run->code and run->error say why. */
void batch_run_refuse(struct batch_run *run);
