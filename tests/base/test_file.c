/* Files that are whole or absent, folders, and trees that are removed without following links. */
#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/folder_fixture.h"

static void put_raw(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(content, file);
    fclose(file);
}

static void assert_content(const char *path, const char *expected)
{
    um_text t = {0};
    assert_int_equal(um_file_read(&t, path, 100000), UM_OK);
    assert_string_equal(um_text_get(&t), expected);
    assert_int_equal(t.n, strlen(expected));
    um_text_free(&t);
}

static void test_write_then_read(void **state)
{
    (void)state;
    assert_int_equal(um_file_write(at("a.txt"), "first", 5), UM_OK);
    assert_content(at("a.txt"), "first");
    assert_false(um_file_exists(at("a.txt.part")));
    assert_int_equal(um_file_write(at("a.txt"), "second", 6), UM_OK);
    assert_content(at("a.txt"), "second");
    assert_int_equal(um_file_write(at("empty"), "", 0), UM_OK);
    assert_content(at("empty"), "");
}

static void test_part_is_invisible_until_commit(void **state)
{
    (void)state;
    char *part = NULL;
    assert_int_equal(um_file_part_name(&part, at("r.h5")), UM_OK);
    assert_string_equal(part, at("r.h5.part"));
    put_raw(part, "half");
    assert_false(um_file_exists(at("r.h5")));
    put_raw(part, "whole");
    assert_int_equal(um_file_commit(at("r.h5")), UM_OK);
    assert_content(at("r.h5"), "whole");
    assert_false(um_file_exists(part));
    um_free(part);
}

static void test_discard_keeps_the_old_file(void **state)
{
    (void)state;
    assert_int_equal(um_file_write(at("r.h5"), "old", 3), UM_OK);
    put_raw(at("r.h5.part"), "half");
    um_file_discard(at("r.h5"));
    um_file_discard(at("r.h5"));
    assert_false(um_file_exists(at("r.h5.part")));
    assert_content(at("r.h5"), "old");
}

static void test_commit_without_part_fails(void **state)
{
    (void)state;
    assert_int_equal(um_file_write(at("r.h5"), "old", 3), UM_OK);
    assert_int_equal(um_file_commit(at("r.h5")), UM_E_IO);
    assert_non_null(strstr(um_error_text(), at("r.h5.part")));
    assert_non_null(strstr(um_error_text(), strerror(ENOENT)));
    assert_content(at("r.h5"), "old");
}

static void test_relative_path_commits(void **state)
{
    (void)state;
    char before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(fixture_dir), 0);
    um_status rc = um_file_write("plain.txt", "x", 1);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(rc, UM_OK);
    assert_content(at("plain.txt"), "x");
}

static void test_write_into_missing_folder_fails(void **state)
{
    (void)state;
    assert_int_equal(um_file_write(at("no/a.txt"), "x", 1), UM_E_IO);
    assert_non_null(strstr(um_error_text(), at("no/a.txt")));
    assert_int_equal(um_file_write("/proc/umed.txt", "x", 1), UM_E_IO);
}

/* Root may write anywhere, so as root this acts as nobody for a moment. */
static void test_unwritable_folder_fails(void **state)
{
    (void)state;
    const uid_t nobody = 65534;
    bool root = geteuid() == 0;
    assert_int_equal(um_dir_make(at("locked"), 0500), UM_OK);
    if (root && seteuid(nobody) != 0)
        skip();
    um_status rc = um_file_write(at("locked/a.txt"), "x", 1);
    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(rc, UM_E_IO);
    assert_non_null(strstr(um_error_text(), at("locked/a.txt.part")));
    assert_non_null(strstr(um_error_text(), "check the permissions"));
    assert_false(um_file_exists(at("locked/a.txt")));
}

static void test_full_disk_is_reported(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(symlink("/dev/full", at("a.txt.part")), 0);
    assert_int_equal(um_file_write(at("a.txt"), "x", 1), UM_E_IO);
    assert_non_null(strstr(um_error_text(), "No space left on device; free some space"));
    assert_false(um_file_exists(at("a.txt")));
    assert_int_equal(access(at("a.txt.part"), F_OK), -1);
}

static void test_folder_in_the_way_of_commit(void **state)
{
    (void)state;
    assert_int_equal(um_dir_make(at("r.h5/sub"), 0777), UM_OK);
    assert_int_equal(um_file_write(at("r.h5"), "x", 1), UM_E_IO);
    assert_false(um_file_exists(at("r.h5.part")));
}

static void test_read_refusals(void **state)
{
    (void)state;
    um_text t = {0};
    assert_int_equal(um_text_add(&t, "kept"), UM_OK);
    assert_int_equal(um_file_write(at("a"), "12345", 5), UM_OK);
    assert_int_equal(um_file_read(&t, at("a"), 4), UM_E_DATA);
    assert_non_null(strstr(um_error_text(), at("a")));
    assert_int_equal(um_file_read(&t, at("none"), 4), UM_E_IO);
    assert_int_equal(um_file_read(&t, fixture_dir, 1 << 20), UM_E_IO);
    assert_int_equal(um_file_read(&t, "/dev/zero", 1000), UM_E_DATA);
    assert_string_equal(um_text_get(&t), "kept");
    assert_int_equal(um_file_read(&t, at("a"), 5), UM_OK);
    assert_string_equal(um_text_get(&t), "12345");
    um_text_free(&t);
}

/* A pipe has no size to look at in advance. */
static um_status read_from_pipe(um_text *out, size_t bytes, size_t max_bytes)
{
    int ends[2];
    char path[64];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        for (size_t i = 0; i < bytes; i++) {
            if (write(ends[1], "x", 1) != 1)
                _exit(1);
        }
        _exit(0);
    }
    close(ends[1]);
    um_status rc = um_file_read(out, path, max_bytes);
    close(ends[0]);
    waitpid(child, NULL, 0);
    return rc;
}

