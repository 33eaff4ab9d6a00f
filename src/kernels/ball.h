/* One step in the l-infinity ball |v - x| <= eps inside [0,1] (Madry et al., ICLR 2018): v along the sign of g by `step`. In double, stored as real, on
 * every backend: the same for every grouping of images. */
#ifndef UM_KERNELS_BALL_H
#define UM_KERNELS_BALL_H

#ifdef __CUDACC__
#define UM_BALL_FN static inline __host__ __device__
#else
#define UM_BALL_FN static inline
#endif

UM_BALL_FN double um_ball_clip(double v, double lo, double hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

UM_BALL_FN double um_ball_moved(double eps, double step, double v, double x, double g)
{
    double sign = (double)((g > 0) - (g < 0));
    return um_ball_clip(x + um_ball_clip(v + step * sign - x, -eps, eps), 0, 1);
}

#undef UM_BALL_FN
#endif
