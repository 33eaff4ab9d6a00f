/* Ranks that work together beside ranks that work alone. */
#include "bench/bench.h"
#include "bench/rounds.h"

#include <math.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/threads.h"
#include "mpi/reducer.h"
#include "train/segmenter.h"

static const double TURN_S = 0.3; /* a turn takes several steps where one is shorter */

/* One network, and what it is fed with. */
typedef struct learner {
    um_segmenter *s;
    float *x, *y;
    int64_t batch; /* over all its ranks */
} learner;

typedef struct turns {
    um_comm *comm;
    learner *who;
    int steps;     /* of a turn; 0: not known yet */
    int n;         /* turns so far */
    double mean[UM_BENCH_MAX_ROUNDS + 1], least[UM_BENCH_MAX_ROUNDS + 1]; /* share of every turn that ranks spent in exchanges */
} turns;

static void learner_free(learner *l)
{
    um_segmenter_free(l->s);
    um_free(l->x);
    um_free(l->y);
}

static um_status learner_create(learner *l, const um_bench_job *job, const um_bench_step_job *w, const um_spread *spread,
                                int64_t batch)
{
    um_status rc = UM_OK;
    um_segmenter_config c = {.net = um_model_configure(um_settings_get(job->settings, "model"), w->channels),
                             .h = w->side,
                             .w = w->side,
                             .max_batch = batch,
                             .spread = *spread,
                             .loss = um_loss_attr(um_settings_get(job->settings, "loss")),
                             .adam = {.lr = 1e-4, .b1 = 0.9, .b2 = 0.999, .eps = 1e-8},
                             .seed = 1};
    um_share share;
    int64_t pixels = w->side * w->side;
    *l = (learner){.batch = batch};
    UM_TRY(um_model_find(&c.model, w->model));
    UM_TRY(um_spread_check(spread));
    UM_TRY(um_segmenter_create(&l->s, job->backend, &c));
    UM_TRY(um_params_init(l->s->params, 1, UM_RNG_BENCH));
    um_segmenter_share(l->s, batch, &share);
    UM_TRY(UM_NEW_ARRAY(l->x, share.n * pixels * w->channels));
    UM_TRY(UM_NEW_ARRAY(l->y, share.n * pixels));
    um_rng_fill_uniform(l->x, share.n * pixels * w->channels, 0, 1, 1, UM_RNG_BENCH, (uint64_t)share.first, 0);
    for (int64_t i = 0; i < share.n * pixels; i++)
        l->y[i] = l->x[i * w->channels] < 0.3f;
done:
    return rc;
}

typedef struct over_ranks { double mean, least, most; } over_ranks;

static um_status meet(um_comm *comm, double value, over_ranks *out)
{
    um_status rc = UM_OK;
    int size = um_comm_size(comm);
    double *all = NULL;
    int64_t *count = NULL;
    UM_TRY(UM_NEW_ARRAY(all, size));
    UM_TRY(UM_NEW_ARRAY(count, size));
    for (int r = 0; r < size; r++)
        count[r] = 1;
    all[um_comm_rank(comm)] = value;
    UM_TRY(um_comm_gather(comm, all, count, sizeof *all, "times of the ranks"));
    *out = (over_ranks){0, all[0], all[0]};
    for (int r = 0; r < size; r++)
        *out = (over_ranks){out->mean + all[r] / size, fmin(out->least, all[r]), fmax(out->most, all[r])};
done:
    um_free(count);
    um_free(all);
    return rc;
}

static um_status take_steps(turns *t, int steps, double *seconds, double *waited)
{
    um_status rc = UM_OK;
    double loss[3], before;
    over_ranks unused;
    UM_TRY(meet(t->comm, 0, &unused)); /* all begin at once */
    before = um_comm_waited(t->comm);
    double start = um_now();
    for (int k = 0; k < steps; k++)
        UM_TRY(um_segmenter_step(t->who->s, t->who->x, t->who->y, t->who->batch, loss));
    *seconds = um_now() - start;
    *waited = um_comm_waited(t->comm) - before;
done:
    return rc;
}

/* One turn; seconds: of a step of the slowest rank. */
static um_status run_turn(void *payload, double *seconds)
{
    um_status rc = UM_OK;
    turns *t = payload;
    double own = 0, waited = 0;
    over_ranks all;
    if (t->steps == 0) {
        UM_TRY(take_steps(t, 1, &own, &waited)); /* memory is touched for the first time */
        UM_TRY(take_steps(t, 1, &own, &waited));
        UM_TRY(meet(t->comm, own, &all));
        t->steps = all.most < TURN_S ? (int)ceil(TURN_S / all.most) : 1;
    }
    UM_TRY(take_steps(t, t->steps, &own, &waited));
    UM_TRY(meet(t->comm, waited / own, &all));
    t->mean[t->n] = all.mean;
    t->least[t->n++] = all.least;
    UM_TRY(meet(t->comm, own / t->steps, &all));
    *seconds = all.most;
done:
    return rc;
}

/* Whoever took other steps than rank 0 measured something else. */
static um_status check_weights(const learner *l, um_comm *comm)
{
    um_status rc = UM_OK;
    char own[UM_SHA256_HEX];
    UM_TRY(um_params_sha256(l->s->params, own));
    UM_TRY(um_comm_same(comm, own, sizeof own, "weights after steps together"));
done:
    return rc;
}

static um_status add_row(um_text *out, const char *name, const double *values, int n, double factor, const char *unit)
{
    double q[3];
    um_bench_quartiles_of(values, n, q);
    return um_text_add(out, "%-50s %9.4g %9.4g %9.4g %s\n", name, factor * q[1], factor * q[0], factor * q[2], unit);
}

