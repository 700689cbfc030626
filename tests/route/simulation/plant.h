/* Plant: mistakes put between the flow and its world, which the simulation must find. The test's
 * copy of the flow is compiled with the names of what it calls replaced by those here. */
#pragma once

#include "simulation.h"

enum plant {
    PLANT_NONE,
    PLANT_END_LOST,
    PLANT_END_TWICE,
    PLANT_TEXT_TWICE,
    PLANT_TEXT_LOST,
    PLANT_CUT_IS_FINISHED,
    PLANT_TOOL_END_LOST,
    PLANT_USAGE_LOST,
    PLANT_REWIND_LOST,
    PLANT_HEARD_AFTER_CANCEL,
    PLANT_TIMER_LOST,
    PLANT_TIMER_AT_ONCE,
    PLANT_ROW_LOST,
    PLANT_ROW_TWICE,
    PLANT_OPEN_ASKED,
    PLANT_BENCHED_ASKED,
    PLANT_PAUSED_ASKED,
    PLANT_FULL_ASKED,
    PLANT_PACED_ASKED,
    PLANT_LEASE_LEAKED,
    PLANT_ALL_REFUSE,
    PLANT_FIRST_PICKED,
    PLANT_MORE_ATTEMPTS,
    PLANT_LATER_DEADLINE,
    PLANT_UNFIT_ASKED,
    PLANT_COUNT
};

/* The flow's actions, with those of the plants among them. */
extern const struct flow_ops plant_ops;

/* The copy's flow_new; plant.c has one of its own in front of it. */
struct flow *plant_flow_new(const struct flow_request *request, const struct flow_ops *ops,
                            void *user);
/* What the copy calls. */
struct cell_answer plant_cell_acquire(struct cell *cell, const struct cell_ask *ask,
                                      struct cell_lease *ret_lease);
size_t plant_pick(const struct route_group *group, const struct pick_entry *entries, size_t count,
                  const struct pick_context *context);
bool plant_llm_traits_fit(const struct llm_traits *traits, const struct llm_needs *needs,
                          const char **ret_lacks);
