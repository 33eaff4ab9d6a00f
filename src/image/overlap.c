#include "image/metric.h"

#include <math.h>
#include <stdbool.h>

static void count(um_confusion *c, bool predicted, bool truth)
{
    c->tp += predicted && truth;
    c->fp += predicted && !truth;
    c->fn += !predicted && truth;
    c->tn += !predicted && !truth;
}

um_confusion um_confusion_of_masks(const uint8_t *predicted, const uint8_t *truth, int64_t n)
{
    um_confusion c = {0};
    for (int64_t i = 0; i < n; i++) {
        count(&c, predicted[i] != 0, truth[i] != 0);
    }
    return c;
}

um_confusion um_confusion_of_logits(const float *logits, const uint8_t *truth, int64_t n)
{
    um_confusion c = {0};
    for (int64_t i = 0; i < n; i++) {
        count(&c, logits[i] >= 0.0f, truth[i] != 0);
    }
    return c;
}

um_confusion um_confusion_sum(const um_confusion *counts, int64_t n)
{
    um_confusion sum = {0};
    for (int64_t i = 0; i < n; i++) {
        sum.tp += counts[i].tp;
        sum.fp += counts[i].fp;
        sum.fn += counts[i].fn;
        sum.tn += counts[i].tn;
    }
    return sum;
}

double um_confusion_dsc(const um_confusion *c)
{
    const int64_t size = 2 * c->tp + c->fp + c->fn;
    return size == 0 ? 1.0 : (double)(2 * c->tp) / (double)size;
}

double um_confusion_jaccard(const um_confusion *c)
{
    const int64_t size = c->tp + c->fp + c->fn;
    return size == 0 ? 1.0 : (double)c->tp / (double)size;
}

um_overlap um_overlap_of(const um_confusion *per_image, int64_t n, um_aggregation how, int64_t batch)
{
    const int64_t step = how == UM_AGGREGATE_POOLED ? n : how == UM_AGGREGATE_IMAGE ? 1 : batch;
    um_overlap sum = {0};
    int64_t units = 0;
    if (n <= 0) {
        return (um_overlap){NAN, NAN};
    }
    for (int64_t i = 0; i < n; i += step, units++) {
        um_confusion c = um_confusion_sum(per_image + i, n - i < step ? n - i : step);
        sum.dsc += um_confusion_dsc(&c);
        sum.jaccard += um_confusion_jaccard(&c);
    }
    return (um_overlap){sum.dsc / (double)units, sum.jaccard / (double)units};
}
