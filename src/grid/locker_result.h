/* Result files of medlocker tasks (io/store.h, src/io/FORMAT.md). Attribute `kind` is "network", "marks" or "medlocker".
 *
 *     network    train_accuracy, test_accuracy (with _low and _high: Wilson 95 %), test_majority; curves of the training
 *     marks      marks_strict, marks_margin_after ... over the rows; images/alpha, y, x ...: every mark, from which the marked
 *                dataset is made anew
 *     medlocker  the same marks_..., psnr, ssim, logo_area; per network asked, as NETWORK_n, NETWORK_right_before, _right_after,
 *                _broken, _mended, _accuracy_clean, _accuracy_marked, _asr (the last three with _low and _high), and the last
 *                three with _n of each class as NETWORK_class0_asr. A network that was trained anew on marked images is
 *                NETWORK_retrained. Attribute networks: their names, the targets marked with a '*' before */
#ifndef UM_GRID_LOCKER_RESULT_H
#define UM_GRID_LOCKER_RESULT_H

#include "grid/result.h"
#include "medlocker/evaluate.h"
#include "medlocker/mark.h"
#include "train/classify.h"

/* Coordinates of a result. Texts are borrowed; NULL where there is none. */
typedef struct um_locker_meta {
    const char *kind, *key, *group, *dataset, *dataset_sha256, *search, *target, *network;
    int64_t seed;
    const char *command, *inputs;
    const um_settings *settings;
} um_locker_meta;

/* What a network makes of marked images. */
typedef struct um_locker_verdict {
    char network[UM_RESULT_TEXT];
    bool white; /* it is one of those that the marks were made against */
    um_effect effect;
} um_locker_verdict;

/* Marks, all together. */
typedef struct um_locker_summary {
    double n, strict, relaxed, none, from_mask, from_net, from_cam, unknown; /* images */
    double margin_before, margin_after, forwards, alpha, y, x,
        lesion_change; /* means over the marked ones; lesion_change: the largest */
} um_locker_summary;
um_locker_summary um_locker_sum(const um_mark *marks, int64_t n);

/* How a marked dataset looks, and what it does. */
typedef struct um_locker_outcome {
    const um_locker_verdict *verdicts;
    int n_verdicts;
    um_locker_summary marks;
    double psnr, ssim, logo_area;        /* means over the marked images; dB, [0,1], share of the frame */
    const um_classify_result *retrained; /* of a network trained anew; NULL */
    double seconds;
} um_locker_outcome;

/* All whole or not at all. */
um_status um_locker_write_network(const char *path, const um_locker_meta *meta, const um_classify_result *r);
um_status um_locker_write_marks(const char *path, const um_locker_meta *meta, const um_mark *marks, const um_dataset *d,
                                const um_rows *rows, double seconds);
um_status um_locker_write_cell(const char *path, const um_locker_meta *meta, const um_locker_outcome *o);

/* n marks, as written. Errors: UM_E_DATA for another number of them. */
um_status um_locker_read_marks(um_mark *out, int64_t n, const char *path);

/* One network's verdict in a cell, for reports; numbers of the cell stand in each of its lines. */
typedef struct um_locker_line {
    char key[UM_RESULT_TEXT], group[UM_RESULT_TEXT], dataset[UM_RESULT_TEXT], search[UM_RESULT_TEXT], target[UM_OPT_TEXT],
        network[UM_RESULT_TEXT], science[UM_RESULT_TEXT + 16];
    bool white, retrained; /* retrained: the cell trained a network anew, whose line and its original's these are */
    int64_t seed;
    double n, right_before, right_after, broken, mended, accuracy_clean, accuracy_clean_low, accuracy_clean_high, accuracy_marked,
        accuracy_marked_low, accuracy_marked_high, asr, asr_low, asr_high, strict, relaxed, none, margin_before, margin_after,
        forwards, alpha, lesion_change, psnr, ssim, logo_area, seconds;
} um_locker_line;

/* The lines of a cell's file; *n = 0 for a file of another kind. out: owned by the caller. */
um_status um_locker_read_cell(um_locker_line **out, int *n, const char *path);

#endif
