#include "io/import.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/signal.h"
#include "image/phantom.h"
#include "image/retina.h"

enum { PHANTOMS_MAX = 1000000, ID_BYTES = 32 };

static um_status draw_all(um_dataset *d, uint64_t seed)
{
    um_status rc = UM_OK;
    const int64_t pixels = d->h * d->w;
    for (int64_t i = 0; i < d->n; i++) {
        char id[ID_BYTES];
        UM_TRY(um_stop_check("nothing was written"));
        snprintf(id, sizeof id, "phantom-%05lld", (long long)i);
        UM_TRY(um_strdup(&d->ids[i], id));
        UM_TRY(um_phantom_draw((uint8_t *)d->images + i * pixels * d->c, d->masks + i * pixels, seed, (uint64_t)i, d->h, d->c));
    }
done:
    return rc;
}

um_status um_import_phantoms(um_dataset **out, int64_t n, int64_t size, int64_t channels, uint64_t seed, const um_data_options *o)
{
    static const um_opt_table *const tables[] = {&um_data_table, NULL};
    um_status rc = UM_OK;
    um_settings *defaults = NULL;
    um_dataset *d = NULL;
    if (n < 1 || n > PHANTOMS_MAX) {
        rc = um_fail(UM_E_CONFIG, "cannot draw %lld phantoms; ask for 1 to %d", (long long)n, PHANTOMS_MAX);
        goto done;
    }
    if (size < UM_PHANTOM_SIZE_MIN || size > UM_PHANTOM_SIZE_MAX || (channels != 1 && channels != 3)) {
        rc = um_fail(UM_E_CONFIG, "phantoms have %d to %d pixels per side and 1 or 3 channels, not %lld and %lld",
                     UM_PHANTOM_SIZE_MIN, UM_PHANTOM_SIZE_MAX, (long long)size, (long long)channels);
        goto done;
    }
    UM_TRY(um_settings_create(&defaults, tables));
    UM_TRY(um_dataset_create(&d, n, size, size, channels, 8));
    UM_TRY(draw_all(d, seed));
    UM_TRY(um_import_split(d, o != NULL ? o : um_settings_get(defaults, "data")));
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    um_settings_free(defaults);
    return rc;
}

um_status um_import_retinas(um_dataset **out, int64_t n, int64_t size, int classes, uint64_t seed, const um_data_options *o)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    if (n < 1 || n > PHANTOMS_MAX || classes < 2 || classes > UM_RETINA_CLASSES_MAX)
        return um_fail(UM_E_CONFIG, "cannot draw %lld retinas of %d classes; ask for 1 to %d of 2 to %d", (long long)n, classes, PHANTOMS_MAX,
                       UM_RETINA_CLASSES_MAX);
    UM_TRY(um_dataset_create(&d, n, size, size, 3, 8));
    UM_TRY(um_dataset_make_labels(d));
    for (int64_t i = 0; i < n; i++) {
        char id[ID_BYTES];
        UM_TRY(um_stop_check("nothing was written"));
        d->labels[i] = (uint8_t)(i % classes);
        snprintf(id, sizeof id, "retina-%05lld", (long long)i);
        UM_TRY(um_strdup(&d->ids[i], id));
        UM_TRY(um_retina_draw((uint8_t *)d->images + i * size * size * 3, d->masks + i * size * size, seed, (uint64_t)i, size, d->labels[i]));
    }
    UM_TRY(um_import_split(d, o));
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}
