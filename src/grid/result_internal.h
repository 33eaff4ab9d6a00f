/* Names that writing and reading of result files share. */
#ifndef UM_GRID_RESULT_INTERNAL_H
#define UM_GRID_RESULT_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"

extern const char *const um_result_aggregations[3]; /* batch pooled image */

/* A double of um_visibility and how it stands in a file. */
typedef struct um_result_field {
    const char *name;
    size_t offset;
    const char *unit, *description;
} um_result_field;

extern const um_result_field um_result_visibility[];
extern const size_t um_result_n_visibility;

struct um_h5;
/* The settings in full, and where a result comes from. inputs: may be NULL. */
um_status um_result_put_origin(struct um_h5 *f, const um_settings *settings, const char *command, const char *inputs, int64_t seed);
/* A text attribute of the root into `bytes`; UM_E_DATA when it is longer. And the attribute seed, an integer. */
um_status um_result_get_text(struct um_h5 *f, const char *name, char *out, size_t bytes);
um_status um_result_get_seed(struct um_h5 *f, int64_t *out);

#endif
