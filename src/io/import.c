#include "io/import.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/signal.h"
#include "image/luma.h"
#include "image/resize.h"
#include "io/import_internal.h"
#include "io/raster.h"

static const um_opt data_rows[] = {
    UM_OPT_INT_ROW(um_data_options, size, "size", "224", 0, 4096, "pixels", "side after import; 0 keeps the original size"),
    UM_OPT_ENUM_ROW(um_data_options, resize, "resize", "bilinear", UM_RESIZE_FILTERS, "filter for images; masks use nearest"),
    UM_OPT_REAL_ROW(um_data_options, split, "split", "0.8", 0, 1, "", "share of images for training"),
    UM_OPT_INT_ROW(um_data_options, split_seed, "split_seed", "1", 0, 9007199254740992.0, "", "seed of the train/test split"),
    UM_OPT_ENUM_ROW(um_data_options, split_mode, "split_mode", "random", "random stratified grouped",
                    "stratified keeps class shares; grouped keeps near-duplicates on one side"),
    UM_OPT_ENUM_ROW(um_data_options, busi_subset, "busi_subset", "lesion647", "lesion647 all780",
                    "BUSI: images with lesions, or also the class normal"),
    UM_OPT_ENUM_ROW(um_data_options, channels, "channels", "auto", "auto 1 3",
                    "channels after import; auto: 3 if any image has colour"),
    UM_OPT_ENUM_ROW(um_data_options, layout, "layout", "auto", "auto pairs busi kvasir montgomery_shenzhen chest_xray graded",
                    "how the input folder is laid out"),
    UM_OPT_INT_ROW(um_data_options, limit, "limit", "0", 0, 1e9, "rows", "use that many rows of each split in training; 0 = all"),
};
const um_opt_table um_data_table = UM_OPT_TABLE("data", um_data_options, data_rows);

/* One sample after decoding and resizing. */
typedef struct sample {
    um_raster image;
    uint8_t *mask; /* [h][w] in {0,1} */
    bool empty;
} sample;

typedef struct import_job {
    const um_data_options *o;
    um_import_list list;
    sample *samples; /* [list.n] */
    int64_t n_colour, first_colour;
    int mask_top; /* brightest grey level of any mask, 8-bit units */
    int64_t n_grey;         /* mask files with many pixels that are neither black nor white */
    const char *first_grey; /* borrowed from the list */
} import_job;

static bool has_colour(const um_raster *r)
{
    const int64_t n = r->h * r->w;
    for (int64_t i = 0; r->c == 3 && i < n; i++) {
        if (r->bits == 8) {
            const uint8_t *p = (const uint8_t *)r->data + 3 * i;
            if (p[0] != p[1] || p[0] != p[2]) {
                return true;
            }
        } else {
            const uint16_t *p = (const uint16_t *)r->data + 3 * i;
            if (p[0] != p[1] || p[0] != p[2]) {
                return true;
            }
        }
    }
    return false;
}

static void to_grey(um_raster *r)
{
    if (r->c == 3) {
        um_luma_integer(r->data, r->data, r->h * r->w, r->bits);
        r->c = 1;
    }
}

static um_status load_image(import_job *j, int64_t i, um_raster *r)
{
    um_status rc = UM_OK;
    UM_TRY(um_raster_read(r, j->list.items[i].image));
    if (has_colour(r)) {
        j->first_colour = j->n_colour == 0 ? i : j->first_colour;
        j->n_colour++;
    } else {
        to_grey(r);
    }
    if (j->o->channels == UM_CHANNELS_1) {
        to_grey(r);
    }
done:
    return rc;
}

um_status um_import_unite_mask(uint8_t *mask, const um_raster *image, const char *image_path, const char *path, int *brightest, bool *grey)
{
    um_status rc = UM_OK;
    um_raster r = {0};
    float *luma = NULL;
    UM_TRY(um_raster_read(&r, path));
    if (r.h != image->h || r.w != image->w) {
        rc = um_fail(UM_E_DATA, "%s has %lld x %lld pixels but its image %s has %lld x %lld", path, (long long)r.w, (long long)r.h,
                     image_path, (long long)image->w, (long long)image->h);
        goto done;
    }
    UM_TRY(UM_NEW_ARRAY(luma, r.h * r.w));
    um_luma(luma, r.data, r.h * r.w, r.c, r.bits, UM_LUMA_BT601);
    int64_t n_between = 0;
    for (int64_t i = 0; i < r.h * r.w; i++) {
        mask[i] |= luma[i] > 127.5f;
        n_between += luma[i] >= 32 && luma[i] < 224;
        *brightest = (int)luma[i] > *brightest ? (int)luma[i] : *brightest;
    }
    *grey = n_between > r.h * r.w / 50; /* more than the softened edges of a resized or JPEG mask */
done:
    um_free(luma);
    um_raster_clear(&r);
    return rc;
}

