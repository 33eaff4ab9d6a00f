/* What ranks add up in device memory (mpi/reduce.c has the order). */
#include "kernels/cuda/device.cuh"

template <class T> struct um_add_items {
    T *to;
    const T *from;
    UM_HD void operator()(int64_t i) const { to[i] += from[i]; }
};

um_status um_cuda_add_into(um_dev *dev, void *to, const void *from, um_dtype type, int64_t n)
{
    um_cuda cu = {};
    cu.dev = dev;
    if (type == UM_F64)
        return um_each(&cu, "sum over ranks", n, um_add_items<double>{(double *)to, (const double *)from});
    return um_each(&cu, "sum over ranks", n, um_add_items<float>{(float *)to, (const float *)from});
}
