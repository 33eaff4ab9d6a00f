#include "kernels/cuda/plan_cache.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sha256.h"

enum { MAX_PLAN_BYTES = 1 << 20 };

um_status um_plan_key(um_text *out, const um_dnn_conv *c, um_precision precision, const char *device, size_t version)
{
    static const char *const ops[] = {"fwd", "data", "weight"}, *const precisions[] = {"fp32", "tf32", "bf16"};
    return um_text_add(out,
        "umed plan 2; cudnn %zu; %s; %s %s %s %s; x %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " ld %" PRId64 "; y %" PRId64
                       " %" PRId64 " %" PRId64 " ld %" PRId64 "; filter %" PRId64 " %" PRId64 " stride %" PRId64 " pad %" PRId64 "%s",
                           version, device,
                       precisions[precision], ops[c->op], c->type == UM_BF16 ? "bf16" : "f32",
                           c->result_type == UM_BF16 ? "bf16" : "f32", c->n, c->h, c->w,
                       c->c, c->ld_x, c->p, c->q, c->k, c->ld_y, c->r, c->s, c->stride, c->pad, c->bias ? " bias" : "");
}

static um_status folder(um_text *out)
{
    const char *own = getenv("UMED_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && *own)
        return um_text_add(out, "%s/plans", own);
    if (xdg && *xdg)
        return um_text_add(out, "%s/umed/plans", xdg);
    return home && *home ? um_text_add(out, "%s/.cache/umed/plans", home) : UM_OK;
}

/* Empty when there is nowhere. */
static um_status file_of(um_text *out, const char *key, bool make_folder)
{
    um_status rc = UM_OK;
    char name[UM_SHA256_HEX];
    UM_TRY(folder(out));
    if (!*um_text_get(out))
        goto done;
    if (make_folder)
        UM_TRY(um_dir_make(um_text_get(out), 0755));
    um_sha256_of(key, strlen(key), name);
    UM_TRY(um_text_add(out, "/%s", name));
done:
    return rc;
}

um_status um_plan_load(um_text *out, const char *key)
{
    um_status rc = UM_OK;
    um_text path = {0}, content = {0};
    size_t n = strlen(key);
    UM_TRY(file_of(&path, key, false));
    if (!*um_text_get(&path) || !um_file_exists(um_text_get(&path)))
        goto done;
    if (um_file_read(&content, um_text_get(&path), MAX_PLAN_BYTES) != UM_OK) {
        um_error_clear();
        goto done;
    }
    const char *text = um_text_get(&content);
    if (strncmp(text, key, n) == 0 && text[n] == '\n')
        UM_TRY(um_text_add(out, "%s", text + n + 1));
done:
    um_text_free(&content);
    um_text_free(&path);
    return rc;
}

/* Several ranks may find the same plan at once: each writes under a name of its own and moves it into place. */
static um_status write_plan(const char *key, const char *plan)
{
    um_status rc = UM_OK;
    um_text path = {0}, own = {0}, content = {0};
    UM_TRY(file_of(&path, key, true));
    if (!*um_text_get(&path))
        goto done;
    UM_TRY(um_text_add(&own, "%s.%ld", um_text_get(&path), (long)getpid()));
    UM_TRY(um_text_add(&content, "%s\n%s", key, plan));
    UM_TRY(um_file_write(um_text_get(&own), um_text_get(&content), strlen(um_text_get(&content))));
    if (rename(um_text_get(&own), um_text_get(&path)) != 0)
        rc = um_fail(UM_E_IO, "%s cannot be renamed", um_text_get(&own));
done:
    um_text_free(&content);
    um_text_free(&own);
    um_text_free(&path);
    return rc;
}

void um_plan_store(const char *key, const char *plan)
{
    static bool told;
    if (write_plan(key, plan) == UM_OK)
        return;
    if (!told)
        um_log(UM_LOG_WARN, "plans of convolutions are not kept: %s", um_error_text());
    told = true;
    um_error_clear();
}
