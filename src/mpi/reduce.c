/* Sums over the ranks in the order of one binary tree.
 *
 * With P = 2^k ranks, rank r and rank r ^ d add what they have at distance d = 1, 2, 4, ...: after the last distance everybody has
 * ((x0 + x1) + (x2 + x3)) + ..., which is um_tree_sum's order, and since a + b = b + a in floating point, everybody has the same
 * bits. Long vectors are halved on the way (each of a pair finishes one half) and collected backwards, which moves 2 (P-1)/P of the
 * vector instead of log2 P of it: Rabenseifner's algorithm with the distances doubled. When P is not a power of two, the ranks too
 * many first hand their values to their left neighbours: a fixed order too, but not that of the tree.
 *
 * Vectors pass in buckets that stay in the cache. */
#include "base/mem.h"
#include "mpi/comm_internal.h"

enum { BUCKET_BYTES = 1 << 20, WHOLE_BELOW = 1024 /* elements: below, latency costs more than bytes */ };

static um_status add_on_host(void *self, void *to, const void *from, um_dtype type, int64_t n)
{
    (void)self;
    if (type == UM_F64)
        for (int64_t i = 0; i < n; i++)
            ((double *)to)[i] += ((const double *)from)[i];
    else
        for (int64_t i = 0; i < n; i++)
            ((float *)to)[i] += ((const float *)from)[i];
    return UM_OK;
}

static um_status exchange_on_host(void *self, int to, const void *give, size_t n_give, int from, void *take, size_t n_take, const char *what)
{
    return um_comm_exchange(self, to, give, n_give, from, take, n_take, what);
}

/* The 2^k ranks that add, numbered 0 .. p-1, and how to find them: the first `paired` of them stand for two ranks each. */
typedef struct tree {
    int p, id, paired;
} tree;

static int rank_of(const tree *t, int id)
{
    return id < t->paired ? 2 * id : id + t->paired;
}

static tree tree_of(const um_comm *c)
{
    tree t = {.p = 1};
    while (2 * t.p <= c->size)
        t.p *= 2;
    t.paired = c->size - t.p;
    t.id = c->rank < 2 * t.paired ? c->rank / 2 : c->rank - t.paired;
    return t;
}

typedef struct bucket {
    const um_comm *c;
    const um_sum_way *way;
    char *data;
    um_dtype type;
    size_t size; /* of an element */
    int64_t n;
    const char *what;
} bucket;

static um_status trade(const bucket *b, int rank, int64_t give, int64_t n_give, int64_t take, int64_t n_take, bool adds)
{
    um_status rc = UM_OK;
    const um_sum_way *way = b->way;
    char *to = adds ? way->scratch : b->data + (size_t)take * b->size;
    UM_TRY(way->exchange(way->self, rank, b->data + (size_t)give * b->size, (size_t)n_give * b->size, rank, to,
                         (size_t)n_take * b->size, b->what));
    if (adds)
        UM_TRY(way->add(way->self, b->data + (size_t)take * b->size, to, b->type, n_take));
done:
    return rc;
}

static um_status sum_whole(const bucket *b, const tree *t)
{
    um_status rc = UM_OK;
    for (int d = 1; d < t->p; d *= 2)
        UM_TRY(trade(b, rank_of(t, t->id ^ d), 0, b->n, 0, b->n, true));
done:
    return rc;
}

/* On the way down [begin, begin + n) is what this rank finishes; on the way back the pair exchanges halves. */
static um_status sum_halves(const bucket *b, const tree *t, int d, int64_t begin, int64_t n)
{
    um_status rc = UM_OK;
    if (d == t->p)
        return UM_OK;
    int64_t left = n / 2, right = n - left;
    bool low = (t->id & d) == 0;
    int64_t mine = low ? begin : begin + left, n_mine = low ? left : right, other = low ? begin + left : begin,
            n_other = low ? right : left;
    int rank = rank_of(t, t->id ^ d);
    UM_TRY(trade(b, rank, other, n_other, mine, n_mine, true));
    UM_TRY(sum_halves(b, t, 2 * d, mine, n_mine));
    UM_TRY(trade(b, rank, mine, n_mine, other, n_other, false));
done:
    return rc;
}

static um_status sum_bucket(const bucket *b)
{
    um_status rc = UM_OK;
    const um_sum_way *way = b->way;
    tree t = tree_of(b->c);
    size_t bytes = (size_t)b->n * b->size;
    int rank = b->c->rank;
    bool paired = rank < 2 * t.paired, gives = paired && rank % 2 == 1;
    if (gives) {
        UM_TRY(way->exchange(way->self, rank - 1, b->data, bytes, -1, NULL, 0, b->what));
        UM_TRY(way->exchange(way->self, -1, NULL, 0, rank - 1, b->data, bytes, b->what));
        goto done;
    }
    if (paired) {
        UM_TRY(way->exchange(way->self, -1, NULL, 0, rank + 1, way->scratch, bytes, b->what));
        UM_TRY(way->add(way->self, b->data, way->scratch, b->type, b->n));
    }
    UM_TRY(b->n < WHOLE_BELOW ? sum_whole(b, &t) : sum_halves(b, &t, 1, 0, b->n));
    if (paired)
        UM_TRY(way->exchange(way->self, rank + 1, b->data, bytes, -1, NULL, 0, b->what));
done:
    return rc;
}

um_status um_comm_sum_by(const um_comm *c, const um_sum_way *way, void *data, um_dtype type, int64_t n, const char *what)
{
    um_status rc = UM_OK;
    bucket b = {.c = c, .way = way, .type = type, .size = um_dtype_bytes(type), .what = what};
    int64_t most = (int64_t)(way->room / b.size);
    if (um_comm_size(c) == 1)
        return UM_OK;
    for (int64_t at = 0; at < n; at += most) {
        b.data = (char *)data + (size_t)at * b.size;
        b.n = n - at < most ? n - at : most;
        UM_TRY(sum_bucket(&b));
    }
done:
    return rc;
}

um_status um_comm_sum(um_comm *c, void *data, um_dtype type, int64_t n, const char *what)
{
    um_status rc = UM_OK;
    if (um_comm_size(c) == 1)
        return UM_OK;
    if (!c->scratch)
        UM_TRY(um_alloc((void **)&c->scratch, 1, BUCKET_BYTES));
    um_sum_way way = {exchange_on_host, add_on_host, c, c->scratch, BUCKET_BYTES};
    UM_TRY(um_comm_sum_by(c, &way, data, type, n, what));
done:
    return rc;
}
