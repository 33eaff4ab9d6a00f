/* Result files: one per cell of a sweep or per `umed exploit` (FORMAT.md). Thin helpers over io/h5.h.
 *
 *     /metrics/NAME   f64 scalar                      science
 *     /curves/NAME    f64 [epoch]                     science
 *     /images/NAME    f64 [sample] per-image values   beside the ids in /images/ids
 *     /timings/NAME   f64 scalar, seconds
 *     /config and provenance attributes
 *     science_sha256  over metrics and curves: for each member in bytewise path order its path, a NUL, and its bytes. Runs that
 *                     agree in every number agree in it, whatever the time, host or date.
 *
 * Writing: um_h5_create(UM_RESULT_FORMAT), um_store_*, um_store_seal, um_h5_commit. Names hold no '/'. */
#ifndef UM_IO_STORE_H
#define UM_IO_STORE_H

#include <stdint.h>

#include "base/sha256.h"
#include "base/status.h"
#include "io/h5.h"

#define UM_RESULT_FORMAT "umed-result"
#define UM_RESULT_VERSION "1.0"
#define UM_PREDICTION_FORMAT "umed-prediction"

/* Attributes of a protection, both optional: the largest change let through, [0,1]; um_dataset_sha256 of the dataset beside it. */
#define UM_STORE_BOUND "bound_linf"
#define UM_STORE_RELEASED "released_sha256"

/* definition: formula or source; may be NULL. Not-a-number is stored as such. */
um_status um_store_metric(um_h5 *f, const char *name, double value, const char *unit, const char *definition);
um_status um_store_curve(um_h5 *f, const char *name, const double *values, int64_t n, const char *unit, const char *description);
um_status um_store_image_values(um_h5 *f, const char *name, const double *values, int64_t n, const char *unit,
                                const char *definition);
um_status um_store_image_ids(um_h5 *f, const char *const *ids, int64_t n);
um_status um_store_timing(um_h5 *f, const char *name, double seconds);

/* Records science_sha256; once, after the last metric and curve. */
um_status um_store_seal(um_h5 *f);

/* From a file opened for reading. UM_E_DATA when there is none of that name. Arrays are owned by the caller (um_free). */
um_status um_store_get_metric(um_h5 *f, const char *name, double *out);
um_status um_store_get_curve(um_h5 *f, const char *name, double **out, int64_t *n);
um_status um_store_get_image_values(um_h5 *f, const char *name, double **out, int64_t *n);
um_status um_store_get_timing(um_h5 *f, const char *name, double *out);

/* Recomputes science_sha256; um_store_verify compares it with the recorded one, and the metric visibility_linf with the bound
 * (UM_E_DATA). */
um_status um_store_science(um_h5 *f, char out[UM_SHA256_HEX]);
um_status um_store_verify(um_h5 *f);

#endif
