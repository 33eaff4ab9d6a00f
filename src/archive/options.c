#include "archive/archive.h"

#define S um_archive_options
static const um_opt rows[] = {
    UM_OPT_ENUM_ROW(S, apply, "apply", "resampled", "native resampled",
                    "protect images at their own size, or at archive.size with the perturbation carried back"),
    UM_OPT_INT_ROW(S, size, "size", "0", 0, 4096, "pixels", "side at which `resampled` protects; 0: that of the fit"),
    {"ssim_every", UM_OPT_T_INT, offsetof(S, ssim_every), "64", 0, 1e9, NULL, "images",
     "the manifest has the SSIM of one image in so many; 0: of none", true},
    {"slots", UM_OPT_T_INT, offsetof(S, slots), "4", 2, 64, NULL, "units",
     "stretches of about 1 MiB of pixels (8 with a GPU) that are on the way at once",
     true},
    {"map_workers", UM_OPT_T_INT, offsetof(S, map_workers), "0", 0, 64, NULL, "threads",
     "threads for contours and textures; 0: one, with a GPU half of the rank's threads", true},
    {"pack_workers", UM_OPT_T_INT, offsetof(S, pack_workers), "1", 1, 64, NULL, "threads", "threads that compress", true},
    {"lease_s", UM_OPT_T_REAL, offsetof(S, lease_s), "600", 1, 1e9, NULL, "s",
     "age from which a claim of another host counts as left behind", true},
    {"psnr_min", UM_OPT_T_REAL, offsetof(S, psnr_min), "30", 0, 200, NULL, "dB", "verify: lowest PSNR of a protected image", true},
    {"ssim_min", UM_OPT_T_REAL, offsetof(S, ssim_min), "0.6", -1, 1, NULL, "", "verify: lowest SSIM of a protected image", true},
};
#undef S
const um_opt_table um_archive_table = UM_OPT_TABLE("archive", um_archive_options, rows);
