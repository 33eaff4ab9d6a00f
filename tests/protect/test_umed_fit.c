/* How UMed learns: whose turn it is, that nobody else changes meanwhile, every mode for one cycle, and exact restart. The backend
 * is the CPU's with an eye on the optimiser's calls. */
#include "protect/protect_fixture.h"

/* The three networks in the order of their letters. */
enum { CONTOUR, TEXTURE, SURROGATE, N_NETS };
static const char letters[] = "CTS";

typedef struct snapshot {
    float *values, *buffers;
} snapshot;

/* What the fit under way did so far. */
typedef struct observer {
    um_backend *cpu;
    um_umed *u;
    char turns[64]; /* letters of the networks, one per update */
    int n_turns;
    snapshot last[N_NETS]; /* after the latest update of any network */
    bool surrogate_statistics_move; /* in generator turns */
    int moved;                      /* generator turns in which they did */
} observer;

static observer eye;

static um_params *net_of(int i)
{
    return i == CONTOUR ? eye.u->contour : i == TEXTURE ? eye.u->texture : eye.u->surrogate;
}

static void take_snapshots(void)
{
    for (int i = 0; i < N_NETS; i++) {
        const um_params *p = net_of(i);
        um_free(eye.last[i].values);
        um_free(eye.last[i].buffers);
        assert_ok(UM_NEW_ARRAY(eye.last[i].values, p->n_values));
        assert_ok(UM_NEW_ARRAY(eye.last[i].buffers, p->n_buffers));
        memcpy(eye.last[i].values, p->block[UM_BLOCK_VALUE], (size_t)p->n_values * sizeof(float));
        memcpy(eye.last[i].buffers, p->buffers, (size_t)p->n_buffers * sizeof(float));
    }
}

static bool values_moved(int i)
{
    return memcmp(eye.last[i].values, net_of(i)->block[UM_BLOCK_VALUE], (size_t)net_of(i)->n_values * sizeof(float)) != 0;
}

static bool statistics_moved(int i)
{
    return memcmp(eye.last[i].buffers, net_of(i)->buffers, (size_t)net_of(i)->n_buffers * sizeof(float)) != 0;
}

/* Just before an update of `turn`: no weights moved since the last update, and no statistics of whoever is frozen. */
static void check_frozen(int turn)
{
    for (int i = 0; i < N_NETS && eye.n_turns > 0; i++) {
        bool frozen = (turn == SURROGATE) != (i == SURROGATE);
        assert_false(values_moved(i));
        if (frozen && i == SURROGATE && eye.surrogate_statistics_move)
            eye.moved += statistics_moved(i);
        else if (frozen)
            assert_false(statistics_moved(i));
    }
}

static um_status watched_run(um_backend *b, um_op op, const um_op_call *call)
{
    (void)b;
    if (op != UM_OP_ADAM)
        return eye.cpu->iface->run(eye.cpu, op, call);
    int turn = 0;
    while (turn < N_NETS && call->out[0].data != net_of(turn)->block[UM_BLOCK_VALUE])
        turn++;
    assert_true(turn < N_NETS && eye.n_turns < (int)sizeof eye.turns - 1);
    check_frozen(turn);
    if (eye.n_turns == 0)
        take_snapshots();
    um_status rc = eye.cpu->iface->run(eye.cpu, op, call);
    if (!values_moved(turn))
        fail_msg("update %d, of %c, changes nothing", eye.n_turns + 1, letters[turn]);
    for (int i = 0; i < N_NETS; i++)
        assert_true(i == turn || !values_moved(i));
    eye.turns[eye.n_turns++] = letters[turn];
    take_snapshots();
    return rc;
}

