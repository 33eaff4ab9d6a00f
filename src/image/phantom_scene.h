/* The anatomy of one phantom, in frame units: u to the right and v down, both in [0,1]. Private to src/image. */
#ifndef UM_IMAGE_PHANTOM_SCENE_H
#define UM_IMAGE_PHANTOM_SCENE_H

#include <stdbool.h>
#include <stdint.h>

/* Largest counts. */
enum {
    SCENE_LESIONS = 2,
    SCENE_CYSTS = 3,
    SCENE_SHADOWS = 3,
    SCENE_TUBES = 6,
    SCENE_SPOTS = 5,
    SCENE_LAYERS = 4,
    SCENE_HARMONICS = 5
};
enum { SCENE_GRID = 10 }; /* lattice points per axis */

/* Smooth noise in [-1,1]: random values on a lattice, interpolated with a smooth step. */
typedef struct scene_noise {
    double grid[SCENE_GRID][SCENE_GRID];
    double nu, nv; /* lattice cells across the frame, below SCENE_GRID - 1 */
} scene_noise;

typedef struct scene_lesion {
    double u, v, a, b, cos_t, sin_t; /* centre, half axes, rotation */
    double amplitude[SCENE_HARMONICS], phase[SCENE_HARMONICS];
    double base, contrast, edge; /* mean echo of the tissue around it, dB below that, width of the edge */
    double posterior;            /* dB behind it: negative shadow, positive enhancement */
} scene_lesion;

typedef struct scene_shadow { /* a dark wedge from `top` to the bottom */
    double u, top, slope, half, spread, depth;
} scene_shadow;

typedef struct scene_tube { /* vessel (thin) or fat lobule (flat ellipse): a soft bar of half sizes a, b */
    double u, v, a, b, cos_t, sin_t, bend, power, depth;
} scene_tube;

typedef struct scene_spot {
    double u, v, radius, gain, shadow;
} scene_spot;

typedef struct phantom_scene {
    double offset, range, attenuation; /* dB at grey 0 below the mean tissue; dynamic range; dB lost to the bottom */
    double level[SCENE_LAYERS + 1], border[SCENE_LAYERS], ripple[SCENE_LAYERS], fascia[SCENE_LAYERS];
    scene_noise wave, tissue, streaks, inner;
    double floor_at, floor_depth; /* chest wall and the dark below it; at > 1: none in view */
    int n_lesions, n_cysts, n_shadows, n_tubes, n_spots;
    scene_lesion lesions[SCENE_LESIONS];
    scene_lesion
        cysts[SCENE_CYSTS]; /* as dark and as large as lesions, but round, crisp, empty, brighter behind: not in the mask */
    scene_shadow shadows[SCENE_SHADOWS];
    scene_tube tubes[SCENE_TUBES];
    scene_spot spots[SCENE_SPOTS];
    double tint[3];
} phantom_scene;

void phantom_scene_draw(phantom_scene *s, uint64_t seed, uint64_t index);
/* Echo strength in dB relative to the mean tissue. */
double phantom_scene_echo(const phantom_scene *s, double u, double v);
bool phantom_scene_is_lesion(const phantom_scene *s, double u, double v);

#endif
