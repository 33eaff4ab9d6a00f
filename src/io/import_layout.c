#include "io/import_internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

enum { MASK_DIRS_MAX = 2, BUSI_CLASSES = 3 };

static const char *const busi_classes[BUSI_CLASSES] = {"benign", "malignant", "normal"};
static const char mask_suffix[] = "_mask";

/* Where images and masks lie. */
typedef struct places {
    char *images;
    char *masks[MASK_DIRS_MAX];
    int n_masks;
    bool drop_unmasked;
} places;

static void item_free(um_import_item *it)
{
    for (int64_t k = 0; k < it->n_masks; k++) {
        um_free(it->masks[k]);
    }
    um_free(it->masks);
    um_free(it->image);
    um_free(it->id);
}

void um_import_list_free(um_import_list *list)
{
    for (int64_t i = 0; i < list->n; i++) {
        item_free(&list->items[i]);
    }
    um_free(list->items);
    *list = (um_import_list){0};
}

um_status um_import_add_name(um_text *t, const char *name, int64_t k)
{
    if (k >= UM_IMPORT_NAMES_SHOWN) {
        return UM_OK;
    }
    return um_text_add(t, "%s%s", k == 0 ? "" : ", ", name);
}

um_status um_import_end_names(um_text *t, int64_t n)
{
    return n > UM_IMPORT_NAMES_SHOWN ? um_text_add(t, " and %lld more", (long long)(n - UM_IMPORT_NAMES_SHOWN)) : UM_OK;
}

/* Bytes of the stem of a picture's name; 0 for other files and hidden ones. */
static size_t stem_bytes(const char *name)
{
    static const char *const extensions[] = {".png", ".jpg", ".jpeg"};
    const size_t n = strlen(name);
    for (size_t i = 0; i < UM_COUNT(extensions); i++) {
        const size_t e = strlen(extensions[i]);
        if (name[0] != '.' && n > e && strcasecmp(name + n - e, extensions[i]) == 0) {
            return n - e;
        }
    }
    return 0;
}

/* Bytes of a stem without a final "_mask" or "_mask_N"; its full length when it has none. */
static size_t base_bytes(const char *stem)
{
    size_t n = strlen(stem), end = n;
    while (end > 0 && isdigit((unsigned char)stem[end - 1])) {
        end--;
    }
    end = end < n && end > 0 && stem[end - 1] == '_' ? end - 1 : n;
    const size_t s = sizeof mask_suffix - 1;
    return end > s && memcmp(stem + end - s, mask_suffix, s) == 0 ? end - s : n;
}

static um_status add_image(um_import_list *list, const char *dir, const char *name, const char *stem)
{
    um_status rc = UM_OK;
    if (list->n == list->cap) {
        const int64_t cap = 2 * list->cap + 64;
        UM_TRY(UM_GROW(list->items, list->cap, cap));
        list->cap = cap;
    }
    um_import_item *it = &list->items[list->n++];
    UM_TRY(um_strdup(&it->id, stem));
    UM_TRY(um_path_join(&it->image, dir, name));
done:
    return rc;
}

static um_status add_mask(um_import_item *it, const char *dir, const char *name)
{
    um_status rc = UM_OK;
    UM_TRY(UM_GROW(it->masks, it->n_masks, it->n_masks + 1));
    UM_TRY(um_path_join(&it->masks[it->n_masks], dir, name));
    it->n_masks++;
done:
    return rc;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const um_import_item *)a)->id, ((const um_import_item *)b)->id);
}

static um_import_item *find_item(const um_import_list *list, const char *id)
{
    const um_import_item key = {.id = (char *)id};
    return list->n == 0 ? NULL : bsearch(&key, list->items, (size_t)list->n, sizeof key, compare_items);
}

/* Masks that found no image. */
typedef struct orphan_list {
    um_text names;
    int64_t n;
} orphan_list;

/* What to do with each picture of a folder. */
typedef um_status (*visit_fn)(um_import_list *list, const char *dir, const char *name, char *stem, orphan_list *orphans);

static um_status visit_image(um_import_list *list, const char *dir, const char *name, char *stem, orphan_list *orphans)
{
    (void)orphans;
    return add_image(list, dir, name, stem);
}

static um_status visit_busi_image(um_import_list *list, const char *dir, const char *name, char *stem, orphan_list *orphans)
{
    return base_bytes(stem) == strlen(stem) ? visit_image(list, dir, name, stem, orphans) : UM_OK;
}

