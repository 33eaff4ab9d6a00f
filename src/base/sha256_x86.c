/* SHA-256 by the instructions that x86-64 processors have for it. Archives are hashed by the gigabyte. */
#include "base/sha256_x86.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

bool um_sha256_x86_available(void)
{
    unsigned a, b, c, d;
    bool ssse3 = __get_cpuid(1, &a, &b, &c, &d) && (c >> 9 & 1) && (c >> 19 & 1); /* and SSE 4.1 */
    return ssse3 && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

__attribute__((target("sha,sse4.1,ssse3"))) void um_sha256_x86(uint32_t state[8], const uint8_t *data, size_t blocks,
                                                               const uint32_t constants[64])
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);       /* c d a b */
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b); /* e f g h */
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
    for (; blocks > 0; blocks--, data += 64) {
        __m128i w[4], abef_was = abef, cdgh_was = cdgh;
        for (int t = 0; t < 16; t++) { /* four rounds each */
            __m128i *now = &w[t % 4], before = w[(t + 3) % 4];
            if (t < 4)
                *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * t)), swap);
            else
                *now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*now, w[(t + 1) % 4]),
                                                          _mm_alignr_epi8(before, w[(t + 2) % 4], 4)),
                                            before);
            __m128i message = _mm_add_epi32(*now, _mm_loadu_si128((const __m128i *)(constants + 4 * t)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, message);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(message, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_was);
        cdgh = _mm_add_epi32(cdgh, cdgh_was);
    }
    low = _mm_shuffle_epi32(abef, 0x1b);  /* f e b a reversed */
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(high, low, 8));
}
#else
bool um_sha256_x86_available(void)
{
    return false;
}

void um_sha256_x86(uint32_t state[8], const uint8_t *data, size_t blocks, const uint32_t constants[64])
{
    (void)state, (void)data, (void)blocks, (void)constants;
}
#endif
