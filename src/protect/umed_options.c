#include "image/luma.h"
#include "protect/contour_rows.h"
#include "protect/umed.h"

#define S um_umed_options
static const um_opt rows[] = {
    UM_OPT_REAL_ROW(S, eps, "eps", "4/255", 0, 1, "[0,1]", "largest change of a pixel"),
    UM_OPT_ENUM_ROW(S, parts, "parts", "both", "both contour texture", "which generators act (the paper's Table 5)"),
    UM_CONTOUR_ROWS(S, contour),
    UM_OPT_ENUM_ROW(S, lbp.map, "lbp.map", "popcount", UM_LBP_MAPS, "texture map from the local binary pattern"),
    UM_OPT_INT_ROW(S, lbp.p, "lbp.P", "8", 1, 24, "", "neighbours"),
    UM_OPT_REAL_ROW(S, lbp.r, "lbp.R", "1", 0.5, 16, "pixels", "distance of the neighbours"),
    UM_OPT_ENUM_ROW(S, lbp.interp, "lbp.interp", "square", UM_LBP_INTERPS, "where neighbours are sampled"),
    UM_OPT_ENUM_ROW(S, lbp.norm, "lbp.norm", "fixed", UM_LBP_NORMS, "normalisation of the texture map"),
    UM_OPT_ENUM_ROW(S, lbp.gray, "lbp.gray", "bt601", UM_LUMA_CHOICES, "grey conversion of colour images"),
    UM_OPT_ENUM_ROW(S, gen_output, "gen.output", "box_tanh", "box_tanh clip_masked clip_ste clip_inward tanh_then_clip",
                    "how a generator's raw output meets its bound"),
    UM_OPT_REAL_ROW(S, gen_gain, "gen.gain", "1", 1e-6, 1e6, "", "factor on the raw output before the bound"),
    UM_OPT_ENUM_ROW(S, gen_input, "gen.input", "x", "x x_y", "generator input: image, or image and mask"),
    UM_OPT_INT_ROW(S, gen_base_width, "gen.base_width", "64", 1, 1024, "channels", "width of the first level of both generators"),
    UM_OPT_ENUM_ROW(S, image_clip_grad, "image_clip_grad", "inward", "inward masked ste",
                    "gradient of clipping the image to [0,1]"),
    UM_OPT_ENUM_ROW(S, cdc_mode, "cdc.mode", "dual", "dual theta none", "central-difference convolution of the contour generator"),
    UM_OPT_REAL_ROW(S, cdc_theta, "cdc.theta", "0.7", 0, 1, "", "mix of cdc.mode = theta"),
    UM_OPT_REAL_ROW(S, cdc_init_wc_scale, "cdc.init_wc_scale", "0.25", 0, 16, "", "initial scale of w_c against w_v"),
    UM_OPT_BOOL_ROW(S, cdc_bottleneck, "cdc.bottleneck", "true", "central differences in the deepest level too"),
    UM_OPT_ENUM_ROW(S, unit, "schedule.unit", "epoch", "epoch batch", "what surrogate and generators take turns by"),
    UM_OPT_ENUM_ROW(S, order, "schedule.order", "surrogate_first", "surrogate_first algorithm1", "who starts a cycle"),
    UM_OPT_INT_ROW(S, g_per_s, "schedule.g_per_s", "4", 1, 1000, "", "generator turns per surrogate turn"),
    UM_OPT_INT_ROW(S, cycles, "schedule.cycles", "100", 1, 1000000, "", "cycles of 1 surrogate and g_per_s generator epochs"),
    UM_OPT_INT_ROW(S, starts, "starts", "1", 1, 100, "",
                   "whole fits with other random numbers, until the surrogate fails on clean images; the best one is taken"),
    UM_OPT_BOOL_ROW(S, joint, "joint", "true", "both generators learn from one forward and backward pass"),
    UM_OPT_ENUM_ROW(S, surrogate_bn_in_g, "surrogate_bn_in_g", "train_noupdate", "train_noupdate eval train",
                    "BatchNorm of the frozen surrogate while generators learn"),
    UM_OPT_ENUM_ROW(S, generator_bn_in_s, "generator_bn_in_s", "train_noupdate", "train_noupdate eval",
                    "BatchNorm of the frozen generators while the surrogate learns"),
    UM_OPT_INT_ROW(S, batch, "batch", "16", 1, 65536, "images", "batch size of all three networks"),
    UM_OPT_REAL_ROW(S, adam.lr, "adam.lr", "1e-4", 0, 1, "", "learning rate of all three networks"),
    UM_OPT_REAL_ROW(S, adam.b1, "adam.b1", "0.9", 0, 0.999999, "", "Adam beta 1"),
    UM_OPT_REAL_ROW(S, adam.b2, "adam.b2", "0.999", 0, 0.999999999, "", "Adam beta 2"),
    UM_OPT_REAL_ROW(S, adam.eps, "adam.eps", "1e-8", 0, 1, "", "Adam epsilon"),
    UM_OPT_REAL_ROW(S, adam.weight_decay, "adam.wd", "0", 0, 1, "", "L2 weight decay"),
};
#undef S
const um_opt_table um_umed_table = UM_OPT_TABLE("umed", um_umed_options, rows);
