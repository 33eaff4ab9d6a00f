/* The ops: one kernel each, with a shape rule, an equation and an oracle in tests/ref. A backend fills a table op -> function; an
 * empty slot means "not supported" and is reported at plan time by the node's name.
 *
 * "real" below is the float type of the graph (f32, or f64 on the CPU for tests); sums over the batch are always f64. Activations, which
 * shape.c writes with a small r, may also have the backend's narrower storage type (um_backend.store).
 *
 * Sums over the batch (flag S) follow DESIGN D8: the local images are cut into lanes (um_batch); within a lane the order is fixed
 * by the shape alone; lanes are then added by one fixed binary tree (um_tree_sum). Everything else works image by image, and its
 * bits do not depend on how images are grouped into calls, nor on the number of threads.
 *
 * accumulate (flag A): out += result instead of out = result, for every out.
 *
 * op                in                                          out
 * CONV_FWD          x[N,H,W,C] w[kh,kw,C,K] (bias[K])           y[N,H',W',K]; y = b + sum w x, zero padding, cross-correlation
 * CONV_BWD_DATA     dy[N,H',W',K] w                             dx[N,H,W,C]
 * CONV_BWD_WEIGHT   x dy                                        dw[kh,kw,C,K], summed over the batch
 * CONVT_FWD         x[N,h,w,C] w[C,2,2,O] (bias[O])             y[N,2h,2w,O]; y[2i+u,2j+v,o] = b[o] + sum_c x[i,j,c] w[c,u,v,o]
 * CONVT_BWD_DATA    dy w                                        dx
 * CONVT_BWD_WEIGHT  x dy                                        dw
 * CHANNEL_SUM       dy[N,H,W,K]                                 db[K] = sum over all pixels (bias gradients)
 * CDC_FOLD          wv[3,3,C,K] (wc[3,3,C,K])                   k: protectors.md 1.4. dual: k = wv + wc off centre, k(0) = wv(0) - sum_{d!=0} wc(d);
 *                                                               theta (wc absent): k(d) = w(d), k(0) = w(0) - theta * sum_d w(d)
 * CDC_UNFOLD        dk                                          dual: dwc(d) = dk(d) - dk(0) (and dwv = dk); theta: dw(d) = dk(d) - theta*dk(0). A difference of
 *                                                               sums over the batch: taken once these are complete
 * BN_STATS          x[N,H,W,C]                                  s f64[1,1,2,C]: sum x, sum x^2 of the local images
 * BN_COEF           (s over all ranks) gamma beta (mean, var)   coef real[1,1,4,C]: mean, r = 1/sqrt(var+eps), a = gamma*r, b = beta - mean*a
 *                                                               attr.bn.eval: from the running statistics in[3], in[4], s absent; else from s and
 *                                                               m = n_total*H*W (attr.bn.hw = H*W), and out[1], out[2] (running mean, var; absent = no update)
 *                                                               become (1-momentum)*old + momentum*batch, the variance unbiased (x m/(m-1))
 *                                                               attr.bn.per_lane (never with eval): statistics of every lane for itself. Then all s of BN ops are f64[N,1,2,C],
 *                                                               the sums of single images, and coef is real[N,1,4,C], each image having that of its lane: s summed over the
 *                                                               lane, m = its images * H*W, no update of running statistics
 * BN_APPLY          x coef                                      y = a*x + b, attr.bn.relu: max(0, .)
 * BN_BWD_SUMS       dy x coef                                   s f64[1,1,2,C]: sum g, sum g*xh with g = dy (masked by a*x+b > 0 under relu), xh = (x-mean)*r
 *                                                               (out[1] real: the same, each lane rounded to real before the tree, as gradients are; absent per lane, where
 *                                                               NORM_BWD_PARAM makes the gradients of gamma and beta from s)
 * BN_BWD_PARAM      s real (local)                              dbeta = s[0], dgamma = s[1]: out[0] = dgamma, out[1] = dbeta
 * BN_BWD_APPLY      dy x coef (s over all ranks)                dx = a*(g - s0/m - xh*s1/m); attr.bn.eval or s absent: dx = a*g
 * ALL_REDUCE        s f64                                       the same, summed over the ranks of the cell (um_batch.reduce)
 * MAXPOOL_FWD       x[N,H,W,C]                                  y[N,H',W',C] (floor), which u8: size*dy + dx of the maximum in its window (attr.pool: size, stride,
 *                                                               pad < size with -infinity), first wins; NaN wins
 * MAXPOOL_BWD       dy which                                    dx (0 where nothing was chosen)
 * AVGPOOL_FWD       x[N,H,W,C]                                  y[N,H',W',C] (floor): means over windows of attr.pool.size pixels, stride the same and pad 0; size 0: one
 *                                                               window over the whole image
 * AVGPOOL_BWD       dy                                          dx
 * PATCHES_FWD       x[N,H,W,C]                                  y[N,H',W',k*k*C]: the window under each output of a k x k convolution (attr.patch: size k, stride, pad with
 *                                                               zeros), (u*k + v)*C + c; a strided convolution is a 1x1 convolution of patches
 * PATCHES_BWD       dy                                          dx: every pixel gathers from the windows it lies in
 * WS_FWD            w[kh,kw,C,K]                                h[kh,kw,C,K] or [1,1,kh*kw*C,K] (the same memory): (w - mean)*r per filter k, biased variance,
 *                                                               r[K] = 1/sqrt(var + attr.ws.eps)
 * WS_BWD            dh h r                                      dw = r*(dh - mean(dh) - h*mean(dh*h))
 * NORM_FWD          x[N,H,W,C] gamma[C] beta[C]                 y = gamma*(x - mean)*r + beta, r = 1/sqrt(var + attr.norm.eps), biased variance over each image and
 *                                                               group of C/groups channels (GroupNorm), or with groups = 0 over the channels of each pixel
 *                                                               (LayerNorm); stats[N,1,groups,2] or [N,H,W,2]: mean, r
 * NORM_BWD_SUMS     dy x stats                                  s f64[N,1,2,C] per image: sum dy, sum dy*xh, xh = (x - mean)*r
 * NORM_BWD_PARAM    s                                           dgamma = s[1], dbeta = s[0], summed over the batch
 * NORM_BWD          dy x gamma stats (s; groups > 0)            dx = r*(g - mean(g) - xh*mean(g*xh)), g = gamma*dy
 * ATTENTION_FWD     q[N,H,W,D] k v                              o[N,H,W,D], p[N,heads,T,T]: pixels are T = H*W tokens, channels are attr.attention.heads heads of
 *                                                               D/heads; p = softmax(q k^T / sqrt(D/heads)), o = p v per head
 * ATTENTION_BWD     do q k v p                                  dq dk dv
 * EMBED_ADD         x[N,H,W,C] e[T,C]                           y = x + e, T = H*W
 * EMBED_BWD         dy                                          de = sum of dy over the batch
 * ACT_FWD           x                                           y: attr.act relu, sigmoid, or gelu = x/2*(1 + erf(x/sqrt 2))
 * ACT_BWD           dy t                                        dx; t = y for relu and sigmoid, x for gelu
 * GATE_FWD          x[N,H,W,C] m[N,H,W,1]                       y = x*m; with dy for x it is also the gradient with respect to x
 * GATE_BWD_M        dy x                                        dm = sum over channels of dy*x
 * DROPOUT           x                                           y = x/(1-p) where the unit random number of the element is >= p, else 0; its own gradient. Element e of
 *                                                               image i of the global batch takes word e%4 of Philox(batch.seed, UM_RNG_DROPOUT; e/4, layer<<32 | i, batch.step)
 * UPSAMPLE_FWD      x[N,h,w,C]                                  y[N,2h,2w,C]: attr.upsample bilinear (align_corners) or nearest
 * UPSAMPLE_BWD      dy                                          dx
 * WINDOW            x[N,H,W,C]                                  y[N,H',W',C]: y[i,j] = x[i+top, j+left] inside x, else 0 (top, left may be negative):
 *                                                               pads, crops, and is its own gradient with the signs turned
 * ADD               a b                                         y = a + b; real, or f64 sums
 * COPY              x[N,H,W,C]                                  y[N,H',W',C] = x, H'*W' = H*W: pixels in raster order, perhaps in rows of another length
 * FILL              -                                           y = attr.fill
 * BOUND_FWD         z[N,H,W,C] b[N,H,W,1]                       d: the perturbation under the bound map b >= 0 (um_bound_rule, protectors.md U6, 1.5)
 * BOUND_BWD         z b dd                                      dz
 * CLIP_FWD          v                                           y = min(max(v, lo), hi)
 * CLIP_BWD          v dy                                        dv by um_clip_rule (protectors.md 1.5)
 * SEG_SUMS          z[N,H,W,1|2] y[N,H,W,1]                     s f64[N,1,1,5] per image: sum CE, sum p*y, sum p, sum y, sum p*p; p = sigmoid(z) or, with two
 *                                                               channels, softmax: p = sigmoid(z1 - z0)
 * BATCH_SUM         s f64[N,1,J,K]                              t f64[1,1,J,K] over the local images
 * SEG_LOSS          s (t over all ranks)                        l f64[1,1,1,3]: this rank's share of loss, CE, Dice (an ALL_REDUCE completes it); protectors.md 1.6
 * SEG_BWD           z y s (t over all ranks)                    dz
 * ALIGN_SUMS        h[N,H,W,C] y[N,H,W,1] m[N,1,2,C]            s f64[N,1,1,4] per image: sum |h - m1|^2 and number of pixels outside (y = 0), sum |h - m0|^2 and number
 *                                                               inside (y = 1): how far every pixel's feature is from the mean of the other class (SEP; protectors.md 2.3)
 * ALIGN_BWD         h y m s                                     dh = 2 u (h - m1) outside, 2 u (h - m0) inside: u = 1/(H*W*C), or attr.align.balance: 1/(C * pixels of the
 *                                                               region); the gradient of each image's own mean square
 * CLASS_SUMS        z[N,1,1,K] y[N,1,1,1]                       s f64[N,1,1,3] per image, y its class 0..K-1, p = softmax(z): loss, 1 when the largest score is that of
 *                                                               the class (the first wins) else 0, margin z_y - max of the others. Loss by attr.class_loss.kind: ce
 *                                                               -(1-p_y)^gamma log p_y (Lin et al., ICCV 2017; gamma 0: cross entropy), margin, or score z_y
 * CLASS_BWD         z y                                         dz of the mean loss over the global batch
 * GATHER            d[M,H,W,C] i f64[N,1,1,1]                   x[N,H,W,C] = d[i]: rows of a dataset; d real, or u8 over attr.gather.most, or [M,H,W,2C] u8, whose pairs
 *                                                               are 16-bit numbers, low byte first
 * BALL_STEP         x[N,H,W,C] g (free[N,H,W,1]) b f64[1,1,1,2] v (updated): clip(x + clip(v + step*sign(g) - x, -eps, eps), 0, 1), b = eps, step; x where free is 0
 * GROUP_MEAN        x[N,H,W,G*C]                                y[N,H,W,C] = mean over g of x[.., g*C + c], added in f64 by rising g
 * VR_ADD            d[N,H,W,C] g m                              s (updated) = s + d - (g - m), in f64: the variance-reduced direction of SEP (protectors.md 2.3)
 * ADAM              g u f64[1,1,1,2]                            value, m, v (updated): Kingma & Ba, bias-corrected, eps after the square root, L2 weight decay added to g.
 *                                                               u: the learning rate, and which update of these values it is, from 1; data, so that a recorded run can
 *                                                               be replayed
 *                                                               attr.adam.sgd: m = b1*m + g, value -= lr*m (momentum as PyTorch has it), v stays
 */