/* A fit of one cycle under watch, in p->state. */
static void watch(protection *p, int64_t channels, const char *const *sets, bool statistics_move)
{
    static um_backend watched;
    static um_backend_iface iface;
    um_umed *u = NULL;
    eye = (observer){.surrogate_statistics_move = statistics_move};
    assert_ok(um_backend_create(&eye.cpu, "cpu", UM_F32));
    watched = *eye.cpu;
    iface = *eye.cpu->iface;
    iface.run = watched_run;
    watched.iface = &iface;
    protection_open(p, &watched, "umed", channels, 8, sets);
    assert_ok(um_umed_create(&u, &p->job));
    eye.u = u;
    assert_ok(um_umed_fit(u, &p->job, &p->curves));
    p->state = u;
}

static void unwatch(protection *p)
{
    for (int i = 0; i < N_NETS; i++) {
        um_free(eye.last[i].values);
        um_free(eye.last[i].buffers);
    }
    protection_close(p);
    um_backend_free(eye.cpu);
}

static void assert_epochs(const um_curves *curves, const char *name, int n, const double *epochs)
{
    const um_curve *c = um_curves_find(curves, name);
    assert_int_equal(c ? c->n : 0, n);
    for (int i = 0; i < n; i++) {
        assert_true(c->x[i] == epochs[i]);
        assert_true(isfinite(c->y[i]) && c->y[i] > 0);
    }
}

typedef struct schedule {
    const char *sets[4];
    const char *turns;
    int n_surrogate, n_generator;
    double surrogate[4], generator[4]; /* epochs of the curves */
} schedule;

static void turns_follow_the_schedule(void **state)
{
    (void)state;
    static const schedule cases[] = {
        {{NULL}, "SSCTCTCTCT", 1, 2, {1}, {2, 3}},
        {{"umed.schedule.order=algorithm1"}, "CTCTCTCTSS", 1, 2, {3}, {1, 2}},
        {{"umed.joint=false"}, "SSCTCTCTCT", 1, 2, {1}, {2, 3}},
        {{"umed.schedule.unit=batch"}, "SCTCTSCTCT", 2, 3, {1, 2}, {1, 2, 3}},
        {{"umed.schedule.unit=batch", "umed.schedule.order=algorithm1"}, "CTCTSCTCTS", 2, 3, {2, 3}, {1, 2, 3}},
        {{"umed.parts=contour"}, "SSCCCC", 1, 2, {1}, {2, 3}},
        {{"umed.parts=texture"}, "SSTTTT", 1, 2, {1}, {2, 3}},
        {{"umed.schedule.cycles=2", "umed.schedule.g_per_s=1"}, "SSCTCTSSCTCT", 2, 2, {1, 3}, {2, 4}},
    };
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        protection p;
        watch(&p, 1, cases[i].sets, false);
        assert_string_equal(eye.turns, cases[i].turns);
        assert_epochs(&p.curves, "surrogate_loss", cases[i].n_surrogate, cases[i].surrogate);
        assert_epochs(&p.curves, "generator_loss", cases[i].n_generator, cases[i].generator);
        unwatch(&p);
    }
}

/* |delta| within the maps that the option asks for, and something to see. */
static void check_support(protection *p)
{
    const um_umed *u = p->state;
    int64_t hw = SIDE * SIDE, c = p->clean->c;
    float contour[SIDE * SIDE], texture[SIDE * SIDE], *delta = protection_delta(p, IMAGES);
    double total = 0;
    for (int64_t row = 0; row < IMAGES; row++) {
        assert_ok(um_umed_bounds(&u->o, p->clean, row, contour, texture));
        for (int64_t i = 0; i < hw * c; i++) {
            float v = fabsf(delta[row * hw * c + i]);
            assert_true(v <= contour[i / c] + texture[i / c]);
            assert_true(contour[i / c] == 0 || texture[i / c] == 0);
            total += (double)v;
        }
    }
    assert_true(total > 0);
    um_free(delta);
    protection_release(p, NULL);
    assert_true(largest_step(p) <= 4);
}

