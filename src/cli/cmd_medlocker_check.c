/* umed medlocker: verify, recover, seal, report. One rank works on lists; report shares its images. */
#include "cli/medlocker.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/import.h"

#include <stdio.h>
#include <string.h>

um_status um_verb_certificate(um_certificate *out, um_secret *key, const um_cli *cli)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    UM_TRY(um_cli_need(cli->v.certificate, "--certificate LIST.h5", cli->command));
    UM_TRY(um_cli_need(cli->v.key, "--key KEY", cli->command));
    UM_TRY(um_secret_read(key, cli->v.key));
    UM_TRY(um_certificate_read(&c, cli->v.certificate));
    UM_TRY(um_certificate_verify(&c, key));
    *out = c;
    c = (um_certificate){0};
done:
    um_certificate_free(&c);
    return rc;
}

static um_bytes bytes_of(um_dataset *d, int64_t row)
{
    return (um_bytes){(uint8_t *)d->images + row * d->h * d->w * d->c, d->h, d->w, d->c};
}

static um_status one_rank(const um_cli *cli)
{
    if (um_comm_size(cli->comm) > 1)
        return um_fail(UM_E_USAGE, "`umed medlocker %s` works on one rank", cli->v.args.items[0]);
    return UM_OK;
}

/* ---- verify ---- */

typedef enum presence { PRESENT_EXACTLY, PRESENT, ABSENT, IMPOSSIBLE, N_PRESENCE } presence;

static um_status look(presence *out, um_dataset *d, int64_t row, const um_certificate *c, int64_t record)
{
    um_status rc = UM_OK;
    const um_record *r = &c->records[record];
    um_bytes image = bytes_of(d, row);
    um_detect_result found;
    char sha256[UM_SHA256_HEX];
    um_bytes_sha256(&image, sha256);
    *out = PRESENT_EXACTLY;
    if (strcmp(sha256, r->marked) == 0)
        return UM_OK;
    UM_TRY(um_detect(&found, &image, um_certificate_logo(c, record), &r->theta, (um_opacity_rule)r->rule, um_text_hash(r->image)));
    *out = found.verdict == UM_DETECT_PRESENT ? PRESENT : found.verdict == UM_DETECT_ABSENT ? ABSENT : IMPOSSIBLE;
done:
    return rc;
}

um_status um_verb_verify(um_cli *cli)
{
    static const char *const words[] = {"exact", "altered, mark present", "ABSENT", "undetectable"};
    um_status rc = UM_OK;
    um_secret key = {{0}};
    um_certificate c = {0};
    um_dataset *d = NULL;
    int64_t count[N_PRESENCE] = {0}, without = 0;
    UM_TRY(one_rank(cli));
    UM_TRY(um_cli_need(cli->v.data, "--data OUT.h5", cli->command));
    UM_TRY(um_verb_certificate(&c, &key, cli));
    UM_TRY(um_dataset_read(&d, cli->v.data));
    printf("list good: %lld certificates, all serials different, signed with this key\n", (long long)c.n);
    for (int64_t i = 0; i < d->n; i++) {
        presence p;
        int64_t record = um_certificate_find(&c, d->ids[i]);
        if (record < 0) {
            without++;
            continue;
        }
        UM_TRY(look(&p, d, i, &c, record));
        count[p]++;
        if (p != PRESENT_EXACTLY)
            printf("%s: %s\n", d->ids[i], words[p]);
    }
    printf("images %lld\nexact %lld\naltered %lld\nabsent %lld\nundetectable %lld\nwithout_certificate %lld\n", (long long)d->n,
           (long long)count[0], (long long)count[1], (long long)count[2], (long long)count[3], (long long)without);
    if (count[ABSENT])
        rc = um_fail(UM_E_PARTIAL, "%s: %lld of %lld certified images do not carry their mark", cli->v.data,
                     (long long)count[ABSENT], (long long)(d->n - without));
done:
    um_secret_wipe(&key);
    um_certificate_free(&c);
    um_dataset_free(d);
    return rc;
}

/* ---- recover ---- */

static um_status open_list(um_certificate *out, const um_cli *cli)
{
    um_status rc = UM_OK;
    um_secret key = {{0}};
    if (!cli->v.sealed) {
        UM_TRY(um_verb_certificate(out, &key, cli));
        goto done;
    }
    UM_TRY(um_cli_need(cli->v.key, "--key KEY", cli->command));
    UM_TRY(um_secret_read(&key, cli->v.key));
    UM_TRY(um_certificate_unseal(out, &key, cli->v.sealed));
done:
    um_secret_wipe(&key);
    return rc;
}

/* The record of an image: lists are sorted, sealed parts need not be. */
static int64_t record_of(const um_certificate *c, const char *id)
{
    um_record wanted = {0};
    if (um_record_set_names(&wanted, "x", id) != UM_OK)
        return -1;
    for (int64_t i = 0; i < c->n; i++)
        if (strcmp(c->records[i].image, wanted.image) == 0)
            return i;
    return -1;
}

