#include "grid/locker_choice.h"

#include "base/mem.h"
#include "grid/plan_internal.h"

#include <stdio.h>
#include <string.h>

static um_status unknown(const char *what, const char *name, const char *const *names, size_t n, const char *where)
{
    um_status rc = UM_OK;
    um_text known = {0};
    const char *near = um_text_nearest(name, names, n);
    for (size_t i = 0; i < n; i++)
        UM_TRY(um_text_add(&known, "%s%s", i ? " " : "", names[i]));
    rc = near ? um_fail(UM_E_CONFIG, "%s: unknown %s '%s', did you mean '%s'?", where, what, name, near)
              : um_fail(UM_E_CONFIG, "%s: unknown %s '%s'; known: %s", where, what, name, um_text_get(&known));
done:
    um_text_free(&known);
    return rc;
}

/* ---- searches ---- */

static int find_search(const um_locker_plan *p, const char *name)
{
    for (int i = 0; i < p->n_searches; i++)
        if (strcmp(p->searches[i].name, name) == 0)
            return i;
    return -1;
}

um_status um_locker_check_search(const um_sweep *s, const char *name, const char *where)
{
    um_status rc = UM_OK;
    const um_locker_plan *p = s->locker;
    const char **names = NULL;
    if (find_search(p, name) >= 0)
        return UM_OK;
    UM_TRY(UM_NEW_ARRAY(names, p->n_searches));
    for (int i = 0; i < p->n_searches; i++)
        names[i] = p->searches[i].name;
    rc = unknown("search", name, names, (size_t)p->n_searches, where);
done:
    um_free(names);
    return rc;
}

static um_status resolve_searches(um_locker_choice *c, const um_sweep *s, const um_grid_block *block)
{
    um_status rc = UM_OK;
    size_t n = block->searches.n;
    UM_TRY(UM_NEW_ARRAY(c->searches, n ? (int)n : s->locker->n_searches));
    for (int i = 0; i < (n ? (int)n : s->locker->n_searches); i++) {
        if (n)
            UM_TRY(um_locker_check_search(s, block->searches.items[i], block->where));
        c->searches[c->n_searches++] = n ? find_search(s->locker, block->searches.items[i]) : i;
    }
done:
    return rc;
}

/* ---- networks ---- */

static um_status unknown_classifier(const char *name, const char *where)
{
    const char *names[64];
    size_t n_names = 0;
    int n = 0;
    const um_model_def *const *all = um_model_all(&n);
    for (int i = 0; i < n && n_names < UM_COUNT(names); i++)
        if (all[i]->classifier)
            names[n_names++] = all[i]->name;
    return unknown("classifier", name, names, n_names, where);
}

static um_status add_backbone(um_locker_choice *c, const um_model_def *model, const char *where)
{
    for (int i = 0; i < c->n_backbones; i++)
        if (c->backbone[i] == model)
            return UM_OK;
    if (c->n_backbones == UM_LOCKER_NETS)
        return um_fail(UM_E_CONFIG, "%s: more than %d backbones", where, UM_LOCKER_NETS);
    c->backbone[c->n_backbones++] = model;
    return UM_OK;
}

static um_status resolve_backbones(um_locker_choice *c, const um_grid_block *block)
{
    um_status rc = UM_OK;
    int n = 0;
    const um_model_def *const *all = um_model_all(&n);
    for (int i = 0; i < n && !block->backbones.n; i++)
        if (all[i]->classifier)
            UM_TRY(add_backbone(c, all[i], block->where));
    for (size_t i = 0; i < block->backbones.n; i++) {
        const um_model_def *model = NULL;
        for (int k = 0; k < n; k++)
            if (all[k]->classifier && strcmp(all[k]->name, block->backbones.items[i]) == 0)
                model = all[k];
        if (!model)
            UM_TRY(unknown_classifier(block->backbones.items[i], block->where));
        UM_TRY(add_backbone(c, model, block->where));
    }
done:
    return rc;
}

/* A backbone of the block by its name of n bytes. */
static um_status find_backbone(int *out, const um_locker_choice *c, const char *name, size_t n, const char *what, const char *where)
{
    const char *names[UM_LOCKER_NETS];
    char text[UM_OPT_TEXT];
    for (int i = 0; i < c->n_backbones; i++) {
        names[i] = c->backbone[i]->name;
        if (strlen(names[i]) == n && strncmp(names[i], name, n) == 0) {
            *out = i;
            return UM_OK;
        }
    }
    snprintf(text, sizeof text, "%.*s", (int)(n < sizeof text ? n : sizeof text - 1), name);
    return unknown(what, text, names, (size_t)c->n_backbones, where);
}

