/* Marking a dataset: one search per image, then the marked images and their certificates. */
#ifndef UM_MEDLOCKER_MARK_H
#define UM_MEDLOCKER_MARK_H

#include "medlocker/certificate.h"
#include "medlocker/search.h"

/* Where the boxes of an image came from. */
typedef enum um_lesion_source {
    UM_LESIONS_MASK,
    UM_LESIONS_CAM,
    UM_LESIONS_UNKNOWN,
    UM_LESIONS_NET,
    UM_LESIONS_COUNT
} um_lesion_source;

/* What became of one image; the numbers that a state file keeps. */
typedef struct um_mark {
    um_theta theta;
    double ratio;           /* of image to logo */
    int state;              /* um_wsm_state; UM_WSM_NONE: not marked */
    int source;             /* um_lesion_source */
    double before, after;   /* margin of the true class; NAN without a network */
    int64_t forwards;
    double lesion_change;   /* largest |I' - I| inside the boxes */
} um_mark;

/* The same as a row of numbers, for files: alpha, y, x, ratio, state, source, margin before and after, forward passes, change
 * inside lesions. */
enum { UM_MARK_COLUMNS = 10 };
void um_mark_pack(double row[UM_MARK_COLUMNS], const um_mark *m);
um_mark um_mark_unpack(const double row[UM_MARK_COLUMNS]);

typedef struct um_mark_job {
    const um_settings *settings;
    um_backend *backend;
    const um_targets *targets; /* the first one's name and weights stand in the certificates; none: marks at a random place */
    um_segmenter *lesions;     /* segmenter that shows lesions where no mask does; NULL: none */
    um_segmenter *cam;         /* classifier whose Grad-CAM is looked at where neither is there; NULL: such images are free */
    const um_dataset *data;    /* 8 bit, with labels */
    const um_rows *rows;
    const um_logo *logo;       /* as read */
    const um_secret *key;      /* NULL: marks only, no certificate (um_mark_certify refuses) */
    uint64_t seed;
    const char *dataset_name;
    const char *checkpoint;    /* state file; NULL: none */
    const char *label;
    um_comm *comm;
} um_mark_job;

/* Searches all rows: marks[i] for rows->index[i]. Ranks share the images; all get all. Goes on from the state file of an
 * interrupted run with the same inputs. Errors: UM_E_STOPPED with everything saved; UM_E_DATA for images that the networks do not
 * take. */
um_status um_mark_search(um_mark *marks, const um_mark_job *job);

/* The marked copy: rows that could not be marked stay as they are. out: owned by the caller. */
um_status um_mark_apply(um_dataset **out, const um_mark_job *job, const um_mark *marks);

/* Certificates of the marked rows, signed. out: the caller's. */
um_status um_mark_certify(um_certificate *out, const um_mark_job *job, const um_mark *marks, const um_dataset *marked);

/* The network that medlocker.wsm.model names, for images of d; *out stays NULL when it names none. out: owned by the caller.
 * Errors: UM_E_IO when there is no such file; UM_E_DATA for a classifier, or other channels. */
um_status um_lesion_net_load(um_segmenter **out, um_backend *backend, const um_medlocker_options *o, const um_dataset *d);
/* What that file holds, as a line for keys ("lesions=SHA-256\n"); nothing without one. The path itself does not count. */
um_status um_lesion_net_describe(const um_medlocker_options *o, um_text *text);

/* Boxes of the lesions of one row: by its mask, else by the lesion network, else by Grad-CAM where the classifier is right, else
 * none. A network that sees no lesion is believed. */
um_status um_mark_boxes(um_boxes *out, int *source, const um_mark_job *job, struct um_input_grad *cam, int64_t row);

#endif
