#include "image/calibrate.h"

#include <math.h>

#include "base/mem.h"
#include "image/luma.h"

typedef struct scratch {
    float *luma, *texture;
    uint8_t *contour, *interior;
} scratch;

typedef struct totals {
    double contour, interior, square, psnr;
    int64_t n_psnr;
} totals;

static void add_image(totals *t, const scratch *s, int64_t n, double eps)
{
    double contour = 0, interior = 0, square = 0;
    for (int64_t i = 0; i < n; i++) {
        contour += s->contour[i];
        if (s->interior[i]) {
            interior += 1;
            square += (double)s->texture[i] * (double)s->texture[i];
        }
    }
    t->contour += contour / (double)n;
    t->interior += interior / (double)n;
    t->square += square / (double)n;
    if (contour + square > 0) {
        t->psnr += -10.0 * log10(eps * eps * (contour + square) / (double)n);
        t->n_psnr++;
    }
}

static um_status scratch_open(scratch *s, int64_t pixels)
{
    um_status rc = UM_OK;
    UM_TRY(UM_NEW_ARRAY(s->luma, pixels));
    UM_TRY(UM_NEW_ARRAY(s->texture, pixels));
    UM_TRY(UM_NEW_ARRAY(s->contour, pixels));
    UM_TRY(UM_NEW_ARRAY(s->interior, pixels));
done:
    return rc;
}

static void scratch_close(scratch *s)
{
    um_free(s->luma);
    um_free(s->texture);
    um_free(s->contour);
    um_free(s->interior);
}

um_status um_calibrate(um_calibration *out, const void *images, const uint8_t *masks, int64_t n, int64_t h, int64_t w, int64_t c,
                       int bits, const um_contour_options *contour, const um_lbp_options *lbp, double eps)
{
    um_status rc = UM_OK;
    scratch s = {0};
    totals t = {0};
    const int64_t pixels = h * w;
    if (n < 1) {
        rc = um_fail(UM_E_DATA, "calibration needs at least one image");
        goto done;
    }
    UM_TRY(scratch_open(&s, pixels));
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *image = (const uint8_t *)images + i * pixels * c * (bits / 8), *mask = masks + i * pixels;
        um_luma(s.luma, image, pixels, c, bits, (um_luma_mode)lbp->gray);
        UM_TRY(um_contour_map(s.contour, mask, h, w, contour));
        um_contour_interior(s.interior, mask, s.contour, pixels);
        UM_TRY(um_lbp_texture(s.texture, s.luma, mask, h, w, lbp));
        add_image(&t, &s, pixels, eps);
    }
    out->phi_c = t.contour / (double)n;
    out->phi_t = t.interior / (double)n;
    out->m2 = t.interior > 0 ? t.square / t.interior : 0.0;
    out->psnr_sat = t.n_psnr > 0 ? t.psnr / (double)t.n_psnr : (double)INFINITY;
    out->n_empty = n - t.n_psnr;
done:
    scratch_close(&s);
    return rc;
}
