/* The parts of the archive: the conveyor, sealed lines, shards in pieces, carrying back. */
#include "io/io_fixture.h"

#include <math.h>
#include <stdatomic.h>

#include "archive/backlog.h"
#include "archive/conveyor.h"
#include "archive/item.h"
#include "archive/perturb.h"
#include "io/delta_file.h"

/* ---- conveyor ---- */

enum { ITEMS = 200, SLOTS = 3, STAGES = 3 };

typedef struct belt {
    atomic_long next[STAGES]; /* the item that a stage with one worker must get next */
    atomic_int on_the_way, most, disorder, fail_at, after_failure;
    int64_t ends_at; /* 0: after ITEMS */
} belt;

static um_status first_stage(const um_conveyor_turn *t)
{
    belt *b = t->job;
    int64_t item = t->item, *slot = t->slot;
    *t->no_more = b->ends_at > 0 && item == b->ends_at;
    if (*t->no_more)
        return UM_OK;
    int now = atomic_fetch_add(&b->on_the_way, 1) + 1;
    if (now > atomic_load(&b->most))
        atomic_store(&b->most, now);
    b->disorder += atomic_fetch_add(&b->next[0], 1) != item;
    *slot = item;
    return UM_OK;
}

static um_status middle_stage(const um_conveyor_turn *t)
{
    belt *b = t->job;
    int64_t item = t->item, *slot = t->slot;
    b->disorder += *slot != item;
    *slot = item * item;
    if (item == atomic_load(&b->fail_at))
        return um_fail(UM_E_DATA, "item %lld is bad", (long long)item);
    return UM_OK;
}

static um_status last_stage(const um_conveyor_turn *t)
{
    belt *b = t->job;
    int64_t item = t->item, *slot = t->slot;
    b->disorder += atomic_fetch_add(&b->next[2], 1) != item || *slot != item * item;
    b->after_failure += item >= atomic_load(&b->fail_at) && b->fail_at >= 0;
    atomic_fetch_sub(&b->on_the_way, 1);
    return UM_OK;
}

static const um_conveyor_stage stages[STAGES] = {{"first", 1, first_stage}, {"middle", 2, middle_stage}, {"last", 0, last_stage}};

static um_status run_belt(belt *b)
{
    int64_t values[SLOTS];
    void *slots[SLOTS] = {&values[0], &values[1], &values[2]};
    um_conveyor_times times = {.wall_s = 0};
    return um_conveyor_run(stages, STAGES, b->ends_at > 0 ? UM_CONVEYOR_OPEN : ITEMS, slots, SLOTS, b, &times);
}

static void in_order_and_bounded(void **state)
{
    (void)state;
    belt b = {.fail_at = -1};
    assert_int_equal(run_belt(&b), UM_OK);
    assert_int_equal(b.disorder, 0);
    assert_int_equal(b.next[2], ITEMS);
    assert_in_range(b.most, 1, SLOTS);
}

static void a_failure_ends_it(void **state)
{
    (void)state;
    belt b = {.fail_at = 50};
    assert_int_equal(run_belt(&b), UM_E_DATA);
    assert_string_equal(um_error_text(), "item 50 is bad");
    assert_int_equal(b.after_failure, 0);
    assert_in_range(b.next[2], 0, 50);
}

/* However many items the first stage finds. */
static void until_there_are_no_more(void **state)
{
    (void)state;
    static const int64_t ends[] = {1, 2, 3, 57};
    for (size_t i = 0; i < UM_COUNT(ends); i++) {
        belt b = {.fail_at = -1, .ends_at = ends[i]};
        assert_int_equal(run_belt(&b), UM_OK);
        assert_int_equal(b.disorder, 0);
        assert_int_equal(b.next[2], ends[i]);
        assert_int_equal(b.on_the_way, 0);
    }
}

static void add_task(void *task, void *payload)
{
    usleep(100);
    atomic_fetch_add((atomic_int *)payload, *(int *)task);
}

static void all_tasks_are_finished(void **state)
{
    (void)state;
    int tasks[100];
    atomic_int sum = 0;
    um_backlog *b = NULL;
    OK(um_backlog_open(&b, 3, 2, add_task, &sum));
    for (int i = 0; i < 100; i++) {
        tasks[i] = i;
        um_backlog_put(b, &tasks[i]);
    }
    um_backlog_close(b);
    assert_int_equal(sum, 4950);
    um_backlog_close(NULL);
}

