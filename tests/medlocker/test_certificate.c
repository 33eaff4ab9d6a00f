/* Acceptance test 6: whatever bit is flipped, it is seen. And the forms of records, lists, seals and keys. */
#include "io/io_fixture.h"

#include "base/sha256.h"
#include "medlocker/certificate.h"

static um_secret key_of(uint8_t first)
{
    um_secret s;
    for (int i = 0; i < UM_KEY_RAW; i++)
        s.key[i] = (uint8_t)(first + i);
    return s;
}

/* Against Python's hmac and hashlib. */
static void known_answers(void **state)
{
    (void)state;
    um_secret key = key_of(0);
    uint8_t raw[32], ids[5 * 32];
    char hex[65];
    OK(um_secret_mac(raw, &key, "wmc1 mac", NULL, 0));
    um_hex(hex, raw, 32);
    assert_string_equal(hex, "fb14d70e681333a71ff02af2a4f2795e69129f36965d889f7070ad071acac539");
    OK(um_secret_serial(raw, &key, 7, "img-1"));
    um_hex(hex, raw, UM_SERIAL_RAW);
    assert_string_equal(hex, "fe24187e7a48db6dcff160e9039060a8");
    for (uint8_t i = 0; i < 5; i++) {
        um_sha256 s;
        um_sha256_init(&s);
        um_sha256_add(&s, &i, 1);
        um_sha256_raw(&s, ids + 32 * i);
    }
    OK(um_merkle_root(raw, ids, 5));
    um_hex(hex, raw, 32);
    assert_string_equal(hex, "6b313b611b40676b9e1dfd70c4503f2379f88f0f1c2740fb7e1cacc32c113465");
}

