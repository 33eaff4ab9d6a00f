/* What classifiers share. Private to models/. */
#ifndef UM_MODELS_CLASSIFIER_H
#define UM_MODELS_CLASSIFIER_H

#include <math.h>

#include "models/model.h"

/* They are made for colour: grey images count three times. Errors: UM_E_DATA for images of less than `least` pixels a side. */
static inline um_status um_classifier_input(const um_net *net, um_tid *x, const char *name, int64_t least)
{
    const um_tensor *in = &net->graph->tensors[*x];
    if (in->h < least || in->w < least)
        return um_fail(UM_E_DATA, "%s needs images of at least %ldx%ld pixels; these are %ldx%ld", name, (long)least, (long)least,
                       (long)in->h, (long)in->w);
    return in->c == 1 ? um_nn_replicate(net->graph, x, *x, 3) : UM_OK;
}

/* He et al., ICCV 2015: sqrt(2 / fan). */
static inline double um_kaiming(int64_t fan)
{
    return sqrt(2 / (double)fan);
}

#endif