um_status um_verb_recover(um_cli *cli)
{
    um_status rc = UM_OK;
    um_certificate c = {0};
    um_dataset *d = NULL;
    int64_t n_exact = 0, n_matches = 0, n_approx = 0, without = 0;
    UM_TRY(one_rank(cli));
    UM_TRY(um_cli_need(cli->v.data, "--data OUT.h5", cli->command));
    UM_TRY(um_cli_need(cli->v.output, "-o CLEAN.h5", cli->command));
    UM_TRY(um_cli_check_output(cli->v.output));
    UM_TRY(open_list(&c, cli));
    UM_TRY(um_dataset_read(&d, cli->v.data));
    if (d->bits != 8)
        UM_TRY(um_fail(UM_E_DATA, "%s: images of %d bit; marks are on 8-bit images", cli->v.data, d->bits));
    for (int64_t i = 0; i < d->n; i++) {
        int64_t record = record_of(&c, d->ids[i]);
        bool exact = false, matches = false;
        um_bytes image = bytes_of(d, i);
        if (record < 0) {
            without++;
            continue;
        }
        UM_TRY(um_recover_image(&image, &c, record, &exact, &matches));
        n_exact += exact, n_approx += !exact, n_matches += matches;
    }
    UM_TRY(um_dataset_write(d, cli->v.output, &(um_dataset_write_options){.released = true}));
    printf("images %lld\nexact %lld\napproximate %lld\nequal_to_clean %lld\nwithout_certificate %lld\n", (long long)d->n,
           (long long)n_exact, (long long)n_approx, (long long)n_matches, (long long)without);
done:
    um_certificate_free(&c);
    um_dataset_free(d);
    return rc;
}

/* ---- seal ---- */

/* --only image=ID, or all. */
static um_status choose(int64_t **rows, int64_t *n, const um_certificate *c, const um_cli_list *only)
{
    um_status rc = UM_OK;
    int64_t *list = NULL, m = only->n ? (int64_t)only->n : c->n;
    UM_TRY(UM_NEW_ARRAY(list, m));
    for (int64_t i = 0; i < m; i++) {
        const char *id = only->n ? only->items[i] : NULL;
        if (id && strncmp(id, "image=", 6) != 0)
            UM_TRY(um_fail(UM_E_USAGE, "--only %s: expected image=ID", id));
        list[i] = id ? um_certificate_find(c, id + 6) : i;
        if (list[i] < 0)
            UM_TRY(um_fail(UM_E_USAGE, "--only %s: the list has no such image", id));
    }
    *rows = list;
    *n = m;
    list = NULL;
done:
    um_free(list);
    return rc;
}

um_status um_verb_seal(um_cli *cli)
{
    um_status rc = UM_OK;
    um_secret key = {{0}}, user = {{0}};
    um_certificate c = {0};
    um_text user_key = {0};
    int64_t *rows = NULL, n = 0;
    UM_TRY(one_rank(cli));
    UM_TRY(um_cli_need(cli->v.user, "--user NAME", cli->command));
    UM_TRY(um_cli_need(cli->v.output, "-o PART.h5", cli->command));
    UM_TRY(um_cli_check_output(cli->v.output));
    UM_TRY(um_text_add(&user_key, "%s.key", cli->v.output));
    UM_TRY(um_cli_check_output(um_text_get(&user_key)));
    UM_TRY(um_verb_certificate(&c, &key, cli));
    UM_TRY(choose(&rows, &n, &c, &cli->v.only));
    UM_TRY(um_certificate_seal(&c, &key, cli->v.user, rows, n, cli->v.output));
    UM_TRY(um_certificate_user_key(&user, &key, cli->v.user));
    UM_TRY(um_secret_write(&user, um_text_get(&user_key)));
    um_log(UM_LOG_INFO, "%s holds %lld records for %s; hand over %s by another way", cli->v.output, (long long)n, cli->v.user,
           um_text_get(&user_key));
done:
    um_free(rows);
    um_text_free(&user_key);
    um_secret_wipe(&key);
    um_secret_wipe(&user);
    um_certificate_free(&c);
    return rc;
}

/* ---- report ---- */

static um_status report_effects(const um_cli *cli, um_targets *nets, const um_dataset *clean, const um_rows *rows,
                                const um_dataset *marked, const char *what)
{
    um_status rc = UM_OK;
    for (int i = 0; i < nets->n; i++) {
        um_effect e;
        char before[64], after[64], asr[64];
        UM_TRY(um_effect_measure(&e, nets->net[i], clean, rows, marked, cli->comm));
        um_verb_share(before, e.right_before, e.n);
        um_verb_share(after, e.right_after, e.n);
        um_verb_share(asr, e.broken, e.right_before);
        if (um_comm_leads(cli->comm))
            printf("%s\t%s\t%s\t%s\t%s\t%s\n", what, cli->v.args.items[i + 1], nets->net[i]->config.model->name, before, after,
                   asr);
    }
done:
    return rc;
}

