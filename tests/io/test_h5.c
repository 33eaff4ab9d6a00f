/* io/h5.h: rows, scalars, strings, attributes, refusals, and a full disk. */
#include "io_fixture.h"

#include <sched.h>
#include <sys/mount.h>

#include <hdf5.h>

#include "io/h5.h"

static const um_h5_array curve = {.name = "/a/b/curve", .type = UM_H5_F64, .ndim = 2, .shape = {100, 3}, .deflate = 1,
                                  .description = "a curve", .axes = "epoch,kind", .unit = "1", .definition = "y = x"};

static void fill(double *v, int n)
{
    for (int i = 0; i < n; i++)
        v[i] = i * 0.25;
}

static void rows_are_streamed(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    double v[300], back[300] = {0};
    fill(v, 300);
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_make_array(f, &curve));
    OK(um_h5_write_rows(f, curve.name, UM_H5_F64, 40, 60, v + 120));
    OK(um_h5_write_rows(f, curve.name, UM_H5_F64, 0, 40, v));
    FAILS(um_h5_write_rows(f, curve.name, UM_H5_F64, 90, 11, v), UM_E_BUG, "items 90 to 101 of /a/b/curve");
    OK(um_h5_commit(&f));
    assert_null(f);
    OK(um_h5_open(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_read_rows(f, curve.name, UM_H5_F64, 10, 5, back));
    assert_memory_equal(back, v + 30, 15 * sizeof *v);
    OK(um_h5_read_into(f, curve.name, UM_H5_F64, 2, (int64_t[]){100, 3}, back));
    assert_memory_equal(back, v, sizeof v);
    um_h5_free(f);
}

/* What h5py writes by default: the layout of HDF5 1.8, text of variable length. */
static void write_plain_file(const char *path, bool layout_1_10, const char *format)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), text = H5Tcopy(H5T_C_S1), scalar = H5Screate(H5S_SCALAR);
    int64_t one = 1;
    if (layout_1_10)
        H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110);
    hid_t file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
    hid_t complete = H5Acreate2(file, "complete", H5T_STD_I64LE, scalar, H5P_DEFAULT, H5P_DEFAULT);
    H5Tset_size(text, H5T_VARIABLE);
    hid_t attr = H5Acreate2(file, "format", text, scalar, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(attr, text, &format) >= 0 && H5Awrite(complete, H5T_NATIVE_INT64, &one) >= 0);
    H5Aclose(attr);
    H5Aclose(complete);
    H5Fclose(file);
    H5Sclose(scalar);
    H5Tclose(text);
    H5Pclose(access);
}

static void what_has_no_checksums_is_refused(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    write_plain_file(at("old.h5"), false, "umed-test");
    FAILS(um_h5_open(&f, at("old.h5"), "umed-test", "1.0"), UM_E_DATA,
          "old.h5: layout of HDF5 1.8 or older, which has no checksums; convert it: h5repack --low=2 --high=2 IN OUT");
    write_plain_file(at("text.h5"), true, "umed-test");
    FAILS(um_h5_open(&f, at("text.h5"), "umed-test", "1.0"), UM_E_DATA,
          "text.h5: format has values of variable length; write fixed ones");
}

static void every_type_comes_back(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    uint64_t v[6] = {0x8122334455667788u, 2, 3, 4, 5, 6};
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    for (int t = UM_H5_U8; t <= UM_H5_F64; t++) {
        um_h5_array a = {.type = (um_h5_type)t, .ndim = 3, .shape = {2, 1, 3}, .description = "", .axes = "", .unit = ""};
        a.name = um_h5_type_name(a.type);
        OK(um_h5_write_array(f, &a, v));
    }
    OK(um_h5_commit(&f));
    OK(um_h5_open(&f, at("a.h5"), NULL, "1.0"));
    for (int t = UM_H5_U8; t <= UM_H5_F64; t++) {
        void *back = NULL;
        int64_t shape[4];
        const char *name = um_h5_type_name((um_h5_type)t);
        OK(um_h5_read_array(f, name, (um_h5_type)t, 3, (int64_t[]){-1, -1, -1}, &back, shape));
        assert_memory_equal(back, v, 6 * um_h5_type_bytes((um_h5_type)t));
        assert_true(shape[0] == 2 && shape[1] == 1 && shape[2] == 3);
        um_free(back);
        FAILS(um_h5_expect(f, name, (um_h5_type)((t + 1) % 9), 3, (int64_t[]){2, 1, 3}, NULL), UM_E_DATA, "expected");
    }
    FAILS(um_h5_expect(f, "f32", UM_H5_F32, 3, (int64_t[]){2, -1, 4}, NULL), UM_E_DATA, "shape [2,1,3], expected [2,any,4]");
    FAILS(um_h5_expect(f, "f32", UM_H5_F32, 2, (int64_t[]){2, 3}, NULL), UM_E_DATA, "shape [2,1,3], expected [2,3]");
    FAILS(um_h5_expect(f, "/nothing", UM_H5_F32, 2, (int64_t[]){2, 3}, NULL), UM_E_DATA, "no /nothing in it");
    um_h5_free(f);
}

