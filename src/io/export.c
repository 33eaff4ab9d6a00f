#include "io/export.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "io/raster.h"

enum { NAME_BYTES = 200 };

static bool is_plain(char c)
{
    return isalnum((unsigned char)c) || strchr(" ._-+()", c) != NULL;
}

/* out: the file name of a row, without extension. */
static um_status name_of_row(um_text *out, const char *id, int64_t row)
{
    um_status rc = UM_OK;
    bool changed = id[0] == '\0';
    out->n = 0;
    for (int64_t i = 0; id[i] != '\0'; i++) {
        const bool plain = i < NAME_BYTES && is_plain(id[i]) && !(i == 0 && id[i] == '.');
        changed = changed || !plain;
        if (i < NAME_BYTES) {
            UM_TRY(um_text_add(out, "%c", plain ? id[i] : '_'));
        }
    }
    if (changed) {
        UM_TRY(um_text_add(out, "-%06lld", (long long)row));
    }
done:
    return rc;
}

static um_status write_one(const char *dir, const char *name, const um_raster *r, const char *id)
{
    um_status rc = UM_OK;
    um_text path = {0};
    UM_TRY(um_text_add(&path, "%s/%s.png", dir, name));
    if (um_file_exists(um_text_get(&path))) {
        rc = um_fail(UM_E_DATA, "the id '%s' needs the file name %s, which another row has; rename one", id, um_text_get(&path));
        goto done;
    }
    UM_TRY(um_png_write(um_text_get(&path), r));
done:
    um_text_free(&path);
    return rc;
}

static um_status write_rows(const um_dataset *d, const char *images, const char *masks)
{
    um_status rc = UM_OK;
    um_text name = {0};
    uint8_t *white = NULL;
    const int64_t pixels = d->h * d->w;
    UM_TRY(UM_NEW_ARRAY(white, pixels));
    for (int64_t i = 0; i < d->n; i++) {
        const uint8_t *mask = um_dataset_mask(d, i);
        UM_TRY(um_stop_check("what was exported is removed again"));
        for (int64_t k = 0; k < pixels; k++) {
            white[k] = mask[k] ? 255 : 0;
        }
        UM_TRY(name_of_row(&name, d->ids[i], i));
        UM_TRY(write_one(images, um_text_get(&name), &(um_raster){d->h, d->w, (int)d->c, d->bits, (void *)um_dataset_image(d, i)},
                         d->ids[i]));
        UM_TRY(write_one(masks, um_text_get(&name), &(um_raster){d->h, d->w, 1, 8, white}, d->ids[i]));
        um_progress("export", (long)i + 1, (long)d->n, NULL);
    }
done:
    um_free(white);
    um_text_free(&name);
    return rc;
}

static um_status refuse_content(const char *dir)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    if (um_dir_exists(dir)) {
        UM_TRY(um_dir_list(&names, &n, dir));
        if (n > 0) {
            rc = um_fail(UM_E_USAGE, "%s is not empty (it holds '%s'); export to a new folder", dir, names[0]);
        }
    } else if (um_file_exists(dir)) {
        rc = um_fail(UM_E_USAGE, "%s is a file; export to a new folder", dir);
    }
done:
    um_names_free(names, n);
    return rc;
}

static void take_back(const char *images, const char *masks)
{
    if (um_dir_remove(images) != UM_OK || um_dir_remove(masks) != UM_OK) {
        um_log(UM_LOG_WARN, "could not remove the unfinished %s and %s", images, masks);
    }
}

um_status um_export_png(const um_dataset *d, const char *dir)
{
    um_status rc = UM_OK;
    char *images = NULL, *masks = NULL;
    bool started = false;
    UM_TRY(refuse_content(dir));
    UM_TRY(um_path_join(&images, dir, "images"));
    UM_TRY(um_path_join(&masks, dir, "masks"));
    started = true;
    UM_TRY(um_dir_make(images, 0777));
    UM_TRY(um_dir_make(masks, 0777));
    UM_TRY(write_rows(d, images, masks));
done:
    if (rc != UM_OK && started) {
        take_back(images, masks);
    }
    um_free(masks);
    um_free(images);
    return rc;
}
