#include "io/import.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "image/luma.h"
#include "image/resize.h"

enum { THUMB = 16, THUMB_PIXELS = THUMB * THUMB, CLASS_BYTES = 32 };

static const double DUPLICATE_CORRELATION = 0.98;

/* A row in the order in which rows become test rows. */
typedef struct ticket {
    int64_t unit; /* what the row belongs to: 0, its class or its group */
    uint64_t draw;
    const char *id;
    int64_t row;
} ticket;

static uint64_t draw_of(const char *id, int64_t seed)
{
    uint32_t words[4];
    um_rng_words((uint64_t)seed, UM_RNG_SPLIT, 0, um_text_hash(id), 0, words);
    return (uint64_t)words[0] << 32 | words[1];
}

static int compare_draws(const ticket *a, const ticket *b)
{
    return a->draw != b->draw ? (a->draw > b->draw) - (a->draw < b->draw) : strcmp(a->id, b->id);
}

static int compare_tickets(const void *a, const void *b)
{
    const ticket *x = a, *y = b;
    return x->unit != y->unit ? (x->unit > y->unit) - (x->unit < y->unit) : compare_draws(x, y);
}

static int compare_by_draw(const void *a, const void *b)
{
    return compare_draws(a, b);
}

/* The class that an id carries, "" when none: "benign (4)" -> "benign", "CHNCXR_0083_0" -> "CHNCXR_0". */
static void class_of(char out[CLASS_BYTES], const char *id)
{
    static const char *const names[] = {"benign", "malignant", "normal", "MCUCXR", "CHNCXR"};
    const size_t n = strlen(id);
    out[0] = '\0';
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        const size_t m = strlen(names[i]);
        if (strncmp(id, names[i], m) == 0 && !isalpha((unsigned char)id[m])) {
            const bool labelled = i >= 3 && n > 2 && id[n - 2] == '_';
            snprintf(out, CLASS_BYTES, "%s%s", names[i], labelled ? id + n - 2 : "");
            return;
        }
    }
}

/* unit = a number that rows of one class share. */
static void find_classes(ticket *t, int64_t n)
{
    int64_t n_known = 0;
    for (int64_t i = 0; i < n; i++) {
        char name[CLASS_BYTES];
        class_of(name, t[i].id);
        n_known += name[0] != '\0';
        t[i].unit = (int64_t)(um_text_hash(name) >> 1);
    }
    if (n_known == 0) {
        um_log(UM_LOG_WARN, "data.split_mode = stratified: the ids carry no classes that are known, so the split is random");
    }
}

static int64_t run_length(const ticket *t, int64_t i, int64_t n)
{
    int64_t end = i;
    while (end < n && t[end].unit == t[i].unit) {
        end++;
    }
    return end - i;
}

/* Classes in t are runs of equal unit. Gives every run floor(share * size) test rows and the rest to the largest remainders. */
static void mark_runs(um_dataset *d, const ticket *t, int64_t n, int64_t n_test)
{
    const double share = (double)n_test / (double)n;
    int64_t left = n_test;
    for (int64_t i = 0, size; i < n; i += size) {
        size = run_length(t, i, n);
        left -= (int64_t)floor(share * (double)size + 1e-9);
    }
    for (int64_t i = 0, size; i < n; i += size) {
        size = run_length(t, i, n);
        const double exact = share * (double)size, rest = exact - floor(exact + 1e-9);
        int64_t larger = 0; /* runs whose remainder is served before this one's */
        for (int64_t j = 0, m; j < n; j += m) {
            m = run_length(t, j, n);
            const double other = share * (double)m - floor(share * (double)m + 1e-9);
            larger += other > rest || (other == rest && j < i);
        }
        const int64_t take = (int64_t)floor(exact + 1e-9) + (larger < left);
        for (int64_t k = 0; k < take && k < size; k++) {
            d->split[t[i + k].row] = UM_SPLIT_TEST;
        }
    }
}

