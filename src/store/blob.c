/* Contents of files on disk, beside the database which has their rows. A row is written after its
 * content and deleted before it, so that a crash leaves contents without a row at the worst, which
 * the next start sweeps away. */
#include "store/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "store/file.h"

#define BEGUN_SUFFIX ".part"
enum { PIECE_BYTES = 256 * 1024 };

/* Where a content lies. */
struct place {
    char folder[FILE_PATH_BYTES_MAX];
    char whole[FILE_PATH_BYTES_MAX];
    char begun[FILE_PATH_BYTES_MAX];
};

static enum err failed(struct error *error, const char *what, const char *path, int reason)
{
    enum err code = reason == ENOENT ? ERR_NOT_FOUND : ERR_STORAGE;
    return error_set(error, code, NULL, "cannot %s %s: %s", what, path, strerror(reason));
}

/* The last two characters of an id are by chance: the first ones are the time. */
static enum err place_in(const char *files, const struct id *id, struct place *ret,
                         struct error *error)
{
    char relative[80];
    enum err code;
    if ((code = file_path(files, id->text + ID_LENGTH - 2, ret->folder, error)) != ERR_OK)
        return code;
    snprintf(relative, sizeof relative, "%s" BEGUN_SUFFIX, id->text);
    if ((code = file_path(ret->folder, id->text, ret->whole, error)) != ERR_OK)
        return code;
    return file_path(ret->folder, relative, ret->begun, error);
}

static enum err place_of(const char *directory, const struct id *id, struct place *ret,
                         struct error *error)
{
    char files[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "files", files, error);
    return code == ERR_OK ? place_in(files, id, ret, error) : code;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static enum err open_begun(const struct place *place, bool makes_it, int *ret_fd,
                           struct error *error)
{
    int fd = open(place->begun, O_RDWR | O_CLOEXEC | (makes_it ? O_CREAT : 0), 0600);
    if (fd < 0)
        return failed(error, "open", place->begun, errno);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return error_set(error, ERR_CONFLICT, NULL, "it is being written to already");
    }
    *ret_fd = fd;
    return ERR_OK;
}

static enum err append(int fd, const char *path, uint64_t offset, struct str bytes,
                       struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return failed(error, "look at", path, errno);
    if (offset > (uint64_t)status.st_size)
        return error_set(error, ERR_CONFLICT, NULL, "only %lld bytes are there",
                         (long long)status.st_size);
    if (ftruncate(fd, (off_t)offset) != 0 || file_write_at(fd, bytes, (off_t)offset) != 0)
        return failed(error, "write", path, errno);
    return ERR_OK;
}

enum err blob_append(const char *directory, const struct id *id, uint64_t offset, struct str bytes,
                     struct error *error)
{
    struct place place;
    int fd = -1;
    enum err code = place_of(directory, id, &place, error);
    if (code == ERR_OK && offset == 0)
        code = file_make_directory(place.folder, error);
    if (code == ERR_OK)
        code = open_begun(&place, offset == 0, &fd, error);
    if (code != ERR_OK)
        return code;
    code = append(fd, place.begun, offset, bytes, error);
    close(fd);
    return code;
}

enum err blob_begun_bytes(const char *directory, const struct id *id, uint64_t *ret_bytes,
                          struct error *error)
{
    struct place place;
    struct stat status;
    enum err code = place_of(directory, id, &place, error);
    if (code != ERR_OK)
        return code;
    if (stat(place.begun, &status) != 0)
        return failed(error, "look at", place.begun, errno);
    *ret_bytes = (uint64_t)status.st_size;
    return ERR_OK;
}

static enum err map(int fd, const char *path, struct blob *ret, struct error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return failed(error, "look at", path, errno);
    ret->content = STR("");
    if (status.st_size == 0)
        return ERR_OK;
    void *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return failed(error, "map", path, errno);
    ret->content = STR_FROM(bytes, (size_t)status.st_size);
    return ERR_OK;
}

static void hash(struct str content, char ret[BLOB_SHA256_CHARS + 1])
{
    unsigned char digest[SHA256_BYTES];
    sha256(content, digest);
    hex_encode(STR_FROM((const char *)digest, sizeof digest), ret);
}