/* The marked dataset with every certified image brought back. */
static um_status recovered_of(um_dataset **out, const um_dataset *marked, const um_certificate *c)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    UM_TRY(um_dataset_clone(&d, marked));
    for (int64_t i = 0; i < d->n; i++) {
        int64_t record = um_certificate_find(c, d->ids[i]);
        bool exact, matches;
        um_bytes image = bytes_of(d, i);
        if (record >= 0)
            UM_TRY(um_recover_image(&image, c, record, &exact, &matches));
    }
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}

static um_status distorted_of(um_dataset **out, const um_dataset *marked, um_distortion how)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    UM_TRY(um_dataset_clone(&d, marked));
    for (int64_t i = 0; i < d->n; i++) {
        um_bytes image = bytes_of(d, i);
        UM_TRY(um_distort(&image, how));
    }
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}

static um_status report_certificate(const um_cli *cli, um_targets *nets, const um_dataset *clean, const um_rows *rows,
                                    const um_dataset *marked)
{
    enum { OTHERS = 100 }; /* clean images meet so many certificates of others */
    um_status rc = UM_OK;
    um_secret key = {{0}};
    um_certificate c = {0};
    um_dataset *back = NULL;
    um_detection_table t;
    char share[64];
    UM_TRY(um_verb_certificate(&c, &key, cli));
    UM_TRY(recovered_of(&back, marked, &c));
    UM_TRY(report_effects(cli, nets, clean, rows, back, "recovered"));
    UM_TRY(um_detection_measure(&t, &c, clean, marked, OTHERS, cli->comm));
    if (!um_comm_leads(cli->comm))
        goto done;
    printf("\ndetector\timages\tpresent\tundetectable\n");
    for (int d = 0; d < UM_DISTORT_COUNT; d++) {
        int64_t n = t.marked[d][0] + t.marked[d][1] + t.marked[d][2];
        um_verb_share(share, t.marked[d][UM_DETECT_PRESENT], n);
        printf("%s\t%lld\t%s\t%lld\n", um_distortion_name((um_distortion)d), (long long)n, share,
               (long long)t.marked[d][UM_DETECT_IMPOSSIBLE]);
    }
    int64_t n = t.clean[0] + t.clean[1] + t.clean[2];
    um_verb_share(share, t.clean[UM_DETECT_PRESENT], n);
    printf("false positives on clean images x certificates\t%lld\t%s\t%lld\n", (long long)n, share,
           (long long)t.clean[UM_DETECT_IMPOSSIBLE]);
done:
    um_secret_wipe(&key);
    um_certificate_free(&c);
    um_dataset_free(back);
    return rc;
}

um_status um_verb_report(um_cli *cli)
{
    enum { BATCH = 64 };
    um_status rc = UM_OK;
    um_backend *backend = NULL;
    um_dataset *clean = NULL, *marked = NULL, *other = NULL;
    um_rows rows = {0};
    um_targets nets = {0};
    UM_TRY(um_cli_need(cli->v.data, "--data CLEAN.h5", cli->command));
    UM_TRY(um_cli_need(cli->v.test, "--test OUT.h5", cli->command));
    UM_TRY(um_cli_backend(cli, &backend));
    UM_TRY(um_dataset_read(&clean, cli->v.data));
    UM_TRY(um_dataset_read(&marked, cli->v.test));
    if (!clean->labels)
        UM_TRY(um_fail(UM_E_DATA, "%s has no labels", cli->v.data));
    UM_TRY(um_verb_rows(&rows, cli, clean));
    UM_TRY(um_verb_load_nets(&nets, cli, backend, clean, BATCH));
    if (um_comm_leads(cli->comm))
        printf("images\tfile\tnetwork\taccuracy before\tafter\tbroken of the right ones\n");
    UM_TRY(report_effects(cli, &nets, clean, &rows, clean, "clean"));
    UM_TRY(report_effects(cli, &nets, clean, &rows, marked, "marked"));
    for (int d = UM_DISTORT_JPEG90; d < UM_DISTORT_COUNT; d++) {
        UM_TRY(distorted_of(&other, marked, (um_distortion)d));
        UM_TRY(report_effects(cli, &nets, clean, &rows, other, um_distortion_name((um_distortion)d)));
        um_dataset_free(other);
        other = NULL;
    }
    if (cli->v.certificate)
        UM_TRY(report_certificate(cli, &nets, clean, &rows, marked));
done:
    um_rows_free(&rows);
    um_targets_free(&nets);
    um_dataset_free(other);
    um_dataset_free(clean);
    um_dataset_free(marked);
    um_backend_free(backend);
    return rc;
}
