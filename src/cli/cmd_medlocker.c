/* umed medlocker: verbs and what they share; train, key, mark. */
#include "cli/medlocker.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/import.h"
#include "train/checkpoint.h"
#include "train/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const um_verb verbs[] = {
    {"train", "train --data DATA.h5 [--model resnet18] [--seed 1] -o MODEL.h5", 0, 0, um_verb_train},
    {"key", "key -o KEY", 0, 0, um_verb_key},
    {"mark",
     "mark --data DATA.h5 --key KEY [--rows all|train|test] [--cam MODEL.h5] [--logo LOGO.png] [--private DIR] [--seed 1] -o OUT.h5 "
     "TARGET.h5...",
     1, UM_TARGETS_MAX, um_verb_mark},
    {"verify", "verify --data OUT.h5 --certificate LIST.h5 --key KEY", 0, 0, um_verb_verify},
    {"recover", "recover --data OUT.h5 (--certificate LIST.h5 | --sealed PART.h5) --key KEY -o CLEAN.h5", 0, 0, um_verb_recover},
    {"seal", "seal --certificate LIST.h5 --key KEY --user NAME [--only image=ID]... -o PART.h5", 0, 0, um_verb_seal},
    {"report", "report --data CLEAN.h5 --test OUT.h5 [--rows all|train|test] [--certificate LIST.h5 --key KEY] MODEL.h5...", 1,
     UM_TARGETS_MAX, um_verb_report},
};

