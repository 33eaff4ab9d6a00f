/* Visible watermark by integer alpha blending, and its inverse (medlocker 1 and 6). Everything is integer arithmetic: every machine
 * and every language gets the same bits.
 *
 * With image level I, logo level W, logo opacity M and mark opacity alpha, all 0..255, inside the logo's rectangle:
 *
 *     k  = alpha * M                        opacity a = k / 65025
 *     I' = floor(((65025 - k) * I + k * W + 32512) / 65025)
 *
 * 65025 is odd, so rounding never ties; a convex combination never leaves 0..255. Images of one channel take the luma of W.
 * um_opacity_rule min: k = 255 * min(luma of W, alpha) instead, as Adv-watermark (Jia et al., ACM MM 2020) has it.
 *
 * Recovery from I' alone:  J = clamp(floor((65025*I' - k*W) / (65025 - k) + 1/2), 0, 255), within floor(0.5/(1-a) + 0.5) levels of
 * I: one level up to a = 2/3. Blending maps 256 levels onto about 255*(1-a) + 1, so the exact image needs the residual besides: for
 * every sample with k > 0 the index of I among its preimages in increasing order, in the fewest bits that hold it, LSB first, in
 * raster, then channel order. k = 65025 (a = 1) has no inverse. */
#ifndef UM_MEDLOCKER_BLEND_H
#define UM_MEDLOCKER_BLEND_H

#include <stdbool.h>

#include "medlocker/logo.h"

typedef enum um_opacity_rule { UM_OPACITY_MUL, UM_OPACITY_MIN } um_opacity_rule;
#define UM_OPACITY_RULES "mul min"

/* What a mark is: the search space, and the key that removes it. */
typedef struct um_theta {
    int alpha;    /* 0..255 */
    int64_t y, x; /* top left of the logo */
} um_theta;

/* Where pixels are and of what shape: [h][w][c] bytes, c = 1 or 3. Borrowed. */
typedef struct um_bytes {
    uint8_t *data;
    int64_t h, w, c;
} um_bytes;

enum { UM_BLEND_ONE = 65025 };

/* The formula for one sample. */
static inline int um_blend_level(int i, int w, int k)
{
    return ((UM_BLEND_ONE - k) * i + k * w + 32512) / UM_BLEND_ONE;
}
/* k < 65025. */
int um_unblend_level(int marked, int w, int k);
/* Levels I with um_blend_level(I, w, k) == marked are [*first, *first + n); returns n, 0 when there is none. k < 65025. */
int um_blend_preimages(int marked, int w, int k, int *first);
/* Largest |J - I| of recovery at opacity k/65025, by the bound above. k < 65025. */
int um_unblend_error(int k);
/* Bits of one residual at opacity k: ceil(log2(ceil(65025 / (65025 - k)))). */
int um_residual_bits(int k);

/* k and W of logo pixel p (raster index) and channel ch of an image with c channels. */
int um_logo_opacity(const um_logo *l, int64_t p, int alpha, um_opacity_rule rule);
int um_logo_level(const um_logo *l, int64_t p, int64_t ch, int64_t c);

/* Blends in place. Errors: UM_E_DATA when the rectangle leaves the image or alpha is not 0..255. */
um_status um_blend(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule);

/* Removes in place, approximately. Errors: those of um_blend; UM_E_DATA when some sample is fully covered (k = 65025). */
um_status um_unblend(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule);

/* What the exact image needs besides the marked one. out: *bytes bytes, owned by the caller (um_free); *bits: of residual data.
 * Errors: those of um_unblend. */
um_status um_residual_make(uint8_t **out, size_t *bytes, int64_t *bits, const um_bytes *clean, const um_logo *logo,
                           const um_theta *t, um_opacity_rule rule);
/* Removes in place, exactly. Errors: UM_E_DATA when the residual has another length than these parameters ask for, or points
 * outside the preimages: then the image is not the marked one. The image is undefined after an error. */
um_status um_unblend_exact(const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule,
                           const uint8_t *residual, size_t bytes);

/* SHA-256 of the canonical pixels: "PIX1", h, w, c as little-endian uint32, then the bytes. */
void um_bytes_sha256(const um_bytes *image, char out[UM_SHA256_HEX]);

#endif