static void what_bounds(void **state)
{
    (void)state;
    um_conveyor_times t = {.busy_s = {3, 5, 2.6}}; /* the middle one has two workers */
    assert_int_equal(um_conveyor_bounding(stages, STAGES, &t), 0);
    t.busy_s[1] = 7;
    assert_int_equal(um_conveyor_bounding(stages, STAGES, &t), 1);
}

/* ---- lines ---- */

static void sealed_lines(void **state)
{
    (void)state;
    um_text line = {0}, got = {0};
    int64_t n = 0;
    assert_int_equal(um_text_add(&line, "{"), UM_OK);
    assert_int_equal(um_json_text(&line, "odd", "a \"b\" \\ c\td\n\xc3\xa9"), UM_OK);
    assert_int_equal(um_json_open(&line, "inner", '{'), UM_OK);
    assert_int_equal(um_json_int(&line, "n", 1), UM_OK);
    assert_int_equal(um_json_close(&line, '}'), UM_OK);
    assert_int_equal(um_json_int(&line, "n", -7), UM_OK);
    assert_int_equal(um_json_real(&line, "none", NAN), UM_OK);
    assert_int_equal(um_json_seal(&line), UM_OK);
    assert_int_equal(um_json_check(um_text_get(&line), "here"), UM_OK);
    assert_true(um_json_get_int(um_text_get(&line), "n", &n));
    assert_int_equal(n, -7);
    assert_true(um_json_get_text(um_text_get(&line), "odd", &got));
    assert_string_equal(um_text_get(&got), "a \"b\" \\ c\td\n\xc3\xa9");
    assert_false(um_json_get_int(um_text_get(&line), "missing", &n));
    assert_false(um_json_get_int(um_text_get(&line), "odd", &n));
    for (size_t i = 0; i + 1 < line.n; i++) { /* any byte */
        line.data[i] ^= 1;
        assert_int_equal(um_json_check(um_text_get(&line), "here"), UM_E_DATA);
        line.data[i] ^= 1;
    }
    um_text_free(&line);
    um_text_free(&got);
}

static void spreads(void **state)
{
    (void)state;
    um_archive_spread s = {0};
    um_text line = {0};
    for (int i = 0; i < 100; i++)
        assert_int_equal(um_archive_spread_add(&s, (i * 37) % 100), UM_OK);
    assert_int_equal(um_text_add(&line, "{"), UM_OK);
    assert_int_equal(um_archive_spread_print(&s, "x", &line), UM_OK);
    assert_string_equal(um_text_get(&line), "{\"x\":{\"n\":100,\"min\":0,\"p05\":5,\"median\":50,\"mean\":49.5,\"max\":99}");
    um_free(s.values);
    um_text_free(&line);
}

/* ---- shards ---- */

/* Images of five sizes, one without a mask; values from a counter. */
static void make_index(um_shard_index *x, int bits)
{
    static const int64_t sizes[][3] = {{16, 40, 1}, {33, 21, 3}, {64, 64, 1}, {17, 1900, 3}, {900, 1200, 1}};
    *x = (um_shard_index){.bits = bits};
    for (int i = 0; i < 5; i++) {
        char id[16];
        snprintf(id, sizeof id, "im%d", i);
        assert_int_equal(um_shard_index_add(x, id, sizes[i][0], sizes[i][1], sizes[i][2], i != 1, (uint8_t)(i & 1)), UM_OK);
    }
}

