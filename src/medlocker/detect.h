/* Is the mark of a certificate in an image that was changed since (JPEG, blur, another size)? (medlocker 7.4, V3.)
 *
 * With the high pass h(v) = v - mean of the 5x5 around (inside the frame) and the logo at the certified place, over its rectangle:
 *
 *     t     = M * (W - m) / 255      what the mark adds at full opacity; m: 5x5 mean of the clean image's luma, which follows
 *                                    from that of the marked one, (mean(I') - alpha/255*mean(M W)/255) / (1 - alpha/255*mean(M)/255)
 *     level = 255 * <h(I'), h(t)> / <h(t), h(t)>          opacity found
 *     rho   = <h(I'), h(t)> / (|h(I')| |h(t)|)
 *
 * t is tried as it is and after the kernel [1 2 1]'[1 2 1]/16 (an image that was blurred or resized), and the one that correlates
 * better is used throughout. The null distribution is rho at up to 1,000 random placements of the same logo in the same image,
 * more than 4 px away in y or x. Present when z = (rho - mean) / sd of that is at least 6, the largest rho within +-8 px lies
 * within 1 px of (y, x), and 0.6 <= level / alpha <= 1.4. A logo whose high pass is all but flat there (mean square of h(t) below
 * 4) cannot be told from nothing: undetectable. The same numbers on every machine up to rounding. */
#ifndef UM_MEDLOCKER_DETECT_H
#define UM_MEDLOCKER_DETECT_H

#include "medlocker/blend.h"

typedef enum um_detection { UM_DETECT_ABSENT, UM_DETECT_PRESENT, UM_DETECT_IMPOSSIBLE } um_detection;

typedef struct um_detect_result {
    um_detection verdict;
    double z, rho, level; /* level: opacity found, 0..255 */
    double energy;        /* mean square of h(t) */
    int64_t dy, dx;       /* where rho is largest, from (y, x) */
    int n_null;           /* 0 where level excludes the mark: then z, dy and dx are 0 too */
} um_detect_result;

/* key: what the placements are drawn for (a hash of the image's id). Errors: UM_E_DATA when the logo does not lie in the image;
 * UM_E_MEMORY. */
um_status um_detect(um_detect_result *out, const um_bytes *image, const um_logo *logo, const um_theta *t, um_opacity_rule rule,
                    uint64_t key);

#endif