enum { ALONE, TOGETHER, CELLS, WAYS };

/* What ranks know they spent in exchanges. Waits on a device (mpi/reducer.h: nccl) they do not know; whatever these take is in
 * what a step together takes longer than one alone. */
static um_status add_exposed(const um_bench_times *t, const turns *together, bool on_device, um_text *out)
{
    um_status rc = UM_OK;
    double most[UM_BENCH_MAX_ROUNDS];
    for (int r = 0; r < t->n_rounds; r++)
        most[r] = 1 - t->seconds[ALONE][r] / t->seconds[TOGETHER][r];
    if (on_device) {
        UM_TRY(add_row(out, "exposed communication at most: 1 - alone/together", most, t->n_rounds, 100, "%"));
        goto done;
    }
    UM_TRY(add_row(out, "exposed communication, of the step together", together->least + 1, t->n_rounds, 100, "%"));
    UM_TRY(add_row(out, "with waits for slower ranks, mean of the ranks", together->mean + 1, t->n_rounds, 100, "%"));
done:
    return rc;
}

static um_status report(const um_bench_times *t, const turns *turn, int ranks, int64_t batch, bool on_device, um_text *out)
{
    um_status rc = UM_OK;
    double efficiency[UM_BENCH_MAX_ROUNDS], against[UM_BENCH_MAX_ROUNDS], q[3];
    int n = t->n_rounds;
    for (int r = 0; r < n; r++) {
        efficiency[r] = t->seconds[ALONE][r] / t->seconds[TOGETHER][r];
        against[r] = t->seconds[CELLS][r] / (ranks * t->seconds[TOGETHER][r]);
    }
    UM_TRY(um_text_add(out, "%-50s %9s %9s %9s\n", "", "median", "quarter", "quarter"));
    UM_TRY(add_row(out, "alone: a step of every rank by itself", t->seconds[ALONE], n, 1e3, "ms"));
    UM_TRY(add_row(out, "together: a step of all ranks", t->seconds[TOGETHER], n, 1e3, "ms"));
    UM_TRY(add_exposed(t, &turn[TOGETHER], on_device, out));
    UM_TRY(um_text_add(out, "%-50s %9.4g images/s\n", "one cell on all ranks",
                       (double)(ranks * batch) / um_bench_median(t, TOGETHER)));
    UM_TRY(um_text_add(out, "%-50s %9.4g images/s\n", "a cell on every rank, same batch per cell",
                       (double)(ranks * ranks * batch) / um_bench_median(t, CELLS)));
    UM_TRY(add_row(out, "one cell on all ranks / a cell on every rank", against, n, 1, ""));
    um_bench_quartiles_of(efficiency, n, q);
    UM_TRY(um_text_add(out, "weak-scaling efficiency of %d ranks, median of %d rounds (quartiles %.3f to %.3f): %.3fx\n", ranks, n,
                       q[0], q[2], q[1]));
done:
    return rc;
}

um_status um_bench_comm(const um_bench_job *job, const um_bench_step_job *w, um_text *out)
{
    um_status rc = UM_OK;
    const um_run_options *run = um_settings_get(job->settings, "run");
    int ranks = um_comm_size(job->comm);
    um_spread all = um_spread_of(run, job->comm), own = um_spread_of(run, NULL);
    learner l[WAYS] = {0};
    turns turn[WAYS] = {0};
    um_bench_times t;
    const um_reducer *sums = um_comm_reducer(job->comm, job->backend);
    double fma;
    if (ranks == 1)
        return um_fail(UM_E_USAGE, "`umed bench comm` measures several ranks: mpirun -np 2 umed bench comm");
    UM_TRY(learner_create(&l[TOGETHER], job, w, &all, ranks * w->batch));
    UM_TRY(learner_create(&l[CELLS], job, w, &own, ranks * w->batch));
    own.lanes = all.lanes / ranks; /* as many as a rank has of the common batch */
    UM_TRY(learner_create(&l[ALONE], job, w, &own, w->batch));
    UM_TRY(um_text_add(out,
                       "%s, width %lld, %lld channels, %lldx%lld, %lld images per rank, %d ranks on %d hosts, reduce %s, bn %s; ",
                       w->model, (long long)((const um_model_options *)um_settings_get(job->settings, "model"))->base_width,
                       (long long)w->channels, (long long)w->side, (long long)w->side, (long long)w->batch, ranks,
                       um_comm_hosts(job->comm), all.fast ? "fast" : "ordered", all.bn_per_lane ? "lane" : "sync"));
    UM_TRY(um_bench_machine(out, job->backend, &fma));
    UM_TRY(um_text_add(out, "\n"));
    static const char *const names[WAYS] = {"alone", "together", "cells"};
    um_bench_way ways[WAYS];
    for (int i = 0; i < WAYS; i++) {
        turn[i] = (turns){.comm = job->comm, .who = &l[i]};
        ways[i] = (um_bench_way){names[i], run_turn, &turn[i]};
    }
    UM_TRY(um_bench_rounds(&t, ways, WAYS, job->rounds));
    UM_TRY(check_weights(&l[TOGETHER], job->comm));
    UM_TRY(report(&t, turn, ranks, w->batch, sums && um_reducer_path(sums) == UM_REDUCE_NCCL, out));
done:
    for (int i = 0; i < WAYS; i++)
        learner_free(&l[i]);
    return rc;
}
