/* Story: as JSON, for callers and for the end of a joined answer. Below the router. */
#include "route/story.h"

size_t story_length(const struct flow *flow)
{
    const struct flow_failure *failures;
    const struct flow_joint *joints;
    size_t length = flow_failures(flow, &failures) + flow_joints(flow, &joints);
    return length ? length + (size_t)flow_attempts(flow) : 0;
}

static void write_joint(struct json_writer *w, const struct flow_joint *joint, size_t text_before)
{
    json_begin_object(w);
    json_key_int(w, "text_bytes", (int64_t)(text_before + joint->text_bytes));
    json_key_str(w, "mode", str_from_cstr(route_mode_name(joint->mode)));
    json_key_str(w, "from", joint->from->id);
    json_key_str(w, "to", joint->to->id);
    json_key_str(w, "class", str_from_cstr(err_info(joint->class)->name));
    json_end_object(w);
}

void story_write(const struct flow *flow, size_t text_before, struct json_writer *w)
{
    const struct flow_failure *failures;
    const struct flow_joint *joints;
    size_t failure_count = flow_failures(flow, &failures);
    size_t joint_count = flow_joints(flow, &joints);
    json_begin_object(w);
    json_key_str(w, "target", flow_target(flow)->id);
    json_key_int(w, "attempts", flow_attempts(flow));
    json_key_array(w, "failures");
    for (size_t i = 0; i < failure_count; i++) {
        json_begin_object(w);
        json_key_str(w, "target", failures[i].target->id);
        json_key_str(w, "class", str_from_cstr(err_info(failures[i].class)->name));
        json_end_object(w);
    }
    json_end_array(w);
    json_key_array(w, "joints");
    for (size_t i = 0; i < joint_count; i++)
        write_joint(w, &joints[i], text_before);
    json_end_array(w);
    json_end_object(w);
}
