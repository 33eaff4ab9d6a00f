/* The 354 numbers of Tables 1 to 5 of the UMed paper (IJCAI 2024), from analysis/paper_tables.csv, under our identifiers.
 *
 *     dataset    BUSI busi, Chest X-ray chest_xray, Kvasir-SEG kvasir_seg, Average average
 *     protector  None none, EM em, TAP tap, LSP lsp, AR ar, SEP sep, UMed umed
 *     exploiter  U-Net unet, Attention U-Net attention_unet, U-Net++ unetpp, TransUNet transunet, Average average; empty for PSNR
 *     defense    none none, gaussian_blur_3x3 blur, jpeg jpeg60 (the caption's quality), adv_train_linf_4/255 advtrain
 *     case       the letter of Table 5, else empty */
#ifndef UM_GRID_PAPER_H
#define UM_GRID_PAPER_H

#include "base/status.h"

enum { UM_PAPER_TEXT = 24, UM_PAPER_TABLES = 5 };

typedef struct um_paper_value {
    int table;                         /* 1 to 5 */
    char dataset[UM_PAPER_TEXT], protector[UM_PAPER_TEXT], bound[UM_PAPER_TEXT], exploiter[UM_PAPER_TEXT], defense[UM_PAPER_TEXT];
    char label[2];                     /* case */
    char metric[UM_PAPER_TEXT];        /* "Jac", "DSC" (percent), "PSNR" (dB), "SSIM" */
    double value;
} um_paper_value;

/* In the order of the file. out: owned by the caller (um_free). */
um_status um_paper_load(um_paper_value **out, int *n);

#endif
