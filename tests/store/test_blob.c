/* Blob: whole or not there, in pieces, swept. */
#include "store/blob.h"
#include "support.h"

static char *directory;

static int set_up(void **state)
{
    (void)state;
    directory = directory_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    directory_remove(directory);
    return 0;
}

static void expect_content(const struct id *id, struct str content)
{
    struct blob blob;
    char read[64];
    size_t len;
    assert_int_equal(blob_map(directory, id, &blob, NULL), ERR_OK);
    assert_true(str_eq(blob.content, content));
    blob_unmap(&blob);
    assert_int_equal(blob_read(directory, id, 1, read, sizeof read, &len, NULL), ERR_OK);
    assert_true(str_eq(STR_FROM(read, len), str_skip(content, 1)));
}

static void test_whole(void **state)
{
    (void)state;
    struct id id = id_new(1), empty = id_new(1);
    struct blob blob;
    struct stat status;
    char sha256[BLOB_SHA256_CHARS + 1], path[200];
    assert_int_equal(blob_write(directory, &id, STR("abc"), sha256, NULL), ERR_OK);
    assert_string_equal(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect_content(&id, STR("abc"));
    snprintf(path, sizeof path, "%s/files/%s/%s", directory, id.text + ID_LENGTH - 2, id.text);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(blob_write(directory, &empty, STR(""), sha256, NULL), ERR_OK);
    assert_int_equal(blob_map(directory, &empty, &blob, NULL), ERR_OK);
    assert_int_equal(blob.content.len, 0);
    blob_unmap(&blob);
    assert_int_equal(blob_delete(directory, &id, NULL), ERR_OK);
    assert_int_equal(blob_delete(directory, &id, NULL), ERR_OK);
    assert_int_equal(blob_map(directory, &id, &blob, NULL), ERR_NOT_FOUND);
}

static void test_in_pieces(void **state)
{
    (void)state;
    struct id id = id_new(1);
    struct blob blob;
    uint64_t bytes;
    char sha256[BLOB_SHA256_CHARS + 1];
    assert_int_equal(blob_begun_bytes(directory, &id, &bytes, NULL), ERR_NOT_FOUND);
    assert_int_equal(blob_append(directory, &id, 3, STR("x"), NULL), ERR_NOT_FOUND);
    assert_int_equal(blob_append(directory, &id, 0, STR("abXX"), NULL), ERR_OK);
    assert_int_equal(blob_append(directory, &id, 2, STR("cd"), NULL), ERR_OK); /* sent again */
    assert_int_equal(blob_append(directory, &id, 5, STR("x"), NULL), ERR_CONFLICT);
    assert_int_equal(blob_begun_bytes(directory, &id, &bytes, NULL), ERR_OK);
    assert_int_equal(bytes, 4);
    assert_int_equal(blob_map(directory, &id, &blob, NULL), ERR_NOT_FOUND);
    assert_int_equal(blob_commit(directory, &id, &bytes, sha256, NULL), ERR_OK);
    assert_int_equal(bytes, 4);
    expect_content(&id, STR("abcd"));
    assert_int_equal(blob_commit(directory, &id, &bytes, sha256, NULL), ERR_NOT_FOUND);
}

static bool is_known(void *user, const struct id *id)
{
    return id_eq(user, id);
}

/* What a crash leaves behind goes; what has a row stays, begun or whole. */
static void test_sweep(void **state)
{
    (void)state;
    struct id kept = id_new(1), lost = id_new(1), begun = id_new(1);
    struct blob blob;
    uint64_t bytes;
    size_t deleted = 7;
    char sha256[BLOB_SHA256_CHARS + 1];
    assert_int_equal(blob_sweep(directory, is_known, &kept, &deleted, NULL), ERR_OK);
    assert_int_equal(deleted, 0);
    assert_int_equal(blob_write(directory, &kept, STR("abc"), sha256, NULL), ERR_OK);
    assert_int_equal(blob_write(directory, &lost, STR("abc"), sha256, NULL), ERR_OK);
    assert_int_equal(blob_append(directory, &begun, 0, STR("abc"), NULL), ERR_OK);
    assert_int_equal(blob_sweep(directory, is_known, &kept, &deleted, NULL), ERR_OK);
    assert_int_equal(deleted, 2);
    expect_content(&kept, STR("abc"));
    assert_int_equal(blob_map(directory, &lost, &blob, NULL), ERR_NOT_FOUND);
    assert_int_equal(blob_append(directory, &begun, 0, STR("abc"), NULL), ERR_OK);
    assert_int_equal(blob_sweep(directory, is_known, &begun, &deleted, NULL), ERR_OK);
    assert_int_equal(blob_begun_bytes(directory, &begun, &bytes, NULL), ERR_OK);
}

static void test_no_room(void **state)
{
    (void)state;
    struct id id = id_new(1);
    char sha256[BLOB_SHA256_CHARS + 1];
    assert_int_equal(blob_write("/dev/null", &id, STR("abc"), sha256, NULL), ERR_STORAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_in_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sweep, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
