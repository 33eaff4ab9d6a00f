/* Collectives from exchanges between two ranks. */
#include <string.h>

#include "base/mem.h"
#include "mpi/comm_internal.h"

int um_comm_rank(const um_comm *c)
{
    return c ? c->rank : 0;
}

int um_comm_size(const um_comm *c)
{
    return c ? c->size : 1;
}

bool um_comm_leads(const um_comm *c)
{
    return um_comm_rank(c) == 0;
}

const char *um_comm_peer(const um_comm *c, int rank)
{
    return c ? c->peers[rank] : "rank 0";
}

void um_comm_set_deadline(um_comm *c, double seconds)
{
    if (c)
        c->deadline_s = seconds;
}

double um_comm_waited(const um_comm *c)
{
    return c ? c->waited_s : 0;
}

bool um_comm_broken(const um_comm *c)
{
    return c && c->broken;
}

bool um_comm_given_up(um_comm *c)
{
    um_notice n;
    while (um_comm_size(c) > 1 && !c->given_up && um_comm_link_noticed(c, &n))
        c->given_up = n.round == c->round;
    return c && c->given_up;
}

bool um_comm_run_ends(um_comm *group)
{
    return group && group->parent && um_comm_given_up(group->parent);
}

int um_comm_ranks_on_cores(const um_comm *world)
{
    return world ? world->ranks_on_cores : 1;
}

int um_comm_rank_on_host(const um_comm *world)
{
    return world ? world->rank_on_host : 0;
}

um_status um_comm_listen(um_comm *c, const char *what)
{
    um_notice n;
    while (um_comm_size(c) > 1 && um_comm_link_noticed(c, &n)) {
        if (n.round != c->round)
            continue; /* of an outcome that was agreed on since */
        c->broken = true;
        return um_fail((um_status)n.code, "%s gave up, interrupting the %s: %s", um_comm_peer(c, n.rank), what, n.text);
    }
    return UM_OK;
}

int um_comm_hosts(const um_comm *world)
{
    return world ? world->hosts : 1;
}

const char *um_comm_place(const um_comm *world, int rank)
{
    return world ? world->places[rank] : "";
}

um_status um_comm_exchange(um_comm *c, int to, const void *send, size_t n_send, int from, void *recv, size_t n_recv,
                           const char *what)
{
    if (c->broken)
        return um_fail(UM_E_COMM, "%s: the ranks have already lost each other", what);
    return um_comm_link_exchange(c, UM_TAG_DATA, to, send, n_send, from, recv, n_recv, what);
}

/* A binomial tree: in the round of distance d, ranks below d hand on to rank + d. */
um_status um_comm_bcast(um_comm *c, void *data, size_t bytes, const char *what)
{
    um_status rc = UM_OK;
    int size = um_comm_size(c), rank = um_comm_rank(c);
    for (int d = 1; d < size; d *= 2) {
        if (rank < d && rank + d < size)
            UM_TRY(um_comm_exchange(c, rank + d, data, bytes, -1, NULL, 0, what));
        else if (rank >= d && rank < 2 * d)
            UM_TRY(um_comm_exchange(c, -1, NULL, 0, rank - d, data, bytes, what));
    }
done:
    return rc;
}

/* Around a ring: every rank passes on what it received last. */
um_status um_comm_gather(um_comm *c, void *data, const int64_t *count, size_t bytes, const char *what)
{
    um_status rc = UM_OK;
    int size = um_comm_size(c), rank = um_comm_rank(c);
    size_t *begin = NULL;
    if (size == 1)
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(begin, size + 1));
    for (int r = 0; r < size; r++)
        begin[r + 1] = begin[r] + (size_t)count[r] * bytes;
    for (int k = 0; k < size - 1; k++) {
        int give = (rank - k + size) % size, take = (rank - k - 1 + size) % size;
        UM_TRY(um_comm_exchange(c, (rank + 1) % size, (char *)data + begin[give], begin[give + 1] - begin[give],
                                (rank + size - 1) % size, (char *)data + begin[take], begin[take + 1] - begin[take], what));
    }
done:
    um_free(begin);
    return rc;
}

