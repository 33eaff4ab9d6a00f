#include "medlocker/cam.h"

#include <math.h>

#include "base/mem.h"
#include "image/resize.h"

um_status um_cam_create(um_input_grad **out, um_backend *backend, um_segmenter *net)
{
    const um_segmenter_config *c = &net->config;
    if (!c->model->cam_layer)
        return um_fail(UM_E_CONFIG, "%s has no convolution at its end for Grad-CAM; name another network with --cam",
                       c->model->name);
    return um_input_grad_create(out, backend,
                                &(um_input_grad_config){.model = c->model,
                                                        .net = c->net,
                                                        .params = net->params,
                                                        .h = c->h,
                                                        .w = c->w,
                                                        .max_batch = 1,
                                                        .kind = UM_INPUT_CLASS,
                                                        .class_loss = UM_CLASS_SCORE,
                                                        .wanted = c->model->cam_layer});
}

static double get(um_dtype real, const void *v, int64_t i)
{
    return real == UM_F64 ? ((const double *)v)[i] : (double)((const float *)v)[i];
}

static void put(um_dtype real, void *v, int64_t i, double x)
{
    if (real == UM_F64)
        ((double *)v)[i] = x;
    else
        ((float *)v)[i] = (float)x;
}

/* 0..255; false when the map is nowhere positive. a, da: [pixels][channels]. */
static bool weigh(uint8_t *map, const void *a, const void *da, um_dtype real, int64_t pixels, int64_t channels, double *weight,
                  double *sum)
{
    double most = 0;
    for (int64_t k = 0; k < channels; k++) {
        weight[k] = 0;
        for (int64_t p = 0; p < pixels; p++)
            weight[k] += get(real, da, p * channels + k) / (double)pixels;
    }
    for (int64_t p = 0; p < pixels; p++) {
        sum[p] = 0;
        for (int64_t k = 0; k < channels; k++)
            sum[p] += weight[k] * get(real, a, p * channels + k);
        sum[p] = fmax(sum[p], 0);
        most = fmax(most, sum[p]);
    }
    for (int64_t p = 0; p < pixels; p++)
        map[p] = most > 0 ? (uint8_t)(255 * sum[p] / most + 0.5) : 0;
    return most > 0;
}

um_status um_cam_mask(uint8_t *mask, um_input_grad *cam, um_segmenter *net, const uint8_t *pixels, int label, int threshold)
{
    um_status rc = UM_OK;
    const um_segmenter_config *c = &net->config;
    um_dtype real = net->backend->real;
    int64_t mh, mw, channels = um_input_grad_channels(cam), n = c->h * c->w * c->net.in_ch;
    void *x = NULL, *a = NULL, *da = NULL;
    double *weight = NULL, *sum = NULL, y[1];
    uint8_t *map = NULL;
    um_input_grad_extent(cam, &mh, &mw);
    size_t bytes = um_dtype_bytes(real);
    UM_TRY(um_alloc(&x, (size_t)n, bytes));
    UM_TRY(um_alloc(&a, (size_t)(mh * mw * channels), bytes));
    UM_TRY(um_alloc(&da, (size_t)(mh * mw * channels), bytes));
    UM_TRY(UM_NEW_ARRAY(weight, channels));
    UM_TRY(UM_NEW_ARRAY(sum, mh * mw));
    UM_TRY(UM_NEW_ARRAY(map, mh * mw));
    for (int64_t i = 0; i < n; i++)
        put(real, x, i, pixels[i] / 255.0);
    um_segmenter_normalise(net, x, 1);
    put(real, y, 0, label);
    UM_TRY(um_input_grad_run(cam, x, y, 1, da, NULL));
    UM_TRY(um_input_grad_features(cam, 1, a));
    weigh(map, a, da, real, mh * mw, channels, weight, sum);
    UM_TRY(um_resize(mask, c->h, c->w, map, mh, mw, 1, 8, UM_RESIZE_BILINEAR));
    for (int64_t p = 0; p < c->h * c->w; p++)
        mask[p] = mask[p] >= threshold;
done:
    um_free(x);
    um_free(a);
    um_free(da);
    um_free(weight);
    um_free(sum);
    um_free(map);
    return rc;
}