static void scalars_and_empty_arrays(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    int64_t seven = 7, back = 0, shape[1] = {9};
    void *none = NULL;
    um_h5_array a = {.name = "/s", .type = UM_H5_I64, .description = "", .axes = "", .unit = ""};
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_write_array(f, &a, &seven));
    a.name = "/empty";
    a.ndim = 1;
    OK(um_h5_write_array(f, &a, NULL));
    OK(um_h5_commit(&f));
    OK(um_h5_open(&f, at("a.h5"), NULL, "1.0"));
    OK(um_h5_read_into(f, "/s", UM_H5_I64, 0, NULL, &back));
    assert_int_equal(back, 7);
    OK(um_h5_read_array(f, "/empty", UM_H5_I64, 1, (int64_t[]){-1}, &none, shape));
    assert_int_equal(shape[0], 0);
    OK(um_h5_verify(f));
    um_free(none);
    um_h5_free(f);
}

static void strings_and_long_text(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    const char *in[] = {"α", "", "a longer one", "b"};
    char **out = NULL, *large = malloc(300001);
    int64_t n = 0;
    um_text text = {0};
    for (int i = 0; i < 300000; i++)
        large[i] = (char)('a' + i % 26);
    large[300000] = 0;
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_write_strings(f, "/g/ids", in, 4, "names", "sample"));
    OK(um_h5_write_text(f, "/config", large, "settings"));
    OK(um_h5_commit(&f));
    OK(um_h5_open(&f, at("a.h5"), NULL, "1.0"));
    OK(um_h5_read_strings(f, "/g/ids", -1, &out, &n));
    assert_int_equal(n, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(in[i], out[i]);
    um_names_free(out, 4);
    FAILS(um_h5_read_strings(f, "/g/ids", 5, &out, &n), UM_E_DATA, "/g/ids is not an array of 5 strings");
    OK(um_h5_read_text(f, "/config", &text));
    assert_string_equal(um_text_get(&text), large);
    OK(um_h5_list(f, "/", &out, (size_t *)&n));
    assert_int_equal(n, 2);
    assert_string_equal(out[0], "config");
    um_names_free(out, 2);
    um_text_free(&text);
    um_h5_free(f);
    free(large);
}

static void attributes(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    um_text text = {0};
    int64_t i = 0;
    double r = 0;
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_set_text(f, "/", "t", "naïve"));
    OK(um_h5_set_text(f, "/", "empty", ""));
    OK(um_h5_set_int(f, "/", "i", -5));
    OK(um_h5_set_real(f, "/", "r", 0.1));
    OK(um_h5_commit(&f));
    OK(um_h5_open(&f, at("a.h5"), NULL, "1.0"));
    assert_string_equal(um_h5_format(f), "umed-test");
    OK(um_h5_get_text(f, "/", "t", &text));
    OK(um_h5_get_text(f, "/", "empty", &text));
    assert_string_equal(um_text_get(&text), "naïve");
    OK(um_h5_get_int(f, "/", "i", &i));
    OK(um_h5_get_real(f, "/", "r", &r));
    assert_true(i == -5 && r == 0.1);
    FAILS(um_h5_get_text(f, "/", "i", &text), UM_E_DATA, "attribute 'i' of / is not text");
    FAILS(um_h5_get_int(f, "/", "none", &i), UM_E_DATA, "/ has no attribute 'none'");
    um_text_free(&text);
    um_h5_free(f);
}

static void abandoned_file_leaves_nothing(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    assert_true(um_file_exists(at("a.h5.part")));
    um_h5_free(f);
    assert_false(um_file_exists(at("a.h5.part")));
    assert_false(um_file_exists(at("a.h5")));
}