static um_status find_verb(const um_verb **out, const char *name)
{
    const char *names[UM_COUNT(verbs)];
    for (size_t i = 0; i < UM_COUNT(verbs); i++) {
        names[i] = verbs[i].name;
        if (strcmp(name, verbs[i].name) == 0) {
            *out = &verbs[i];
            return UM_OK;
        }
    }
    const char *near = um_text_nearest(name, names, UM_COUNT(verbs));
    return um_fail(UM_E_USAGE, "`umed medlocker` cannot \"%s\"%s%s%s; it can train, key, mark, verify, recover, seal, report", name,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    const um_verb *verb = NULL;
    UM_TRY(find_verb(&verb, cli->v.args.items[0]));
    int nets = (int)cli->v.args.n - 1;
    if (nets < verb->min_nets || nets > verb->max_nets)
        return um_fail(UM_E_USAGE, "%s: umed medlocker %s", nets < verb->min_nets ? "a network is missing" : "too many arguments",
                       verb->usage);
    UM_TRY(verb->run(cli));
done:
    return rc;
}

const um_command um_command_medlocker = {
    .name = "medlocker",
    .summary = "visible adversarial watermarks with certificates",
    .usage = "train|key|mark|verify|recover|seal|report ...",
    .options = "data test model rows private seed key logo certificate user sealed cam only output",
    .groups = "medlocker classifier model metrics run conv data",
    .min_args = 1,
    .max_args = 1 + UM_TARGETS_MAX,
    .computes = true,
    .spreads = true,
    .run = run,
};

/* ---- shared ---- */

um_status um_verb_load_net(um_segmenter **out, um_backend *backend, const char *path, const um_dataset *d, int64_t batch)
{
    um_status rc = UM_OK;
    um_segmenter *s = NULL;
    UM_TRY(um_model_load(&s, backend, path, d->h, d->w, batch));
    if (!s->config.model->classifier)
        UM_TRY(um_fail(UM_E_DATA, "%s holds a %s, which is no classifier", path, s->config.model->name));
    *out = s;
    s = NULL;
done:
    um_segmenter_free(s);
    return rc;
}

um_status um_verb_load_nets(um_targets *out, const um_cli *cli, um_backend *backend, const um_dataset *d, int64_t batch)
{
    um_status rc = UM_OK;
    for (size_t i = 1; i < cli->v.args.n; i++) {
        UM_TRY(um_verb_load_net(&out->net[out->n], backend, cli->v.args.items[i], d, batch));
        out->n++;
    }
done:
    return rc;
}

um_status um_verb_rows(um_rows *out, const um_cli *cli, const um_dataset *d)
{
    um_status rc = UM_OK;
    const um_data_options *o = um_settings_get(cli->settings, "data");
    static const int splits[] = {-1, UM_SPLIT_TRAIN, UM_SPLIT_TEST};
    int which = 0;
    UM_TRY(um_cli_choice(cli->v.rows, "rows", "all train test", &which));
    UM_TRY(um_rows_select(out, d, splits[which], o->limit, (uint64_t)o->split_seed));
done:
    return rc;
}

void um_verb_share(char out[64], int64_t hits, int64_t n)
{
    double w[2];
    um_wilson(w, hits, n);
    snprintf(out, 64, "%lld of %lld, %.2f %% [%.2f, %.2f]", (long long)hits, (long long)n, n ? 100 * (double)hits / (double)n : 0,
             100 * w[0], 100 * w[1]);
}

/* ---- train ---- */

typedef struct training {
    um_backend *backend;
    um_dataset *data;
    um_rows train, test;
    um_segmenter *net;
    um_classify_result result;
    um_text checkpoint;
    const um_model_def *model;
    int64_t seed;
} training;

static void training_clear(training *t)
{
    um_classify_result_free(&t->result);
    um_segmenter_free(t->net);
    um_rows_free(&t->train);
    um_rows_free(&t->test);
    um_dataset_free(t->data);
    um_backend_free(t->backend);
    um_text_free(&t->checkpoint);
}

static um_status training_prepare(training *t, um_cli *cli)
{
    um_status rc = UM_OK;
    const um_cli_values *v = &cli->v;
    const um_data_options *o = um_settings_get(cli->settings, "data");
    UM_TRY(um_cli_need(v->data, "--data DATA.h5", cli->command));
    UM_TRY(um_cli_need(v->output, "-o MODEL.h5", cli->command));
    UM_TRY(um_model_find(&t->model, v->model ? v->model : "resnet18"));
    t->seed = v->seed >= 0 ? v->seed : 1;
    UM_TRY(um_text_add(&t->checkpoint, "%s.ckpt.h5", v->output));
    UM_TRY(um_cli_check_output(v->output));
    UM_TRY(um_cli_backend(cli, &t->backend));
    UM_TRY(um_dataset_read(&t->data, v->data));
    UM_TRY(um_rows_select(&t->train, t->data, UM_SPLIT_TRAIN, o->limit, (uint64_t)o->split_seed));
    UM_TRY(um_rows_select(&t->test, t->data, UM_SPLIT_TEST, o->limit, (uint64_t)o->split_seed));
done:
    return rc;
}

static void print_scores(const char *side, const um_class_scores *s)
{
    char share[64];
    um_verb_share(share, s->hits, s->n);
    printf("%s accuracy %s, largest class %.2f %%, per class", side, share, 100 * s->majority);
    for (int k = 0; k < s->classes; k++)
        printf(" %lld/%lld", (long long)s->class_hits[k], (long long)s->class_n[k]);
    printf("\n");
}

um_status um_verb_train(um_cli *cli)
{
    um_status rc = UM_OK;
    training t = {0};
    rc = training_prepare(&t, cli);
    UM_TRY(um_comm_agree(cli->comm, rc));
    UM_TRY(um_cli_sums(cli, t.backend));
    UM_TRY(um_classify_run(&t.net, &t.result,
                           &(um_classify_job){.settings = cli->settings,
                                              .backend = t.backend,
                                              .model = t.model,
                                              .data = t.data,
                                              .train_rows = &t.train,
                                              .test_rows = &t.test,
                                              .seed = (uint64_t)t.seed,
                                              .checkpoint = um_text_get(&t.checkpoint),
                                              .label = t.model->name,
                                              .comm = cli->comm}));
    if (um_comm_leads(cli->comm)) {
        const um_classify_options *o = um_settings_get(cli->settings, "classifier");
        rc = um_model_save(t.net, cli->v.output, o->epochs, (uint64_t)t.seed);
        if (rc == UM_OK)
            um_saver_remove(um_text_get(&t.checkpoint));
    }
    UM_TRY(um_comm_agree(cli->comm, rc));
    if (!um_comm_leads(cli->comm))
        goto done;
    um_log(UM_LOG_INFO, "%s written in %.1f s", cli->v.output, t.result.seconds);
    printf("network %s weights %s\n", t.model->name, t.result.weights_sha256);
    print_scores("train", &t.result.train);
    print_scores("test", &t.result.test);
done:
    um_cli_sums_end(cli);
    training_clear(&t);
    return rc;
}

um_status um_verb_key(um_cli *cli)
{
    um_status rc = UM_OK;
    UM_TRY(um_cli_need(cli->v.output, "-o KEY", cli->command));
    if (um_comm_leads(cli->comm))
        UM_TRY(um_secret_create(cli->v.output));
done:
    return rc;
}

/* ---- mark ---- */

typedef struct marking {
    um_backend *backend;
    um_dataset *data, *out;
    um_rows rows;
    um_targets targets;
    um_segmenter *cam, *lesions;
    um_logo logo;
    um_secret key;
    um_mark *marks;
    um_certificate list;
    um_cli_side side;
    char *table;
    um_text name;
    um_mark_job job;
} marking;

static void marking_clear(marking *m)
{
    um_certificate_free(&m->list);
    um_secret_wipe(&m->key);
    um_logo_clear(&m->logo);
    um_targets_free(&m->targets);
    um_segmenter_free(m->cam);
    um_segmenter_free(m->lesions);
    um_rows_free(&m->rows);
    um_dataset_free(m->data);
    um_dataset_free(m->out);
    um_backend_free(m->backend);
    um_free(m->marks);
    um_cli_side_clear(&m->side);
    um_free(m->table);
    um_text_free(&m->name);
}

/* "idrid" of "data/idrid.h5". */
static um_status dataset_name(um_text *out, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash && slash[1] ? slash + 1 : path, *dot = strrchr(base, '.');
    return um_text_add(out, "%.*s", dot && dot > base ? (int)(dot - base) : (int)strlen(base), base);
}

static um_status marking_paths(marking *m, um_cli *cli)
{
    um_status rc = UM_OK;
    const um_cli_values *v = &cli->v;
    UM_TRY(um_cli_need(v->data, "--data DATA.h5", cli->command));
    UM_TRY(um_cli_need(v->key, "--key KEY", cli->command));
    UM_TRY(um_cli_need(v->output, "-o OUT.h5", cli->command));
    UM_TRY(um_cli_check_output(v->output));
    UM_TRY(um_cli_side_open(&m->side, v, "certificate.h5", "marks.ckpt.h5"));
    UM_TRY(um_path_join(&m->table, m->side.dir, "marks.csv"));
    UM_TRY(um_cli_side_check(&m->side, "it removes the marks of another release"));
    UM_TRY(um_secret_read(&m->key, v->key));
    UM_TRY(um_cli_backend(cli, &m->backend));
done:
    return rc;
}

static um_status marking_load(marking *m, um_cli *cli)
{
    um_status rc = UM_OK;
    const um_medlocker_options *o = um_settings_get(cli->settings, "medlocker");
    int64_t batch = o->population > 64 ? o->population : 64;
    UM_TRY(um_dataset_read(&m->data, cli->v.data));
    UM_TRY(um_verb_rows(&m->rows, cli, m->data));
    UM_TRY(um_verb_load_nets(&m->targets, cli, m->backend, m->data, batch));
    UM_TRY(um_targets_prepare(&m->targets, m->backend, o));
    if (cli->v.cam)
        UM_TRY(um_verb_load_net(&m->cam, m->backend, cli->v.cam, m->data, 1));
    if (o->wsm)
        UM_TRY(um_lesion_net_load(&m->lesions, m->backend, o, m->data));
    UM_TRY(um_logo_read(&m->logo, cli->v.logo ? cli->v.logo : ""));
    UM_TRY(UM_NEW_ARRAY(m->marks, m->rows.n));
    UM_TRY(dataset_name(&m->name, cli->v.data));
    m->job = (um_mark_job){.settings = cli->settings,
                           .backend = m->backend,
                           .targets = &m->targets,
                           .cam = m->cam,
                           .lesions = m->lesions,
                           .data = m->data,
                           .rows = &m->rows,
                           .logo = &m->logo,
                           .key = &m->key,
                           .seed = (uint64_t)(cli->v.seed >= 0 ? cli->v.seed : 1),
                           .dataset_name = um_text_get(&m->name),
                           .checkpoint = m->side.state,
                           .label = "mark",
                           .comm = cli->comm};
done:
    return rc;
}

/* One line per image, for tables and figures. */
static um_status write_table(const marking *m)
{
    um_status rc = UM_OK;
    um_text t = {0};
    static const char *const states[] = {"strict", "relaxed", "none"}, *const sources[UM_LESIONS_COUNT] = {"mask", "cam", "unknown",
                                                                                                           "net"};
    UM_TRY(um_text_add(&t, "image,label,alpha,y,x,ratio,wsm,lesions,margin_before,margin_after,forwards,lesion_change\n"));
    for (int64_t i = 0; i < m->rows.n; i++) {
        const um_mark *q = &m->marks[i];
        int64_t row = m->rows.index[i];
        UM_TRY(um_text_add(&t, "\"%s\",%d,%d,%lld,%lld,%g,%s,%s,%.9g,%.9g,%lld,%g\n", m->data->ids[row], m->data->labels[row],
                           q->theta.alpha, (long long)q->theta.y, (long long)q->theta.x, q->ratio, states[q->state],
                           sources[q->source], q->before, q->after, (long long)q->forwards, q->lesion_change));
    }
    UM_TRY(um_file_write(m->table, t.data, t.n));
done:
    um_text_free(&t);
    return rc;
}

/* The owner's side first: a release never exists without the means to undo it. */
static um_status marking_commit(marking *m, const um_cli *cli)
{
    um_status rc = UM_OK;
    if (um_file_exists(m->side.held))
        unlink(m->side.held); /* of this marking, killed before the release stood */
    UM_TRY(um_mark_apply(&m->out, &m->job, m->marks));
    UM_TRY(um_mark_certify(&m->list, &m->job, m->marks, m->out));
    UM_TRY(um_certificate_write(&m->list, m->side.held));
    UM_TRY(write_table(m));
    UM_TRY(um_dataset_write(m->out, cli->v.output, &(um_dataset_write_options){.released = true}));
    unlink(m->side.state);
done:
    return rc;
}

static um_status print_marks(const marking *m, const um_cli *cli)
{
    um_status rc = UM_OK;
    int64_t state[3] = {0}, source[UM_LESIONS_COUNT] = {0}, right = 0, broken = 0, forwards = 0;
    double alpha = 0, change = 0;
    char share[64], root[65];
    um_visibility seen = {0};
    for (int64_t i = 0; i < m->rows.n; i++) {
        const um_mark *q = &m->marks[i];
        state[q->state]++, source[q->source]++;
        right += q->before > 0, broken += q->before > 0 && q->after < 0;
        forwards += q->forwards, alpha += q->theta.alpha;
        change = q->state == UM_WSM_STRICT ? fmax(change, q->lesion_change) : change;
    }
    um_verb_share(share, broken, right);
    um_hex(root, m->list.root, 32);
    printf(
        "images %lld\nstrict %lld relaxed %lld none %lld\nlesions from masks %lld, from a lesion network %lld, from Grad-CAM %lld, unknown %lld\n",
        (long long)m->rows.n, (long long)state[0], (long long)state[1], (long long)state[2], (long long)source[UM_LESIONS_MASK],
        (long long)source[UM_LESIONS_NET], (long long)source[UM_LESIONS_CAM], (long long)source[UM_LESIONS_UNKNOWN]);
    printf("broken %s\nforwards_per_image %.1f\nmean_alpha %.2f\nlesion_change_levels %.0f\n", share,
           (double)forwards / (double)m->rows.n, alpha / (double)m->rows.n, change);
    UM_TRY(um_visibility_measure(&seen, m->data, m->out, &m->rows, um_settings_get(cli->settings, "metrics")));
    printf("psnr_db %.3f\nssim %.5f\nroot %s\n", seen.psnr, seen.ssim, root);
done:
    um_visibility_free(&seen);
    return rc;
}

um_status um_verb_mark(um_cli *cli)
{
    um_status rc = UM_OK;
    marking m = {0};
    rc = marking_paths(&m, cli);
    if (rc == UM_OK)
        rc = marking_load(&m, cli);
    if (rc == UM_OK && um_comm_leads(cli->comm))
        rc = um_dir_make(m.side.dir, 0700);
    UM_TRY(um_comm_agree(cli->comm, rc));
    UM_TRY(um_mark_search(m.marks, &m.job));
    if (um_comm_leads(cli->comm)) {
        rc = marking_commit(&m, cli);
        if (rc == UM_OK)
            rc = print_marks(&m, cli);
    }
    UM_TRY(um_comm_agree(cli->comm, rc));
    if (um_comm_leads(cli->comm))
        um_log(UM_LOG_INFO, "%s written; keep %s to yourself, it removes the marks", cli->v.output, m.side.dir);
done:
    marking_clear(&m);
    return rc;
}
