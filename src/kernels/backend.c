#include "kernels/backend.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "kernels/backend_impl.h"

static um_status create_plain(um_backend **out, const char *name, um_dtype real)
{
    static const char *const known[] = {"auto", "cpu", "cuda", "check:cpu"};
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0)
        return um_cpu_backend_create(out, real);
    if (strcmp(name, "cuda") == 0)
        return um_fail(UM_E_UNSUPPORTED, "backend cuda is not in this build; use backend cpu");
    const char *near = um_text_nearest(name, known, UM_COUNT(known));
    return um_fail(UM_E_CONFIG, "unknown backend '%s'; did you mean '%s'? (auto, cpu, cuda, check:cpu)", name, near ? near : "cpu");
}

um_status um_backend_create(um_backend **out, const char *name, um_dtype real)
{
    um_status rc = UM_OK;
    um_backend *b = NULL, *inner = NULL;
    const char *prefix = "check:";
    size_t prefix_bytes = strlen(prefix);
    if (real != UM_F32 && real != UM_F64)
        return um_fail(UM_E_UNSUPPORTED, "backend '%s': the float type must be f32 or f64", name);
    if (strncmp(name, prefix, prefix_bytes) == 0) {
        UM_TRY(create_plain(&inner, name + prefix_bytes, real));
        UM_TRY(um_check_backend_create(&b, inner));
        inner = NULL;
    } else {
        UM_TRY(create_plain(&b, name, real));
    }
    *out = b;
done:
    um_backend_free(inner);
    return rc;
}

void um_backend_free(um_backend *b)
{
    if (b)
        b->iface->destroy(b);
}

const char *um_backend_describe(const um_backend *b)
{
    const um_backend_base *base = b->impl;
    return base->describe(b);
}
