#include "kernels/cuda/dnn_graph.h"

um_status um_dnn_fail(const char *file, int line, cudnnStatus_t status, const char *call)
{
    char last[256] = "";
    um_cudnn.cudnnGetLastErrorString(last, sizeof last);
    return um_fail_at(file, line, UM_E_DEVICE, "cuDNN: %.120s: %s%s%s", call, um_cudnn.cudnnGetErrorString(status),
        last[0] ? ": " : "", last);
}

um_status um_dnn_make(cudnnBackendDescriptor_t *out, cudnnBackendDescriptorType_t kind, const um_dnn_attribute *attributes)
{
    um_status rc = UM_OK;
    cudnnBackendDescriptor_t d = NULL;
    TRY_DNN(um_cudnn.cudnnBackendCreateDescriptor(kind, &d));
    for (const um_dnn_attribute *a = attributes; a->type >= 0; a++)
        TRY_DNN(um_cudnn.cudnnBackendSetAttribute(d, a->name, (cudnnBackendAttributeType_t)a->type, a->count, a->values));
    TRY_DNN(um_cudnn.cudnnBackendFinalize(d));
    *out = d;
    d = NULL;
done:
    um_dnn_release(&d);
    return rc;
}

void um_dnn_release(cudnnBackendDescriptor_t *d)
{
    if (*d)
        (void)um_cudnn.cudnnBackendDestroyDescriptor(*d);
    *d = NULL;
}

static cudnnDataType_t data_type(um_dtype t)
{
    return t == UM_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* dims: N C H W; pixels lie ld elements apart. */
static um_status make_tensor(cudnnBackendDescriptor_t *out, int64_t id, um_dtype dtype, const int64_t dims[4], int64_t ld)
{
    int64_t strides[4] = {dims[2] * dims[3] * ld, 1, dims[3] * ld, ld}, align = 16;
    cudnnDataType_t type = data_type(dtype);
    bool in_no_memory = id == UM_DNN_RAW;
    const um_dnn_attribute attributes[] = {
        {CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id},
        {CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims},
        {CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides},
        {CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align},
        {CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &in_no_memory},
        {.type = -1},
    };
    return um_dnn_make(out, CUDNN_BACKEND_TENSOR_DESCRIPTOR, attributes);
}

static um_status make_conv(cudnnBackendDescriptor_t *out, const um_dnn_conv *c)
{
    int64_t axes = 2, pad[2] = {c->pad, c->pad}, stride[2] = {c->stride, c->stride}, dilation[2] = {1, 1};
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const um_dnn_attribute attributes[] = {
        {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes},
        {CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode},
        {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad},
        {CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad},
        {CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation},
        {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride},
        {.type = -1},
    };
    return um_dnn_make(out, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, attributes);
}

/* The names that the three directions have for the same things. */
typedef struct op_names {
    cudnnBackendDescriptorType_t kind;
    cudnnBackendAttributeName_t x, w, y, conv, alpha, beta;
} op_names;

static const op_names names_of[] = {
    [UM_DNN_FWD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                    CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [UM_DNN_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [UM_DNN_WEIGHT] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

/* to = raw, or raw + bias, in f32. */
static um_status make_finish(um_dnn_operation *o, const um_dnn_conv *c, cudnnBackendDescriptor_t to, int64_t channels)
{
    um_status rc = UM_OK;
    const int64_t dims[4] = {1, channels, 1, 1};
    cudnnPointwiseMode_t mode = c->bias ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_IDENTITY;
    cudnnDataType_t type = CUDNN_DATA_FLOAT;
    const um_dnn_attribute finish[] = {
        {CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode},
        {CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &type},
        {.type = -1},
    };
    UM_TRY(um_dnn_make(&o->finish, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, finish));
    if (c->bias)
        UM_TRY(make_tensor(&o->bias, UM_DNN_BIAS, UM_F32, dims, channels));
    const um_dnn_attribute operation[] = {
        {CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &o->finish},
        {CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &o->raw},
        {CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &to},
        {CUDNN_ATTR_OPERATION_POINTWISE_BDESC, c->bias ? CUDNN_TYPE_BACKEND_DESCRIPTOR : -1, 1, &o->bias},
        {.type = -1},
    };
    UM_TRY(um_dnn_make(&o->ops[1], CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, operation));
    o->n_ops = 2;
done:
    return rc;
}

um_status um_dnn_operation_make(um_dnn_operation *out, const um_dnn_conv *c)
{
    um_status rc = UM_OK;
    um_dnn_operation o = {.n_ops = 1};
    const op_names *name = &names_of[c->op];
    const int64_t x[4] = {c->n, c->c, c->h, c->w}, w[4] = {c->k, c->c, c->r, c->s}, y[4] = {c->n, c->k, c->p, c->q};
    bool forward = c->op == UM_DNN_FWD, data = c->op == UM_DNN_DATA, weight = c->op == UM_DNN_WEIGHT;
    bool finished = c->bias || (!weight && c->result_type != c->type);
    float alpha = 1, beta = 0;
    UM_REQUIRE(!c->bias || !weight);
    UM_TRY(make_tensor(&o.x, UM_DNN_X, data ? c->result_type : c->type, x, c->ld_x));
    UM_TRY(make_tensor(&o.w, UM_DNN_W, weight ? c->result_type : c->type, w, c->c));
    UM_TRY(make_tensor(&o.y, UM_DNN_Y, forward ? c->result_type : c->type, y, c->ld_y));
    if (finished)
        UM_TRY(make_tensor(&o.raw, UM_DNN_RAW, UM_F32, forward ? y : x, forward ? c->k : c->c));
    UM_TRY(make_conv(&o.conv, c));
    const um_dnn_attribute attributes[] = {
        {name->x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, finished && data ? &o.raw : &o.x},
        {name->w, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &o.w},
        {name->y, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, finished && forward ? &o.raw : &o.y},
        {name->conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &o.conv},
        {name->alpha, CUDNN_TYPE_FLOAT, 1, &alpha},
        {name->beta, CUDNN_TYPE_FLOAT, 1, &beta},
        {.type = -1},
    };
    UM_TRY(um_dnn_make(&o.ops[0], name->kind, attributes));
    if (finished)
        UM_TRY(make_finish(&o, c, forward ? o.y : o.x, forward ? c->k : c->c));
    *out = o;
    o = (um_dnn_operation){0};
done:
    um_dnn_operation_free(&o);
    return rc;
}

void um_dnn_operation_free(um_dnn_operation *o)
{
    um_dnn_release(&o->ops[1]);
    um_dnn_release(&o->ops[0]);
    um_dnn_release(&o->finish);
    um_dnn_release(&o->conv);
    um_dnn_release(&o->raw);
    um_dnn_release(&o->bias);
    um_dnn_release(&o->y);
    um_dnn_release(&o->w);
    um_dnn_release(&o->x);
}

bool um_dnn_engine_allowed(um_precision precision, const cudnnBackendNumericalNote_t *notes, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        switch (notes[i]) {
        case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
        case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
        case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13: return false;
        case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
        case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
            if (precision == UM_PRECISION_FP32)
                return false;
            break;
        default: break;
        }
    return true;
}