static um_status unite_mask(import_job *j, uint8_t *mask, const um_raster *image, const char *image_path, const char *path)
{
    um_status rc = UM_OK;
    bool grey = false;
    UM_TRY(um_import_unite_mask(mask, image, image_path, path, &j->mask_top, &grey));
    j->first_grey = grey && j->n_grey == 0 ? path : j->first_grey;
    j->n_grey += grey;
done:
    return rc;
}

/* Replaces image and mask by resized ones. */
static um_status resize_sample(sample *s, int64_t size, um_resize_filter filter)
{
    um_status rc = UM_OK;
    um_raster small = {size, size, s->image.c, s->image.bits, NULL};
    uint8_t *mask = NULL;
    UM_TRY(um_alloc(&small.data, (size_t)(size * size * small.c), (size_t)small.bits / 8));
    UM_TRY(UM_NEW_ARRAY(mask, size * size));
    UM_TRY(um_resize(small.data, size, size, s->image.data, s->image.h, s->image.w, small.c, small.bits, filter));
    UM_TRY(um_resize(mask, size, size, s->mask, s->image.h, s->image.w, 1, 8, UM_RESIZE_NEAREST));
    um_raster_clear(&s->image);
    um_free(s->mask);
    s->image = small;
    s->mask = mask;
    small.data = NULL;
    mask = NULL;
done:
    um_free(mask);
    um_free(small.data);
    return rc;
}

static um_status load_sample(import_job *j, int64_t i)
{
    um_status rc = UM_OK;
    const um_import_item *it = &j->list.items[i];
    sample *s = &j->samples[i];
    UM_TRY(load_image(j, i, &s->image));
    UM_TRY(UM_NEW_ARRAY(s->mask, s->image.h * s->image.w));
    for (int64_t k = 0; k < it->n_masks; k++) {
        UM_TRY(unite_mask(j, s->mask, &s->image, it->image, it->masks[k]));
    }
    if (j->o->size > 0) {
        UM_TRY(resize_sample(s, j->o->size, (um_resize_filter)j->o->resize));
    }
    s->empty = memchr(s->mask, 1, (size_t)(s->image.h * s->image.w)) == NULL;
done:
    return rc;
}

/* Compares sample i with sample 0. */
static um_status check_alike(const import_job *j, int64_t i)
{
    const um_raster *a = &j->samples[0].image, *b = &j->samples[i].image;
    const char *first = j->list.items[0].image, *path = j->list.items[i].image;
    if (a->bits != b->bits) {
        return um_fail(UM_E_DATA, "%s has %d bits per sample but %s has %d; convert them to one depth", path, b->bits, first,
                       a->bits);
    }
    if (a->h != b->h || a->w != b->w) {
        return um_fail(UM_E_DATA, "%s has %lld x %lld pixels but %s has %lld x %lld; set data.size to resize them", path,
                       (long long)b->w, (long long)b->h, first, (long long)a->w, (long long)a->h);
    }
    return UM_OK;
}

/* Warns of empty masks, refuses when all are. */
static um_status check_empty(const import_job *j, const char *path)
{
    um_status rc = UM_OK;
    um_text names = {0};
    int64_t n = 0;
    for (int64_t i = 0; i < j->list.n; i++) {
        if (j->samples[i].empty) {
            UM_TRY(um_import_add_name(&names, j->list.items[i].id, n++));
        }
    }
    UM_TRY(um_import_end_names(&names, n));
    if (n == j->list.n) {
        rc = um_fail(UM_E_DATA,
                     "%s: all %lld masks are empty: their brightest grey level is %d and foreground is above half of "
                     "255; store masks as 0 and 255",
                     path, (long long)n, j->mask_top);
    } else if (n > 0) {
        um_log(UM_LOG_WARN, "%s: %lld of %lld masks are empty: %s", path, (long long)n, (long long)j->list.n, um_text_get(&names));
    }
done:
    um_text_free(&names);
    return rc;
}

