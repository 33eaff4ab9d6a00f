/* Images through UMed's generators on a device, in three parts that may run beside each other for different images: to the device, through
 * the networks, and back, each on a queue of its own (kernels/queue.h) through page-locked memory. Inside protect/.
 *
 * The networks always see batches of one size, a function of the images' size: what becomes of an image does not depend on how many come
 * with it (libraries choose other algorithms for other batches). */
#ifndef UM_PROTECT_UMED_FLOW_H
#define UM_PROTECT_UMED_FLOW_H

#include "protect/umed.h"

typedef struct um_umed_cargo um_umed_cargo; /* images of one size on their way, with their memory on both sides */

int64_t um_umed_flow_batch(int64_t h, int64_t w); /* images of a run of the networks */

/* Each of the three from one thread at a time. in takes the feed (prepared with max_batch 0), out the cargo, whatever happens; both wait
 * for their copy, run for the device. delta: float [n][h][w][c]. */
um_status um_umed_flow_in(um_umed *u, um_umed_feed *feed, um_umed_cargo **out);
um_status um_umed_flow_run(um_umed *u, um_umed_cargo *cargo); /* u->apply is the graph of this size */
um_status um_umed_flow_out(um_umed *u, um_umed_cargo *cargo, float *delta);
void um_umed_flow_drop(um_umed *u, um_umed_cargo *cargo); /* for who never comes to out; accepts NULL */
void um_umed_cargo_size(const um_umed_cargo *cargo, int64_t *h, int64_t *w);

void um_umed_flow_free(um_umed *u);

#endif
