/* Raw frames: between the parser of a stream, which says where frames end, and the door that
 * forwards them. As a rule every frame of a feed is understood, and the feed is given whole. */
#include "llm/raw_frames.h"

void raw_frames_init(struct raw_frames *frames, size_t frame_bytes_max,
                     void (*give)(void *user, struct str bytes), void *user)
{
    *frames = (struct raw_frames){.give = give, .user = user};
    buf_init(&frames->half, frame_bytes_max);
}

void raw_frames_done(struct raw_frames *frames)
{
    buf_done(&frames->half);
}

void raw_frames_begin(struct raw_frames *frames, struct str feed)
{
    frames->feed = feed;
    frames->from = frames->whole = frames->frame_end = 0;
}

void raw_frames_read(struct raw_frames *frames, size_t end)
{
    frames->frame_end = end;
}

void raw_frames_understood(struct raw_frames *frames)
{
    frames->whole = frames->frame_end;
}

static void give_to(struct raw_frames *frames, size_t end)
{
    struct str bytes = str_slice(frames->feed, frames->from, end - frames->from);
    if (!bytes.len)
        return;
    frames->from = end;
    if (!frames->half.len) {
        frames->give(frames->user, bytes);
        return;
    }
    buf_append(&frames->half, bytes);
    frames->give(frames->user, buf_str(&frames->half));
    buf_release(&frames->half);
}

void raw_frames_flush(struct raw_frames *frames, bool with_current)
{
    if (with_current)
        frames->whole = frames->frame_end;
    give_to(frames, frames->whole);
}

void raw_frames_finish(struct raw_frames *frames)
{
    bool is_line_feed = str_eq(buf_str(&frames->half), STR("\n"));
    raw_frames_flush(frames, false);
    if (!is_line_feed || !frames->half.len)
        return;
    frames->give(frames->user, buf_str(&frames->half));
    buf_release(&frames->half);
}

void raw_frames_skip(struct raw_frames *frames)
{
    give_to(frames, frames->whole);
    buf_release(&frames->half);
    frames->from = frames->whole = frames->frame_end;
}

bool raw_frames_end(struct raw_frames *frames)
{
    give_to(frames, frames->whole);
    buf_append(&frames->half, str_skip(frames->feed, frames->whole));
    frames->feed = STR_NONE;
    return buf_ok(&frames->half);
}
