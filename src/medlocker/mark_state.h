/* How far a marking has come, on disk: rank 0 writes, a later run with the same inputs goes on from there. Private to medlocker. */
#ifndef UM_MEDLOCKER_MARK_STATE_H
#define UM_MEDLOCKER_MARK_STATE_H

#include "medlocker/mark.h"

typedef struct um_mark_state {
    const um_mark_job *job;
    um_mark *marks; /* borrowed, like job */
    char fingerprint[UM_SHA256_HEX];
    double saved_at, every_s;
} um_mark_state; /* initialise with {0} */

/* done: images that an earlier run has finished; their marks are read on all ranks. */
um_status um_mark_state_open(um_mark_state *s, const um_mark_job *job, um_mark *marks, int64_t *done);
/* Between blocks: saves when it is time to; UM_E_STOPPED on all ranks, with everything saved, when a stop was asked for. */
um_status um_mark_state_pause(um_mark_state *s, int64_t done);
um_status um_mark_state_save(um_mark_state *s, int64_t done);
void um_mark_state_close(um_mark_state *s);

#endif