static void write_mixed(const char *path, const um_shard_index *x, const uint8_t *pixels, const uint8_t *masks, const char *provenance)
{
    um_shard_writer w = {0};
    um_deflate *deflate = NULL;
    int64_t values, n_masks;
    um_shard_extent(x, 0, x->n, &values, &n_masks);
    assert_int_equal(um_deflate_create(&deflate, 1), UM_OK);
    assert_int_equal(um_shard_writer_open(&w, path, x), UM_OK);
    size_t bytes = (size_t)(values * x->bits / 8);
    for (size_t at = 0; at < bytes; at += 77777) /* pieces that fit nothing */
        assert_int_equal(um_h5_stream_put(w.pixels, pixels + at, bytes - at < 77777 ? bytes - at : 77777, deflate), UM_OK);
    assert_int_equal(um_h5_stream_put(w.masks, masks, (size_t)n_masks, deflate), UM_OK);
    assert_int_equal(um_h5_stream_put_rest(w.pixels, deflate), UM_OK);
    assert_int_equal(um_h5_stream_put_rest(w.masks, deflate), UM_OK);
    assert_int_equal(um_shard_writer_commit(&w, x, NULL, provenance), UM_OK);
    um_deflate_free(deflate);
}

static void mixed_shards(void **state)
{
    (void)state;
    for (int bits = 8; bits <= 16; bits += 8) {
        um_shard_index x;
        um_shard *s = NULL;
        int64_t values, n_masks;
        make_index(&x, bits);
        um_shard_extent(&x, 0, x.n, &values, &n_masks);
        uint8_t *pixels = malloc((size_t)values * 2), *back = malloc((size_t)values * 2), *masks = malloc((size_t)n_masks),
                *masks_back = malloc((size_t)n_masks);
        for (int64_t i = 0; i < values * 2; i++)
            pixels[i] = (uint8_t)(i * i >> 5);
        for (int64_t i = 0; i < n_masks; i++)
            masks[i] = i % 3 == 0;
        write_mixed(at(bits == 8 ? "m8.h5" : "m16.h5"), &x, pixels, masks, bits == 8 ? "command=test\n" : NULL);
        assert_int_equal(um_shard_open(&s, at(bits == 8 ? "m8.h5" : "m16.h5")), UM_OK);
        assert_int_equal(um_shard_is_clean(s), bits == 8);
        const um_shard_index *y = um_shard_get_index(s);
        assert_int_equal(y->n, x.n);
        assert_int_equal(y->bits, bits);
        assert_memory_equal(y->rows, x.rows, (size_t)x.n * sizeof *x.rows);
        assert_memory_equal(y->split, x.split, (size_t)x.n);
        assert_int_equal(um_shard_read(s, 0, x.n, back, masks_back), UM_OK);
        assert_memory_equal(back, pixels, (size_t)(values * bits / 8));
        assert_memory_equal(masks_back, masks, (size_t)n_masks);
        assert_int_equal(um_shard_read(s, 1, 2, back, masks_back), UM_OK); /* the first of them without a mask */
        assert_memory_equal(back, pixels + x.rows[1].at * bits / 8, (size_t)(33 * 21 * 3 + 64 * 64) * (size_t)(bits / 8));
        assert_memory_equal(masks_back, masks + 16 * 40, 64 * 64);
        assert_int_equal(um_shard_verify(s), UM_OK);
        um_shard_close(s);
        um_shard_index_clear(&x);
        free(pixels), free(back), free(masks), free(masks_back);
    }
}

/* The way back for every value and every change, clipped or not. */
static void undoing(void **state)
{
    (void)state;
    uint8_t released[256], delta[256], clean[256];
    for (int d = -255; d <= 255; d++) {
        int n = 0, largest = 0;
        for (int v = 0; v < 256; v++) {
            int is = v + d < 0 ? 0 : v + d > 255 ? 255 : v + d;
            released[n] = (uint8_t)is;
            delta[n++] = (uint8_t)(is - v);
            largest = abs(is - v) > largest ? abs(is - v) : largest;
        }
        assert_int_equal(um_delta_undo(clean, released, delta, n, 8), largest);
        for (int v = 0; v < 256; v++)
            assert_int_equal(clean[v], v);
    }
    uint16_t wide = 65535, to = 0, change = (uint16_t)(65535 - 3);
    assert_int_equal(um_delta_undo(&to, &wide, &change, 1, 16), 65532);
    assert_int_equal(to, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_and_bounded), cmocka_unit_test(a_failure_ends_it), cmocka_unit_test(what_bounds), cmocka_unit_test(until_there_are_no_more),
        cmocka_unit_test(all_tasks_are_finished),
        cmocka_unit_test(sealed_lines), cmocka_unit_test(spreads), FIXTURE_TEST(mixed_shards), cmocka_unit_test(undoing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
