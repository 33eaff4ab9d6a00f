/* Checkpoints: named tensors in PyTorch's layout and names, optionally with Adam's moments and the training history. This module
 * knows nothing of networks; whoever saves brings the tensors into PyTorch's layout (conv [out,in/groups,kh,kw], transposed conv
 * [in,out,kh,kw], linear [out,in]).
 *
 *     /state_dict/NAME        one array per tensor, NAME is the exact dotted name
 *     /adam/m/NAME, /adam/v/NAME, /adam/step
 *     /history/NAME           per-epoch curves and the like
 *     root attributes         arch, w, s, in_ch, out_ch, variant, epoch, seed ... as given; sha256 over the bytes of all state_dict
 *                             tensors in bytewise name order
 *
 * Loading is strict in both directions and all or nothing: every wanted tensor must be there with its type and shape, none may be
 * left over, the recorded sha256 must match, and only then is the first byte of the caller's memory written. */
#ifndef UM_IO_CHECKPOINT_H
#define UM_IO_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/text.h"
#include "io/h5.h"
#include "io/provenance.h"

#define UM_CHECKPOINT_FORMAT "ckpt-1"
#define UM_CHECKPOINT_VERSION "1.0"

typedef struct um_named_tensor {
    const char *name;
    um_h5_type dtype; /* UM_H5_F32, UM_H5_F64 or UM_H5_I64 */
    int ndim;         /* 0 to 4 */
    int64_t shape[UM_H5_DIMS];
    void *data; /* C order; borrowed */
} um_named_tensor;

typedef struct um_checkpoint_attr {
    const char *name;
    const char *text; /* NULL: the integer is meant */
    int64_t integer;
} um_checkpoint_attr;

typedef struct um_checkpoint {
    const um_named_tensor *state; /* any order, unique names */
    size_t n_state;
    const um_named_tensor *adam_m, *adam_v; /* n_adam of each; names as in state; n_adam 0: no optimiser state */
    size_t n_adam;
    int64_t adam_step;
    const um_named_tensor *history; /* saved only */
    size_t n_history;
    const um_checkpoint_attr *attrs; /* saved only */
    size_t n_attrs;
    bool keep; /* saved only: a file of that name stays. It must hold the same /state_dict, or it is UM_E_USAGE */
    const um_provenance *provenance; /* saved only; NULL: no more than um_provenance_stamp */
} um_checkpoint;

/* Replaces an older checkpoint of that name when the new one is complete, unless c->keep. */
um_status um_checkpoint_save(const char *path, const um_checkpoint *c);

/* Fills the data of want->state and, when n_adam > 0, of the moments, and sets *adam_step (may be NULL without moments).
 * UM_E_DATA names the first tensor that is missing, unexpected, or of another type or shape. */
um_status um_checkpoint_load(const char *path, const um_checkpoint *want, int64_t *adam_step);

/* What is in it, without loading: attributes, optimiser state, one history array (owned by the caller, um_free). */
um_status um_checkpoint_text(const char *path, const char *attr, um_text *out);
um_status um_checkpoint_int(const char *path, const char *attr, int64_t *out);
um_status um_checkpoint_has_attr(const char *path, const char *attr, bool *out);
um_status um_checkpoint_has_adam(const char *path, bool *out);
um_status um_checkpoint_history(const char *path, const char *name, um_h5_type type, int ndim, void **out, int64_t *shape);

/* Elements of all tensors in /state_dict, no more than the file really stores. */
um_status um_checkpoint_elements(const char *path, int64_t *out);

/* Recomputes the sha256 of an open checkpoint and compares it with the recorded one. */
um_status um_checkpoint_verify(um_h5 *f);

#endif
