#include "train/steps.h"

/* Where a run of steps stands: steps [ended, begun) are under way. */
typedef struct standing {
    const um_steps *t;
    int64_t begun, ended;
} standing;

static um_status catch_up(standing *at, int64_t left)
{
    um_status rc = UM_OK;
    while (at->begun - at->ended > left) {
        UM_TRY(at->t->end(at->t->payload, at->ended));
        at->ended++;
    }
done:
    return rc;
}

static um_status end_all(void *at)
{
    return catch_up(at, 0);
}

um_status um_steps_run(const um_steps *t)
{
    um_status rc = UM_OK;
    standing at = {t, t->first, t->first};
    const int64_t ahead = t->backend->queues ? 1 : 0;
    if (t->make && at.begun < t->n)
        UM_TRY(t->make(t->payload, at.begun));
    while (at.begun < t->n) {
        UM_TRY(um_saver_pause_after(t->saver, end_all, &at));
        UM_TRY(t->begin(t->payload, at.begun));
        at.begun++;
        UM_TRY(catch_up(&at, ahead));
        if (t->make && at.begun < t->n)
            UM_TRY(t->make(t->payload, at.begun));
    }
    UM_TRY(catch_up(&at, 0));
done:
    return rc;
}