static enum err sync_and_hash(int fd, const char *path, uint64_t *ret_bytes,
                              char ret_sha256[BLOB_SHA256_CHARS + 1], struct error *error)
{
    struct blob blob;
    if (fsync(fd) != 0)
        return failed(error, "sync", path, errno);
    enum err code = map(fd, path, &blob, error);
    if (code != ERR_OK)
        return code;
    hash(blob.content, ret_sha256);
    *ret_bytes = blob.content.len;
    blob_unmap(&blob);
    return ERR_OK;
}

/* The folder may be new as well, and so may be the one above it. */
static enum err sync_folders(const char *directory, const struct place *place, struct error *error)
{
    char files[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "files", files, error);
    if (code == ERR_OK)
        code = file_sync_directory(place->folder, error);
    if (code == ERR_OK)
        code = file_sync_directory(files, error);
    return code == ERR_OK ? file_sync_directory(directory, error) : code;
}

enum err blob_commit(const char *directory, const struct id *id, uint64_t *ret_bytes,
                     char ret_sha256[BLOB_SHA256_CHARS + 1], struct error *error)
{
    struct place place;
    int fd = -1;
    enum err code = place_of(directory, id, &place, error);
    if (code == ERR_OK)
        code = open_begun(&place, false, &fd, error);
    if (code != ERR_OK)
        return code;
    code = sync_and_hash(fd, place.begun, ret_bytes, ret_sha256, error);
    if (code == ERR_OK && rename(place.begun, place.whole) != 0)
        code = failed(error, "name", place.whole, errno);
    close(fd);
    return code == ERR_OK ? sync_folders(directory, &place, error) : code;
}

enum err blob_write(const char *directory, const struct id *id, struct str content,
                    char ret_sha256[BLOB_SHA256_CHARS + 1], struct error *error)
{
    uint64_t bytes;
    enum err code = blob_append(directory, id, 0, content, error);
    if (code == ERR_OK)
        code = blob_commit(directory, id, &bytes, ret_sha256, error);
    if (code != ERR_OK && blob_delete(directory, id, NULL) != ERR_OK)
        return code; /* the next start sweeps it away */
    return code;
}

/* ---- Reading --------------------------------------------------------------------------------- */

static enum err open_whole(const char *directory, const struct id *id, struct place *place,
                           int *ret_fd, struct error *error)
{
    enum err code = place_of(directory, id, place, error);
    if (code != ERR_OK)
        return code;
    int fd = open(place->whole, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failed(error, "open", place->whole, errno);
    *ret_fd = fd;
    return ERR_OK;
}

enum err blob_map(const char *directory, const struct id *id, struct blob *ret_blob,
                  struct error *error)
{
    struct place place;
    int fd = -1;
    enum err code = open_whole(directory, id, &place, &fd, error);
    if (code != ERR_OK)
        return code;
    code = map(fd, place.whole, ret_blob, error);
    close(fd);
    return code;
}

void blob_unmap(struct blob *blob)
{
    if (blob->content.len)
        munmap((void *)(uintptr_t)blob->content.data, blob->content.len);
    blob->content = STR_NONE;
}

enum err blob_read(const char *directory, const struct id *id, uint64_t offset, char *ret,
                   size_t size, size_t *ret_len, struct error *error)
{
    struct place place;
    int fd = -1;
    enum err code = open_whole(directory, id, &place, &fd, error);
    if (code != ERR_OK)
        return code;
    ssize_t got = file_read_at(fd, ret, size, (off_t)offset);
    int reason = errno;
    close(fd);
    if (got < 0)
        return failed(error, "read", place.whole, reason);
    *ret_len = (size_t)got;
    return ERR_OK;
}

/* ---- Copying --------------------------------------------------------------------------------- */

/* One that becomes whole meanwhile has changed its name. */
static int open_any(const struct place *place, bool is_begun)
{
    int fd = -1;
    for (int i = 0; i < 2 && fd < 0 && is_begun; i++)
        if ((fd = open(place->begun, O_RDONLY | O_CLOEXEC)) < 0 && errno == ENOENT)
            fd = open(place->whole, O_RDONLY | O_CLOEXEC);
    return is_begun ? fd : open(place->whole, O_RDONLY | O_CLOEXEC);
}

static int copy_bytes(int from, int to, uint64_t *ret_bytes)
{
    char *piece = malloc(PIECE_BYTES);
    ASSERT(piece);
    uint64_t offset = 0;
    ssize_t got;
    while ((got = file_read_at(from, piece, PIECE_BYTES, (off_t)offset)) > 0) {
        if (file_write_at(to, STR_FROM(piece, (size_t)got), (off_t)offset) != 0)
            got = -1;
        if (got < 0)
            break;
        offset += (uint64_t)got;
    }
    int reason = got < 0 ? errno : 0;
    free(piece);
    *ret_bytes = offset;
    return reason;
}

static enum err copy_to(int from, const char *path, uint64_t *ret_bytes, struct error *error)
{
    int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int reason = to < 0 ? errno : copy_bytes(from, to, ret_bytes);
    if (to >= 0 && close(to) != 0 && !reason)
        reason = errno;
    return reason
               ? error_set(error, ERR_STORAGE, NULL, "cannot write %s: %s", path, strerror(reason))
               : ERR_OK;
}

enum err blob_copy(const char *directory, const struct id *id, bool is_begun, const char *folder,
                   uint64_t *ret_bytes, struct error *error)
{
    struct place from, to;
    enum err code = place_of(directory, id, &from, error);
    if (code == ERR_OK)
        code = place_in(folder, id, &to, error);
    if (code != ERR_OK)
        return code;
    int fd = open_any(&from, is_begun);
    if (fd < 0)
        return failed(error, "open", from.whole, errno);
    code = file_make_directory(to.folder, error);
    if (code == ERR_OK)
        code = copy_to(fd, is_begun ? to.begun : to.whole, ret_bytes, error);
    close(fd);
    return code;
}

/* ---- Deleting -------------------------------------------------------------------------------- */

static enum err delete_one(const char *path, struct error *error)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return ERR_OK;
    return failed(error, "delete", path, errno);
}

