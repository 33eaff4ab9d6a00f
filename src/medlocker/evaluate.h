/* What marks do to classifiers, and how well they are seen and found again (medlocker 5 and 7.4). */
#ifndef UM_MEDLOCKER_EVALUATE_H
#define UM_MEDLOCKER_EVALUATE_H

#include "medlocker/certificate.h"
#include "medlocker/detect.h"
#include "medlocker/search.h"

/* One classifier on the same images before and after. Success: right before, wrong after. */
typedef struct um_effect {
    int64_t n, right_before, right_after, broken; /* broken: right before, wrong after */
    int64_t mended;                               /* wrong before, right after */
    int classes;
    struct {
        int64_t n, right_before, right_after, broken;
    } of_class[256]; /* the same of the images of each true class; [0, classes) */
} um_effect;

/* Rows of clean and the rows with the same ids in marked. Errors: UM_E_DATA when an id is missing there. */
um_status um_effect_measure(um_effect *out, um_segmenter *net, const um_dataset *clean, const um_rows *rows,
                            const um_dataset *marked, um_comm *comm);

/* McNemar's exact test of two attacks on the same images, b and c the images that one of them alone breaks: two-sided p. */
double um_mcnemar(int64_t b, int64_t c);

/* Changes that a marked image may meet. */
typedef enum um_distortion {
    UM_DISTORT_NONE,
    UM_DISTORT_JPEG90,
    UM_DISTORT_JPEG75,
    UM_DISTORT_JPEG50,
    UM_DISTORT_BLUR,   /* 3x3 Gaussian */
    UM_DISTORT_RESIZE, /* to 3/4 and back, bilinear */
    UM_DISTORT_MEDIAN, /* 3x3 median */
    UM_DISTORT_COUNT
} um_distortion;
const char *um_distortion_name(um_distortion d);
/* pixels: [h][w][c], in place. */
um_status um_distort(const um_bytes *image, um_distortion d);

typedef struct um_detection_table {
    int64_t marked[UM_DISTORT_COUNT][3]; /* verdicts on marked images by distortion: absent, present, impossible */
    int64_t clean[3];                    /* verdicts on clean images x certificates: present ones are false */
} um_detection_table;

/* Marked images under every distortion against their own certificate, and clean images against the certificates of up to `others`
 * other images. Images are shared by the ranks; all get the sums. Errors: those of um_detect. */
um_status um_detection_measure(um_detection_table *out, const um_certificate *c, const um_dataset *clean, const um_dataset *marked,
                               int64_t others, um_comm *comm);

/* Brings one image back: exactly where the certificate has a residual and the image is the marked one (*exact), else to within the
 * bound. clean_matches: the result has the SHA-256 of the clean image. Errors: UM_E_DATA. */
um_status um_recover_image(const um_bytes *image, const um_certificate *c, int64_t record, bool *exact, bool *clean_matches);

/* Row of d with that id; -1: none. */
int64_t um_row_of(const um_dataset *d, const char *id);

#endif
