/* Central difference convolution as one ordinary 3x3 kernel (protectors.md 1.4, arXiv:2403.14250 eq. 3): fold before the forward
 * convolution, unfold after its weight gradient. Tap 4 is the centre. */
#include "kernels/cpu/real.h"

enum { TAPS = 9, CENTRE = 4 };

/* Sum over the taps of w at filter position i, without the centre when asked. */
static double tap_sum(const real *w, int64_t plane, int64_t i, bool with_centre)
{
    double sum = 0;
    for (int t = 0; t < TAPS; t++)
        if (t != CENTRE || with_centre)
            sum += (double)w[t * plane + i];
    return sum;
}

um_status UM_FN(um_cpu_cdc_fold)(const um_op_call *call)
{
    const um_view *v = &call->in[0];
    const real *wv = v->data, *wc = call->in[1].data;
    real *k = call->out[0].data;
    bool dual = call->attr.cdc.dual;
    int64_t plane = um_view_count(v) / TAPS;
    for (int64_t i = 0; i < plane; i++) {
        for (int t = 0; t < TAPS; t++)
            k[t * plane + i] = dual && t != CENTRE ? wv[t * plane + i] + wc[t * plane + i] : wv[t * plane + i];
        double taken = dual ? tap_sum(wc, plane, i, false) : call->attr.cdc.theta * tap_sum(wv, plane, i, true);
        k[CENTRE * plane + i] = (real)((double)wv[CENTRE * plane + i] - taken);
    }
    return UM_OK;
}

um_status UM_FN(um_cpu_cdc_unfold)(const um_op_call *call)
{
    const real *dk = call->in[0].data;
    real *dw = call->out[0].data, share = call->attr.cdc.dual ? 1 : (real)call->attr.cdc.theta;
    int64_t plane = um_view_count(&call->in[0]) / TAPS;
    for (int64_t i = 0; i < plane; i++) {
        real centre = dk[CENTRE * plane + i];
        for (int t = 0; t < TAPS; t++)
            dw[t * plane + i] = dk[t * plane + i] - share * centre;
    }
    return UM_OK;
}