static um_status visit_mask(um_import_list *list, const char *dir, const char *name, char *stem, orphan_list *orphans)
{
    um_import_item *it = find_item(list, stem);
    if (it == NULL) {
        stem[base_bytes(stem)] = '\0';
        it = find_item(list, stem);
    }
    return it != NULL ? add_mask(it, dir, name) : um_import_add_name(&orphans->names, name, orphans->n++);
}

static um_status visit_busi_mask(um_import_list *list, const char *dir, const char *name, char *stem, orphan_list *orphans)
{
    return base_bytes(stem) == strlen(stem) ? UM_OK : visit_mask(list, dir, name, stem, orphans);
}

static um_status visit_folder(um_import_list *list, const char *dir, visit_fn visit, orphan_list *orphans)
{
    um_status rc = UM_OK;
    char **names = NULL, *stem = NULL;
    size_t n = 0;
    UM_TRY(um_dir_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        const size_t bytes = stem_bytes(names[i]);
        if (bytes == 0) {
            continue;
        }
        um_free(stem);
        stem = NULL;
        UM_TRY(um_strdup(&stem, names[i]));
        stem[bytes] = '\0';
        UM_TRY(visit(list, dir, names[i], stem, orphans));
    }
done:
    um_free(stem);
    um_names_free(names, n);
    return rc;
}

static um_status sort_unique(um_import_list *list, const char *path)
{
    if (list->n == 0) {
        return um_fail(UM_E_DATA, "%s: no PNG or JPEG images found (extensions png, jpg, jpeg)", path);
    }
    qsort(list->items, (size_t)list->n, sizeof *list->items, compare_items);
    for (int64_t i = 1; i < list->n; i++) {
        const um_import_item *a = &list->items[i - 1], *b = &list->items[i];
        if (strcmp(a->id, b->id) == 0) {
            return um_fail(UM_E_DATA, "two images have the id '%s': %s and %s; rename one", a->id, a->image, b->image);
        }
    }
    return UM_OK;
}

static void drop_item(um_import_list *list, int64_t i)
{
    item_free(&list->items[i]);
    memmove(list->items + i, list->items + i + 1, (size_t)(list->n - i - 1) * sizeof *list->items);
    list->n--;
}

/* Every image needs `needed` masks; those without any are dropped with a warning where the layout allows it. */
static um_status check_masks(um_import_list *list, int64_t needed, bool drop_unmasked, const char *path)
{
    um_status rc = UM_OK;
    um_text names = {0};
    int64_t n_missing = 0;
    for (int64_t i = 0; i < list->n && !list->keep_unmasked; i++) {
        if (list->items[i].n_masks < needed) {
            UM_TRY(um_import_add_name(&names, list->items[i].id, n_missing++));
        }
    }
    if (n_missing == 0) {
        goto done;
    }
    UM_TRY(um_import_end_names(&names, n_missing));
    if (!drop_unmasked || n_missing == list->n) {
        rc = um_fail(UM_E_DATA, "%s: %lld of %lld images have no %s: %s; add or remove files so that they pair up", path,
                     (long long)n_missing, (long long)list->n, needed > 1 ? "left and right mask" : "mask", um_text_get(&names));
        goto done;
    }
    um_log(UM_LOG_WARN, "%s: %lld images without a mask are left out: %s", path, (long long)n_missing, um_text_get(&names));
    for (int64_t i = list->n - 1; i >= 0; i--) {
        if (list->items[i].n_masks < needed) {
            drop_item(list, i);
        }
    }
done:
    um_text_free(&names);
    return rc;
}

static um_status refuse_orphans(orphan_list *orphans, const char *path)
{
    um_status rc = UM_OK;
    if (orphans->n > 0) {
        UM_TRY(um_import_end_names(&orphans->names, orphans->n));
        rc = um_fail(UM_E_DATA, "%s: %lld masks belong to no image: %s; add or remove files so that they pair up", path,
                     (long long)orphans->n, um_text_get(&orphans->names));
    }
done:
    return rc;
}

