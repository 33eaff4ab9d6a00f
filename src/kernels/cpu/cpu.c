/* The CPU backend: memory is plain host memory, kernels come from the table of the variant that fits this machine. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/threads.h"
#include "kernels/backend_impl.h"
#include "kernels/cpu/table.h"
#include "kernels/probe.h"

typedef struct cpu_impl {
    um_backend_base base;
    const um_cpu_op *table;
    const char *isa;
    char line[192];
} cpu_impl;

typedef struct isa_entry {
    const char *name;
    const um_cpu_op *f32, *f64;
    const um_cpu_probe *probe;
} isa_entry;

/* Narrowest first. */
static const isa_entry isas[] = {
    {"generic", um_cpu_table_f32_generic, um_cpu_table_f64_generic, &um_cpu_probes_f32_generic},
#ifdef UM_CPU_HAS_AVX2
    {"avx2", um_cpu_table_f32_avx2, um_cpu_table_f64_avx2, &um_cpu_probes_f32_avx2},
#endif
#ifdef UM_CPU_HAS_AVX512
    {"avx512", um_cpu_table_f32_avx512, um_cpu_table_f64_avx512, &um_cpu_probes_f32_avx512},
#endif
};

static bool machine_has(const char *isa)
{
#if defined(UM_CPU_HAS_AVX2) || defined(UM_CPU_HAS_AVX512)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
    if (strcmp(isa, "generic") != 0)
        return strcmp(isa, "avx2") == 0 ? avx2 : avx512;
#endif
    return strcmp(isa, "generic") == 0;
}

/* The widest set of the machine, not above UMED_ISA. An unknown UMED_ISA is refused when a backend is created. */
static const isa_entry *pick_isa(void)
{
    const char *limit = getenv("UMED_ISA");
    size_t best = 0;
    for (size_t i = 0; i < UM_COUNT(isas); i++) {
        if (machine_has(isas[i].name))
            best = i;
        if (limit && strcmp(limit, isas[i].name) == 0)
            break;
    }
    return &isas[best];
}

static um_status check_isa_name(void)
{
    static const char *const names[] = {"generic", "avx2", "avx512"};
    const char *limit = getenv("UMED_ISA");
    if (!limit || !*limit)
        return UM_OK;
    for (size_t i = 0; i < UM_COUNT(names); i++)
        if (strcmp(limit, names[i]) == 0)
            return UM_OK;
    const char *near = um_text_nearest(limit, names, UM_COUNT(names));
    return um_fail(UM_E_CONFIG, "environment variable UMED_ISA is '%s'; did you mean '%s'? (generic, avx2, avx512)", limit,
                   near ? near : "generic");
}

const char *um_cpu_isa(void)
{
    return pick_isa()->name;
}

double um_probe_fma(int threads)
{
    return pick_isa()->probe->fma(threads);
}

double um_probe_triad(int threads, float *a, const float *b, const float *c, int64_t n)
{
    return pick_isa()->probe->triad(threads, a, b, c, n);
}

static bool cpu_supports(const um_backend *b, um_op op)
{
    const cpu_impl *impl = b->impl;
    return op >= 0 && op < UM_OP_COUNT && impl->table[op].run != NULL;
}

static um_status cpu_prepare(um_backend *b, um_op op, const um_op_call *call, size_t *workspace_bytes)
{
    um_status rc = UM_OK;
    const cpu_impl *impl = b->impl;
    size_t bytes = 0;
    if (!cpu_supports(b, op))
        return um_fail(UM_E_UNSUPPORTED, "backend %s has no kernel for op %d", b->name, (int)op);
    UM_TRY(um_shape_check(op, call, b->real, b->real));
    if (impl->table[op].prepare)
        UM_TRY(impl->table[op].prepare(call, &bytes));
    *workspace_bytes = bytes;
done:
    return rc;
}

static um_status cpu_run(um_backend *b, um_op op, const um_op_call *call)
{
    const cpu_impl *impl = b->impl;
    um_status rc = um_batch_check(op, call);
    return rc == UM_OK ? impl->table[op].run(call) : rc;
}

static um_status cpu_alloc(um_backend *b, void **out, size_t bytes)
{
    (void)b;
    return um_alloc(out, bytes, 1);
}

static void cpu_free(um_backend *b, void *p)
{
    (void)b;
    um_free(p);
}

static um_status cpu_copy(um_backend *b, void *to, const void *from, size_t bytes)
{
    (void)b;
    memcpy(to, from, bytes);
    return UM_OK;
}

static void cpu_destroy(um_backend *b)
{
    um_free(b->impl);
    um_free(b);
}

static const char *cpu_describe(const um_backend *b)
{
    cpu_impl *impl = b->impl;
    snprintf(impl->line, sizeof impl->line, "cpu: %s, %s, %d threads", b->real == UM_F64 ? "f64" : "f32", impl->isa,
             um_threads());
    return impl->line;
}

static const um_backend_iface cpu_iface = {
    .supports = cpu_supports,
    .prepare = cpu_prepare,
    .run = cpu_run,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .upload = cpu_copy,
    .download = cpu_copy,
    .destroy = cpu_destroy,
};

um_status um_cpu_backend_create(um_backend **out, um_dtype real)
{
    um_status rc = UM_OK;
    um_backend *b = NULL;
    cpu_impl *impl = NULL;
    UM_TRY(check_isa_name());
    UM_TRY(UM_NEW(b));
    UM_TRY(UM_NEW(impl));
    const isa_entry *isa = pick_isa();
    *impl = (cpu_impl){.base = {cpu_describe}, .table = real == UM_F64 ? isa->f64 : isa->f32, .isa = isa->name};
    *b = (um_backend){.iface = &cpu_iface, .name = "cpu", .real = real, .store = real, .on_host = true, .impl = impl};
    *out = b;
    b = NULL;
    impl = NULL;
done:
    um_free(impl);
    um_free(b);
    return rc;
}
