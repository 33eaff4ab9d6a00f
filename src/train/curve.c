#include "train/curve.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static um_status find_or_add(um_curves *c, const char *name, um_curve **out)
{
    um_status rc = UM_OK;
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->list[i].name, name)) {
            *out = &c->list[i];
            return UM_OK;
        }
    if (c->n == c->cap) {
        UM_TRY(UM_GROW(c->list, c->cap, c->cap + 8));
        c->cap += 8;
    }
    *out = &c->list[c->n++];
    snprintf((*out)->name, sizeof (*out)->name, "%s", name);
done:
    return rc;
}

um_status um_curves_add(um_curves *c, const char *name, double x, double y)
{
    um_status rc = UM_OK;
    um_curve *q = NULL;
    UM_TRY(find_or_add(c, name, &q));
    if (q->n == q->cap) {
        UM_TRY(UM_GROW(q->x, q->cap, q->cap * 2 + 64));
        UM_TRY(UM_GROW(q->y, q->cap, q->cap * 2 + 64));
        q->cap = q->cap * 2 + 64;
    }
    q->x[q->n] = x;
    q->y[q->n++] = y;
done:
    return rc;
}

const um_curve *um_curves_find(const um_curves *c, const char *name)
{
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->list[i].name, name))
            return &c->list[i];
    return NULL;
}

void um_curves_free(um_curves *c)
{
    for (int i = 0; i < c->n; i++) {
        um_free(c->list[i].x);
        um_free(c->list[i].y);
    }
    um_free(c->list);
    *c = (um_curves){0};
}