enum err blob_delete(const char *directory, const struct id *id, struct error *error)
{
    struct place place;
    enum err code = place_of(directory, id, &place, error);
    if (code == ERR_OK)
        code = delete_one(place.whole, error);
    return code == ERR_OK ? delete_one(place.begun, error) : code;
}

struct sweep {
    bool (*is_known)(void *user, const struct id *id);
    void *user;
    size_t deleted;
};

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static bool is_kept(const struct sweep *sweep, struct str name)
{
    struct id id;
    if (str_ends_with(name, STR(BEGUN_SUFFIX)))
        name.len -= sizeof BEGUN_SUFFIX - 1;
    return id_parse(name, &id) && sweep->is_known(sweep->user, &id);
}

static enum err sweep_folder(struct sweep *sweep, const char *folder, struct error *error)
{
    enum err code = ERR_OK;
    DIR *list = opendir(folder);
    if (!list)
        return failed(error, "read", folder, errno);
    for (struct dirent *entry; code == ERR_OK && (entry = readdir(list));) {
        char path[FILE_PATH_BYTES_MAX];
        if (is_dots(entry->d_name) || is_kept(sweep, str_from_cstr(entry->d_name)))
            continue;
        code = file_path(folder, entry->d_name, path, error);
        if (code == ERR_OK)
            code = delete_one(path, error);
        sweep->deleted++;
    }
    closedir(list);
    return code;
}

enum err blob_sweep(const char *directory, bool (*is_known)(void *user, const struct id *id),
                    void *user, size_t *ret_deleted, struct error *error)
{
    struct sweep sweep = {is_known, user, 0};
    char files[FILE_PATH_BYTES_MAX], folder[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "files", files, error);
    if (code == ERR_OK)
        code = file_make_directory(files, error);
    DIR *list = code == ERR_OK ? opendir(files) : NULL;
    if (code == ERR_OK && !list)
        code = failed(error, "read", files, errno);
    for (struct dirent *entry; code == ERR_OK && (entry = readdir(list));) {
        if (is_dots(entry->d_name))
            continue;
        code = file_path(files, entry->d_name, folder, error);
        if (code == ERR_OK)
            code = sweep_folder(&sweep, folder, error);
    }
    if (list)
        closedir(list);
    *ret_deleted = sweep.deleted;
    return code;
}
