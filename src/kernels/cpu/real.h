/* One source, six kernels. Every .c file beside this header is written once over `real` and compiled per float type and
 * instruction set: -DUM_REAL_IS_F64=0|1 and -DUM_ISA=generic|avx2|avx512 with the compiler flags of that set. Public names carry
 * the variant: UM_FN(um_cpu_conv_fwd) is um_cpu_conv_fwd_f32_avx2.
 *
 * vreal is the native vector of VL reals (64 bytes with AVX-512, 32 with AVX2, else 16; gcc vector extension, so +, * and
 * comparisons work lane by lane and a scalar operand is broadcast). An expression a*b + c is one fused multiply-add where the set
 * has it. Keep main loops and their tails in the same expression on the same type, or their last bits differ. */
#ifndef UM_KERNELS_CPU_REAL_H
#define UM_KERNELS_CPU_REAL_H

#include <string.h>

#include "base/status.h"
#include "kernels/ops.h"

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

#if !defined(UM_REAL_IS_F64) || !defined(UM_ISA)
#error "compile with -DUM_REAL_IS_F64=0|1 -DUM_ISA=generic|avx2|avx512"
#endif

#if UM_REAL_IS_F64
typedef double real;
#define UM_REAL_TAG f64
#define UM_REAL_DTYPE UM_F64
#else
typedef float real;
#define UM_REAL_TAG f32
#define UM_REAL_DTYPE UM_F32
#endif

#define UM_FN_PASTE(name, tag, isa) name##_##tag##_##isa
#define UM_FN_EXPAND(name, tag, isa) UM_FN_PASTE(name, tag, isa)
#define UM_FN(name) UM_FN_EXPAND(name, UM_REAL_TAG, UM_ISA)

#if defined(__AVX512F__)
#define UM_VECTOR_IS_512 1
enum { UM_VECTOR_BYTES = 64 };
#elif defined(__AVX2__)
enum { UM_VECTOR_BYTES = 32 };
#else
enum { UM_VECTOR_BYTES = 16 };
#endif
enum { VL = UM_VECTOR_BYTES / (int)sizeof(real) };

typedef real vreal __attribute__((vector_size(UM_VECTOR_BYTES)));
typedef real vreal_unaligned __attribute__((vector_size(UM_VECTOR_BYTES), aligned(sizeof(real)), may_alias));

/* Integers as wide as a real: comparisons, shuffles. */
#if UM_REAL_IS_F64
typedef int64_t v_index __attribute__((vector_size(UM_VECTOR_BYTES)));
#else
typedef int32_t v_index __attribute__((vector_size(UM_VECTOR_BYTES)));
#endif

#define UM_INLINE static inline __attribute__((always_inline))

/* Lane k of the result is lane from[k] of v. */
UM_INLINE vreal v_permute(vreal v, v_index from)
{
#ifdef __clang__
    vreal out = v;
    for (int l = 0; l < VL; l++)
        out[l] = v[from[l]];
    return out;
#else
    return __builtin_shuffle(v, from);
#endif
}

/* Lane k of the result is lane from[k] of a and b, one behind the other. */
UM_INLINE vreal v_pick(vreal a, vreal b, v_index from)
{
#ifdef __clang__
    vreal out = a;
    for (int l = 0; l < VL; l++)
        out[l] = from[l] < VL ? a[from[l]] : b[from[l] - VL];
    return out;
#else
    return __builtin_shuffle(a, b, from);
#endif
}

