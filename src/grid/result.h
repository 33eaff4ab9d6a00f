/* Result files: what a training scored and how visible a protection is (io/store.h, src/io/FORMAT.md). Attribute `kind` is "cell",
 * "protection" or "utility".
 *
 *     metrics   test_dsc_batch, test_jaccard_pooled, train_dsc_image ...: [0,1], in three aggregations; test_foreground: share of
 *               pixels predicted as foreground; best_test_dsc and best_epoch (never the headline); visibility_psnr ... of the
 *               protected training rows (absent where nothing was protected)
 *     curves    over epochs or cycles; NAME_x where the points are not 1, 2, 3 ...
 *     images    test_dsc, train_dsc, psnr, ssim of every image
 *     timings   seconds
 *     attributes  coordinates, keys, provenance; weights_sha256, flops; network: the exploiter's name, and how it started where
 *               that is a choice ("transunet-scratch") */
#ifndef UM_GRID_RESULT_H
#define UM_GRID_RESULT_H

#include "exploit/exploiter.h"
#include "train/evaluate.h"

enum { UM_RESULT_TEXT = 64 };

/* Coordinates of a result and where it comes from. Texts are borrowed; NULL where unknown. */
typedef struct um_result_meta {
    const char *key, *group;               /* group: the key without the seed */
    const char *released_sha256;           /* of the protected dataset beside a protection */
    const char *dataset, *dataset_sha256;
    const char *protector, *base, *bound, *label; /* protector: method name; base: registered name; label: case of Table 5 */
    bool plain;
    double bound_linf; /* largest change of a pixel that was let through, [0,1]; 0: nothing was protected */
    const char *exploiter, *defense, *tables, *protected_key;
    int64_t seed;
    const char *command, *inputs;
    const um_settings *settings;
} um_result_meta;

/* visibility: NULL where nothing was protected. Whole or not at all. */
um_status um_result_write_cell(const char *path, const um_result_meta *meta, const um_exploit_result *result,
                               const um_visibility *visibility);
um_status um_result_write_protection(const char *path, const um_result_meta *meta, const um_visibility *visibility,
                                     const um_curves *curves, double seconds);
/* Metrics and per-image values of a protection. out: release with um_visibility_free. */
um_status um_result_read_visibility(um_visibility *out, const char *path);

/* What a network that was trained on clean images makes of protected ones, beside the same images as they were: does the release
 * still serve a diagnosis? meta as of the protection, with the exploiter. */
um_status um_result_write_utility(const char *path, const um_result_meta *meta, const um_scores *released, const um_scores *clean);

/* OTHER: numbers of another kind of cells (locker_result.h), which no row can hold. */
typedef enum um_result_kind { UM_RESULT_CELL, UM_RESULT_PROTECTION, UM_RESULT_UTILITY, UM_RESULT_OTHER } um_result_kind;

/* What a report needs of a file of any kind. Missing numbers are NAN. */
typedef struct um_result_row {
    um_result_kind kind;
    char key[UM_RESULT_TEXT], group[UM_RESULT_TEXT], dataset[UM_RESULT_TEXT], protector[UM_RESULT_TEXT], base[UM_RESULT_TEXT],
        bound[UM_RESULT_TEXT], label[UM_RESULT_TEXT], exploiter[UM_RESULT_TEXT], defense[UM_RESULT_TEXT],
            science[UM_RESULT_TEXT + 16];
    bool plain;
    int64_t seed;
    um_overlap test[3], train[3]; /* batch, pooled, image; of a utility: on released, on clean images */
    double test_foreground, train_foreground, psnr, ssim, psnr_roi, ssim_roi, psnr_worst, ssim_worst, leak_highpass,
        leak_highpass_clean, leak_denoise, leak_denoise_clean, seconds;
} um_result_row;

/* Of a file of another kind it says so and no more. */
um_status um_result_read_row(um_result_row *out, const char *path);

#endif
