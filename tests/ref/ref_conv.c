#include "ref/ref_ops.h"

void um_ref_conv_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *w = &call->in[1], *bias = &call->in[2], *y = &call->out[0];
    int s = call->attr.conv.stride, p = call->attr.conv.pad;
    REF_FOR(y, i, r, c, k)
    {
        double sum = bias->data ? *ref_at(bias, 0, 0, 0, k) : 0;
        for (int64_t u = 0; u < w->n; u++)
            for (int64_t v = 0; v < w->h; v++)
                for (int64_t q = 0; q < x->c; q++)
                    sum += *ref_at(w, u, v, q, k) * ref_padded(x, i, r * s - p + u, c * s - p + v, q);
        *ref_at(y, i, r, c, k) = sum;
    }
}

void um_ref_conv_bwd_data(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *w = &call->in[1], *dx = &call->out[0];
    int s = call->attr.conv.stride, p = call->attr.conv.pad;
    REF_FOR(dx, i, r, c, q) *ref_at(dx, i, r, c, q) = 0;
    REF_FOR(dy, i, r, c, k)
    for (int64_t u = 0; u < w->n; u++)
        for (int64_t v = 0; v < w->h; v++) {
            int64_t row = r * s - p + u, col = c * s - p + v;
            if (row < 0 || col < 0 || row >= dx->h || col >= dx->w)
                continue;
            for (int64_t q = 0; q < dx->c; q++)
                *ref_at(dx, i, row, col, q) += *ref_at(w, u, v, q, k) * *ref_at(dy, i, r, c, k);
        }
}

void um_ref_conv_bwd_weight(const um_op_call *call)
{
    const um_view *x = &call->in[0], *dy = &call->in[1], *dw = &call->out[0];
    int s = call->attr.conv.stride, p = call->attr.conv.pad;
    REF_FOR(dw, u, v, q, k)
    {
        double sum = 0;
        for (int64_t i = 0; i < dy->n; i++)
            for (int64_t r = 0; r < dy->h; r++)
                for (int64_t c = 0; c < dy->w; c++)
                    sum += *ref_at(dy, i, r, c, k) * ref_padded(x, i, r * s - p + u, c * s - p + v, q);
        *ref_at(dw, u, v, q, k) = sum;
    }
}

void um_ref_convt_fwd(const um_op_call *call)
{
    const um_view *x = &call->in[0], *w = &call->in[1], *bias = &call->in[2], *y = &call->out[0];
    REF_FOR(y, i, r, c, o)
    {
        double sum = bias->data ? *ref_at(bias, 0, 0, 0, o) : 0;
        for (int64_t q = 0; q < x->c; q++)
            sum += *ref_at(x, i, r / 2, c / 2, q) * *ref_at(w, q, r % 2, c % 2, o);
        *ref_at(y, i, r, c, o) = sum;
    }
}

void um_ref_convt_bwd_data(const um_op_call *call)
{
    const um_view *dy = &call->in[0], *w = &call->in[1], *dx = &call->out[0];
    REF_FOR(dx, i, r, c, q)
    {
        double sum = 0;
        for (int64_t u = 0; u < 2; u++)
            for (int64_t v = 0; v < 2; v++)
                for (int64_t o = 0; o < dy->c; o++)
                    sum += *ref_at(dy, i, 2 * r + u, 2 * c + v, o) * *ref_at(w, q, u, v, o);
        *ref_at(dx, i, r, c, q) = sum;
    }
}

void um_ref_convt_bwd_weight(const um_op_call *call)
{
    const um_view *x = &call->in[0], *dy = &call->in[1], *dw = &call->out[0];
    REF_FOR(dw, q, u, v, o)
    {
        double sum = 0;
        for (int64_t i = 0; i < x->n; i++)
            for (int64_t r = 0; r < x->h; r++)
                for (int64_t c = 0; c < x->w; c++)
                    sum += *ref_at(x, i, r, c, q) * *ref_at(dy, i, 2 * r + u, 2 * c + v, o);
        *ref_at(dw, q, u, v, o) = sum;
    }
}

void um_ref_cdc_fold(const um_op_call *call)
{
    const um_view *wv = &call->in[0], *wc = &call->in[1], *k = &call->out[0];
    for (int64_t q = 0; q < k->w; q++)
        for (int64_t o = 0; o < k->c; o++) {
            double vanilla = 0, difference = 0;
            for (int64_t u = 0; u < 3; u++)
                for (int64_t v = 0; v < 3; v++) {
                    double second = wc->data && !(u == 1 && v == 1) ? *ref_at(wc, u, v, q, o) : 0;
                    *ref_at(k, u, v, q, o) = *ref_at(wv, u, v, q, o) + second;
                    vanilla += *ref_at(wv, u, v, q, o);
                    difference += second;
                }
            *ref_at(k, 1, 1, q, o) -= wc->data ? difference : call->attr.cdc.theta * vanilla;
        }
}

void um_ref_cdc_unfold(const um_op_call *call)
{
    const um_view *dk = &call->in[0], *dw = &call->out[0];
    double share = call->attr.cdc.dual ? 1 : call->attr.cdc.theta;
    REF_FOR(dw, u, v, q, o) *ref_at(dw, u, v, q, o) = *ref_at(dk, u, v, q, o) - share * *ref_at(dk, 1, 1, q, o);
}
