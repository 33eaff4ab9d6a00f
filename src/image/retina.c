#include "image/retina.h"

#include <math.h>
#include <stdbool.h>

#include "base/rng.h"

enum { LESIONS_MAX = 24, VESSELS = 6 };

typedef struct spot {
    double u, v, r;
    int pale;
} spot;

typedef struct scene {
    double disc_u, disc_v, light_u, light_v, bend[VESSELS];
    spot lesion[LESIONS_MAX];
    int n_lesions;
} scene;

typedef struct stream {
    uint64_t seed, index;
    uint32_t n;
} stream;

static double unit(stream *s)
{
    uint32_t words[4];
    um_rng_words(s->seed, UM_RNG_RETINA, s->n++, s->index, 0, words);
    return (double)um_rng_unit(words[0]);
}

/* Frame units: the eye is the unit disc around (0, 0). Lesions keep apart and off the rim. */
static void place_lesions(scene *q, stream *s)
{
    for (int i = 0, tries = 0; i < q->n_lesions && tries < 400; tries++) {
        spot p = {1.5 * unit(s) - 0.75, 1.5 * unit(s) - 0.75, 0.05 + 0.03 * unit(s), i % 3 == 2};
        bool clear = hypot(p.u, p.v) < 0.78 && hypot(p.u - q->disc_u, p.v - q->disc_v) > 0.3;
        for (int k = 0; k < i; k++)
            clear = clear && hypot(p.u - q->lesion[k].u, p.v - q->lesion[k].v) > 0.2;
        if (clear || tries > 350)
            q->lesion[i++] = p;
    }
}

static scene make_scene(uint64_t seed, uint64_t index, int label)
{
    stream s = {seed, index, 0};
    scene q = {.disc_u = (unit(&s) < 0.5 ? -1 : 1) * (0.45 + 0.15 * unit(&s)), .disc_v = 0.3 * unit(&s) - 0.15};
    q.light_u = 0.6 * unit(&s) - 0.3, q.light_v = 0.6 * unit(&s) - 0.3;
    for (int k = 0; k < VESSELS; k++)
        q.bend[k] = 2 * unit(&s) - 1;
    q.n_lesions = 4 * label + (int)(3 * unit(&s));
    place_lesions(&q, &s);
    return q;
}

/* How much of a vessel runs through (u, v): arcs that leave the optic disc up and down and bend outwards. */
static double vessel_at(const scene *q, double u, double v)
{
    double cover = 0, du = (u - q->disc_u) * (q->disc_u > 0 ? -1 : 1), dv = v - q->disc_v;
    for (int k = 0; k < VESSELS; k++) {
        double side = k % 2 ? 1 : -1, reach = 0.15 + 0.25 * (k / 2) + 0.1 * q->bend[k];
        double line = side * reach * sqrt(fmax(0, du + 0.1)) * (1.6 + 0.4 * q->bend[k]);
        cover = fmax(cover, du > -0.1 ? exp(-pow((dv - line) / 0.018, 2)) : 0);
    }
    return cover;
}

static void mix(double rgb[3], const double to[3], double share)
{
    for (int k = 0; k < 3; k++)
        rgb[k] += share * (to[k] - rgb[k]);
}

/* Returns whether (u, v) lies in a lesion. */
static bool colour_at(const scene *q, double u, double v, double rgb[3])
{
    static const double red[] = {110, 25, 15}, pale[] = {245, 225, 130}, disc[] = {250, 215, 150}, blood[] = {140, 45, 25};
    double r = hypot(u, v), shade = 1 - 0.35 * (pow(u - q->light_u, 2) + pow(v - q->light_v, 2));
    bool inside = false;
    if (r > 1) {
        rgb[0] = rgb[1] = rgb[2] = 2;
        return false;
    }
    rgb[0] = 205 * shade, rgb[1] = 105 * shade, rgb[2] = 50 * shade;
    mix(rgb, disc, 1 / (1 + exp((hypot(u - q->disc_u, (v - q->disc_v) * 0.9) - 0.17) * 60)));
    mix(rgb, blood, 0.8 * vessel_at(q, u, v));
    for (int i = 0; i < q->n_lesions; i++) {
        const spot *p = &q->lesion[i];
        if (hypot(u - p->u, v - p->v) >= p->r)
            continue;
        mix(rgb, p->pale ? pale : red, 0.85);
        inside = true;
    }
    return inside;
}

um_status um_retina_draw(uint8_t *image, uint8_t *mask, uint64_t seed, uint64_t index, int64_t size, int label)
{
    if (size < UM_RETINA_SIZE_MIN || size > UM_RETINA_SIZE_MAX || label < 0 || label >= UM_RETINA_CLASSES_MAX)
        return um_fail(UM_E_CONFIG, "a retina of %lld pixels and class %d; %d to %d pixels and classes 0 to %d are possible",
                       (long long)size, label, UM_RETINA_SIZE_MIN, UM_RETINA_SIZE_MAX, UM_RETINA_CLASSES_MAX - 1);
    scene q = make_scene(seed, index, label);
    for (int64_t p = 0; p < size * size; p++) {
        double rgb[3], u = ((double)(p % size) + 0.5) / (double)size * 2.1 - 1.05,
                       v = ((double)(p / size) + 0.5) / (double)size * 2.1 - 1.05;
        uint32_t words[4];
        mask[p] = colour_at(&q, u, v, rgb);
        um_rng_words(seed, UM_RNG_RETINA, (uint32_t)p, index, 1, words);
        for (int k = 0; k < 3; k++) {
            double level = rgb[k] + 12 * ((double)um_rng_unit(words[k]) - 0.5) * (hypot(u, v) > 1 ? 0.2 : 1);
            image[3 * p + k] = (uint8_t)fmin(255, fmax(0, level + 0.5));
        }
    }
    return UM_OK;
}
