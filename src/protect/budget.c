/* From a perturbation in [0,1] units to released pixels: rounding, range and bound (protectors.md U21, DESIGN D14). */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/signal.h"
#include "protect/protector.h"

enum { APPLY_BATCH = 32 };

static const um_opt export_rows[] = {
    UM_OPT_ENUM_ROW(um_export_options, dtype, "dtype", "u8", "u8 f32", "u8: the input's integer type; f32 cannot be released"),
    UM_OPT_BOOL_ROW(um_export_options, bn_recalibrate, "bn_recalibrate", "true",
                    "recompute the generators' running statistics before export"),
    UM_OPT_REAL_ROW(um_export_options, eps_scale, "eps_scale", "1", 0, 64, "",
                    "scales the perturbation, and its declared bound, at application"),
};
const um_opt_table um_export_table = UM_OPT_TABLE("export", um_export_options, export_rows);

/* Adds one image's rounded delta; limit: grey levels in the image's own units. */
static void add_image(um_dataset *d, int64_t row, const float *delta, double scale, int64_t limit)
{
    int64_t n = d->h * d->w * d->c, max = um_dataset_max(d);
    uint8_t *narrow = (uint8_t *)(uintptr_t)um_dataset_image(d, row);
    uint16_t *wide = (void *)narrow;
    for (int64_t i = 0; i < n; i++) {
        int64_t value = um_released_value(d->bits == 8 ? narrow[i] : wide[i], scale * delta[i], limit, max);
        if (d->bits == 8)
            narrow[i] = (uint8_t)value;
        else
            wide[i] = (uint16_t)value;
    }
}

int64_t um_protect_limit(const um_protector_def *def, const um_settings *settings, int max)
{
    const um_export_options *o = um_settings_get(settings, "export");
    return (int64_t)fmin(ceil(def->bound(settings) * o->eps_scale * max - 1e-6), max);
}

um_status um_protect_apply(um_dataset **out, const um_protector_def *def, void *state, const um_settings *settings,
                           const um_dataset *clean, const um_rows *rows)
{
    um_status rc = UM_OK;
    const um_export_options *o = um_settings_get(settings, "export");
    um_dataset *d = NULL;
    float *delta = NULL;
    um_rows every = {0};
    if (o->dtype != 0)
        return um_fail(UM_E_UNSUPPORTED, "export.dtype = f32: released files hold integers; use \"u8\"");
    if (!rows) {
        UM_TRY(um_rows_select(&every, clean, -1, 0, 0));
        rows = &every;
    }
    int64_t image = clean->h * clean->w * clean->c;
    int64_t limit = um_protect_limit(def, settings, um_dataset_max(clean));
    UM_TRY(um_dataset_clone(&d, clean));
    UM_TRY(UM_NEW_ARRAY(delta, APPLY_BATCH * image));
    for (int64_t first = 0; first < rows->n; first += APPLY_BATCH) {
        int64_t n = rows->n - first < APPLY_BATCH ? rows->n - first : APPLY_BATCH;
        UM_TRY(um_stop_check("the same command goes on from here"));
        UM_TRY(def->apply(state, clean, rows->index + first, n, delta));
        for (int64_t i = 0; i < n; i++)
            add_image(d, rows->index[first + i], delta + i * image, o->eps_scale, limit);
    }
    *out = d;
    d = NULL;
done:
    um_rows_free(&every);
    um_free(delta);
    um_dataset_free(d);
    return rc;
}