static void test_read_limit_without_a_size(void **state)
{
    (void)state;
    um_text t = {0};
    assert_int_equal(read_from_pipe(&t, 3000, 3000), UM_OK);
    assert_int_equal(t.n, 3000);
    assert_int_equal(read_from_pipe(&t, 3000, 2999), UM_E_DATA);
    assert_int_equal(t.n, 3000);
    um_text_free(&t);
}

static void test_large_file_round_trip(void **state)
{
    (void)state;
    enum { BYTES = 1000003 };
    char *data = NULL;
    um_text t = {0};
    assert_int_equal(UM_NEW_ARRAY(data, BYTES), UM_OK);
    for (int i = 0; i < BYTES; i++)
        data[i] = (char)(i * 31);
    assert_int_equal(um_file_write(at("big"), data, BYTES), UM_OK);
    assert_int_equal(um_file_read(&t, at("big"), BYTES), UM_OK);
    assert_int_equal(t.n, BYTES);
    assert_memory_equal(t.data, data, BYTES);
    um_text_free(&t);
    um_free(data);
}

static void test_dir_make(void **state)
{
    (void)state;
    struct stat info;
    assert_int_equal(um_dir_make(at("a/b/c"), 0700), UM_OK);
    assert_int_equal(um_dir_make(at("a/b/c"), 0700), UM_OK);
    assert_int_equal(um_dir_make(at("a//b/d/"), 0777), UM_OK);
    assert_true(um_dir_exists(at("a/b/d")));
    assert_int_equal(stat(at("a/b/c"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(um_file_write(at("file"), "x", 1), UM_OK);
    assert_int_equal(um_dir_make(at("file"), 0777), UM_E_IO);
    assert_non_null(strstr(um_error_text(), "a file of that name is in the way"));
    assert_int_equal(um_dir_make(at("file/sub"), 0777), UM_E_IO);
    assert_int_equal(um_dir_make("", 0777), UM_E_IO);
}

static void test_exists(void **state)
{
    (void)state;
    put_raw(at("f"), "");
    assert_true(um_file_exists(at("f")));
    assert_false(um_dir_exists(at("f")));
    assert_false(um_file_exists(fixture_dir));
    assert_true(um_dir_exists(fixture_dir));
    assert_false(um_file_exists(at("none")));
}

static void test_dir_list_is_sorted(void **state)
{
    (void)state;
    static const char *const expected[] = {"A", "a", "b10", "b9"};
    char **names = NULL;
    size_t n = 9;
    assert_int_equal(um_dir_make(at("e"), 0777), UM_OK);
    assert_int_equal(um_dir_list(&names, &n, at("e")), UM_OK);
    assert_int_equal(n, 0);
    um_names_free(names, n);
    put_raw(at("e/b9"), "");
    put_raw(at("e/A"), "");
    put_raw(at("e/b10"), "");
    assert_int_equal(um_dir_make(at("e/a"), 0777), UM_OK);
    assert_int_equal(um_dir_list(&names, &n, at("e")), UM_OK);
    assert_int_equal(n, 4);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(names[i], expected[i]);
    um_names_free(names, n);
    assert_int_equal(um_dir_list(&names, &n, at("none")), UM_E_IO);
}

static void test_dir_remove_never_follows_links(void **state)
{
    (void)state;
    assert_int_equal(um_dir_make(at("keep"), 0777), UM_OK);
    put_raw(at("keep/precious"), "x");
    assert_int_equal(um_dir_make(at("tree/a/b"), 0777), UM_OK);
    put_raw(at("tree/a/file"), "x");
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "tree/a/b/%d", i);
        put_raw(at(name), "x");
    }
    assert_int_equal(symlink(at("keep"), at("tree/link")), 0);
    assert_int_equal(symlink("nowhere", at("tree/dangling")), 0);
    assert_int_equal(symlink(at("keep"), at("root_link")), 0);
    assert_int_equal(um_dir_remove(at("tree")), UM_OK);
    assert_false(um_dir_exists(at("tree")));
    assert_int_equal(um_dir_remove(at("tree")), UM_OK);
    assert_int_equal(um_dir_remove(at("root_link")), UM_E_IO);
    assert_content(at("keep/precious"), "x");
    assert_int_equal(um_dir_remove(at("keep/precious")), UM_E_IO);
    assert_content(at("keep/precious"), "x");
}

static void test_path_join(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}};
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        char *path = NULL;
        assert_int_equal(um_path_join(&path, cases[i][0], cases[i][1]), UM_OK);
        assert_string_equal(path, cases[i][2]);
        um_free(path);
    }
}


int main(void)
{
    const struct CMUnitTest tests[] = {
        FOLDER_TEST(test_write_then_read),
        FOLDER_TEST(test_part_is_invisible_until_commit),
        FOLDER_TEST(test_discard_keeps_the_old_file),
        FOLDER_TEST(test_commit_without_part_fails),
        FOLDER_TEST(test_relative_path_commits),
        FOLDER_TEST(test_write_into_missing_folder_fails),
        FOLDER_TEST(test_unwritable_folder_fails),
        FOLDER_TEST(test_full_disk_is_reported),
        FOLDER_TEST(test_folder_in_the_way_of_commit),
        FOLDER_TEST(test_read_refusals),
        FOLDER_TEST(test_read_limit_without_a_size),
        FOLDER_TEST(test_large_file_round_trip),
        FOLDER_TEST(test_dir_make),
        FOLDER_TEST(test_exists),
        FOLDER_TEST(test_dir_list_is_sorted),
        FOLDER_TEST(test_dir_remove_never_follows_links),
        FOLDER_TEST(test_path_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