static um_status scan_places(um_import_list *list, const places *p, const char *path)
{
    um_status rc = UM_OK;
    orphan_list orphans = {0};
    UM_TRY(visit_folder(list, p->images, visit_image, &orphans));
    UM_TRY(sort_unique(list, p->images));
    for (int k = 0; k < p->n_masks; k++) {
        UM_TRY(visit_folder(list, p->masks[k], visit_mask, &orphans));
    }
    UM_TRY(refuse_orphans(&orphans, path));
    UM_TRY(check_masks(list, p->n_masks, p->drop_unmasked, path));
done:
    um_text_free(&orphans.names);
    return rc;
}

/* *out = PATH/NAME when that is a folder, else NULL. */
static um_status subfolder(char **out, const char *path, const char *name)
{
    um_status rc = UM_OK;
    char *joined = NULL;
    UM_TRY(um_path_join(&joined, path, name));
    if (um_dir_exists(joined)) {
        *out = joined;
        joined = NULL;
    }
done:
    um_free(joined);
    return rc;
}

static void places_free(places *p)
{
    um_free(p->images);
    for (int k = 0; k < MASK_DIRS_MAX; k++) {
        um_free(p->masks[k]);
    }
}

/* Fills p with the folders that exist; n_masks = 0 when they do not make a pair. */
static um_status find_places(places *p, const char *path)
{
    um_status rc = UM_OK;
    UM_TRY(subfolder(&p->images, path, "images"));
    if (p->images == NULL) {
        UM_TRY(subfolder(&p->images, path, "CXR_png"));
    }
    if (p->images == NULL) {
        goto done;
    }
    UM_TRY(subfolder(&p->masks[0], path, "masks"));
    if (p->masks[0] == NULL) {
        UM_TRY(subfolder(&p->masks[0], path, "mask"));
        p->drop_unmasked = p->masks[0] != NULL;
    }
    if (p->masks[0] == NULL) {
        UM_TRY(subfolder(&p->masks[0], path, "ManualMask/leftMask"));
        UM_TRY(subfolder(&p->masks[1], path, "ManualMask/rightMask"));
        p->n_masks = p->masks[0] != NULL && p->masks[1] != NULL ? 2 : 0;
    } else {
        p->n_masks = 1;
    }
done:
    return rc;
}

/* The class subfolders that exist, or the folder itself. */
static um_status busi_folders(char *folders[BUSI_CLASSES], const char *path)
{
    um_status rc = UM_OK;
    bool any = false;
    for (int k = 0; k < BUSI_CLASSES; k++) {
        UM_TRY(subfolder(&folders[k], path, busi_classes[k]));
        any = any || folders[k] != NULL;
    }
    if (!any) {
        UM_TRY(um_strdup(&folders[0], path));
    }
done:
    return rc;
}

static void drop_normal(um_import_list *list)
{
    int64_t n_before = list->n;
    for (int64_t i = list->n - 1; i >= 0; i--) {
        if (strncmp(list->items[i].id, "normal", strlen("normal")) == 0) {
            drop_item(list, i);
        }
    }
    if (list->n < n_before) {
        um_log(UM_LOG_INFO, "%lld images of the class normal left out (data.busi_subset = all780 keeps them)",
               (long long)(n_before - list->n));
    }
}

static um_status scan_busi(um_import_list *list, const um_data_options *o, const char *path)
{
    um_status rc = UM_OK;
    char *folders[BUSI_CLASSES] = {NULL};
    orphan_list orphans = {0};
    UM_TRY(busi_folders(folders, path));
    for (int k = 0; k < BUSI_CLASSES; k++) {
        if (folders[k] != NULL) {
            UM_TRY(visit_folder(list, folders[k], visit_busi_image, &orphans));
        }
    }
    UM_TRY(sort_unique(list, path));
    for (int k = 0; k < BUSI_CLASSES; k++) {
        if (folders[k] != NULL) {
            UM_TRY(visit_folder(list, folders[k], visit_busi_mask, &orphans));
        }
    }
    UM_TRY(refuse_orphans(&orphans, path));
    if (o->busi_subset == UM_BUSI_LESION647) {
        drop_normal(list);
    }
    UM_TRY(check_masks(list, 1, false, path));
done:
    um_text_free(&orphans.names);
    for (int k = 0; k < BUSI_CLASSES; k++) {
        um_free(folders[k]);
    }
    return rc;
}

