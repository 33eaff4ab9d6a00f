/* A peer: another library that does the same work in its own process, one round at a time, when it is told to.
 *
 * A peer is a program named after the library in the folder `peers` beside the folder of this program (tests/bench fills it), or in
 * $UMED_PEERS. It is started with a description of the work as arguments, sets it up, and answers on its standard output:
 *     ready TEXT          after setting up: version, threads it really uses, layout
 *     SECONDS             to every line "run" on its standard input: one round, timed by itself
 *     BYTES BYTES         to the line "peak": its resident memory now at its highest, and before it set the work up
 *     RATE                to the line "product", on a device: operations per second of large matrix products just now
 * What cannot be done it tells on standard error and leaves. */
#ifndef UM_BENCH_PEER_H
#define UM_BENCH_PEER_H

#include "base/status.h"
#include "base/text.h"

enum { UM_PEER_ARGS = 256 };

typedef struct um_peer um_peer;

/* args: up to UM_PEER_ARGS words, borrowed. Errors: UM_E_UNSUPPORTED when there is no such peer or it left without being ready. */
um_status um_peer_start(um_peer **out, const char *name, const char *const *args, int n_args);
void um_peer_free(um_peer *p); /* ends the process */

const char *um_peer_name(const um_peer *p);
const char *um_peer_conditions(const um_peer *p); /* the text it was ready with; borrowed */
um_status um_peer_run(um_peer *p, double *seconds);
um_status um_peer_peak(um_peer *p, double *peak_bytes, double *before_bytes);
um_status um_peer_product(um_peer *p, double *flops); /* per second */

#endif
