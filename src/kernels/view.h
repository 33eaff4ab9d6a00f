/* A view: where an op reads or writes. It never owns memory.
 *
 * Activations are NHWC. Pixels are `ld` elements apart (ld >= c), so a view can be a channel slice of a wider tensor: that is how
 * concatenation costs no copy. Element (i, y, x, k) is data[((i*h + y)*w + x)*ld + k]. Weights and vectors use the same four
 * extents with ld == c:
 *     convolution               [kh][kw][C][K]      n=kh h=kw w=C c=K   (checkpoints hold OIHW; nn/param repacks)
 *     transposed convolution    [C][kh][kw][O]      n=C  h=kh w=kw c=O
 *     per-channel vector        [C]                 n=h=w=1 c=C
 */
#ifndef UM_KERNELS_VIEW_H
#define UM_KERNELS_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum um_dtype { UM_F32, UM_F64, UM_U8, UM_BF16 } um_dtype;

static inline size_t um_dtype_bytes(um_dtype t)
{
    return t == UM_F64 ? 8 : t == UM_F32 ? 4 : t == UM_BF16 ? 2 : 1;
}

typedef struct um_view {
    void *data; /* NULL: an optional operand that is absent */
    um_dtype dtype;
    int64_t n, h, w, c;
    int64_t ld;
} um_view;

static inline int64_t um_view_pixels(const um_view *v)
{
    return v->n * v->h * v->w;
}
static inline int64_t um_view_count(const um_view *v)
{
    return um_view_pixels(v) * v->c;
}
static inline bool um_view_dense(const um_view *v)
{
    return v->ld == v->c;
}

#endif
