#include "train/options.h"

static const um_opt loss_rows[] = {
    UM_OPT_REAL_ROW(um_loss_options, w_ce, "w_ce", "1", 0, 1e6, "", "weight of the cross entropy"),
    UM_OPT_REAL_ROW(um_loss_options, w_dice, "w_dice", "1", 0, 1e6, "", "weight of the Dice loss"),
    UM_OPT_ENUM_ROW(um_loss_options, dice_reduction, "dice.reduction", "image", "image batch",
                    "one Dice per image, averaged, or one over the whole batch"),
    UM_OPT_REAL_ROW(um_loss_options, dice_smooth, "dice.smooth", "1e-5", 0, 1e6, "pixels", "added to numerator and denominator of Dice"),
    UM_OPT_BOOL_ROW(um_loss_options, dice_squared, "dice.squared", "false", "squared probabilities in the denominator of Dice"),
};
const um_opt_table um_loss_table = UM_OPT_TABLE("loss", um_loss_options, loss_rows);

um_seg_attr um_loss_attr(const um_loss_options *o)
{
    return (um_seg_attr){.w_ce = o->w_ce, .w_dice = o->w_dice, .smooth = o->dice_smooth, .dice_batch = o->dice_reduction == 1,
                         .squared = o->dice_squared};
}

#define RUN_ONLY true
static const um_opt run_rows[] = {
    {"threads", UM_OPT_T_INT, offsetof(um_run_options, threads), "0", 0, 4096, NULL, "",
     "CPU threads of a rank; 0: cores in the affinity mask divided by the ranks that share them", RUN_ONLY},
    UM_OPT_INT_ROW(um_run_options, lanes, "lanes", "4", 1, UM_MAX_LANES, "", "fixed slices of a batch; sums are formed per lane (docs/architecture.md)"),
    UM_OPT_ENUM_ROW(um_run_options, reduce, "reduce", "ordered", "ordered fast", "ordered: the same bits on 1, 2, 4 ... ranks and any number of threads; fast: one lane per rank"),
    UM_OPT_ENUM_ROW(um_run_options, bn, "bn", "sync", "sync lane", "sync: BatchNorm statistics over the whole batch; lane: of every lane for itself, for which ranks need not wait"),
    {"backend", UM_OPT_T_ENUM, offsetof(um_run_options, backend), "auto", 0, 0, "auto cpu cuda check:cpu check:cuda", "", "where to compute", RUN_ONLY},
    UM_OPT_ENUM_ROW(um_run_options, precision, "precision", "fp32", "fp32 tf32 bf16", "arithmetic of the networks"),
    {"checkpoint_s", UM_OPT_T_REAL, offsetof(um_run_options, checkpoint_s), "300", 0, 1e9, NULL, "s", "time between checkpoints", RUN_ONLY},
    {"deadline_s", UM_OPT_T_REAL, offsetof(um_run_options, deadline_s), "300", 0, 1e9, NULL, "s",
     "longest wait for another rank before the run ends with exit code 76, naming it; 0: for ever", RUN_ONLY},
    {"allreduce", UM_OPT_T_ENUM, offsetof(um_run_options, allreduce), "auto", 0, 0, "auto nccl mpi staged", "",
     "sums over ranks on GPUs: NCCL, an MPI that takes device memory, or pinned host memory; auto: the first that is possible", RUN_ONLY},
    {"bucket_mib", UM_OPT_T_INT, offsetof(um_run_options, bucket_mib), "8", 1, 1024, NULL, "MiB",
     "sums of gradients on GPUs start when so much of them is complete", RUN_ONLY},
    {"progress_s", UM_OPT_T_REAL, offsetof(um_run_options, progress_s), "10", 0, 1e9, NULL, "s", "time between progress lines", RUN_ONLY},
};
const um_opt_table um_run_table = UM_OPT_TABLE("run", um_run_options, run_rows);

static const um_opt conv_rows[] = {
    UM_OPT_ENUM_ROW(um_conv_options, algo, "algo", "auto", "auto direct winograd",
                    "3x3 convolutions: by shape; in the order of the definition; or Winograd F(4,3) wherever it exists, faster and less exact"),
};
const um_opt_table um_conv_table = UM_OPT_TABLE("conv", um_conv_options, conv_rows);

const char *um_run_backend_name(const um_run_options *o)
{
    static const char *const names[] = {"auto", "cpu", "cuda", "check:cpu", "check:cuda"};
    return names[o->backend];
}
