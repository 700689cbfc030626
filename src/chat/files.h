/* Files: what people upload and what batches answer, for the doors and the queue. One for the
 * program, unchanged once opened, so that any loop may use it; rows are in the store, contents on
 * disk (store/blob.h). What is stored is whole; what belongs to somebody else is not there. */
#pragma once

#include "net/loop.h"
#include "store/record_file.h"

struct files;

struct files_options {
    struct store *store;      /* borrowed */
    const char *directory;    /* DATA_DIR; copied */
    struct log *log;          /* borrowed */
    uint64_t file_bytes_max;  /* of one */
    uint64_t total_bytes_max; /* of all, of everybody */
    uint64_t owner_bytes_max; /* of one owner's [as total_bytes_max] */
    int64_t count_max;        /* of one owner's [10,000] */
};

/* Deletes contents without a row, which a crash left behind. Blocks; at start-up. */
MUST_USE enum err files_open(const struct files_options *options, struct files **ret_files,
                             struct error *error);
/* After the loops that work on it are gone. NULL is allowed. */
void files_close(struct files *files);
uint64_t files_bytes_max(const struct files *files);
const char *files_directory(const struct files *files);

enum { FILES_NAME_BYTES_MAX = 255 };
/* A name as it may be kept and shown: without folders, control characters and broken UTF-8, "file"
 * when nothing is left. */
struct str files_clean_name(struct arena *arena, struct str name);

/* One thing done with one file. The caller's, like all that it points to, until `done`, which comes
 * once, on `loop`, never before the call returns. */
struct file_step;
struct file_work {
    struct store_file file; /* at first what the call needs, at last the row */
    struct arena *arena;    /* strings of the row; nobody else uses it meanwhile */
    struct str content;
    uint64_t offset; /* files_append, files_ask */
    bool is_last;    /* files_append: the file is whole with this */
    /* files_put: fills `file` and `content` on a thread of the pool. NULL: they are set. */
    enum err (*make)(void *user, struct file_work *work, struct error *error);
    void (*done)(void *user, enum err code, const struct error *error);
    void *user;
    /* The files' own from here on. */
    struct files *files;
    struct loop *loop;
    const struct file_step *step;
    const struct file_step *undo;
    struct store_job job;
    struct loop_work pool;
    enum err code;
    struct error error;
};

/* Stores a new file: owner, purpose, name, mime, expires_ms (0: never) and the content are given; id,
 * created_ms, bytes and sha256 are set. ERR_TOO_BIG: it, or all together, or too many. */
void files_put(struct files *files, struct loop *loop, struct file_work *work);
/* By owner and id. */
void files_get(struct files *files, struct loop *loop, struct file_work *work);
void files_delete(struct files *files, struct loop *loop, struct file_work *work);
/* The piece of its content at `offset`, up to `size` bytes in work->content, of the arena; less only
 * at the end. Of the file in work->file, which files_get has found. */
enum { FILES_PIECE_BYTES = 256 * 1024 };
void files_read(struct files *files, struct loop *loop, struct file_work *work);

/* ---- In pieces ------------------------------------------------------------------------------- */
/* Begins one: owner, purpose, name, mime and bytes are given. It has expires_ms to become whole. */
void files_begin(struct files *files, struct loop *loop, struct file_work *work);
/* By owner and id: puts `content` at `offset`. With is_last it becomes whole, with file.expires_ms.
 * ERR_CONFLICT: pieces are missing before it, or it has another length than announced. */
void files_append(struct files *files, struct loop *loop, struct file_work *work);
/* By owner and id: how much of it is there, in work->offset. */
void files_ask(struct files *files, struct loop *loop, struct file_work *work);

/* Deletes what has expired, in the background; for whoever has a clock. */
void files_expire(struct files *files, struct loop *loop);