UM_INLINE vreal v_load(const real *p)
{
    return *(const vreal_unaligned *)p;
}
UM_INLINE void v_store(real *p, vreal v)
{
    *(vreal_unaligned *)p = v;
}
UM_INLINE vreal v_set(real s)
{
    return s - (vreal){0};
}
/* The first n lanes (0 <= n <= VL); the others read as 0 and stay unwritten. */
#if defined(__AVX512F__)
UM_INLINE vreal v_load_n(const real *p, int n)
{
#if UM_REAL_IS_F64
    return (vreal)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
#else
    return (vreal)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#endif
}
UM_INLINE void v_store_n(real *p, vreal v, int n)
{
#if UM_REAL_IS_F64
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
#else
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#endif
}
#else
UM_INLINE vreal v_load_n(const real *p, int n)
{
#if defined(__AVX2__) && UM_REAL_IS_F64
    static const int64_t mask[2 * VL] = {-1, -1, -1, -1};
    return (vreal)_mm256_maskload_pd(p, _mm256_loadu_si256((const __m256i *)(mask + VL - n)));
#elif defined(__AVX2__)
    static const int32_t mask[2 * VL] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return (vreal)_mm256_maskload_ps(p, _mm256_loadu_si256((const __m256i *)(mask + VL - n)));
#else
    vreal v = {0};
    for (int i = 0; i < VL; i++) {
        v[i] = i < n ? p[i] : 0;
    }
    return v;
#endif
}
/* Halves, then what is left: masked stores of AVX2 are slow on AMD. */
UM_INLINE void v_store_n(real *p, vreal v, int n)
{
    if (n == VL) {
        v_store(p, v);
        return;
    }
    int at = 0;
    if (n >= VL / 2) {
        memcpy(p, &v, sizeof v / 2);
        at = VL / 2;
    }
    for (; at < n; at++) {
        p[at] = v[at];
    }
}
#endif

/* Like v_load_n and v_store_n, for n that is nearly always VL. */
UM_INLINE vreal v_load_lanes(const real *p, int n)
{
    return n == VL ? v_load(p) : v_load_n(p, n);
}
UM_INLINE void v_store_lanes(real *p, vreal v, int n)
{
    if (n == VL)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

/* Keeps a load that is only used under a mask from becoming a masked load, which waits for its mask: four times slower on Zen 5. */
UM_INLINE vreal v_loaded(vreal v)
{
#if defined(__AVX512F__)
    __asm__("" : "+v"(v));
#endif
    return v;
}

/* Lane by lane: yes where the mask is set. */
UM_INLINE vreal v_choose(v_index mask, vreal yes, vreal no)
{
    return (vreal)((mask & (v_index)yes) | (~mask & (v_index)no));
}
/* The lanes of a vreal in f64, for sums. */
typedef double v_f64 __attribute__((vector_size(UM_VECTOR_BYTES)));
typedef real v_half __attribute__((vector_size(UM_VECTOR_BYTES / 2)));
enum { WIDE = (int)(sizeof(double) / sizeof(real)) };
typedef struct v_wide {
    v_f64 part[WIDE];
} v_wide;

UM_INLINE v_wide v_widen(vreal v)
{
    v_wide w;
#if UM_REAL_IS_F64
    w.part[0] = v;
#elif defined(__AVX512F__)
    w.part[0] = (v_f64)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)v));
    w.part[1] = (v_f64)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)v, 1));
#elif defined(__AVX2__)
    w.part[0] = (v_f64)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)v));
    w.part[1] = (v_f64)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)v, 1));
#else
    v_half half[WIDE];
    memcpy(half, &v, sizeof v);
    w.part[0] = __builtin_convertvector(half[0], v_f64);
    w.part[1] = __builtin_convertvector(half[1], v_f64);
#endif
    return w;
}

UM_INLINE v_wide v_wide_add(v_wide a, v_wide b)
{
    for (int i = 0; i < WIDE; i++)
        a.part[i] += b.part[i];
    return a;
}
UM_INLINE v_wide v_wide_fma(v_wide a, v_wide b, v_wide c)
{
    for (int i = 0; i < WIDE; i++)
        c.part[i] += a.part[i] * b.part[i];
    return c;
}
UM_INLINE v_wide v_wide_load(const double *p, int n)
{
    v_wide w = {0};
    memcpy(&w, p, (size_t)n * sizeof *p);
    return w;
}
UM_INLINE void v_wide_store(double *p, v_wide w, int n)
{
    memcpy(p, &w, (size_t)n * sizeof *p);
}

/* The first n lanes as bytes. */
UM_INLINE v_index v_load_bytes(const uint8_t *p, int n)
{
#if defined(__AVX512F__)
    __m128i bytes = _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1), p);
#if UM_REAL_IS_F64
    return (v_index)_mm512_cvtepu8_epi64(bytes);
#else
    return (v_index)_mm512_cvtepu8_epi32(bytes);
