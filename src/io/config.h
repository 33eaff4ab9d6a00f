/* Configuration files, libconfig syntax (DESIGN section 6). Groups and keys go to an um_settings; the lists of group `grid`, which
 * describe a sweep, go to an um_grid_config. Every refusal names file and line.
 *
 * A real may be written as a quoted fraction ("4/255"). An array of plain values is handed on as its values with commas between.
 * @include "other.cfg" is looked up beside the file. */
#ifndef UM_IO_CONFIG_H
#define UM_IO_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"
#include "base/status.h"

/* A list of names; n = 0 when the file does not give it (which means "all"). */
typedef struct um_config_names {
    char **items;
    size_t n;
} um_config_names;

typedef struct um_config_ints {
    int64_t *items;
    size_t n;
} um_config_ints;

typedef struct um_grid_dataset {
    char *name;
    char *path;     /* as written */
    char *resolved; /* relative paths count from the folder of the file that says so */
} um_grid_dataset;

typedef struct um_grid_variant {
    char *name, *base;
    um_config_names set; /* "umed.eps=8/255" */
} um_grid_variant;

/* Cells of one kind. Which lists a block may have depends on its kind. */
typedef enum um_grid_kind { UM_GRID_EXPLOIT, UM_GRID_MEDLOCKER, UM_GRID_KINDS } um_grid_kind;
typedef struct um_grid_block {
    um_grid_kind kind; /* "exploit" unless it says otherwise */
    um_config_names datasets;
    um_config_ints tables;                                   /* exploit */
    um_config_names protectors, exploiters, defenses;        /* exploit */
    um_config_names backbones, targets, searches, retrain;   /* medlocker */
    char *cam;                                               /* medlocker; NULL where it is not given */
    char *where; /* "busi.cfg:12", for messages */
} um_grid_block;

typedef struct um_grid_config {
    um_grid_dataset *datasets;
    size_t n_datasets;
    um_grid_variant *variants;
    size_t n_variants;
    um_grid_block *blocks;
    size_t n_blocks;
    um_config_ints seeds;
} um_grid_config;

/* Sets what the file says in `settings` (on failure some of it may be set). grid: receives the sweep, owned by the caller; NULL
 * when a sweep is not wanted (its lists are then checked and dropped). UM_E_CONFIG, UM_E_IO. */
um_status um_config_load(const char *path, um_settings *settings, um_grid_config **grid);
void um_grid_config_free(um_grid_config *g);

#endif