/* What a writer killed before the last step would leave, renamed by hand. */
static void incomplete_file_is_refused(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    size_t n;
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_commit(&f));
    uint8_t *bytes = load_bytes(at("a.h5"), &n);
    long mark = find_bytes(bytes, n, "complete", 8);
    assert_true(mark > 0);
    OK(um_h5_create(&f, at("b.h5"), "umed-test", "1.0"));
    OK(um_h5_set_int(f, "/", "complete", 2));
    FAILS(um_h5_commit(&f), UM_E_IO, "cannot write attribute complete");
    assert_false(um_file_exists(at("b.h5.part")));
    memcpy(bytes + mark, "complEte", 8);
    store_bytes(at("c.h5"), bytes, n);
    FAILS(um_h5_open(&f, at("c.h5"), NULL, "1.0"), UM_E_DATA, "c.h5");
    free(bytes);
}

static void verify_names_the_object(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    double v[300];
    size_t n;
    um_h5_array plain = curve;
    plain.deflate = 0;
    fill(v, 300);
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_write_array(f, &plain, v));
    OK(um_h5_commit(&f));
    uint8_t *bytes = load_bytes(at("a.h5"), &n);
    long place = find_bytes(bytes, n, v, 64);
    bytes[place + 1001] ^= 4;
    store_bytes(at("b.h5"), bytes, n);
    OK(um_h5_open(&f, at("b.h5"), NULL, "1.0"));
    FAILS(um_h5_verify(f), UM_E_DATA, "b.h5: cannot read /a/b/curve: data error detected by Fletcher32 checksum");
    um_h5_free(f);
    free(bytes);
}

/* 1 MiB of disk and growing files: wherever the disk ends, there is an UM_E_IO, no file, and the library goes on working. In a mount
 * namespace of our own, so that nothing stays mounted whatever happens. */
static void full_disk(void **state)
{
    (void)state;
    char dir[300];
    int refused = 0;
    uint8_t *data = calloc(1, 1 << 21);
    snprintf(dir, sizeof dir, "%s/disk", fixture_dir);
    OK(um_dir_make(dir, 0777));
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("umed-test", dir, "tmpfs", 0, "size=1m") != 0) {
        print_message("skipped: mounting a 1 MiB tmpfs needs root\n");
        free(data);
        skip();
    }
    for (int64_t kib = 768; kib <= 1536; kib += 32) {
        um_h5 *f = NULL;
        const um_h5_array a = {.name = "/x", .type = UM_H5_U8, .ndim = 2, .shape = {kib, 1024}, .description = "", .axes = "",
                               .unit = ""};
        um_status rc = um_h5_create(&f, at("disk/a.h5"), "umed-test", "1.0");
        if (rc == UM_OK)
            rc = um_h5_write_array(f, &a, data);
        if (rc == UM_OK)
            rc = um_h5_commit(&f);
        um_h5_free(f);
        assert_true(rc == UM_OK || rc == UM_E_IO);
        assert_int_equal(um_file_exists(at("disk/a.h5")), rc == UM_OK);
        assert_false(um_file_exists(at("disk/a.h5.part")));
        refused += rc != UM_OK;
        unlink(at("disk/a.h5"));
    }
    assert_int_equal(umount(dir), 0);
    assert_true(refused > 10);
    free(data);
}

/* h5dump is the reader that everybody has: a file must make sense without umed. */
static void h5dump_reads_it(void **state)
{
    (void)state;
    um_h5 *f = NULL;
    double v[300];
    char command[600];
    if (system("h5dump --version > /dev/null 2>&1") != 0) {
        print_message("skipped: h5dump is not installed\n");
        skip();
    }
    fill(v, 300);
    OK(um_h5_create(&f, at("a.h5"), "umed-test", "1.0"));
    OK(um_h5_write_array(f, &curve, v));
    OK(um_h5_commit(&f));
    snprintf(command, sizeof command, "h5dump -d /a/b/curve -s 1,0 -c 1,3 %s/a.h5 | grep -q '(1,0): 0.75, 1, 1.25'", fixture_dir);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "h5dump -A %s/a.h5 | grep -q 'epoch,kind'", fixture_dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(rows_are_streamed),
        FIXTURE_TEST(what_has_no_checksums_is_refused),
        FIXTURE_TEST(every_type_comes_back),
        FIXTURE_TEST(scalars_and_empty_arrays),
        FIXTURE_TEST(strings_and_long_text),
        FIXTURE_TEST(attributes),
        FIXTURE_TEST(abandoned_file_leaves_nothing),
        FIXTURE_TEST(incomplete_file_is_refused),
        FIXTURE_TEST(verify_names_the_object),
        FIXTURE_TEST(full_disk),
        FIXTURE_TEST(h5dump_reads_it),
    };
    return cmocka_run_group_tests_name("io/h5", tests, NULL, NULL);
}
