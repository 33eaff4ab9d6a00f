/* Chosen plans on disk, so that a choice is measured once per machine: FOLDER/plans/HASH, one file per problem, written whole.
 * Its first
 * line is the problem, the rest what cuDNN gave for it.
 *
 * FOLDER: $UMED_CACHE_DIR, else $XDG_CACHE_HOME/umed, else $HOME/.cache/umed; none of them: nothing is kept. */
#ifndef UM_KERNELS_CUDA_PLAN_CACHE_H
#define UM_KERNELS_CUDA_PLAN_CACHE_H

#include "base/text.h"
#include "kernels/cuda/dnn.h"

/* What a choice depends on. device: name and compute capability; version: of cuDNN. */
um_status um_plan_key(um_text *out, const um_dnn_conv *conv, um_precision precision, const char *device, size_t version);

/* out: the plan's text, or empty when there is none, or a file that is not one of ours. */
um_status um_plan_load(um_text *out, const char *key);
/* A plan that cannot be kept is no error: it is measured again next time, which is said once. */
void um_plan_store(const char *key, const char *plan);

#endif
