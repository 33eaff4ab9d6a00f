#include "base/rng.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

typedef struct keyed {
    uint64_t key;
    int64_t index;
} keyed;

/* In double, rounded once: the same float whether or not the compiler fuses the multiply and the add. */
void um_rng_fill_uniform(float *out, int64_t n, float lo, float hi, uint64_t seed, um_rng_purpose purpose, uint64_t b, uint32_t c)
{
    double span = (double)hi - lo;
    uint32_t words[4] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            um_rng_words(seed, purpose, (uint32_t)(i / 4), b, c, words);
        out[i] = (float)(lo + span * um_rng_unit(words[i % 4]));
    }
}

/* Two normals from two words: r = sqrt(-2 ln u), u in (0, 1], at angle 2 pi v, v in [0, 1). */
static void box_muller(const uint32_t words[2], double out[2])
{
    const double scale = 1.0 / 4294967296.0;
    double r = sqrt(-2 * log((words[0] + 1.0) * scale)), angle = 2 * M_PI * scale * words[1];
    out[0] = r * cos(angle);
    out[1] = r * sin(angle);
}

void um_rng_fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, um_rng_purpose purpose, uint64_t b, uint32_t c)
{
    uint32_t words[4] = {0};
    double pair[2] = {0};
    for (int64_t i = 0; i < n; i++) {
        if (i % 4 == 0)
            um_rng_words(seed, purpose, (uint32_t)(i / 4), b, c, words);
        if (i % 2 == 0)
            box_muller(words + i % 4, pair);
        out[i] = (float)(mean + sd * pair[i % 2]);
    }
}

static int keyed_compare(const void *left, const void *right)
{
    const keyed *l = left, *r = right;
    if (l->key != r->key)
        return l->key < r->key ? -1 : 1;
    return (l->index > r->index) - (l->index < r->index);
}

um_status um_rng_permutation(int64_t *out, const uint64_t *keys, int64_t n, uint64_t seed, um_rng_purpose purpose, uint32_t epoch)
{
    um_status rc = UM_OK;
    keyed *items = NULL;
    UM_REQUIRE(n >= 0);
    UM_TRY(UM_NEW_ARRAY(items, n));
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        um_rng_words(seed, purpose, 0, keys ? keys[i] : (uint64_t)i, epoch, words);
        items[i] = (keyed){(uint64_t)words[0] << 32 | words[1], i};
    }
    qsort(items, (size_t)n, sizeof *items, keyed_compare);
    for (int64_t i = 0; i < n; i++)
        out[i] = items[i].index;
done:
    um_free(items);
    return rc;
}
