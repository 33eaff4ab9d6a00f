/* A fitted protector, applied to images of an archive: at their own size, or at the size of the fit with the perturbation carried back so
 * that it comes out again where somebody resizes to that size (archive.apply; image/enlarge.h). */
#ifndef UM_ARCHIVE_PERTURB_H
#define UM_ARCHIVE_PERTURB_H

#include "archive/archive.h"
#include "protect/protector.h"

typedef struct um_perturber {
    const um_protector_def *def;
    const um_settings *settings; /* borrowed */
    bool carries;     /* perturbs in three parts that may overlap, on a device */
    void *state;
    int64_t c;        /* channels of the images that it takes */
    bool resampled;
    int64_t side;     /* of what it sees under resampled */
    double scale;     /* export.eps_scale */
} um_perturber;

/* c: channels of the archive's images. Warns when the networks will see images of another size than in their fit. Errors: UM_E_CONFIG when archive.size is
 * 0 and the state does not say what it was fitted on; UM_E_UNSUPPORTED naming a protector that cannot be applied to new images; those of
 * loading the state. */
um_status um_perturber_open(um_perturber *out, const um_archive_job *job, int64_t c);
void um_perturber_close(um_perturber *p);
/* Largest change of a pixel, in grey levels of images of this depth. */
int64_t um_perturber_limit(const um_perturber *p, int bits);
/* Bytes that perturbing images of this size takes. */
um_status um_perturber_bytes(const um_perturber *p, int64_t h, int64_t w, double *out);

/* Images of one size, in two halves (protector.h). view and all that it points at stay until the second. */
typedef struct um_perturbation {
    um_dataset *small; /* the images at the size of the fit; NULL: as they are */
    int64_t *rows;
    void *prepared, *carried;
} um_perturbation; /* initialise with {0}, release with um_perturbation_clear */
um_status um_perturbation_prepare(um_perturbation *out, const um_perturber *p, const um_dataset *view); /* any thread */
/* delta: float [n][h][w][c] in [0,1] units. Takes what was prepared. */
um_status um_perturbation_run(um_perturbation *x, um_perturber *p, const um_dataset *view, float *delta);
/* The same in three parts, where the perturber carries: to the device, on it, and back (protector.h). Each from one thread at a time. */
um_status um_perturbation_in(um_perturbation *x, um_perturber *p);
um_status um_perturbation_compute(um_perturbation *x, um_perturber *p);
um_status um_perturbation_out(um_perturbation *x, um_perturber *p, const um_dataset *view, float *delta);
void um_perturbation_clear(um_perturbation *x, const um_perturber *p);

#endif
