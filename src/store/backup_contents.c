/* Backup's second half. A content is written before its row and deleted behind it, so every content of
 * the copy's rows was there when the copy was made: what is missing now was deleted since. */
#include "store/backup_contents.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/blob.h"
#include "store/file.h"

enum { FOLDERS_OPEN_MAX = 8 };

struct contents {
    struct sqlite *copy;
    const char *directory;
    char folder[FILE_PATH_BYTES_MAX];
    bool is_made;
    uint64_t bytes;
};

static enum err make_folder(struct contents *contents, struct error *error)
{
    if (contents->is_made)
        return ERR_OK;
    if (mkdir(contents->folder, 0700) != 0)
        return error_set(error, errno == EEXIST ? ERR_CONFLICT : ERR_STORAGE, "path",
                         "cannot make %s: %s", contents->folder, strerror(errno));
    contents->is_made = true;
    return ERR_OK;
}

/* The row behind `after`. */
static enum err next_row(struct contents *contents, struct id *after, bool *ret_is_begun,
                         bool *ret_found, struct error *error)
{
    struct query query = query_begin(contents->copy, "SELECT id, is_begun FROM files WHERE id > ?"
                                                     " ORDER BY id LIMIT 1");
    query_bind_text(&query, id_str(after));
    *ret_found = query_next(&query);
    if (*ret_found) {
        *after = query_id(&query);
        *ret_is_begun = query_int(&query) != 0;
    }
    return query_end(&query, error);
}

static enum err forget_row(struct contents *contents, const struct id *id, struct error *error)
{
    struct query query = query_begin(contents->copy, "DELETE FROM files WHERE id = ?");
    query_bind_id(&query, id);
    return query_run(&query, error);
}

/* Of an upload of which nothing has come yet there is no content. */
static enum err copy_row(struct contents *contents, const struct id *id, bool is_begun,
                         struct error *error)
{
    uint64_t bytes = 0;
    enum err code = make_folder(contents, error);
    if (code == ERR_OK)
        code = blob_copy(contents->directory, id, is_begun, contents->folder, &bytes, error);
    contents->bytes += bytes;
    if (code != ERR_NOT_FOUND)
        return code;
    return is_begun ? ERR_OK : forget_row(contents, id, error);
}

static enum err sync_folder(const struct contents *contents, struct error *error)
{
    if (!contents->is_made)
        return ERR_OK;
    int fd = open(contents->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int reason = fd < 0 || syncfs(fd) != 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return reason ? error_set(error, ERR_STORAGE, NULL, "cannot sync %s: %s", contents->folder,
                              strerror(reason))
                  : ERR_OK;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status, (void)kind, (void)place;
    return remove(path);
}

enum err backup_contents(struct sqlite *copy, const char *directory, const char *path,
                         uint64_t *bytes, struct error *error)
{
    struct contents contents = {.copy = copy, .directory = directory};
    struct id last = {0};
    bool is_begun = false, found = true;
    int length = snprintf(contents.folder, sizeof contents.folder, "%s.files", path);
    if (length < 0 || length >= (int)sizeof contents.folder)
        return error_set(error, ERR_INVALID, "path", "is too long");
    enum err code = ERR_OK;
    while (code == ERR_OK && found) {
        code = next_row(&contents, &last, &is_begun, &found, error);
        if (code == ERR_OK && found)
            code = copy_row(&contents, &last, is_begun, error);
    }
    if (code == ERR_OK)
        code = sync_folder(&contents, error);
    if (code != ERR_OK && contents.is_made)
        nftw(contents.folder, remove_one, FOLDERS_OPEN_MAX, FTW_DEPTH | FTW_PHYS);
    *bytes += contents.bytes;
    return code;
}
