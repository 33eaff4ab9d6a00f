/* A folder of pictures, one after the other at their own size and depth: what archives are packed from. Layouts, ids and split are those
 * of io/import.h; images may have no mask. */
#ifndef UM_IO_PICTURES_H
#define UM_IO_PICTURES_H

#include "io/import.h"
#include "io/raster.h"

typedef struct um_pictures um_pictures;

/* Lists the files; none is opened. Errors: those of um_import_run that concern names. out: owned by the caller. */
um_status um_pictures_find(um_pictures **out, const um_data_options *o, const char *path);
void um_pictures_free(um_pictures *p); /* accepts NULL */

int64_t um_pictures_count(const um_pictures *p);
const char *um_pictures_id(const um_pictures *p, int64_t i);   /* sorted bytewise; borrowed */
const char *um_pictures_path(const um_pictures *p, int64_t i); /* of the image; borrowed */
uint8_t um_pictures_split(const um_pictures *p, int64_t i);
/* SHA-256 over ids and numbers of masks: what all who pack this folder must agree on. */
void um_pictures_sha256(const um_pictures *p, char out[UM_SHA256_HEX]);

/* Image and united mask. channels auto: as stored; 1: rounded BT.601 luma; 3: grey repeated. mask: NULL when there is none, else owned by
 * the caller. Errors: UM_E_DATA and UM_E_IO of um_raster_read; UM_E_DATA when a mask has another size. */
um_status um_pictures_load(const um_pictures *p, int64_t i, um_raster *image, uint8_t **mask);

#endif