static void every_mode_runs_a_cycle(void **state)
{
    (void)state;
    static const char *const cases[][4] = {
        {"umed.gen.output=box_tanh"},
        {"umed.gen.output=clip_masked", "umed.gen.gain=4/255"},
        {"umed.gen.output=clip_ste"},
        {"umed.gen.output=clip_inward"},
        {"umed.gen.output=tanh_then_clip", "umed.gen.gain=0.01"},
        {"umed.gen.input=x_y"},
        {"umed.joint=false", "umed.gen.input=x_y"},
        {"umed.cdc.mode=theta"},
        {"umed.cdc.mode=none"},
        {"umed.cdc.bottleneck=false"},
        {"umed.image_clip_grad=masked"},
        {"umed.image_clip_grad=ste"},
        {"umed.surrogate_bn_in_g=eval", "model.base_width=4"}, /* at width 2 its untrained ReLUs are dead inside the masks */
        {"umed.generator_bn_in_s=eval"},
        {"export.bn_recalibrate=false"},
        {"umed.parts=contour", "umed.contour.radius=2", "umed.contour.mode=inner"},
        {"umed.parts=texture", "umed.lbp.map=ones"},
        {"umed.lbp.map=var"},
        {"model.up=bilinear"},
        {"model.bias=true"},
        {"model.head=softmax2"},
        {"loss.dice.reduction=batch"},
        {"loss.dice.squared=true", "umed.adam.wd=1e-3"},
    };
    for (size_t i = 0; i < UM_COUNT(cases); i++) {
        protection p;
        print_message("%s\n", cases[i][0]);
        watch(&p, i % 2 ? 3 : 1, cases[i], false);
        check_support(&p);
        unwatch(&p);
    }
}

/* surrogate_bn_in_g = train is the one mode in which a frozen network's statistics move, and only they. */
static void frozen_statistics_move_when_asked(void **state)
{
    (void)state;
    static const char *const sets[] = {"umed.surrogate_bn_in_g=train", NULL};
    protection p;
    watch(&p, 1, sets, true);
    assert_string_equal(eye.turns, "SSCTCTCTCT");
    assert_int_equal(eye.moved, 4); /* once per generator step: seen at the first of its two updates */
    unwatch(&p);
}

/* Recalibration replaces the generators' statistics and nothing else. */
static void recalibration_changes_statistics_only(void **state)
{
    (void)state;
    static const char *const off[] = {"export.bn_recalibrate=false", NULL};
    protection p;
    snapshot with[N_NETS];
    watch(&p, 1, NULL, false);
    for (int i = 0; i < N_NETS; i++) {
        with[i] = eye.last[i];
        assert_false(values_moved(i)); /* since the last update */
        assert_int_equal(statistics_moved(i), i != SURROGATE);
        assert_ok(UM_NEW_ARRAY(with[i].buffers, net_of(i)->n_buffers));
        memcpy(with[i].buffers, net_of(i)->buffers, (size_t)net_of(i)->n_buffers * sizeof(float));
        um_free(eye.last[i].buffers);
        eye.last[i] = (snapshot){0};
    }
    unwatch(&p);
    watch(&p, 1, off, false);
    for (int i = 0; i < N_NETS; i++) {
        assert_memory_equal(with[i].values, net_of(i)->block[UM_BLOCK_VALUE], (size_t)net_of(i)->n_values * sizeof(float));
        assert_int_equal(memcmp(with[i].buffers, net_of(i)->buffers, (size_t)net_of(i)->n_buffers * sizeof(float)) != 0,
                         i != SURROGATE);
        um_free(with[i].values);
        um_free(with[i].buffers);
    }
    unwatch(&p);
}

