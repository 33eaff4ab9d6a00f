#include "bench/burst.h"

#include "base/clock.h"

static const double INTERVAL_S = 0.01;
enum { TRIAL = 16, MOST_REPEATS = 2048 };

static um_status settle(const um_burst *b)
{
    return b->backend->iface->synchronise ? b->backend->iface->synchronise(b->backend) : UM_OK;
}

static um_status do_times(const um_burst *b, int n)
{
    um_status rc = UM_OK;
    for (int i = 0; i < n; i++)
        UM_TRY(b->once(b->payload));
done:
    return rc;
}

static um_status time_of(const um_burst *b, int n, double *seconds)
{
    um_status rc = UM_OK;
    double start = um_now();
    UM_TRY(do_times(b, n));
    UM_TRY(settle(b));
    *seconds = (um_now() - start) / n;
done:
    return rc;
}

/* What is prepared late is prepared by the first run. One run that is much shorter than its launch is told from several. */
static um_status choose_repeats(um_burst *b)
{
    um_status rc = UM_OK;
    double seconds = 0;
    UM_TRY(time_of(b, 1, &seconds));
    UM_TRY(time_of(b, 1, &seconds));
    if (seconds < INTERVAL_S / TRIAL)
        UM_TRY(time_of(b, TRIAL, &seconds));
    double wanted = INTERVAL_S / seconds + 1;
    b->repeats = wanted < MOST_REPEATS ? (int)wanted : MOST_REPEATS;
done:
    return rc;
}

um_status um_burst_ready(um_burst *b)
{
    um_status rc = UM_OK;
    const um_backend_iface *iface = b->backend->iface;
    b->repeats = 1;
    if (b->backend->on_host)
        return UM_OK;
    UM_TRY(choose_repeats(b));
    if (!iface->record_begin)
        return UM_OK;
    UM_TRY(iface->record_begin(b->backend, b->batch));
    rc = do_times(b, b->repeats);
    if (rc != UM_OK) {
        (void)iface->record_end(b->backend, false, NULL);
        goto done;
    }
    UM_TRY(iface->record_end(b->backend, true, &b->recording));
done:
    return rc;
}

void um_burst_free(um_burst *b)
{
    if (b->recording)
        b->backend->iface->forget(b->backend, b->recording);
    b->recording = NULL;
}

um_status um_burst_run(void *burst, double *seconds)
{
    um_status rc = UM_OK;
    const um_burst *b = burst;
    UM_TRY(settle(b));
    double start = um_now();
    UM_TRY(b->recording ? b->backend->iface->replay(b->backend, b->batch, b->recording) : do_times(b, b->repeats));
    UM_TRY(settle(b));
    *seconds = (um_now() - start) / b->repeats;
done:
    return rc;
}