/* Class folders, or a picture whose name ends in _mask. */
static um_status looks_like_busi(bool *out, const char *path)
{
    um_status rc = UM_OK;
    char **names = NULL;
    size_t n = 0;
    *out = false;
    UM_TRY(um_dir_list(&names, &n, path));
    for (size_t i = 0; i < n && !*out; i++) {
        for (int k = 0; k < BUSI_CLASSES; k++) {
            *out = *out || strcmp(names[i], busi_classes[k]) == 0;
        }
        const size_t bytes = stem_bytes(names[i]), s = sizeof mask_suffix - 1;
        *out = *out || (bytes > s && memcmp(names[i] + bytes - s, mask_suffix, s) == 0);
    }
done:
    um_names_free(names, n);
    return rc;
}

/* One line of labels.csv. */
static um_status grade(um_import_list *list, char *line, const char *path)
{
    char *rest = NULL, *stem = strtok_r(line, ",", &rest), *label = strtok_r(NULL, ",", &rest), *split = strtok_r(NULL, ",", &rest);
    int64_t value = -1;
    um_import_item *it = stem ? find_item(list, stem) : NULL;
    if (!stem || strcmp(stem, "stem") == 0)
        return UM_OK;
    if (!label || !um_text_parse_int(label, &value) || value < 0 || value > 255)
        return um_fail(UM_E_DATA, "%s: \"%s\" has the class \"%s\"; expected 0 to 255", path, stem, label ? label : "");
    if (split && strcmp(split, "train") != 0 && strcmp(split, "test") != 0)
        return um_fail(UM_E_DATA, "%s: \"%s\" has the split \"%s\"; expected train or test", path, stem, split);
    if (!it)
        return um_fail(UM_E_DATA, "%s: no image \"%s\"", path, stem);
    it->label = (int)value;
    it->split = split ? strcmp(split, "test") == 0 : -1;
    return UM_OK;
}

static um_status scan_graded(um_import_list *list, const char *path)
{
    um_status rc = UM_OK;
    orphan_list orphans = {0};
    um_text csv = {0};
    char *images = NULL, *masks = NULL, *labels = NULL, *rest = NULL;
    UM_TRY(um_path_join(&images, path, "images"));
    UM_TRY(um_path_join(&labels, path, "labels.csv"));
    UM_TRY(subfolder(&masks, path, "masks"));
    UM_TRY(visit_folder(list, images, visit_image, &orphans));
    UM_TRY(sort_unique(list, images));
    if (masks)
        UM_TRY(visit_folder(list, masks, visit_mask, &orphans));
    UM_TRY(refuse_orphans(&orphans, path));
    UM_TRY(um_file_read(&csv, labels, 64 << 20));
    for (int64_t i = 0; i < list->n; i++)
        list->items[i].label = list->items[i].split = -1;
    for (char *line = strtok_r(csv.data, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest))
        UM_TRY(grade(list, line, labels));
    for (int64_t i = list->n - 1; i >= 0; i--)
        if (list->items[i].label < 0)
            drop_item(list, i);
    list->graded = true;
done:
    um_text_free(&orphans.names);
    um_text_free(&csv);
    um_free(images);
    um_free(masks);
    um_free(labels);
    return rc;
}

um_status um_import_scan(um_import_list *out, const um_data_options *o, const char *path)
{
    um_status rc = UM_OK;
    places p = {0};
    bool busi = o->layout == UM_LAYOUT_BUSI;
    if (!um_dir_exists(path)) {
        rc = um_fail(UM_E_DATA, "%s is not a folder; name the folder that holds the images", path);
        goto done;
    }
    if (o->layout == UM_LAYOUT_GRADED) {
        UM_TRY(scan_graded(out, path));
        goto done;
    }
    if (!busi) {
        UM_TRY(find_places(&p, path));
        if (p.n_masks == 0 && o->layout == UM_LAYOUT_AUTO) {
            UM_TRY(looks_like_busi(&busi, path));
        }
    }
    if (busi) {
        UM_TRY(scan_busi(out, o, path));
    } else if (p.n_masks > 0) {
        UM_TRY(scan_places(out, &p, path));
    } else {
        rc = um_fail(UM_E_DATA,
                     "%s: layout not recognised; expected images/ and masks/, or BUSI's 'NAME.png' with 'NAME_mask.png', or "
                     "CXR_png/ with mask/ or with ManualMask/leftMask and ManualMask/rightMask",
                     path);
    }
done:
    places_free(&p);
    return rc;
}