/* ---- targets ---- */

static um_status read_target(um_locker_target *t, const um_locker_choice *c, const char *name, const char *where)
{
    um_status rc = UM_OK;
    t->name = name;
    if (strlen(name) >= sizeof(((um_locker_mark *)0)->target))
        return um_fail(UM_E_CONFIG, "%s: target '%.40s...' is too long", where, name);
    if (strcmp(name, UM_LOCKER_RANDOM) == 0)
        return UM_OK;
    for (const char *p = name;; p++) {
        size_t n = strcspn(p, "+");
        int at = 0;
        if (t->n == UM_TARGETS_MAX)
            UM_TRY(um_fail(UM_E_CONFIG, "%s: target '%s' has more than %d networks", where, name, UM_TARGETS_MAX));
        UM_TRY(
            find_backbone(&at, c, p, n, "network of a target (a backbone of the block, several joined by '+', or random)", where));
        for (int k = 0; k < t->n; k++)
            if (t->backbone[k] == at)
                UM_TRY(um_fail(UM_E_CONFIG, "%s: target '%s' names a network twice", where, name));
        t->backbone[t->n++] = at;
        p += n;
        if (!*p)
            break;
    }
done:
    return rc;
}

static um_status resolve_targets(um_locker_choice *c, const um_sweep *s, const um_grid_block *block)
{
    um_status rc = UM_OK;
    size_t n = block->targets.n;
    int n_all = n ? (int)n : c->n_backbones;
    bool random = false, drawn = false;
    UM_TRY(UM_NEW_ARRAY(c->targets, n_all));
    for (int i = 0; i < n_all; i++) {
        UM_TRY(read_target(&c->targets[i], c, n ? block->targets.items[i] : c->backbone[i]->name, block->where));
        random = random || c->targets[i].n == 0;
        c->n_targets++;
    }
    for (int i = 0; i < c->n_searches; i++)
        drawn = drawn || s->locker->searches[c->searches[i]].once;
    if (random && !drawn)
        UM_TRY(um_fail(UM_E_CONFIG, "%s: target random goes with search random or a variant of it; add one to searches",
                       block->where));
done:
    return rc;
}

static um_status resolve_cam(um_locker_choice *c, const um_grid_block *block)
{
    um_status rc = UM_OK;
    c->cam = -1;
    if (block->cam && strcmp(block->cam, "none") == 0)
        return UM_OK;
    if (block->cam) {
        UM_TRY(find_backbone(&c->cam, c, block->cam, strlen(block->cam), "network for Grad-CAM (a backbone of the block, or none)",
                             block->where));
        if (!c->backbone[c->cam]->cam_layer)
            UM_TRY(um_fail(UM_E_CONFIG, "%s: %s has no convolution at its end for Grad-CAM", block->where, block->cam));
    }
    for (int i = 0; i < c->n_backbones && c->cam < 0; i++)
        if (c->backbone[i]->cam_layer)
            c->cam = i;
done:
    return rc;
}

um_status um_locker_choice_resolve(um_locker_choice *out, const um_sweep *s, const um_grid_config *config,
                                   const um_grid_block *block)
{
    um_status rc = UM_OK;
    um_locker_choice c = {0};
    UM_TRY(um_sweep_choice_data(&c.data, &c.n_data, s, config, block));
    UM_TRY(resolve_searches(&c, s, block));
    UM_TRY(resolve_backbones(&c, block));
    UM_TRY(resolve_targets(&c, s, block));
    UM_TRY(resolve_cam(&c, block));
    for (size_t i = 0; i < block->retrain.n && i < UM_LOCKER_NETS; i++) {
        const char *name = block->retrain.items[i];
        UM_TRY(find_backbone(&c.retrain[c.n_retrain++], &c, name, strlen(name), "network to retrain (a backbone of the block)",
                             block->where));
    }
    *out = c;
    c = (um_locker_choice){0};
done:
    um_locker_choice_clear(&c);
    return rc;
}

void um_locker_choice_clear(um_locker_choice *c)
{
    um_free(c->data);
    um_free(c->searches);
    um_free(c->targets);
    *c = (um_locker_choice){0};
}
