#include "medlocker/logo.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "io/raster.h"

enum { BUILT_IN_SIDE = 64 };

/* A padlock: a shackle above a body with a keyhole. White on a dark rim, so that it stands out on any ground. u, v in [-1, 1]. */
static double padlock(double u, double v, double *bright)
{
    double ring = hypot(u, v + 0.25), body = fmax(fabs(u) / 0.62, fabs(v - 0.35) / 0.5);
    bool shackle = v < -0.1 && ring > 0.32 && ring < 0.52;
    bool hole = hypot(u, v - 0.25) < 0.13 || (fabs(u) < 0.06 && v > 0.25 && v < 0.6);
    if (shackle || body < 1) {
        bool rim = (shackle && (ring > 0.48 || ring < 0.36)) || (body < 1 && body > 0.9);
        *bright = rim || hole ? 0.05 : 1;
        return 1;
    }
    return 0;
}

static um_status draw_padlock(um_logo *out)
{
    um_status rc = UM_OK;
    enum { SUB = 4 };
    um_logo l = {.h = BUILT_IN_SIDE, .w = BUILT_IN_SIDE};
    UM_TRY(UM_NEW_ARRAY(l.rgba, 4 * l.h * l.w));
    for (int64_t p = 0; p < l.h * l.w; p++) {
        double opaque = 0, light = 0;
        for (int s = 0; s < SUB * SUB; s++) {
            double bright = 0, u = ((double)(p % l.w) + (s % SUB + 0.5) / SUB) / (BUILT_IN_SIDE / 2.0) - 1;
            double v = ((double)(p / l.w) + ((double)(s / SUB) + 0.5) / SUB) / (BUILT_IN_SIDE / 2.0) - 1;
            double cover = padlock(u, v, &bright);
            opaque += cover;
            light += cover * bright;
        }
        int grey = opaque > 0 ? (int)(255 * light / opaque + 0.5) : 0;
        memset(l.rgba + 4 * p, grey, 3);
        l.rgba[4 * p + 3] = (uint8_t)(255 * opaque / (SUB * SUB) + 0.5);
    }
    *out = l;
done:
    return rc;
}

um_status um_logo_read(um_logo *out, const char *path)
{
    um_status rc = UM_OK;
    um_raster r = {0};
    if (path[0] == 0)
        return draw_padlock(out);
    UM_TRY(um_png_read_rgba(&r, path));
    *out = (um_logo){r.h, r.w, r.data};
    r.data = NULL;
done:
    um_raster_clear(&r);
    return rc;
}

void um_logo_clear(um_logo *l)
{
    um_free(l->rgba);
    *l = (um_logo){0};
}

static int64_t scaled(int64_t side, double scale)
{
    int64_t n = (int64_t)floor((double)side * scale + 0.5);
    return n < 1 ? 1 : n;
}

/* Weights of the triangle filter for output i of n from m inputs: the inputs [*first, *first + count). */
static int64_t triangle(double *weight, int64_t *first, int64_t i, int64_t n, int64_t m)
{
    double scale = (double)m / (double)n, support = scale > 1 ? scale : 1, centre = ((double)i + 0.5) * scale, sum = 0;
    int64_t begin = (int64_t)floor(centre - support), end = (int64_t)ceil(centre + support);
    begin = begin < 0 ? 0 : begin;
    end = end > m ? m : end;
    for (int64_t j = begin; j < end; j++) {
        double d = fabs((double)j + 0.5 - centre) / support;
        weight[j - begin] = d < 1 ? 1 - d : 0;
        sum += weight[j - begin];
    }
    for (int64_t j = begin; j < end; j++)
        weight[j - begin] /= sum;
    *first = begin;
    return end - begin;
}

static void fit_pixel(uint8_t to[4], const um_logo *logo, const double *wy, int64_t y0, int64_t ny, const double *wx, int64_t x0,
                      int64_t nx)
{
    double opaque = 0, colour[3] = {0};
    for (int64_t a = 0; a < ny; a++)
        for (int64_t b = 0; b < nx; b++) {
            const uint8_t *q = logo->rgba + 4 * ((y0 + a) * logo->w + x0 + b);
            double weight = wy[a] * wx[b] * q[3];
            opaque += weight;
            for (int ch = 0; ch < 3; ch++)
                colour[ch] += weight * q[ch];
        }
    for (int ch = 0; ch < 3; ch++)
        to[ch] = opaque > 0 ? (uint8_t)fmin(255, colour[ch] / opaque + 0.5) : 0;
    to[3] = (uint8_t)fmin(255, opaque + 0.5);
}

um_status um_logo_fit(um_logo *out, const um_logo *logo, int64_t h, int64_t w, double ratio)
{
    um_status rc = UM_OK;
    um_logo l = {0};
    double *wy = NULL, *wx = NULL;
    double scale = fmin((double)h / (ratio * (double)logo->h), (double)w / (ratio * (double)logo->w));
    l.h = scaled(logo->h, scale);
    l.w = scaled(logo->w, scale);
    UM_TRY(UM_NEW_ARRAY(l.rgba, 4 * l.h * l.w));
    UM_TRY(UM_NEW_ARRAY(wy, logo->h + 2));
    UM_TRY(UM_NEW_ARRAY(wx, logo->w + 2));
    for (int64_t y = 0; y < l.h; y++) {
        int64_t y0, x0, ny = triangle(wy, &y0, y, l.h, logo->h);
        for (int64_t x = 0; x < l.w; x++) {
            int64_t nx = triangle(wx, &x0, x, l.w, logo->w);
            fit_pixel(l.rgba + 4 * (y * l.w + x), logo, wy, y0, ny, wx, x0, nx);
        }
    }
    *out = l;
    l = (um_logo){0};
done:
    um_free(wx);
    um_free(wy);
    um_logo_clear(&l);
    return rc;
}
