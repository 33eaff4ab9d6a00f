/* Names that writing and reading of result files share. */
#ifndef UM_GRID_RESULT_INTERNAL_H
#define UM_GRID_RESULT_INTERNAL_H

#include <stddef.h>

extern const char *const um_result_aggregations[3]; /* batch pooled image */

/* A double of um_visibility and how it stands in a file. */
typedef struct um_result_field {
    const char *name;
    size_t offset;
    const char *unit, *description;
} um_result_field;

extern const um_result_field um_result_visibility[];
extern const size_t um_result_n_visibility;

#endif
