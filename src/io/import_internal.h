/* Which files make up a dataset. Private to src/io. */
#ifndef UM_IO_IMPORT_INTERNAL_H
#define UM_IO_IMPORT_INTERNAL_H

#include <stdbool.h>

#include "io/import.h"
#include "io/raster.h"

enum { UM_IMPORT_NAMES_SHOWN = 5 };

typedef struct um_import_item {
    char *id, *image;
    char **masks;
    int64_t n_masks;
    int label, split; /* layout graded; -1: not told */
} um_import_item;

typedef struct um_import_list {
    um_import_item *items; /* sorted by id */
    int64_t n, cap;
    bool graded; /* items have labels, and masks only perhaps */
    bool keep_unmasked; /* set before the scan: an image may have no mask */
} um_import_list;

/* out: zeroed by the caller, released with um_import_list_free also after a failure. */
um_status um_import_scan(um_import_list *out, const um_data_options *o, const char *path);
void um_import_list_free(um_import_list *list);

/* Adds one mask file to the union. brightest: raised to its brightest grey level (8-bit units); grey: whether many pixels are neither
 * black nor white. UM_E_DATA when its size is not that of the image. */
um_status um_import_unite_mask(uint8_t *mask, const um_raster *image, const char *image_path, const char *path, int *brightest, bool *grey);
/* UM_E_DATA for an id that is not UTF-8. */
um_status um_import_check_ids(const um_import_list *list);

/* Adds "a, b, c and 4 more": the k-th of n names, the first UM_IMPORT_NAMES_SHOWN of them. */
um_status um_import_add_name(um_text *t, const char *name, int64_t k);
um_status um_import_end_names(um_text *t, int64_t n);

#endif
