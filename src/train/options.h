/* Option groups shared by everything that trains: loss, run, aug. */
#ifndef UM_TRAIN_OPTIONS_H
#define UM_TRAIN_OPTIONS_H

#include "base/opt.h"
#include "kernels/ops.h"

/* Group "loss" (protectors.md 1.6). */
typedef struct um_loss_options {
    double w_ce, w_dice, dice_smooth;
    int dice_reduction; /* 0 image, 1 batch */
    bool dice_squared;
} um_loss_options;
extern const um_opt_table um_loss_table;
um_seg_attr um_loss_attr(const um_loss_options *o);

/* Group "run" (DESIGN section 6): how, not what; only precision, reduce, bn and lanes count for a cell's key. */
typedef struct um_run_options {
    int64_t threads; /* 0: the rule of base/threads.h */
    int64_t lanes;
    int reduce;      /* 0 ordered, 1 fast */
    int bn;          /* 0 sync, 1 lane */
    int backend;     /* um_run_backend_name */
    int precision;   /* um_precision */
    double checkpoint_s, progress_s;
    double deadline_s; /* longest wait for another rank */
    int allreduce;     /* um_reduce_path */
    int64_t bucket_mib;
} um_run_options;
extern const um_opt_table um_run_table;
const char *um_run_backend_name(const um_run_options *o);

/* Group "conv". */
typedef struct um_conv_options {
    int algo; /* um_conv_algo */
} um_conv_options;
extern const um_opt_table um_conv_table;

#endif
