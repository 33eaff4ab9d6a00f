/* Inside mpi/: what a communicator is made of. The transport (comm.c over MPI, comm_single.c without) knows `link`. */
#ifndef UM_MPI_COMM_INTERNAL_H
#define UM_MPI_COMM_INTERNAL_H

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
    int ranks_on_cores, hosts;
    int64_t round;               /* um_comm_agree so far */
    bool broken, given_up;
    char *scratch;               /* one bucket of um_comm_sum */
    struct um_comm_link *link;   /* of the transport; NULL with one rank */
    struct um_comm_watch_state *watch;
};

/* Transport. tag: tags.h. */
um_status um_comm_link_exchange(um_comm *c, int tag, int to, const void *send, size_t n_send, int from, void *recv, size_t n_recv,
                                const char *what);
/* Sends a notice to every other rank without waiting, and takes one that has come (false: none). Local. */
void um_comm_link_notify(um_comm *c, const um_notice *n);
bool um_comm_link_noticed(um_comm *c, um_notice *out);

#endif
