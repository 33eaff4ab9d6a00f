#include "grid/report_internal.h"

#include "base/mem.h"
#include "io/h5.h"
#include "io/provenance.h"

#include <stdio.h>

#define COLUMN(name, member, text) {name, offsetof(um_result_row, member), text}
static const um_merged_column texts[] = {
    COLUMN("key", key, "key of the result"),
    COLUMN("group", group, "key without the seed"),
    COLUMN("dataset", dataset, "name of the dataset"),
    COLUMN("protector", protector, "protector or variant"),
    COLUMN("protector_base", base, "protector that a variant stands on"),
    COLUMN("bound", bound, "declared bound of a pixel's change"),
    COLUMN("case", label, "case of the paper's Table 5"),
    COLUMN("exploiter", exploiter, "network trained on the released images"),
    COLUMN("defense", defense, "defense of the exploiter"),
    COLUMN("science_sha256", science, "hash over metrics and curves"),
};
static const um_merged_column numbers[] = {
    COLUMN("test_dsc_batch", test[0].dsc, "DSC on clean test images, mean over batches"),
    COLUMN("test_jaccard_batch", test[0].jaccard, "Jaccard index, mean over batches"),
    COLUMN("test_dsc_pooled", test[1].dsc, "DSC of one matrix over all test images"),
    COLUMN("test_jaccard_pooled", test[1].jaccard, "Jaccard index of one matrix over all test images"),
    COLUMN("test_dsc_image", test[2].dsc, "mean DSC of images"),
    COLUMN("test_jaccard_image", test[2].jaccard, "mean Jaccard index of images"),
    COLUMN("train_dsc_batch", train[0].dsc, "DSC on the released training images"),
    COLUMN("test_foreground", test_foreground, "share of test pixels predicted as foreground"),
    COLUMN("train_foreground", train_foreground, "share of training pixels predicted as foreground"),
    COLUMN("psnr", psnr, "mean PSNR of protected images, dB"),
    COLUMN("ssim", ssim, "mean SSIM of protected images"),
    COLUMN("psnr_roi", psnr_roi, "mean PSNR within the masks, dB"),
    COLUMN("ssim_roi", ssim_roi, "mean SSIM within the masks"),
    COLUMN("psnr_worst", psnr_worst, "lowest PSNR of an image, dB"),
    COLUMN("ssim_worst", ssim_worst, "lowest SSIM of an image"),
    COLUMN("leak_highpass", leak_highpass, "mean DSC of masks read off released images by a high-pass filter"),
    COLUMN("leak_highpass_clean", leak_highpass_clean, "the same off the clean images"),
    COLUMN("leak_denoise", leak_denoise, "mean DSC of masks read off released images by the difference to a median"),
    COLUMN("leak_denoise_clean", leak_denoise_clean, "the same off the clean images"),
    COLUMN("seconds", seconds, "wall time"),
};

static um_status write_seeds(um_h5 *f, const um_merged_layout *l, const char *rows, int n)
{
    um_status rc = UM_OK;
    int64_t *values = NULL;
    char path[64];
    um_h5_array a = {.name = path, .type = UM_H5_I64, .ndim = 1, .shape = {n}, .description = "seed", .axes = "result", .unit = ""};
    snprintf(path, sizeof path, "/%s/seed", l->group);
    UM_TRY(UM_NEW_ARRAY(values, n));
    for (int i = 0; i < n; i++)
        values[i] = *(const int64_t *)(rows + (size_t)i * l->bytes + l->seed);
    UM_TRY(um_h5_write_array(f, &a, values));
done:
    um_free(values);
    return rc;
}

um_status um_merged_write(um_h5 *f, const um_merged_layout *l, const void *rows, int n)
{
    um_status rc = UM_OK;
    const char **strings = NULL, *base = rows;
    double *values = NULL;
    char path[64];
    um_h5_array a = {.name = path, .type = UM_H5_F64, .ndim = 1, .shape = {n}, .axes = "result", .unit = ""};
    UM_TRY(UM_NEW_ARRAY(strings, n));
    UM_TRY(UM_NEW_ARRAY(values, n));
    for (size_t k = 0; k < l->n_texts; k++) {
        snprintf(path, sizeof path, "/%s/%s", l->group, l->texts[k].name);
        for (int i = 0; i < n; i++)
            strings[i] = base + (size_t)i * l->bytes + l->texts[k].offset;
        UM_TRY(um_h5_write_strings(f, path, strings, n, l->texts[k].description, "result"));
    }
    for (size_t k = 0; k < l->n_numbers; k++) {
        snprintf(path, sizeof path, "/%s/%s", l->group, l->numbers[k].name);
        for (int i = 0; i < n; i++)
            values[i] = *(const double *)(base + (size_t)i * l->bytes + l->numbers[k].offset);
        a.description = l->numbers[k].description;
        UM_TRY(um_h5_write_array(f, &a, values));
    }
    UM_TRY(write_seeds(f, l, base, n));
done:
    um_free(strings);
    um_free(values);
    return rc;
}

um_status um_report_write_merged(const um_report *r, const char *path)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    static const char *const groups[] = {"cells", "protections", "utilities"};
    UM_TRY(um_h5_create(&f, path, "umed-results", "1.2"));
    UM_TRY(um_provenance_stamp(f));
    for (int i = 0, end; i < r->n_rows; i = end) { /* rows are sorted by kind */
        for (end = i; end < r->n_rows && r->rows[end].kind == r->rows[i].kind;)
            end++;
        const um_merged_layout layout = {groups[r->rows[i].kind], sizeof *r->rows, offsetof(um_result_row, seed), texts, numbers,
                                         UM_COUNT(texts), UM_COUNT(numbers)};
        UM_TRY(um_merged_write(f, &layout, r->rows + i, end - i));
    }
    UM_TRY(um_locker_report_merge(r, f));
    UM_TRY(um_h5_commit(&f));
done:
    um_h5_free(f);
    return rc;
}
