#include "cli/cli.h"

#include "base/mem.h"
#include "base/signal.h"
#include "image/calibrate.h"
#include "io/import.h"
#include "protect/umed.h"
#include "train/rows.h"

#include <stdio.h>
#include <string.h>

/* The training rows as contiguous arrays. */
typedef struct stack {
    uint8_t *images, *masks;
    int64_t n;
} stack;

static um_status gather(stack *out, const um_dataset *d, const um_data_options *o)
{
    um_status rc = UM_OK;
    um_rows rows = {0};
    stack s = {0};
    size_t image = (size_t)(d->h * d->w * d->c) * (size_t)(d->bits / 8), plane = (size_t)(d->h * d->w);
    UM_TRY(um_rows_select(&rows, d, UM_SPLIT_TRAIN, o->limit, (uint64_t)o->split_seed));
    UM_TRY(UM_NEW_ARRAY(s.images, (size_t)rows.n * image));
    UM_TRY(UM_NEW_ARRAY(s.masks, (size_t)rows.n * plane));
    for (int64_t i = 0; i < rows.n; i++) {
        memcpy(s.images + (size_t)i * image, um_dataset_image(d, rows.index[i]), image);
        memcpy(s.masks + (size_t)i * plane, um_dataset_mask(d, rows.index[i]), plane);
    }
    s.n = rows.n;
    *out = s;
    s = (stack){0};
done:
    um_free(s.images);
    um_free(s.masks);
    um_rows_free(&rows);
    return rc;
}

static void print_line(const um_contour_options *c, const um_lbp_options *l, const um_calibration *r, bool chosen)
{
    static const char *const modes[] = {"straddle", "inner", "outer", "canny"};
    static const char *const maps[] = {"popcount", "code255", "ri", "uniform_idx", "var", "transitions", "ones"};
    printf("%-9s %6lld  %-12s %8.3f %8.3f %8.4f %9.2f %8.3f%s\n", modes[c->mode], (long long)c->radius, maps[l->map],
           100 * r->phi_c,
           100 * r->phi_t, r->m2, r->psnr_sat, 100 * (r->phi_c + r->phi_t * r->m2), chosen ? "  <- settings" : "");
}

/* Every contour mode, radius and texture map; the rest as in the settings. */
static um_status print_table(const um_dataset *d, const stack *s, const um_umed_options *o)
{
    um_status rc = UM_OK;
    enum { MODES = 4, RADII = 3, MAPS = 7 };
    printf("%-9s %6s  %-12s %8s %8s %8s %9s %8s\n", "contour", "radius", "texture", "phi_c %", "phi_t %", "m2", "PSNR_sat",
           "fill %");
    for (int i = 0; i < MODES * RADII * MAPS; i++) {
        um_contour_options c = o->contour;
        um_lbp_options l = o->lbp;
        um_calibration r;
        c.mode = i / (RADII * MAPS);
        c.radius = i / MAPS % RADII + 1;
        l.map = i % MAPS;
        UM_TRY(um_stop_check("the table is not complete"));
        UM_TRY(um_calibrate(&r, s->images, s->masks, s->n, d->h, d->w, d->c, d->bits, &c, &l, o->eps));
        print_line(&c, &l, &r, c.mode == o->contour.mode && c.radius == o->contour.radius && l.map == o->lbp.map);
    }
    printf("\nno trained perturbation has a lower PSNR than PSNR_sat (dB, umed.eps = %.4g/255, rounding apart)\n"
           "the paper at 4/255: 51.65 (BUSI), 46.73 (Chest X-ray), 51.71 (Kvasir-SEG), a fill of 2.78, 8.63 and 2.74 %%\n",
               255 * o->eps);
done:
    return rc;
}

static um_status run(um_cli *cli)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    stack s = {0};
    UM_TRY(um_cli_need(cli->v.data, "--data DATA.h5", cli->command));
    UM_TRY(um_dataset_read(&d, cli->v.data));
    UM_TRY(gather(&s, d, um_settings_get(cli->settings, "data")));
    UM_TRY(print_table(d, &s, um_settings_get(cli->settings, "umed")));
done:
    um_free(s.images);
    um_free(s.masks);
    um_dataset_free(d);
    return rc;
}

const um_command um_command_calibrate = {
    .name = "calibrate", .summary = "what every contour and texture setting costs in PSNR, before anything is trained",
    .usage = "[-c CONFIG] --data DATA.h5", .options = "data", .groups = "umed data", .max_args = 0, .run = run,
};
