#include "image/phantom_scene.h"

#include <math.h>

#include "base/rng.h"

static const double INNER_DB = 3; /* unevenness inside lesions */

/* One stream of uniform numbers per image. */
typedef struct stream {
    uint64_t seed, index;
    uint32_t n;
    uint32_t words[4];
} stream;

static double draw(stream *r, double lo, double hi)
{
    if (r->n % 4 == 0) {
        um_rng_words(r->seed, UM_RNG_PHANTOM, r->n / 4, r->index, 0, r->words);
    }
    return lo + (hi - lo) * (double)um_rng_unit(r->words[r->n++ % 4]);
}

static int draw_count(stream *r, int lo, int hi)
{
    return lo + (int)draw(r, 0, hi - lo + 1);
}

static void draw_noise(scene_noise *g, stream *r, double nu, double nv)
{
    g->nu = nu;
    g->nv = nv;
    for (int y = 0; y < SCENE_GRID; y++) {
        for (int x = 0; x < SCENE_GRID; x++) {
            g->grid[y][x] = draw(r, -1, 1);
        }
    }
}

/* Area of r(t) = 1 + sum a_k cos(k t + p_k) over an ellipse: pi a b (1 + sum a_k^2 / 2); a and b are
 * solved for the wanted share. */
static void draw_lesion(scene_lesion *l, stream *r, double area, double u_lo, double u_hi)
{
    double power = 0, reach = 1;
    const double rough = draw(r, 0.05, 0.16), turn = draw(r, -0.45, 0.45), aspect = draw(r, 1.05, 1.7);
    for (int k = 0; k < SCENE_HARMONICS; k++) {
        l->amplitude[k] = rough * draw(r, 0.4, 1.0) / (1 + 0.6 * k);
        l->phase[k] = draw(r, 0, 2 * M_PI);
        power += 0.5 * l->amplitude[k] * l->amplitude[k];
        reach += 0.6 * l->amplitude[k];
    }
    l->b = sqrt(area / (M_PI * (1 + power) * aspect));
    l->a = l->b * aspect;
    l->cos_t = cos(turn);
    l->sin_t = sin(turn);
    const double ru = l->a * reach + 0.02, rv = (l->b + 0.3 * (l->a - l->b)) * reach;
    l->u = draw(r, fmin(u_lo + ru, 0.5 * (u_lo + u_hi)), fmax(u_hi - ru, 0.5 * (u_lo + u_hi)));
    l->v = draw(r, 0.12 + rv, fmax(0.13 + rv, 0.80 - rv));
    l->contrast = draw(r, 2.5, 6.0);
    l->edge = draw(r, 0.006, 0.016);
    l->posterior = draw(r, -7, 0);
}

static void draw_lesions(phantom_scene *s, stream *r)
{
    if (draw(r, 0, 1) < 0.85) {
        s->n_lesions = 1;
        draw_lesion(&s->lesions[0], r, exp(draw(r, log(0.042), log(0.165))), 0.03, 0.97);
        return;
    }
    s->n_lesions = 2;
    draw_lesion(&s->lesions[0], r, draw(r, 0.028, 0.055), 0.03, 0.49);
    draw_lesion(&s->lesions[1], r, draw(r, 0.028, 0.055), 0.51, 0.97);
}

/* Distance from a lesion's outline in frame units, negative inside. */
static double lesion_distance(const scene_lesion *l, double u, double v)
{
    const double du = u - l->u, dv = v - l->v;
    const double x = (du * l->cos_t + dv * l->sin_t) / l->a, y = (dv * l->cos_t - du * l->sin_t) / l->b;
    const double rho = sqrt(x * x + y * y);
    if (rho > 2.5) {
        return (rho - 1) * l->b;
    }
    const double angle = atan2(y, x);
    double outline = 1;
    for (int k = 0; k < SCENE_HARMONICS; k++) {
        outline += l->amplitude[k] * cos((k + 2) * angle + l->phase[k]);
    }
    return (rho - outline) * sqrt(l->a * l->b);
}

static double nearest_lesion(const phantom_scene *s, double u, double v)
{
    double nearest = 10;
    for (int i = 0; i < s->n_lesions; i++) {
        nearest = fmin(nearest, lesion_distance(&s->lesions[i], u, v));
    }
    return nearest;
}

/* Cysts that keep clear of the lesions and of each other; a place is tried a few times. */
static void draw_cysts(phantom_scene *s, stream *r)
{
    const int wanted = draw_count(r, 1, SCENE_CYSTS);
    for (int tries = 0; tries < 12 && s->n_cysts < wanted; tries++) {
        scene_lesion *c = &s->cysts[s->n_cysts];
        draw_lesion(c, r, exp(draw(r, log(0.015), log(0.06))), 0.02, 0.98);
        for (int k = 0; k < SCENE_HARMONICS; k++) {
            c->amplitude[k] *= 0.15;
        }
        c->edge = draw(r, 0.002, 0.006);
        c->posterior = draw(r, 2, 5);
        const double reach = 1.1 * c->a + 0.03;
        bool clear = nearest_lesion(s, c->u, c->v) > reach;
        for (int i = 0; i < s->n_cysts; i++) {
            clear = clear && lesion_distance(&s->cysts[i], c->u, c->v) > reach;
        }
        s->n_cysts += clear;
    }
}

