/* The protector that leaves images as they are: the clean reference row of every table. */
#include <string.h>

#include "protect/protector.h"

static um_status fit(const um_protect_job *job, void **state, um_curves *curves)
{
    (void)job, (void)curves;
    *state = NULL;
    return UM_OK;
}

static um_status apply(void *state, const um_dataset *d, const int64_t *rows, int64_t n, float *delta)
{
    (void)state, (void)rows;
    memset(delta, 0, (size_t)(n * d->h * d->w * d->c) * sizeof *delta);
    return UM_OK;
}

static double bound(const um_settings *settings)
{
    (void)settings;
    return 0;
}

static void release(void *state)
{
    (void)state;
}

const um_protector_def um_protector_none = {
    .name = "none", .summary = "no protection: images are released as they are", .groups = "", .unseen = true,
    .fit = fit, .apply = apply, .bound = bound, .free = release,
};