#endif
#else
    uint8_t few[8] = {0};
    p = n == VL ? p : memcpy(few, p, (size_t)n);
#if defined(__AVX2__) && UM_REAL_IS_F64
    return (v_index)_mm256_cvtepu8_epi64(_mm_loadu_si32(p));
#elif defined(__AVX2__)
    return (v_index)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
#else
    v_index v = {0};
    for (int l = 0; l < VL; l++)
        v[l] = p[l];
    return v;
#endif
#endif
}
UM_INLINE void v_store_bytes(uint8_t *p, v_index v, int n)
{
#if defined(__AVX512F__)
#if UM_REAL_IS_F64
    __m128i bytes = _mm512_cvtepi64_epi8((__m512i)v);
#else
    __m128i bytes = _mm512_cvtepi32_epi8((__m512i)v);
#endif
    _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1), bytes);
#else
    uint8_t bytes[VL];
#if defined(__AVX2__) && !UM_REAL_IS_F64
    __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((__m128i *)bytes, _mm_packus_epi16(words, words));
#else
    for (int l = 0; l < VL; l++)
        bytes[l] = (uint8_t)v[l];
#endif
    memcpy(p, bytes, (size_t)n);
#endif
}

/* Every op: run, and prepare where the op has a shape check or a workspace (see um_backend_iface). */
#define UM_CPU_OP(op)                                                                                                          \
    um_status UM_FN(um_cpu_##op)(const um_op_call *call);                                                                      \
    um_status UM_FN(um_cpu_##op##_prepare)(const um_op_call *call, size_t *bytes)

UM_CPU_OP(conv_fwd);
UM_CPU_OP(conv_bwd_data);
UM_CPU_OP(conv_bwd_weight);
UM_CPU_OP(convt_fwd);
UM_CPU_OP(convt_bwd_data);
UM_CPU_OP(convt_bwd_weight);
UM_CPU_OP(channel_sum);
UM_CPU_OP(cdc_fold);
UM_CPU_OP(cdc_unfold);
UM_CPU_OP(bn_stats);
UM_CPU_OP(bn_coef);
UM_CPU_OP(bn_apply);
UM_CPU_OP(bn_bwd_sums);
UM_CPU_OP(bn_bwd_param);
UM_CPU_OP(bn_bwd_apply);
UM_CPU_OP(all_reduce);
UM_CPU_OP(maxpool_fwd);
UM_CPU_OP(maxpool_bwd);
UM_CPU_OP(avgpool_fwd);
UM_CPU_OP(avgpool_bwd);
UM_CPU_OP(patches_fwd);
UM_CPU_OP(patches_bwd);
UM_CPU_OP(ws_fwd);
UM_CPU_OP(ws_bwd);
UM_CPU_OP(norm_fwd);
UM_CPU_OP(norm_bwd_sums);
UM_CPU_OP(norm_bwd_param);
UM_CPU_OP(norm_bwd);
UM_CPU_OP(attention_fwd);
UM_CPU_OP(attention_bwd);
UM_CPU_OP(embed_add);
UM_CPU_OP(embed_bwd);
UM_CPU_OP(act_fwd);
UM_CPU_OP(act_bwd);
UM_CPU_OP(gate_fwd);
UM_CPU_OP(gate_bwd_m);
UM_CPU_OP(dropout);
UM_CPU_OP(upsample_fwd);
UM_CPU_OP(upsample_bwd);
UM_CPU_OP(window);
UM_CPU_OP(add);
UM_CPU_OP(copy);
UM_CPU_OP(fill);
UM_CPU_OP(bound_fwd);
UM_CPU_OP(bound_bwd);
UM_CPU_OP(clip_fwd);
UM_CPU_OP(clip_bwd);
UM_CPU_OP(seg_sums);
UM_CPU_OP(batch_sum);
UM_CPU_OP(seg_loss);
UM_CPU_OP(seg_bwd);
UM_CPU_OP(align_sums);
UM_CPU_OP(align_bwd);
UM_CPU_OP(class_sums);
UM_CPU_OP(class_bwd);
UM_CPU_OP(gather);
UM_CPU_OP(ball_step);
UM_CPU_OP(group_mean);
UM_CPU_OP(vr_add);
UM_CPU_OP(adam);

#endif
