/* A file system for the database whose power can be cut: a SQLite VFS over the system's own.
 *
 * Files are real, and stand for the operating system's cache: what was written is read back at
 * once. Beside each is kept what the disk surely has (what was synced), and the writes since, in
 * order. At the cut each of those writes is kept whole, torn at a sector, or dropped, by a seeded
 * generator, whatever came after or before it: so later writes can be there without earlier ones.
 * From the cut on every call fails. faulty_power_on then puts what the disk has in place of the
 * files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct faulty_vfs;

enum faulty_kind {
    FAULTY_NONE,
    FAULTY_CUT,   /* at the chosen call, and for ever */
    FAULTY_FULL,  /* writes that make a file longer fail with SQLITE_FULL, until faulty_repair */
    FAULTY_WRITE, /* one write fails with SQLITE_IOERR_WRITE */
    FAULTY_SYNC,  /* one sync fails with SQLITE_IOERR_FSYNC, and what it should have synced counts
                     as dropped from then on unless written again */
};

/* Registered with SQLite under `name` (borrowed) until faulty_free. One database at a time. */
struct faulty_vfs *faulty_new(const char *name, uint64_t seed);
void faulty_free(struct faulty_vfs *vfs);

/* The fault to come at the `calls`-th call that changes something (write, truncate, sync, delete)
 * from now on; 1 is the next. FAULTY_WRITE and FAULTY_SYNC wait for the first of their kind. */
void faulty_arm(struct faulty_vfs *vfs, enum faulty_kind kind, uint64_t calls);
void faulty_repair(struct faulty_vfs *vfs);
/* Whether the fault has happened. */
bool faulty_happened(struct faulty_vfs *vfs);
/* A disk that lies: syncs do nothing. The control that shows that a test can fail. */
void faulty_ignore_syncs(struct faulty_vfs *vfs);
/* After every connection is closed: the files become what the disk has. */
void faulty_power_on(struct faulty_vfs *vfs);