/* Adds one batch's statistics of the generators (their running buffers under momentum 1) to sums. */
static void add_statistics(um_umed_graph *g, um_umed_feed *feed, const int64_t *pick, int64_t n, double *sums)
{
    um_batch batch;
    um_batch_set(&batch, n, eye.u->spread.lanes);
    um_exec_set_bn_momentum(g->exec, 1);
    assert_ok(um_umed_feed_upload(feed, eye.u, g, pick, n));
    assert_ok(um_exec_run(g->exec, &batch, 0, -1));
    for (int i = CONTOUR; i <= TEXTURE; i++)
        for (int64_t k = 0; k < net_of(i)->n_buffers; k++)
            *sums++ += (double)((const float *)net_of(i)->buffers)[k];
}

/* The statistics that the fit ended with are the mean over the batches of one more epoch. */
static void recalibration_is_a_mean_over_batches(void **state)
{
    (void)state;
    protection p;
    um_umed_graph g = {0};
    um_umed_feed *feed = NULL;
    int64_t order[TRAINED];
    double *sums = NULL;
    float *found = NULL;
    watch(&p, 1, NULL, false);
    int64_t n_contour = eye.u->contour->n_buffers, n = n_contour + eye.u->texture->n_buffers;
    assert_ok(UM_NEW_ARRAY(sums, n));
    assert_ok(UM_NEW_ARRAY(found, n));
    memcpy(found, eye.u->contour->buffers, (size_t)n_contour * sizeof *found);
    memcpy(found + n_contour, eye.u->texture->buffers, (size_t)(n - n_contour) * sizeof *found);
    assert_ok(um_umed_graph_build(&g, eye.u, UM_UMED_RECALIBRATE, BATCH));
    assert_ok(um_umed_graph_ready(&g, eye.u));
    assert_ok(um_umed_feed_create(&feed, eye.u, p.clean, p.rows.index, TRAINED, BATCH));
    assert_ok(um_rows_order(order, &p.rows, p.job.seed, UM_RNG_GENERATOR_ORDER, 3)); /* after epochs 0, 1 and 2 */
    add_statistics(&g, feed, order, BATCH, sums);
    add_statistics(&g, feed, order + BATCH, TRAINED - BATCH, sums);
    for (int64_t k = 0; k < n; k++)
        assert_true(fabs((double)found[k] - sums[k] / STEPS) <= 1e-6 * (1 + fabs(sums[k])));
    um_umed_feed_free(feed);
    um_umed_graph_free(&g);
    um_free(found);
    um_free(sums);
    unwatch(&p);
}

/* The generators learn something: a frozen random surrogate's loss falls under them. */
static void generators_lower_the_loss(void **state)
{
    (void)state;
    static const char *const sets[] = {"umed.schedule.g_per_s=12", "umed.eps=0.5", NULL};
    protection p;
    watch(&p, 1, sets, false);
    const um_curve *c = um_curves_find(&p.curves, "generator_loss");
    assert_true(c->n == 12 && c->y[11] < c->y[0]);
    unwatch(&p);
}

/* Stopped after `stop` updates (0: never), as one process of several. */
static um_status fit_share(protection *p, stopping_backend *b, const char *const *sets, const char *checkpoint, long stop)
{
    protection_open(p, &b->backend, "umed", 1, 8, sets);
    p->job.checkpoint = checkpoint;
    stop_at(stop);
    um_status rc = p->def->fit(&p->job, &p->state, &p->curves);
    stop_at(0);
    return rc;
}

