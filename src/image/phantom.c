#include "image/phantom.h"

#include <math.h>

#include "base/mem.h"
#include "base/rng.h"
#include "image/phantom_scene.h"

enum { SCAN_MIN = 256, PSF_RADIUS = 3, PSF_TAPS = 2 * PSF_RADIUS + 1, SPECKLE_STREAM = 1 };

static const double COMPOUND =
    0.15; /* contrast of speckle that is left after compounding and the speckle reduction of today's scanners */
static const double PSF_AXIAL = 0.6; /* samples of the scanner's grid */

/* Complex white noise: [2][size][size], real and imaginary part. */
static void draw_white(float *field, uint64_t seed, uint64_t index, int64_t size)
{
    const int64_t n = size * size;
    for (int64_t i = 0; i < n; i++) {
        uint32_t words[4];
        um_rng_words(seed, UM_RNG_PHANTOM, (uint32_t)i, index, SPECKLE_STREAM, words);
        const double radius = sqrt(-2 * log(1 - (double)um_rng_unit(words[0]))), angle = 2 * M_PI * (double)um_rng_unit(words[1]);
        field[i] = (float)(radius * cos(angle));
        field[n + i] = (float)(radius * sin(angle));
    }
}

/* Taps of a Gaussian with unit energy, so that filtered white noise keeps its variance. */
static void psf_taps(double taps[PSF_TAPS], double sigma)
{
    double energy = 0;
    for (int k = -PSF_RADIUS; k <= PSF_RADIUS; k++) {
        taps[k + PSF_RADIUS] = exp(-0.5 * k * k / (sigma * sigma));
        energy += taps[k + PSF_RADIUS] * taps[k + PSF_RADIUS];
    }
    for (int k = 0; k < PSF_TAPS; k++) {
        taps[k] /= sqrt(energy);
    }
}

static int64_t wrap(int64_t i, int64_t n)
{
    return (i + n) % n;
}

/* out = in filtered by the scanner's point spread: wider across the beam than along it, and with depth. */
static void filter_part(float *out, float *scratch, const float *in, int64_t size)
{
    double taps[PSF_TAPS];
    for (int64_t y = 0; y < size; y++) {
        psf_taps(taps, 0.6 + 0.7 * ((double)y + 0.5) / (double)size);
        for (int64_t x = 0; x < size; x++) {
            double sum = 0;
            for (int k = 0; k < PSF_TAPS; k++) {
                sum += taps[k] * in[y * size + wrap(x + k - PSF_RADIUS, size)];
            }
            scratch[y * size + x] = (float)sum;
        }
    }
    psf_taps(taps, PSF_AXIAL);
    for (int64_t y = 0; y < size; y++) {
        for (int64_t x = 0; x < size; x++) {
            double sum = 0;
            for (int k = 0; k < PSF_TAPS; k++) {
                sum += taps[k] * scratch[wrap(y + k - PSF_RADIUS, size) * size + x];
            }
            out[y * size + x] = (float)sum;
        }
    }
}

/* Speckle in dB, mean power 0 dB; compounding of several looks makes its contrast smaller. */
static double speckle_db(double re, double im)
{
    return COMPOUND * 10 * log10(0.5 * (re * re + im * im) + 1e-3);
}

static uint8_t grey_of(double value)
{
    return (uint8_t)lrint(fmin(255, fmax(0, value)));
}

/* Grey level of one sample of the scanner's grid. */
static double sample_grey(const phantom_scene *s, const float *re, const float *im, int64_t scan, int64_t x, int64_t y)
{
    const double u = ((double)x + 0.5) / (double)scan, v = ((double)y + 0.5) / (double)scan;
    const double db = phantom_scene_echo(s, u, v) + speckle_db((double)re[y * scan + x], (double)im[y * scan + x]);
    return fmin(255, fmax(0, 255 * (db + s->offset) / s->range));
}

/* One pixel is the mean of step x step samples, as when a picture is made smaller. */
static void render(uint8_t *image, uint8_t *mask, const phantom_scene *s, const float *re, const float *im, int64_t size,
                   int64_t step, int64_t channels)
{
    for (int64_t i = 0; i < size * size; i++) {
        double grey = 0;
        for (int64_t k = 0; k < step * step; k++) {
            grey += sample_grey(s, re, im, size * step, i % size * step + k % step, i / size * step + k / step);
        }
        grey /= (double)(step * step);
        for (int64_t c = 0; c < channels; c++) {
            image[i * channels + c] = grey_of(channels == 1 ? grey : grey * s->tint[c]);
        }
        mask[i] = phantom_scene_is_lesion(s, ((double)(i % size) + 0.5) / (double)size, ((double)(i / size) + 0.5) / (double)size);
    }
}

um_status um_phantom_draw(uint8_t *image, uint8_t *mask, uint64_t seed, uint64_t index, int64_t size, int64_t channels)
{
    um_status rc = UM_OK;
    phantom_scene scene;
    float *field = NULL;
    if (size < UM_PHANTOM_SIZE_MIN || size > UM_PHANTOM_SIZE_MAX) {
        rc = um_fail(UM_E_CONFIG, "phantom size %lld is outside %d..%d pixels", (long long)size, UM_PHANTOM_SIZE_MIN,
                     UM_PHANTOM_SIZE_MAX);
        goto done;
    }
    if (channels != 1 && channels != 3) {
        rc = um_fail(UM_E_CONFIG, "phantoms have 1 or 3 channels, not %lld", (long long)channels);
        goto done;
    }
    const int64_t step = (SCAN_MIN + size - 1) / size, scan = size * step, n = scan * scan;
    UM_TRY(UM_NEW_ARRAY(field, 5 * n));
    phantom_scene_draw(&scene, seed, index);
    draw_white(field, seed, index, scan);
    filter_part(field + 2 * n, field + 4 * n, field, scan);
    filter_part(field + 3 * n, field + 4 * n, field + n, scan);
    render(image, mask, &scene, field + 2 * n, field + 3 * n, size, step, channels);
done:
    um_free(field);
    return rc;
}