#ifndef UM_KERNELS_OPS_H
#define UM_KERNELS_OPS_H

#include "kernels/view.h"

#define UM_OPF_A 1u /* accumulate allowed */
#define UM_OPF_I 2u /* out[0] may be in[0]'s memory */
#define UM_OPF_U 4u /* outs are updated in place */
#define UM_OPF_S 8u /* sums over the batch by lanes */

typedef enum um_op {
#define UM_OP(e, name, n_in, n_out, flags) UM_OP_##e,
#include "kernels/ops.def"
#undef UM_OP
    UM_OP_COUNT
} um_op;

typedef struct um_op_info {
    const char *name;
    int n_in, n_out;
    unsigned flags;
} um_op_info;
extern const um_op_info um_op_table[UM_OP_COUNT];

enum { UM_OP_MAX_IN = 5, UM_OP_MAX_OUT = 3, UM_MAX_LANES = 64 };

typedef enum um_conv_algo { UM_CONV_AUTO, UM_CONV_DIRECT, UM_CONV_WINOGRAD } um_conv_algo;
typedef enum um_upsample_mode { UM_UPSAMPLE_BILINEAR, UM_UPSAMPLE_NEAREST } um_upsample_mode;

/* How a raw generator output z becomes a perturbation inside [-b, b]; gain s scales z first (protectors.md U6, U7).
 *   box_tanh       d = b*tanh(s*z)                  dz = s*b*(1 - tanh^2)*dd
 *   clip_masked    d = clip(s*z, -b, b)             dz = s*dd where |s*z| < b, else 0
 *   clip_ste       the same                         dz = s*dd where b > 0
 *   clip_inward    the same                         dz = s*dd unless it pushes a saturated value further out (a descent step moves by -dd);
 *                                                   0 where b = 0
 *   tanh_then_clip d = clip(tanh(s*z), -b, b)       dz = s*(1 - tanh^2)*dd where |tanh(s*z)| < b, else 0
 */
