/* FIPS 180-4 examples, streaming in odd pieces, files. */
#include "base/sha256.h"

#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_fips_examples(void **state)
{
    (void)state;
    static const struct {
        const char *message, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        char hex[UM_SHA256_HEX];
        um_sha256_of(cases[i].message, strlen(cases[i].message), hex);
        assert_string_equal(hex, cases[i].hex);
    }
}

static void test_million_in_odd_pieces(void **state)
{
    (void)state;
    char piece[1000], hex[UM_SHA256_HEX];
    memset(piece, 'a', sizeof piece);
    um_sha256 s;
    um_sha256_init(&s);
    for (size_t done = 0, size = 1; done < 1000000; size = size * 7 % 997) {
        size_t part = size < 1000000 - done ? size : 1000000 - done;
        um_sha256_add(&s, piece, part);
        um_sha256_add(&s, NULL, 0);
        done += part;
    }
    um_sha256_hex(&s, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* Every length around the padding boundaries: one piece and small pieces of any size agree. */
static void test_lengths_around_a_block(void **state)
{
    (void)state;
    uint8_t data[200];
    for (int i = 0; i < 200; i++)
        data[i] = (uint8_t)(i * 37);
    for (size_t n = 0; n <= 200; n++) {
        char whole[UM_SHA256_HEX], pieces[UM_SHA256_HEX];
        um_sha256_of(data, n, whole);
        for (size_t piece = 1; piece <= 66; piece++) {
            um_sha256 s;
            um_sha256_init(&s);
            for (size_t i = 0; i < n; i += piece)
                um_sha256_add(&s, data + i, piece < n - i ? piece : n - i);
            um_sha256_hex(&s, pieces);
            assert_string_equal(whole, pieces);
        }
    }
}

static void test_file(void **state)
{
    (void)state;
    char path[] = "/tmp/umed_sha256_XXXXXX", hex[UM_SHA256_HEX];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "abc", 3), 3);
    close(fd);
    assert_int_equal(um_sha256_of_file(path, hex), UM_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    unlink(path);
    assert_int_equal(um_sha256_of_file(path, hex), UM_E_IO);
    assert_non_null(strstr(um_error_text(), path));
    assert_int_equal(um_sha256_of_file("/tmp", hex), UM_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fips_examples),
        cmocka_unit_test(test_million_in_odd_pieces),
        cmocka_unit_test(test_lengths_around_a_block),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