static void stopped_fits_release_the_same(void **state)
{
    (void)state;
    static const char *const cases[][3] = {{"umed.schedule.cycles=2"}, {"umed.schedule.unit=batch", "umed.joint=false"},
                                            {"umed.starts=3", "umed.schedule.g_per_s=1"}};
    static const long stops[] = {1, 2, 3, 6};
    stopping_backend b;
    stopping_open(&b, UM_F32);
    for (size_t k = 0; k < UM_COUNT(cases); k++) {
        protection alone, part;
        assert_ok(fit_share(&alone, &b, cases[k], NULL, 0));
        protection_release(&alone, NULL);
        for (size_t i = 0; i < UM_COUNT(stops); i++) {
            assert_int_equal(fit_share(&part, &b, cases[k], at("umed.h5"), stops[i]), UM_E_STOPPED);
            assert_null(part.state);
            protection_close(&part);
            assert_int_equal(fit_share(&part, &b, cases[k], at("umed.h5"), 1), UM_E_STOPPED); /* and once more */
            protection_close(&part);
            assert_ok(fit_share(&part, &b, cases[k], at("umed.h5"), 0));
            protection_release(&part, NULL);
            assert_same_images(alone.released, part.released);
            assert_same_curves(&alone.curves, &part.curves);
            protection_close(&part);
            assert_true(um_file_exists(at("umed.h5")));
            um_saver_remove(at("umed.h5"));
        }
        protection_close(&alone);
    }
    stopping_close(&b);
}

static int widest_gap(const um_curves *curves)
{
    const um_curve *clean = um_curves_find(curves, "reliance_clean_loss"), *perturbed = um_curves_find(curves, "reliance_protected_loss");
    double widest = -INFINITY;
    int at = 0;
    for (int k = 0; k < clean->n; k++)
        if (clean->y[k] - perturbed->y[k] > widest) {
            widest = clean->y[k] - perturbed->y[k];
            at = k;
        }
    return at;
}

/* Nothing relies on anything after one cycle: all starts are made, and the networks of the widest gap are taken. */
static void best_start_is_taken(void **state)
{
    (void)state;
    stopping_backend b;
    char hash[5][65];
    int at_best = 0;
    stopping_open(&b, UM_F32);
    for (int starts = 1; starts <= 4; starts++) {
        protection p;
        char text[32];
        snprintf(text, sizeof text, "umed.starts=%d", starts);
        assert_ok(fit_share(&p, &b, (const char *const[]){text, "umed.schedule.g_per_s=1", NULL}, NULL, 0));
        const um_curve *clean = um_curves_find(&p.curves, "reliance_clean_loss");
        assert_int_equal(clean->n, starts);
        for (int k = 1; k < starts; k++)
            assert_true(clean->y[k] != clean->y[k - 1]);
        assert_ok(um_params_sha256(((um_umed *)p.state)->surrogate, hash[starts]));
        if (widest_gap(&p.curves) == starts - 1)
            at_best = starts;
        protection_close(&p);
    }
    for (int starts = at_best; starts <= 4; starts++) /* no later start was better */
        assert_string_equal(hash[starts], hash[at_best]);
    for (int starts = 1; starts < at_best; starts++)
        assert_string_not_equal(hash[starts], hash[at_best]);
    stopping_close(&b);
}

/* A checkpoint of other settings, data or seed is another run's: the fit starts anew. */
static void other_runs_start_anew(void **state)
{
    (void)state;
    static const char *const other[] = {"umed.adam.lr=1e-3", NULL};
    stopping_backend b;
    protection alone, part;
    stopping_open(&b, UM_F32);
    assert_ok(fit_share(&alone, &b, other, NULL, 0));
    protection_release(&alone, NULL);
    assert_int_equal(fit_share(&part, &b, NULL, at("umed.h5"), 3), UM_E_STOPPED);
    protection_close(&part);
    assert_ok(fit_share(&part, &b, other, at("umed.h5"), 0));
    protection_release(&part, NULL);
    assert_same_images(alone.released, part.released);
    protection_close(&part);
    protection_close(&alone);
    stopping_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(turns_follow_the_schedule),         FIXTURE_TEST(every_mode_runs_a_cycle),
        FIXTURE_TEST(frozen_statistics_move_when_asked), FIXTURE_TEST(recalibration_changes_statistics_only),
        FIXTURE_TEST(recalibration_is_a_mean_over_batches),
        FIXTURE_TEST(generators_lower_the_loss),         FIXTURE_TEST(stopped_fits_release_the_same),
        FIXTURE_TEST(other_runs_start_anew),             FIXTURE_TEST(best_start_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