typedef enum um_bound_rule {
    UM_BOUND_BOX_TANH,
    UM_BOUND_CLIP_MASKED,
    UM_BOUND_CLIP_STE,
    UM_BOUND_CLIP_INWARD,
    UM_BOUND_TANH_THEN_CLIP
} um_bound_rule;

/* inward: g unless (v >= hi and g < 0) or (v <= lo and g > 0); masked: g inside [lo, hi]; ste: g. */
typedef enum um_clip_rule { UM_CLIP_INWARD, UM_CLIP_MASKED, UM_CLIP_STE } um_clip_rule;

typedef enum um_act { UM_ACT_RELU, UM_ACT_SIGMOID, UM_ACT_GELU } um_act;

/* L = w_ce * CE + w_dice * Dice (protectors.md 1.6). CE: mean over all pixels of the global batch. Dice per image, averaged over the
 * global batch (dice_batch: one Dice over the whole batch): 1 - (2 sum p*y + smooth) / (sum p + sum y + smooth), with sum p*p for
 * sum p when squared. Two-channel logits: the mean of the Dice of both classes. */
typedef struct um_seg_attr {
    double w_ce, w_dice, smooth;
    bool dice_batch, squared;
    int64_t hw;     /* pixels of one image: SEG_LOSS and SEG_BWD divide by n_total * hw (set by um_nn_seg_loss) */
    bool two_class; /* the logits have two channels (set by um_nn_seg_loss) */
    int n_heads;    /* this loss is one of so many that are averaged (deep supervision; set by um_nn_seg_loss_mean); 0: the only one */
} um_seg_attr;