static void paths_belong(void **state)
{
    (void)state;
    uint8_t ids[33 * 32], root[32], *path = NULL;
    int steps = 0;
    for (int i = 0; i < 33 * 32; i++)
        ids[i] = (uint8_t)(i * 31 + i / 32);
    for (int64_t n = 1; n <= 33; n++) {
        OK(um_merkle_root(root, ids, n));
        for (int64_t i = 0; i < n; i++) {
            OK(um_merkle_path(&path, &steps, ids, n, i));
            assert_true(um_merkle_verify(root, ids + 32 * i, i, n, path, steps));
            assert_false(um_merkle_verify(root, ids + 32 * ((i + 1) % 33), i, n, path, steps));
            assert_false(steps > 0 && um_merkle_verify(root, ids + 32 * i, i, n, path, steps - 1));
            for (int bit = 0; bit < steps * 256; bit += 37) {
                path[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_false(um_merkle_verify(root, ids + 32 * i, i, n, path, steps));
                path[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            um_free(path);
        }
    }
}

static void fill_record(um_record *r, const char *image, int n, const uint8_t *residual, int64_t bits)
{
    *r = (um_record){.h = 64, .w = 64, .c = 3, .rule = UM_OPACITY_MUL, .theta = {100 + n, 3, 40}, .wsm = UM_WSM_STRICT, .time = 1700000000};
    snprintf(r->serial, sizeof r->serial, "%032x", 1000 - n);
    snprintf(r->target, sizeof r->target, "resnet18:%064d", 5);
    snprintf(r->clean, sizeof r->clean, "%064d", n);
    snprintf(r->marked, sizeof r->marked, "%064d", n + 1);
    OK(um_record_set_names(r, "set one", image));
    OK(UM_NEW_ARRAY(r->boxes.list, n));
    r->boxes.n = n;
    for (int i = 0; i < n; i++)
        r->boxes.list[i] = (um_box){i, 2 * i, i + 5, 2 * i + 9};
    r->residual_bits = bits;
    snprintf(r->residual, sizeof r->residual, "%064d", 0);
    if (bits)
        um_sha256_of(residual, (size_t)(bits + 7) / 8, r->residual);
}

static uint8_t logo_bytes[4 * 6];

static void make_list(um_certificate *c, const um_secret *key)
{
    static const char *const names[] = {"b (2)", "a", "c\xc3\xa9/x"};
    um_logo logo = {2, 3, logo_bytes};
    for (int i = 0; i < 24; i++)
        logo_bytes[i] = (uint8_t)(i * 11);
    *c = (um_certificate){0};
    for (int i = 0; i < 3; i++) {
        um_record r;
        uint8_t *residual = NULL;
        if (i != 1) {
            OK(UM_NEW_ARRAY(residual, 3));
            residual[0] = (uint8_t)(i + 1);
        }
        fill_record(&r, names[i], i, residual, residual ? 21 : 0);
        um_logo_sha256(&logo, r.logo);
        r.logo_h = 2, r.logo_w = 3;
        OK(um_certificate_add(c, &r, &residual, &logo));
    }
    OK(um_certificate_finish(c, key));
}

static void records_have_one_form(void **state)
{
    (void)state;
    um_record r, again = {0};
    um_text text = {0}, image = {0};
    fill_record(&r, "b (2)%", 2, NULL, 0);
    snprintf(r.logo, sizeof r.logo, "%064d", 3);
    OK(um_record_print(&r, &text));
    assert_non_null(strstr(text.data, "\nimage=b%20%282%29%25\n"));
    assert_non_null(strstr(text.data, "\nboxes=2;0,0,5,9;1,2,6,11\n"));
    OK(um_record_parse(&again, text.data, text.n));
    OK(um_record_image(&again, &image));
    assert_string_equal(um_text_get(&image), "b (2)%");
    um_record_clear(&again);
    static const struct { const char *from, *to; } wrong[] = {
        {"alpha=102", "alpha=0102"}, {"alpha=102", "alpha=+102"}, {"y=3", "y= 3"}, {"wsm=strict", "wsm=Strict"}, {"rule=mul", "rule="},
        {"boxes=2;", "boxes=3;"},    {"boxes=2;", "boxes=1;"},    {"WMC1", "WMC2"}, {"\nx=40", ""},              {"shape=64x64x3", "shape=64x64x3x"},
        {"time=1", "time=1\nmore=1"},
    };
    for (size_t i = 0; i < UM_COUNT(wrong); i++) {
        um_text bad = {0};
        const char *at = strstr(text.data, wrong[i].from);
        assert_non_null(at);
        OK(um_text_add(&bad, "%.*s%s%s", (int)(at - text.data), text.data, wrong[i].to, at + strlen(wrong[i].from)));
        if (um_record_parse(&again, bad.data, bad.n) != UM_E_DATA)
            fail_msg("\"%s\" for \"%s\" was accepted", wrong[i].to, wrong[i].from);
        um_text_free(&bad);
    }
    um_error_clear();
    um_text_free(&image);
    um_text_free(&text);
    um_record_clear(&r);
}

/* One bit after the other: of every record, residual, id, root, mac and logo. */
static void every_bit_counts(void **state)
{
    (void)state;
    um_secret key = key_of(3), other = key_of(4);
    um_certificate c;
    make_list(&c, &key);
    OK(um_certificate_verify(&c, &key));
    assert_int_equal(um_certificate_verify(&c, &other), UM_E_DATA);
    assert_int_equal(um_certificate_find(&c, "b (2)"), 1);
    assert_int_equal(um_certificate_find(&c, "d"), -1);
    struct { uint8_t *at; size_t bytes; } parts[10] = {{c.ids, 96}, {c.root, 32}, {c.mac, 32}, {c.logos[0].rgba, 24}};
    int n = 4;
    for (int i = 0; i < 3; i++) {
        parts[n].at = (uint8_t *)c.texts[i], parts[n++].bytes = strlen(c.texts[i]);
        if (c.residual[i])
            parts[n].at = c.residual[i], parts[n++].bytes = 3;
    }
    for (int p = 0; p < n; p++)
        for (size_t bit = 0; bit < 8 * parts[p].bytes; bit++) {
            uint8_t *at = &parts[p].at[bit / 8];
            *at ^= (uint8_t)(1 << bit % 8);
            if (p == 3) /* what was read is hashed when it is read */
                um_logo_sha256(&c.logos[0], c.logo_sha256[0]);
            if (um_certificate_verify(&c, &key) != UM_E_DATA)
                fail_msg("bit %zu of part %d is not seen", bit, p);
            *at ^= (uint8_t)(1 << bit % 8);
        }
    um_logo_sha256(&c.logos[0], c.logo_sha256[0]);
    OK(um_certificate_verify(&c, &key));
    um_error_clear();
    um_certificate_free(&c);
}

static void lists_on_disk(void **state)
{
    (void)state;
    um_secret key = key_of(3);
    um_certificate c, again = {0};
    struct stat st;
    make_list(&c, &key);
    OK(um_certificate_write(&c, at("list.h5")));
    assert_int_equal(stat(at("list.h5"), &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    assert_int_equal(um_certificate_write(&c, at("list.h5")), UM_E_USAGE);
    um_error_clear();
    OK(um_certificate_read(&again, at("list.h5")));
    OK(um_certificate_verify(&again, &key));
    assert_memory_equal(again.root, c.root, 32);
    assert_int_equal(again.n, 3);
    um_certificate_free(&again);
    um_certificate_free(&c);
}

static void sealed_for_one_user(void **state)
{
    (void)state;
    um_secret key = key_of(3), user, stranger;
    um_certificate c, mine = {0};
    int64_t rows[] = {2, 0};
    make_list(&c, &key);
    OK(um_certificate_user_key(&user, &key, "dr. house"));
    OK(um_certificate_user_key(&stranger, &key, "dr. who"));
    OK(um_certificate_seal(&c, &key, "dr. house", rows, 2, at("sealed.h5")));
    OK(um_certificate_unseal(&mine, &user, at("sealed.h5")));
    assert_int_equal(mine.n, 2);
    assert_string_equal(mine.records[0].image, c.records[2].image);
    assert_memory_equal(mine.residual[0], c.residual[2], 3);
    assert_non_null(um_certificate_logo(&mine, 0));
    um_certificate_free(&mine);
    assert_int_equal(um_certificate_unseal(&mine, &stranger, at("sealed.h5")), UM_E_DATA);
    assert_int_equal(um_certificate_unseal(&mine, &key, at("sealed.h5")), UM_E_DATA);
    um_error_clear();
    um_certificate_free(&c);
}

static void any_bit_breaks_a_seal(void **state)
{
    (void)state;
    um_secret key = key_of(9);
    uint8_t plain[50], sealed[sizeof plain + UM_SEAL_EXTRA], opened[sizeof plain];
    for (size_t i = 0; i < sizeof plain; i++)
        plain[i] = (uint8_t)(i * 5);
    OK(um_secret_seal(sealed, &key, "aad", 3, plain, sizeof plain));
    OK(um_secret_open(opened, &key, "aad", 3, sealed, sizeof sealed));
    assert_memory_equal(opened, plain, sizeof plain);
    for (size_t bit = 0; bit < 8 * sizeof sealed; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_int_equal(um_secret_open(opened, &key, "aad", 3, sealed, sizeof sealed), UM_E_DATA);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(um_secret_open(opened, &key, "abd", 3, sealed, sizeof sealed), UM_E_DATA);
    assert_int_equal(um_secret_open(opened, &key, "aad", 3, sealed, UM_SEAL_EXTRA - 1), UM_E_DATA);
    um_error_clear();
}

static void key_files(void **state)
{
    (void)state;
    um_secret a = {{0}}, b = {{0}};
    struct stat st;
    OK(um_secret_create(at("key")));
    assert_int_equal(stat(at("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    OK(um_secret_read(&a, at("key")));
    assert_int_equal(um_secret_create(at("key")), UM_E_USAGE);
    OK(um_secret_create(at("key2")));
    OK(um_secret_read(&b, at("key2")));
    assert_false(um_secret_equal(&a, &b, sizeof a));
    static const mode_t open_modes[] = {0640, 0604, 0620, 0601, 0666};
    for (size_t i = 0; i < UM_COUNT(open_modes); i++) {
        assert_int_equal(chmod(at("key"), open_modes[i]), 0);
        assert_int_equal(um_secret_read(&b, at("key")), UM_E_CONFIG);
        assert_non_null(strstr(um_error_text(), "chmod 600"));
    }
    OK(um_file_write(at("bad"), "0123\n", 5));
    assert_int_equal(chmod(at("bad"), 0600), 0);
    assert_int_equal(um_secret_read(&b, at("bad")), UM_E_DATA);
    assert_int_equal(um_secret_read(&b, at("nowhere")), UM_E_IO);
    um_error_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers), cmocka_unit_test(paths_belong),         cmocka_unit_test(records_have_one_form),
        cmocka_unit_test(every_bit_counts), FIXTURE_TEST(lists_on_disk),          FIXTURE_TEST(sealed_for_one_user),
        cmocka_unit_test(any_bit_breaks_a_seal), FIXTURE_TEST(key_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
