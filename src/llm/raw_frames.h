/* Raw frames: the bytes of a stream that passes through, given on in whole frames: one that was not
 * understood is left out, half a one waits for its rest. Pure. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct raw_frames {
    struct buf half;  /* of a frame: what came of it with earlier feeds */
    struct str feed;  /* being read */
    size_t from;      /* bytes of `feed` before this one have been given or left out */
    size_t whole;     /* where the last frame ends that was understood */
    size_t frame_end; /* where the frame ends that is being read */
    void (*give)(void *user, struct str bytes);
    void *user;
};

/* `frame_bytes_max`: of half a frame, comments included. Release with raw_frames_done. */
void raw_frames_init(struct raw_frames *frames, size_t frame_bytes_max,
                     void (*give)(void *user, struct str bytes), void *user);
void raw_frames_done(struct raw_frames *frames);

/* The next bytes, which are read in the following calls and must live until raw_frames_end. */
void raw_frames_begin(struct raw_frames *frames, struct str feed);
/* A frame is read that ends there. */
void raw_frames_read(struct raw_frames *frames, size_t end);
/* It has been understood; or it is left out. */
void raw_frames_understood(struct raw_frames *frames);
void raw_frames_skip(struct raw_frames *frames);
/* Gives what has been understood; with_current: and the frame that is being read. */
void raw_frames_flush(struct raw_frames *frames, bool with_current);
/* No more comes: gives what raw_frames_flush does, and the line feed of a last CR LF, which is read
 * before it. */
void raw_frames_finish(struct raw_frames *frames);
/* All of the feed has been read: gives what was understood, keeps the rest. False when that is too
 * much: feed no more. */
MUST_USE bool raw_frames_end(struct raw_frames *frames);