typedef enum um_class_loss { UM_CLASS_CE, UM_CLASS_MARGIN, UM_CLASS_SCORE } um_class_loss;

typedef struct um_adam_attr {
    double lr; /* of those who call um_params_adam and um_params_next; the op reads its operand */
    double b1, b2, eps, weight_decay;
    bool sgd;     /* SGD with momentum b1 instead; b2, eps and v are not used */
} um_adam_attr;

typedef union um_op_attr {
    struct { int stride, pad; um_conv_algo algo; } conv;
    struct { bool dual; double theta; } cdc;
    struct { bool eval, relu, per_lane; double eps, momentum; int64_t hw; } bn;
    struct { um_upsample_mode mode; } upsample;
    struct { int size, stride, pad; } pool, patch;
    struct { double eps; } ws;
    struct { int64_t groups; double eps; } norm;
    struct { int64_t heads; } attention;
    struct { um_act kind; } act;
    struct { double p; uint32_t layer; } dropout;
    struct { int64_t top, left; } window;
    struct { double value; } fill;
    struct { um_bound_rule rule; double gain; } bound;
    struct { um_clip_rule rule; double lo, hi; } clip;
    um_seg_attr seg;
    struct { bool balance; } align;
    struct { double most; } gather;
    struct { um_class_loss kind; double gamma; } class_loss;
    um_adam_attr adam;
} um_op_attr;

/* The images a call works on: which lanes they form and how many images the whole batch has over all ranks. */
typedef struct um_batch {
    int64_t n_total;                            /* images of the global batch */
    int64_t first;                              /* place of the first local image in the global batch */
    uint64_t seed;                              /* of the training, and the step it is at: what dropout draws from */
    uint32_t step;
    int n_lanes;                                /* lanes held by this rank */
    int64_t lane_begin[UM_MAX_LANES + 1];       /* local image index; lane l is [lane_begin[l], lane_begin[l+1]), may be empty */
    int64_t lane_most;                          /* plan time: images of the largest lane of any batch to come */
    /* Sum of n doubles over the ranks of the cell, in place, same bits everywhere; NULL with one rank. Returns a um_status. */
    int (*reduce)(void *arg, double *data, int64_t n);
    void *reduce_arg;
    /* The same in the memory of the backend that runs the batch, in order with its runs; NULL: `reduce` has to do, in host memory. */
    int (*reduce_here)(void *arg, double *data, int64_t n);
    void *reduce_here_arg;
} um_batch;

/* One rank, n images in n_lanes lanes: lane l = [l*n/n_lanes, (l+1)*n/n_lanes). */
void um_batch_set(um_batch *b, int64_t n, int n_lanes);

typedef struct um_op_call {
    um_view in[UM_OP_MAX_IN], out[UM_OP_MAX_OUT];
    um_op_attr attr;
    bool accumulate;
    const um_batch *batch; /* needed by S ops, BN_COEF, BN_BWD_APPLY, SEG_*, CLASS_BWD, ALL_REDUCE */
    void *workspace;       /* at least the bytes that prepare asked for, 64-byte aligned */
} um_op_call;

/* Sums the `n_parts` vectors of length n at parts, parts + n, ... into parts[0..n) by the fixed binary tree: the left half is the
 * largest power of two below n_parts. Ranks that hold aligned blocks of lanes continue the same tree. */
void um_tree_sum_f64(double *parts, int n_parts, int64_t n);
void um_tree_sum_f32(float *parts, int n_parts, int64_t n);

#endif
