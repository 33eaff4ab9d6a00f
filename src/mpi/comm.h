/* The ranks of a run, and groups of them. The only folder that knows mpi.h; a build with UMED_MPI=OFF has the same functions and one
 * rank.
 *
 * Everything is built from one exchange of messages between two ranks (um_comm_exchange), so that every wait knows whom it waits
 * for: a wait longer than the deadline is UM_E_COMM naming those ranks, and nobody hangs for hours beside a dead peer. Sums follow
 * one binary tree over the ranks whatever the MPI library would do (um_comm_sum).
 *
 * MPI is started only when a launcher (mpirun, srun) started this process: a plain `umed` never touches it. Wherever a um_comm is
 * taken, NULL stands for one rank. All functions are collective over the communicator unless they say "local". */
#ifndef UM_MPI_COMM_H
#define UM_MPI_COMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/view.h"

typedef struct um_comm um_comm;

/* All ranks of the run. Errors: UM_E_COMM when MPI does not start; UM_E_UNSUPPORTED when a launcher started several processes of a
 * build without MPI; UM_E_USAGE when the launcher's number of tasks is not the number of ranks (N programs of one rank each).
 * out: owned by the caller, for um_comm_close. */
um_status um_comm_open(um_comm **out, int *argc, char ***argv);
void um_comm_close(um_comm *world);                   /* accepts NULL */
void um_comm_abort(um_comm *world, int exit_code);    /* local: ends every rank of the run at once; returns only with one rank */

int um_comm_rank(const um_comm *c); /* local, like the next four */
int um_comm_size(const um_comm *c);
bool um_comm_leads(const um_comm *c);                 /* rank 0 */
const char *um_comm_peer(const um_comm *c, int rank); /* "rank 3 (node7, pid 123)"; borrowed */
/* Seconds that a wait may last; 0: for ever. Groups split off later inherit it. */
void um_comm_set_deadline(um_comm *c, double seconds);

double um_comm_waited(const um_comm *c); /* local: seconds that this rank has spent in exchanges over c so far */

/* Ranks of equal colour become one group, in their old order; a negative colour joins none (*out = NULL). */
um_status um_comm_split(um_comm **out, um_comm *c, int color);
void um_comm_free(um_comm *c); /* of a group; accepts NULL */

/* Sends n_send bytes to rank `to` and receives exactly n_recv bytes from rank `from`; either may be -1. Both ranks of a pair must
 * call it. what: for the message of a failure, "sum of gradients". */
um_status um_comm_exchange(um_comm *c, int to, const void *send, size_t n_send, int from, void *recv, size_t n_recv,
                           const char *what);

um_status um_comm_bcast(um_comm *c, void *data, size_t bytes, const char *what); /* from rank 0 */
/* Rank r brings `count[r]` items of `bytes` bytes, which lie at item count[0] + ... + count[r-1] of data; then all have all. */
um_status um_comm_gather(um_comm *c, void *data, const int64_t *count, size_t bytes, const char *what);
um_status um_comm_any(um_comm *c, unsigned *flags); /* bitwise or over the ranks */

/* UM_E_USAGE on every rank, naming one of them, when its bytes are not those of rank 0. what: "the weights at the start". */
um_status um_comm_same(um_comm *c, const void *data, size_t bytes, const char *what);

/* data[i] summed over the ranks by the tree of um_tree_sum (kernels/ops.h), one part per rank: ranks that hold aligned blocks of
 * lanes continue the tree over the lanes. Same bits on every rank. type: UM_F32 or UM_F64, in host memory. */
um_status um_comm_sum(um_comm *c, void *data, um_dtype type, int64_t n, const char *what);

/* At the end of a piece of work that ranks did together: UM_OK when it went well everywhere, else everybody's outcome is that of the
 * lowest rank that failed by itself, with its message. A rank that fails interrupts the waits of the others first, which then fail
 * with its message; after that the communicator can only be agreed on (um_comm_broken). */
#define um_comm_agree(c, rc) um_comm_agree_at((c), (rc), __LINE__ * 4096 + (int)sizeof __FILE__)
um_status um_comm_agree_at(um_comm *c, um_status rc, int place); /* ranks that agree at different places lost each other */
bool um_comm_broken(const um_comm *c); /* local */
bool um_comm_given_up(um_comm *c);     /* local: some rank already waits in um_comm_agree with a failure */
bool um_comm_run_ends(um_comm *group); /* local: the same of what the group was split from, so that the group may end as well */

/* Life signs. Every rank sends one to rank 0 several times per deadline, and back, from a thread of its own; lost(payload, text) is
 * called on that thread when a rank is silent for longer: stopped, swapped out, cut off. With the signs, a rank that was asked to stop
 * (base/signal.h) passes that on to all others within a few seconds, also to those that wait. Nothing happens with one rank, or
 * where MPI does not allow threads. */
um_status um_comm_watch(um_comm *world, double deadline_s, void (*lost)(void *payload, const char *text), void *payload);

const char *um_comm_library(void); /* local: "Open MPI v4.1.4", or "none (...)"; needs no um_comm_open. Borrowed. */
int um_comm_ranks_on_cores(const um_comm *world); /* local: ranks on this host with the same affinity mask as this one */
int um_comm_rank_on_host(const um_comm *world);   /* local: how many ranks of lower number this host has */
int um_comm_hosts(const um_comm *world);          /* local: hosts of the run */
const char *um_comm_place(const um_comm *world, int rank); /* local: host and affinity mask, "node7, cores 0-3,8"; borrowed */

#endif
