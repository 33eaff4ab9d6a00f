/* Named series of (x, y): losses and scores over epochs. They are part of checkpoints and results. */
#ifndef UM_TRAIN_CURVE_H
#define UM_TRAIN_CURVE_H

#include <stddef.h>

#include "base/status.h"

typedef struct um_curve {
    char name[48]; /* "loss", "test_dsc" */
    int n, cap;
    double *x, *y; /* x: epochs (or cycles) done, from 1 */
} um_curve;

typedef struct um_curves {
    um_curve *list;
    int n, cap;
} um_curves; /* initialise with {0}, release with um_curves_free */

um_status um_curves_add(um_curves *c, const char *name, double x, double y);
const um_curve *um_curves_find(const um_curves *c, const char *name); /* NULL: none */
void um_curves_free(um_curves *c);

#endif
