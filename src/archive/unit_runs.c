/* The images of a unit that are perturbed together: those of one size, wherever in the unit they stand. A device takes them in
 * batches of one size, and has to plan for every other one. */
#include <string.h>

#include "archive/shard_job.h"
#include "base/mem.h"

/* The run of a unit that image i of the shard belongs to, which is a new one when there is none. */
static int run_for(um_unit *u, const um_shard_row *r, int bits)
{
    for (int k = 0; k < u->n_runs; k++)
        if (u->views[k].h == r->h && u->views[k].w == r->w && u->views[k].c == r->c)
            return k;
    u->runs[u->n_runs] = (um_perturbation){0};
    u->gathered[u->n_runs] = NULL;
    u->views[u->n_runs] = (um_dataset){.h = r->h, .w = r->w, .c = r->c, .bits = bits};
    return u->n_runs++;
}

void um_unit_find_runs(um_unit *u, const um_shard_index *x, const uint8_t *fates, uint8_t wanted)
{
    int64_t at = 0, seen[UM_UNIT_IMAGES] = {0}, begin[UM_UNIT_IMAGES];
    for (int64_t i = 0; i < u->n; i++) {
        u->run_of[i] = fates[u->first + i] == wanted ? run_for(u, &x->rows[u->first + i], x->bits) : -1;
        if (u->run_of[i] >= 0)
            u->views[u->run_of[i]].n++;
    }
    for (int k = 0; k < u->n_runs; at += u->views[k].n * u->views[k].h * u->views[k].w * u->views[k].c, k++)
        begin[k] = at;
    for (int64_t i = 0; i < u->n; i++)
        if (u->run_of[i] >= 0)
            u->change_at[i] = begin[u->run_of[i]] + seen[u->run_of[i]]++ * um_shard_values(&x->rows[u->first + i]);
}

/* Where an image stands in its unit. */
typedef struct spot {
    int64_t i, values, masks; /* of the unit; before it */
} spot;

static spot first_of(const um_unit *u, const um_shard_index *x, int run)
{
    spot s = {0};
    for (; u->run_of[s.i] != run; s.i++) {
        s.values += um_shard_values(&x->rows[u->first + s.i]);
        s.masks += um_shard_mask_pixels(&x->rows[u->first + s.i]);
    }
    return s;
}

/* Copies of the images of a run, from the first on. */
static um_status gather(um_dataset **out, const um_unit *u, const um_shard_index *x, int run, spot s)
{
    um_status rc = UM_OK;
    const um_dataset *v = &u->views[run];
    um_dataset *d = NULL;
    int64_t at = 0, wide = v->bits / 8, values = v->h * v->w * v->c, pixels = v->h * v->w;
    UM_TRY(um_dataset_create(&d, v->n, v->h, v->w, v->c, v->bits));
    for (; at < v->n; s.i++) {
        const um_shard_row *r = &x->rows[u->first + s.i];
        if (u->run_of[s.i] == run) {
            UM_TRY(um_strdup(&d->ids[at], x->ids[u->first + s.i]));
            memcpy((uint8_t *)d->images + at * values * wide, u->clean + s.values * wide, (size_t)(values * wide));
            memcpy(d->masks + at * pixels, u->masks + s.masks, (size_t)pixels);
            d->split[at++] = x->split[u->first + s.i];
        }
        s.values += um_shard_values(r);
        s.masks += um_shard_mask_pixels(r);
    }
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}

um_status um_unit_show_run(um_unit *u, const um_shard_index *x, int run)
{
    um_status rc = UM_OK;
    um_dataset *v = &u->views[run];
    spot s = first_of(u, x, run);
    bool neighbours = true;
    for (int64_t i = s.i; i < s.i + v->n; i++)
        neighbours = neighbours && u->run_of[i] == run;
    if (neighbours) {
        v->images = u->clean + s.values * (v->bits / 8);
        v->masks = u->masks + s.masks;
        v->ids = x->ids + u->first + s.i;
        v->split = x->split + u->first + s.i;
        return UM_OK;
    }
    UM_TRY(gather(&u->gathered[run], u, x, run, s));
    *v = *u->gathered[run];
done:
    return rc;
}

float *um_unit_change(const um_unit *u, int run)
{
    int64_t i = 0;
    while (u->run_of[i] != run)
        i++;
    return u->change + u->change_at[i];
}