/* At distance 1, 2, 4, ... around the ring; an or does not mind what comes in twice. */
um_status um_comm_any(um_comm *c, unsigned *flags)
{
    um_status rc = UM_OK;
    int size = um_comm_size(c), rank = um_comm_rank(c);
    for (int d = 1; d < size; d *= 2) {
        unsigned other = 0;
        UM_TRY(um_comm_exchange(c, (rank + d) % size, flags, sizeof *flags, (rank - d + size) % size, &other, sizeof other,
                                "agreement on what to do next"));
        *flags |= other;
    }
done:
    return rc;
}

/* ---- agreeing on an outcome ---- */

typedef struct verdict {
    int32_t code, rank;   /* of the rank whose failure counts */
    int32_t own, broken;  /* own: the failure began there; broken: some rank was interrupted, or is elsewhere */
    int32_t place;
    char text[UM_NOTICE_TEXT];
} verdict;

static bool worse(const verdict *a, const verdict *b)
{
    if ((a->code != UM_OK) != (b->code != UM_OK))
        return a->code != UM_OK;
    return a->own > b->own || (a->own == b->own && a->rank < b->rank);
}

/* To rank 0, which says what holds. */
static um_status settle(um_comm *c, verdict *v)
{
    um_status rc = UM_OK;
    static const char what[] = "agreement on the outcome";
    for (int r = 1; c->rank == 0 && r < c->size; r++) {
        verdict other;
        UM_TRY(um_comm_link_exchange(c, UM_TAG_AGREE, -1, NULL, 0, r, &other, sizeof other, what));
        int32_t broken = v->broken || other.broken || v->place != other.place;
        if (worse(&other, v))
            *v = other;
        v->broken = broken;
    }
    if (c->rank != 0)
        UM_TRY(um_comm_link_exchange(c, UM_TAG_AGREE, 0, v, sizeof *v, 0, v, sizeof *v, what));
    for (int r = 1; c->rank == 0 && r < c->size; r++)
        UM_TRY(um_comm_link_exchange(c, UM_TAG_AGREE, r, v, sizeof *v, -1, NULL, 0, what));
done:
    return rc;
}

um_status um_comm_agree_at(um_comm *c, um_status outcome, int place)
{
    um_status rc = UM_OK;
    verdict v = {.code = (int32_t)outcome, .rank = um_comm_rank(c), .own = outcome != UM_OK && !um_comm_broken(c),
                 .broken = um_comm_broken(c), .place = place};
    if (um_comm_size(c) == 1)
        return outcome;
    if (outcome != UM_OK)
        snprintf(v.text, sizeof v.text, "%s", um_error_text());
    if (v.own) {
        um_notice n = {.round = c->round, .rank = c->rank, .code = v.code};
        memcpy(n.text, v.text, sizeof n.text);
        um_comm_link_notify(c, &n);
    }
    UM_TRY(settle(c, &v));
    c->round++;
    c->given_up = false;
    c->broken = v.broken;
    if (v.code == UM_OK && v.broken)
        rc = um_fail(UM_E_BUG, "the ranks came to different points of the program");
    else if (v.code != UM_OK && v.rank != c->rank)
        rc = um_fail((um_status)v.code, "%s: %s", um_comm_peer(c, v.rank), v.text);
    else
        rc = (um_status)v.code;
done:
    return rc;
}

um_status um_comm_same(um_comm *c, const void *data, size_t bytes, const char *what)
{
    um_status rc = UM_OK;
    void *first = NULL;
    if (um_comm_size(c) == 1)
        return UM_OK;
    UM_TRY(um_alloc(&first, bytes, 1));
    memcpy(first, data, bytes);
    UM_TRY(um_comm_bcast(c, first, bytes, what));
    rc = memcmp(first, data, bytes) == 0 ? UM_OK
                                         : um_fail(UM_E_USAGE,
                                                   "%s are not the same on %s and %s; do all nodes see the same program, "
                                                   "settings and files?",
                                                   what, um_comm_peer(c, c->rank), um_comm_peer(c, 0));
    rc = um_comm_agree(c, rc);
done:
    um_free(first);
    return rc;
}
