#include "train/steps.h"

/* Where a run of steps stands: steps [ended, begun) are under way. */
typedef struct standing {
    int64_t begun, ended;
} standing;

static um_status catch_up(const um_steps *t, standing *at, int64_t left)
{
    um_status rc = UM_OK;
    while (at->begun - at->ended > left) {
        UM_TRY(t->end(t->payload, at->ended));
        at->ended++;
    }
done:
    return rc;
}

static um_status pause_for_saver(const um_steps *t, standing *at)
{
    um_status rc = UM_OK;
    unsigned wanted = 0;
    UM_TRY(um_saver_ask(t->saver, &wanted));
    if (wanted)
        UM_TRY(catch_up(t, at, 0));
    UM_TRY(um_saver_answer(t->saver, wanted));
done:
    return rc;
}

um_status um_steps_run(const um_steps *t)
{
    um_status rc = UM_OK;
    standing at = {t->first, t->first};
    const int64_t ahead = t->backend->queues ? 1 : 0;
    if (t->make && at.begun < t->n)
        UM_TRY(t->make(t->payload, at.begun));
    while (at.begun < t->n) {
        UM_TRY(pause_for_saver(t, &at));
        UM_TRY(t->begin(t->payload, at.begun));
        at.begun++;
        UM_TRY(catch_up(t, &at, ahead));
        if (t->make && at.begun < t->n)
            UM_TRY(t->make(t->payload, at.begun));
    }
    UM_TRY(catch_up(t, &at, 0));
done:
    return rc;
}