static void draw_shadows(phantom_scene *s, stream *r)
{
    const int n = draw_count(r, 2, SCENE_SHADOWS);
    for (int i = 0; i < n; i++) {
        scene_shadow *w = &s->shadows[s->n_shadows];
        *w = (scene_shadow){draw(r, -0.02, 1.02), draw(r, 0.04, 0.55), draw(r, -0.15, 0.15),
                            draw(r, 0.02, 0.06),  draw(r, 0.0, 0.06),  draw(r, 9, 15)};
        bool clear = true;
        for (double v = w->top; v < 1; v += 0.04) {
            clear = clear && nearest_lesion(s, w->u + w->slope * (v - w->top), v) > 1.3 * w->half + w->spread + 0.02;
        }
        s->n_shadows += clear;
    }
}

static void draw_tubes(phantom_scene *s, stream *r)
{
    const int n = draw_count(r, 3, SCENE_TUBES);
    for (int i = 0; i < n; i++) {
        const bool vessel = draw(r, 0, 1) < 0.4;
        const double turn = vessel ? draw(r, -1.2, 1.2) : draw(r, -0.2, 0.2);
        scene_tube *t = &s->tubes[s->n_tubes];
        t->u = draw(r, 0.05, 0.95);
        t->v = draw(r, 0.10, 0.85);
        t->a = vessel ? draw(r, 0.10, 0.22) : draw(r, 0.07, 0.16);
        t->b = vessel ? draw(r, 0.010, 0.018) : t->a * draw(r, 0.18, 0.28);
        t->cos_t = cos(turn);
        t->sin_t = sin(turn);
        t->bend = draw(r, -1.2, 1.2);
        t->power = vessel ? 4 : 2;
        t->depth = vessel ? draw(r, 10, 14) : draw(r, 6, 10);
        s->n_tubes += nearest_lesion(s, t->u, t->v) > (vessel ? 0.06 : 0.5 * t->a) + 0.03;
    }
}

static void draw_spots(phantom_scene *s, stream *r)
{
    s->n_spots = draw_count(r, 2, SCENE_SPOTS);
    for (int i = 0; i < s->n_spots; i++) {
        s->spots[i] = (scene_spot){draw(r, 0.03, 0.97), draw(r, 0.08, 0.85), draw(r, 0.008, 0.018), draw(r, 7, 13),
                                   draw(r, 0, 1) < 0.5 ? draw(r, 3, 7) : 0.0};
    }
}

static void draw_layers(phantom_scene *s, stream *r)
{
    double at = draw(r, 0.04, 0.08);
    s->level[0] = draw(r, 5, 9);
    for (int k = 0; k < SCENE_LAYERS; k++) {
        s->border[k] = at;
        s->ripple[k] = k == 0 ? 0.01 : draw(r, 0.02, 0.06);
        s->fascia[k] = draw(r, 0, 6);
        s->level[k + 1] = k % 2 == 0 ? draw(r, -6, -1) : draw(r, 1, 5);
        at += draw(r, 0.14, 0.30);
    }
}

static double smooth(double t)
{
    t = fmin(1, fmax(0, t));
    return t * t * (3 - 2 * t);
}

static double noise_at(const scene_noise *g, double u, double v)
{
    const double x = fmin(1, fmax(0, u)) * g->nu, y = fmin(1, fmax(0, v)) * g->nv;
    const int ix = (int)x, iy = (int)y;
    const double fx = smooth(x - ix), fy = smooth(y - iy);
    const double top = g->grid[iy][ix] + fx * (g->grid[iy][ix + 1] - g->grid[iy][ix]);
    const double low = g->grid[iy + 1][ix] + fx * (g->grid[iy + 1][ix + 1] - g->grid[iy + 1][ix]);
    return top + fy * (low - top);
}

/* Layers, fascia between them, slow variation, attenuation. */
static double tissue_echo(const phantom_scene *s, double u, double v)
{
    double echo = s->level[0];
    for (int k = 0; k < SCENE_LAYERS; k++) {
        const double at = s->border[k] + s->ripple[k] * noise_at(&s->wave, u, (k + 0.5) / s->wave.nv);
        echo += (s->level[k + 1] - s->level[k]) * smooth((v - at) / 0.02 + 0.5);
        echo += s->fascia[k] * exp(-pow((v - at) / 0.008, 2));
    }
    return echo + 4 * noise_at(&s->tissue, u, v) + 2 * noise_at(&s->streaks, u, v) - s->attenuation * v;
}

