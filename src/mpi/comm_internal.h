/* Inside mpi/: what a communicator is made of. The transport (comm.c over MPI, comm_single.c without) knows `link`. */
#ifndef UM_MPI_COMM_INTERNAL_H
#define UM_MPI_COMM_INTERNAL_H

#include <stdatomic.h>

#include "mpi/comm.h"
#include "mpi/tags.h"

enum { UM_PEER_TEXT = 96, UM_PLACE_TEXT = 160, UM_NOTICE_TEXT = 512 };

typedef struct um_notice { /* why a rank gave up, sent ahead of um_comm_agree */
    int64_t round;         /* of um_comm_agree */
    int32_t rank, code;    /* of the rank it comes from; um_status */
    char text[UM_NOTICE_TEXT];
} um_notice;

struct um_comm {
    int rank, size;
    um_comm *parent;             /* what it was split from; NULL: all ranks */
    double deadline_s, waited_s;
    char (*peers)[UM_PEER_TEXT];   /* [size] */
    char (*places)[UM_PLACE_TEXT]; /* [size]; NULL in groups */
    int ranks_on_cores, hosts, rank_on_host;
    int64_t round;               /* um_comm_agree so far */
    bool broken, given_up;
    char *scratch;               /* one bucket of um_comm_sum */
    struct um_comm_link *link;   /* of the transport; NULL with one rank */
    struct um_comm_watch_state *watch;
    atomic_bool interrupted;     /* by another thread of this rank: whatever waits here gives up */
    struct um_reducer *reducer;  /* of these ranks; borrowed */
};

/* Transport. tag: tags.h. */
um_status um_comm_link_exchange(um_comm *c, int tag, int to, const void *send, size_t n_send, int from, void *recv, size_t n_recv,
                                const char *what);
/* Sends a notice to every other rank without waiting, and takes one that has come (false: none). Local. */
void um_comm_link_notify(um_comm *c, const um_notice *n);
bool um_comm_link_noticed(um_comm *c, um_notice *out);
bool um_comm_link_threads(const um_comm *c); /* MPI may be called from several threads */
bool um_comm_link_takes_device(void);        /* addresses of device memory may be given to exchanges */

/* The failure of another rank that came to us, for whoever waits for something else than a message: as a wait for one would fail. */
um_status um_comm_listen(um_comm *c, const char *what);

/* How the steps of a sum over the ranks are done on one kind of memory; um_comm_sum is the one on the host's. Both may return before
 * they are done where data, scratch and what follows on `self` are in order. */
typedef struct um_sum_way {
    um_status (*exchange)(void *self, int to, const void *give, size_t n_give, int from, void *take, size_t n_take, const char *what);
    um_status (*add)(void *self, void *to, const void *from, um_dtype type, int64_t n);
    void *self, *scratch;
    size_t room; /* bytes of scratch */
} um_sum_way;
um_status um_comm_sum_by(const um_comm *c, const um_sum_way *way, void *data, um_dtype type, int64_t n, const char *what);

#endif
