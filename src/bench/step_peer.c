#include "bench/step_peer.h"

#include <string.h>

#include "base/mem.h"
#include "base/threads.h"
#include "bench/rounds.h"
#include "models/model.h"
#include "protect/umed.h"
#include "train/options.h"

const char *um_precision_name(um_precision p)
{
    static const char *const names[] = {"fp32", "tf32", "bf16"};
    return names[p];
}

um_status um_step_title(const um_bench_job *job, const um_bench_step_job *w, const char *what, double *fma_flops, um_text *out)
{
    um_status rc = UM_OK;
    UM_TRY(um_text_add(out, "%s, %lld channels, %lldx%lld, batch %lld: %s", w->model, (long long)w->channels, (long long)w->side,
                       (long long)w->side, (long long)w->batch, what));
    if (fma_flops)
        UM_TRY(um_bench_machine(out, job->backend, fma_flops));
    UM_TRY(um_text_add(out, "\n"));
done:
    return rc;
}

um_status um_step_peer_start(um_peer **out, const um_bench_job *job, const um_bench_step_job *w, const char *what)
{
    const um_model_options *model = um_settings_get(job->settings, "model");
    const um_umed_options *umed = um_settings_get(job->settings, "umed");
    const um_run_options *run = um_settings_get(job->settings, "run");
    const int64_t numbers[] = {strcmp(w->model, "umed") ? model->base_width : umed->gen_base_width, w->side, w->batch, w->channels};
    char threads[16], text[UM_COUNT(numbers)][24];
    const char *args[UM_PEER_ARGS] = {what, threads, w->model};
    int n = 3;
    snprintf(threads, sizeof threads, "%d", um_threads());
    for (size_t i = 0; i < UM_COUNT(numbers); i++) {
        snprintf(text[i], sizeof text[i], "%lld", (long long)numbers[i]);
        args[n++] = text[i];
    }
    if (!job->backend->on_host) {
        args[n++] = "cuda";
        args[n++] = um_precision_name((um_precision)run->precision);
    }
    return um_peer_start(out, job->peer, args, n);
}