/* out: [n][THUMB_PIXELS], mean 0 and norm 1 (all 0 for a flat image). */
static um_status thumbnails(float *out, const um_dataset *d)
{
    um_status rc = UM_OK;
    uint16_t small[THUMB_PIXELS * 3];
    for (int64_t i = 0; i < d->n; i++) {
        float *thumb = out + i * THUMB_PIXELS;
        double mean = 0, norm = 0;
        UM_TRY(um_resize(small, THUMB, THUMB, um_dataset_image(d, i), d->h, d->w, d->c, d->bits, UM_RESIZE_BILINEAR));
        um_luma(thumb, small, THUMB_PIXELS, d->c, d->bits, UM_LUMA_BT601);
        for (int k = 0; k < THUMB_PIXELS; k++) {
            mean += thumb[k] / THUMB_PIXELS;
        }
        for (int k = 0; k < THUMB_PIXELS; k++) {
            thumb[k] -= (float)mean;
            norm += (double)thumb[k] * (double)thumb[k];
        }
        for (int k = 0; k < THUMB_PIXELS && norm > 0; k++) {
            thumb[k] /= (float)sqrt(norm);
        }
    }
done:
    return rc;
}

static int64_t find_root(int64_t *parent, int64_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static float correlation(const float *a, const float *b)
{
    float sum = 0;
    for (int k = 0; k < THUMB_PIXELS; k++) {
        sum += a[k] * b[k];
    }
    return sum;
}

/* group[i] = smallest row of the group of near-duplicates that row i belongs to. */
static um_status groups(int64_t *group, const um_dataset *d)
{
    um_status rc = UM_OK;
    float *thumbs = NULL;
    UM_TRY(UM_NEW_ARRAY(thumbs, d->n * THUMB_PIXELS));
    UM_TRY(thumbnails(thumbs, d));
    for (int64_t i = 0; i < d->n; i++) {
        group[i] = i;
        for (int64_t j = 0; j < i; j++) {
            if (correlation(thumbs + i * THUMB_PIXELS, thumbs + j * THUMB_PIXELS) > (float)DUPLICATE_CORRELATION) {
                const int64_t a = find_root(group, i), b = find_root(group, j);
                group[a > b ? a : b] = a < b ? a : b;
            }
        }
    }
    for (int64_t i = 0; i < d->n; i++) {
        group[i] = find_root(group, i);
    }
done:
    um_free(thumbs);
    return rc;
}

/* t: sorted by draw. A group is decided when its first row comes up. */
static um_status mark_groups(um_dataset *d, ticket *t, int64_t n_test)
{
    um_status rc = UM_OK;
    int64_t *group = NULL, *size = NULL, n_groups = 0, largest = 0;
    bool *seen = NULL;
    UM_TRY(UM_NEW_ARRAY(group, d->n));
    UM_TRY(UM_NEW_ARRAY(size, d->n));
    UM_TRY(UM_NEW_ARRAY(seen, d->n));
    UM_TRY(groups(group, d));
    for (int64_t i = 0; i < d->n; i++) {
        n_groups += size[group[i]]++ == 0;
        largest = size[group[i]] > largest ? size[group[i]] : largest;
    }
    um_log(UM_LOG_INFO, "split: %lld images in %lld groups of near-duplicates, the largest of %lld", (long long)d->n,
           (long long)n_groups, (long long)largest);
    int64_t left = n_test;
    for (int64_t i = 0; i < d->n; i++) {
        const int64_t g = group[t[i].row];
        if (seen[g] || size[g] > left) {
            seen[g] = true;
            continue;
        }
        seen[g] = true;
        left -= size[g];
        for (int64_t k = 0; k < d->n; k++) {
            d->split[k] = group[k] == g ? UM_SPLIT_TEST : d->split[k];
        }
    }
done:
    um_free(seen);
    um_free(size);
    um_free(group);
    return rc;
}

um_status um_import_split(um_dataset *d, const um_data_options *o)
{
    um_status rc = UM_OK;
    ticket *t = NULL;
    const int64_t n_test = llround((1.0 - o->split) * (double)d->n);
    UM_TRY(UM_NEW_ARRAY(t, d->n));
    for (int64_t i = 0; i < d->n; i++) {
        t[i] = (ticket){0, draw_of(d->ids[i], o->split_seed), d->ids[i], i};
        d->split[i] = UM_SPLIT_TRAIN;
    }
    if (o->split_mode == UM_SPLIT_GROUPED) {
        qsort(t, (size_t)d->n, sizeof *t, compare_by_draw);
        UM_TRY(mark_groups(d, t, n_test));
        goto done;
    }
    if (o->split_mode == UM_SPLIT_STRATIFIED) {
        find_classes(t, d->n);
    }
    qsort(t, (size_t)d->n, sizeof *t, compare_tickets);
    if (d->n > 0) {
        mark_runs(d, t, d->n, n_test);
    }
done:
    um_free(t);
    return rc;
}
