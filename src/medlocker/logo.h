/* The logo that is blended into images: RGBA, resized once per size and then used and hashed as it stands. */
#ifndef UM_MEDLOCKER_LOGO_H
#define UM_MEDLOCKER_LOGO_H

#include <stdint.h>

#include "base/sha256.h"
#include "base/status.h"

typedef struct um_logo {
    int64_t h, w;
    uint8_t *rgba; /* [h][w][4]; A is the logo's own opacity M, 0..255. Owned: release with um_logo_clear */
} um_logo;

/* A PNG with or without transparency (without: A = 255). path "": the built-in padlock, 64 x 64. Errors: those of
 * um_png_read_rgba. */
um_status um_logo_read(um_logo *out, const char *path);
void um_logo_clear(um_logo *l); /* accepts a zeroed logo */

/* The logo for an h x w image: scaled by min(h / (ratio*logo.h), w / (ratio*logo.w)), so that its longer side is 1/ratio of the
 * image (Jia et al., ACM MM 2020 scale alike; their ratio is 4), each side rounded half up and at least 1. Antialiased bilinear,
 * colours weighted by opacity so that transparent pixels lend none. Errors: UM_E_MEMORY. */
um_status um_logo_fit(um_logo *out, const um_logo *logo, int64_t h, int64_t w, double ratio);

/* SHA-256 over h, w and 4 as little-endian uint32 and the RGBA bytes. */
void um_logo_sha256(const um_logo *l, char out[UM_SHA256_HEX]);

#endif
