/* What the shell tests want to know about files.
 *   probe attr FILE NAME   a text attribute of the root
 *   probe metric FILE NAME a number of a result
 *   probe split FILE I     0 or 1: the side of row I
 *   probe diff A B         "N CHANGED LARGEST": rows, rows that differ, largest pixel difference; ids and masks must agree */
#include "io/dataset.h"
#include "io/h5.h"
#include "io/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static um_status print_attr(const char *path, const char *name)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    um_text text = {0};
    UM_TRY(um_h5_open(&f, path, NULL, "9.9"));
    UM_TRY(um_h5_get_text(f, "/", name, &text));
    printf("%s\n", um_text_get(&text));
done:
    um_text_free(&text);
    um_h5_free(f);
    return rc;
}

static um_status print_metric(const char *path, const char *name)
{
    um_status rc = UM_OK;
    um_h5 *f = NULL;
    double value = 0;
    UM_TRY(um_h5_open(&f, path, NULL, "9.9"));
    UM_TRY(um_store_get_metric(f, name, &value));
    if (isnan(value)) /* of either sign */
        printf("nan\n");
    else
        printf("%.17g\n", value);
done:
    um_h5_free(f);
    return rc;
}

static int largest_difference(const um_dataset *a, const um_dataset *b, int64_t row)
{
    const uint8_t *x = um_dataset_image(a, row), *y = um_dataset_image(b, row);
    int largest = 0;
    for (int64_t i = 0; i < a->h * a->w * a->c; i++)
        largest = abs(x[i] - y[i]) > largest ? abs(x[i] - y[i]) : largest;
    return largest;
}

static um_status print_diff(const char *path_a, const char *path_b)
{
    um_status rc = UM_OK;
    um_dataset *a = NULL, *b = NULL;
    int64_t changed = 0;
    int largest = 0;
    UM_TRY(um_dataset_read(&a, path_a));
    UM_TRY(um_dataset_read(&b, path_b));
    UM_REQUIRE(a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c && a->bits == 8 && b->bits == 8);
    UM_REQUIRE(memcmp(a->masks, b->masks, (size_t)(a->n * a->h * a->w)) == 0);
    for (int64_t i = 0; i < a->n; i++) {
        int d = largest_difference(a, b, i);
        UM_REQUIRE(strcmp(a->ids[i], b->ids[i]) == 0);
        changed += d > 0;
        largest = d > largest ? d : largest;
    }
    printf("%lld %lld %d\n", (long long)a->n, (long long)changed, largest);
done:
    um_dataset_free(a);
    um_dataset_free(b);
    return rc;
}

static um_status print_split(const char *path, long row)
{
    um_status rc = UM_OK;
    um_dataset *d = NULL;
    UM_TRY(um_dataset_read(&d, path));
    UM_REQUIRE(row >= 0 && row < d->n);
    printf("%d\n", d->split[row]);
done:
    um_dataset_free(d);
    return rc;
}

int main(int argc, char **argv)
{
    um_status rc = UM_E_USAGE;
    if (argc == 4 && strcmp(argv[1], "attr") == 0)
        rc = print_attr(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "metric") == 0)
        rc = print_metric(argv[2], argv[3]);
    else if (argc == 4 && strcmp(argv[1], "split") == 0)
        rc = print_split(argv[2], atol(argv[3]));
    else if (argc == 4 && strcmp(argv[1], "diff") == 0)
        rc = print_diff(argv[2], argv[3]);
    if (rc != UM_OK)
        fprintf(stderr, "probe: %s\n", um_error_text());
    return um_status_exit(rc);
}
