/* Randomness: Philox4x32-10 (Salmon et al., SC 2011), stateless. A value is a function of (seed, purpose, three counters) and
 * nothing else, so results depend on no rank, thread or order of calls. Usable from C and CUDA.
 *
 *     key = (seed low 32, seed high 32 ^ purpose * 0x9E3779B9), counter = (a, b low, b high, c)
 *
 * By convention a = index within the item (element / 4 for fills), b = item (sample, tensor, id hash), c = epoch or step. */
#ifndef UM_BASE_RNG_H
#define UM_BASE_RNG_H

#include <stdint.h>

/* One line per use, values never reused. Protector and exploiter never share a purpose, so an exploiter never starts from the
 * surrogate's weights (DESIGN section 6). */
typedef enum um_rng_purpose {
    UM_RNG_TEST = 0,
    UM_RNG_SPLIT = 1,             /* train/test split at import, by id */
    UM_RNG_LIMIT = 2,             /* data.limit subset, by id */
    UM_RNG_PHANTOM = 3,           /* umed synth */
    UM_RNG_SURROGATE_INIT = 10,
    UM_RNG_SURROGATE_ORDER = 11,
    UM_RNG_CONTOUR_INIT = 12,     /* F_c weights */
    UM_RNG_TEXTURE_INIT = 13,     /* F_t weights */
    UM_RNG_GENERATOR_ORDER = 14,
    UM_RNG_TAP_START = 15,        /* random start of a restart */
    UM_RNG_TAP_AUGMENT = 16,      /* shift and flip at a step */
    UM_RNG_UMED_START = 16,       /* seeds of further starts */
    UM_RNG_SEP_DRAW = 17,         /* which checkpoint an inner step looks at */
    UM_RNG_EXPLOITER_INIT = 20,
    UM_RNG_EXPLOITER_ORDER = 21,
    UM_RNG_ATTACK_START = 22,     /* adversarial training: start in the ball */
    UM_RNG_DROPOUT = 24,          /* layers of an exploiter, by step and image of the batch */
    UM_RNG_AUGMENT = 23,          /* defenses that change batches, by epoch and id */
    UM_RNG_BENCH = 30,
    UM_RNG_LSP_VERTEX = 40,       /* centre of a cluster */
    UM_RNG_LSP_MIX = 41,          /* mixing matrix of a cluster */
    UM_RNG_LSP_SAMPLE = 42,       /* an image's point in a cluster */
    UM_RNG_AR_PROCESS = 43,       /* coefficients of a candidate process */
    UM_RNG_AR_TRIAL = 44,         /* signals it is tried on */
    UM_RNG_AR_START = 45,         /* first values of an image's signal */
    UM_RNG_AR_NOISE = 46,         /* innovations of an image's signal */
    UM_RNG_CLASSIFIER_INIT = 50,
    UM_RNG_CLASSIFIER_ORDER = 51,
    UM_RNG_CLASSIFIER_AUGMENT = 52, /* by epoch and id */
    UM_RNG_MARK_START = 53,       /* first candidates of a watermark search, by image */
    UM_RNG_MARK_HOP = 54,
    UM_RNG_MARK_CROSS = 55,
    UM_RNG_MARK_NULL = 56,        /* random placements that a detector compares with */
    UM_RNG_RETINA = 57,           /* umed synth --scene retina */
    UM_RNG_CLASSIFIER_SHUFFLE = 58, /* which label a training row gets when they are shuffled */
} um_rng_purpose;

#ifdef __CUDACC__
#define UM_RNG_FN static inline __host__ __device__
#else
#define UM_RNG_FN static inline
#endif

/* One block of the published generator: 10 rounds, 4 words out. Known answers: random123 tests/kat_vectors. */
UM_RNG_FN void um_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

UM_RNG_FN void um_rng_words(uint64_t seed, um_rng_purpose purpose, uint32_t a, uint64_t b, uint32_t c, uint32_t out[4])
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32) ^ (uint32_t)purpose * 0x9E3779B9u};
    uint32_t counter[4] = {a, (uint32_t)b, (uint32_t)(b >> 32), c};
    um_philox4x32(counter, key, out);
}

/* [0, 1) with 24 bits, exactly representable in float. */
UM_RNG_FN float um_rng_unit(uint32_t word)
{
    return (float)(word >> 8) * (1.0f / 16777216.0f);
}

#ifndef __CUDACC__
#include "base/status.h"

/* Fills with U(lo, hi): element i uses word i % 4 of block i / 4. */
void um_rng_fill_uniform(float *out, int64_t n, float lo, float hi, uint64_t seed, um_rng_purpose purpose, uint64_t b, uint32_t c);
/* Fills with N(mean, sd) by Box-Muller on consecutive pairs of words. */
void um_rng_fill_normal(float *out, int64_t n, float mean, float sd, uint64_t seed, um_rng_purpose purpose, uint64_t b, uint32_t c);

/* out: a permutation of 0..n-1: the items ordered by a 64-bit random key drawn for keys[i] (for instance the hash of a sample's
 * id), ties by index. With ids as keys the order does not depend on where a sample stands in its file. keys NULL: i itself. */
um_status um_rng_permutation(int64_t *out, const uint64_t *keys, int64_t n, uint64_t seed, um_rng_purpose purpose, uint32_t epoch);
#endif

#endif