static double shadow_echo(const scene_shadow *w, double u, double v)
{
    const double down = v - w->top;
    if (down <= 0) {
        return 0;
    }
    const double half = w->half + w->spread * down, d = (u - w->u - w->slope * down) / half;
    return -w->depth * smooth(down / 0.06) * exp(-d * d * d * d);
}

static double tube_echo(const scene_tube *t, double u, double v)
{
    const double du = u - t->u, dv = v - t->v, along = du * t->cos_t + dv * t->sin_t;
    const double across = dv * t->cos_t - du * t->sin_t - t->bend * along * along;
    return -t->depth * exp(-pow(fabs(along) / t->a, t->power) - pow(fabs(across) / t->b, t->power));
}

static double spot_echo(const scene_spot *p, double u, double v)
{
    const double du = (u - p->u) / p->radius, dv = (v - p->v) / p->radius;
    const double shadow = v > p->v + p->radius ? -p->shadow * exp(-du * du) * exp(-(v - p->v) / 0.25) : 0;
    return p->gain * exp(-0.5 * (0.4 * du * du + dv * dv)) + shadow;
}

/* Mean echo of the tissue along an ellipse around the lesion. */
static double surround_echo(const phantom_scene *s, const scene_lesion *l)
{
    enum { POINTS = 16 };
    double sum = 0;
    for (int i = 0; i < POINTS; i++) {
        const double angle = 2 * M_PI * i / POINTS, x = 1.1 * l->a * cos(angle), y = 1.1 * l->b * sin(angle);
        sum += tissue_echo(s, l->u + x * l->cos_t - y * l->sin_t, l->v + x * l->sin_t + y * l->cos_t);
    }
    return sum / POINTS;
}

/* `around`: the echo without the lesion. Inside, the layers fade towards the lesion's own level, with `grain` of its own echoes. */
static double lesion_echo(const phantom_scene *s, const scene_lesion *l, double grain, double around, double u, double v)
{
    const double inside = 1 / (1 + exp(fmin(40, lesion_distance(l, u, v) / l->edge)));
    const double lateral = (u - l->u) / (0.75 * l->a), below = v - l->v - 0.9 * l->b;
    const double behind = below > 0 ? smooth(below / 0.08) * exp(-below / 0.35 - pow(lateral, 4)) : 0;
    const double own = l->base - l->contrast + grain * INNER_DB * noise_at(&s->inner, u, v);
    return inside * (0.7 * (own - around) - 0.3 * l->contrast) + (1 - inside) * behind * l->posterior;
}

void phantom_scene_draw(phantom_scene *s, uint64_t seed, uint64_t index)
{
    stream r = {seed, index, 0, {0}};
    *s = (phantom_scene){0};
    s->range = draw(&r, 48, 58);
    s->offset = s->range * draw(&r, 0.46, 0.58);
    s->attenuation = draw(&r, 1, 7);
    draw_layers(s, &r);
    draw_noise(&s->wave, &r, 4, SCENE_GRID - 2);
    draw_noise(&s->tissue, &r, 4, 5);
    draw_noise(&s->streaks, &r, 4, 8.5);
    draw_noise(&s->inner, &r, 8.5, 8.5);
    draw_lesions(s, &r);
    draw_cysts(s, &r);
    draw_shadows(s, &r);
    draw_tubes(s, &r);
    draw_spots(s, &r);
    s->floor_at = draw(&r, 0.80, 1.05);
    s->floor_depth = draw(&r, 9, 16);
    s->tint[0] = 1.0;
    s->tint[1] = draw(&r, 0.86, 0.95);
    s->tint[2] = draw(&r, 0.68, 0.84);
    for (int i = 0; i < s->n_lesions; i++) {
        s->lesions[i].base = surround_echo(s, &s->lesions[i]);
    }
    for (int i = 0; i < s->n_cysts; i++) {
        s->cysts[i].base = surround_echo(s, &s->cysts[i]);
    }
}

double phantom_scene_echo(const phantom_scene *s, double u, double v)
{
    double echo = tissue_echo(s, u, v);
    for (int i = 0; i < s->n_shadows; i++) {
        echo += shadow_echo(&s->shadows[i], u, v);
    }
    for (int i = 0; i < s->n_tubes; i++) {
        echo += tube_echo(&s->tubes[i], u, v);
    }
    for (int i = 0; i < s->n_spots; i++) {
        echo += spot_echo(&s->spots[i], u, v);
    }
    for (int i = 0; i < s->n_lesions; i++) {
        echo += lesion_echo(s, &s->lesions[i], 1, echo, u, v);
    }
    for (int i = 0; i < s->n_cysts; i++) {
        echo += lesion_echo(s, &s->cysts[i], 0, echo, u, v);
    }
    const double wall = s->floor_at + 0.03 * noise_at(&s->wave, u, 1);
    return echo + 8 * exp(-pow((v - wall) / 0.012, 2)) - s->floor_depth * smooth((v - wall - 0.01) / 0.05);
}

bool phantom_scene_is_lesion(const phantom_scene *s, double u, double v)
{
    return nearest_lesion(s, u, v) < 0;
}