static int choose_channels(const import_job *j, const char *path)
{
    const long long n = (long long)j->list.n, n_colour = (long long)j->n_colour;
    const int c = j->o->channels == UM_CHANNELS_AUTO ? (j->n_colour > 0 ? 3 : 1) : j->o->channels == UM_CHANNELS_1 ? 1 : 3;
    if (n_colour == 0) {
        um_log(UM_LOG_INFO, "%s: %lld grey images, imported with %d channel%s", path, n, c, c == 1 ? "" : "s");
    } else {
        um_log(UM_LOG_INFO, "%s: %lld of %lld images have colour (first: %s), imported with %d channel%s (data.channels)", path,
               n_colour, n, j->list.items[j->first_colour].id, c, c == 1 ? "" : "s");
    }
    return c;
}

/* Copies pixels, repeating a grey channel where c is 3. */
static void copy_pixels(uint8_t *out, const um_raster *r, int64_t c)
{
    const int64_t n = r->h * r->w, bytes = r->bits / 8;
    if (r->c == c) {
        memcpy(out, r->data, (size_t)(n * c * bytes));
        return;
    }
    for (int64_t i = 0; i < n * c; i++) {
        memcpy(out + i * bytes, (const uint8_t *)r->data + i / c * bytes, (size_t)bytes);
    }
}

/* Classes, and the split that came with them or else one of our own. */
static um_status take_grades(um_dataset *d, const um_import_list *list, const um_data_options *o)
{
    um_status rc = UM_OK;
    bool told = true;
    UM_TRY(um_dataset_make_labels(d));
    for (int64_t i = 0; i < d->n; i++) {
        d->labels[i] = (uint8_t)list->items[i].label;
        told = told && list->items[i].split >= 0;
    }
    if (!told)
        return um_import_split(d, o);
    for (int64_t i = 0; i < d->n; i++)
        d->split[i] = (uint8_t)list->items[i].split;
done:
    return rc;
}

static um_status pack(um_dataset **out, import_job *j, int64_t c)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    const um_raster *first = &j->samples[0].image;
    UM_TRY(um_dataset_create(&d, j->list.n, first->h, first->w, c, first->bits));
    const int64_t pixels = d->h * d->w;
    for (int64_t i = 0; i < d->n; i++) {
        sample *s = &j->samples[i];
        copy_pixels((uint8_t *)d->images + i * pixels * c * (d->bits / 8), &s->image, c);
        memcpy(d->masks + i * pixels, s->mask, (size_t)pixels);
        UM_TRY(um_strdup(&d->ids[i], j->list.items[i].id));
        um_raster_clear(&s->image);
    }
    UM_TRY(j->list.graded ? take_grades(d, &j->list, j->o) : um_import_split(d, j->o));
    *out = d;
    d = NULL;
done:
    um_dataset_free(d);
    return rc;
}

/* Length of the UTF-8 sequence at s, 0 when it is none. */
static int utf8_sequence(const unsigned char *s)
{
    const int n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    for (int k = 1; k < n; k++) {
        if ((s[k] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return n;
}

um_status um_import_check_ids(const um_import_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        const unsigned char *s = (const unsigned char *)list->items[i].id;
        for (int n; *s != '\0'; s += n) {
            n = utf8_sequence(s);
            if (n == 0) {
                return um_fail(UM_E_DATA, "the file name %s is not UTF-8; rename it", list->items[i].image);
            }
        }
    }
    return UM_OK;
}

static void job_close(import_job *j)
{
    for (int64_t i = 0; j->samples != NULL && i < j->list.n; i++) {
        um_raster_clear(&j->samples[i].image);
        um_free(j->samples[i].mask);
    }
    um_free(j->samples);
    um_import_list_free(&j->list);
}

um_status um_import_run(um_dataset **out, const um_data_options *o, const char *path)
{
    um_status rc = UM_OK;
    import_job j = {.o = o};
    UM_TRY(um_import_scan(&j.list, o, path));
    if (j.list.n == 0) {
        rc = um_fail(UM_E_DATA, "%s: no images are left to import; see data.busi_subset", path);
        goto done;
    }
    UM_TRY(um_import_check_ids(&j.list));
    UM_TRY(UM_NEW_ARRAY(j.samples, j.list.n));
    for (int64_t i = 0; i < j.list.n; i++) {
        UM_TRY(um_stop_check("nothing was written"));
        UM_TRY(load_sample(&j, i));
        UM_TRY(check_alike(&j, i));
        um_progress("import", (long)i + 1, (long)j.list.n, NULL);
    }
    if (!j.list.graded)
        UM_TRY(check_empty(&j, path));
    if (j.n_grey > 0) {
        um_log(UM_LOG_WARN, "%lld masks hold other values than black and white (first: %s); above half of 255 counts as foreground",
               (long long)j.n_grey, j.first_grey);
    }
    UM_TRY(pack(out, &j, choose_channels(&j, path)));
done:
    job_close(&j);
    return rc;
}
