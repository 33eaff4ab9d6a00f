/* Cells of kind medlocker: what visible watermarks (medlocker/search.h) do to classifiers.
 *
 *     blocks = ( { kind = "medlocker"; backbones = ["resnet18", "densenet121", "vgg16_bn"]; searches = ["bhe", "free"];
 *                  targets = ["resnet18", "resnet18+densenet121", "random"]; retrain = ["resnet18"]; } )
 *
 *     backbones  classifiers, each trained on the clean training rows of every dataset with every seed; all are asked
 *     targets    networks whose errors the search looks for; of several joined by '+' the mean margin counts (ensemble).
 *                random: no network at all, one feasible place and opacity drawn for every image (with searches that are random
 *                ones). Without the list: every backbone
 *     searches   bhe grad random centre grid, or variants of them under changed settings: { name = "free"; base = "bhe";
 *                set = ["medlocker.avoid_lesions=false"]; } of grid.variants. Networks are trained under the variant's settings
 *     retrain    backbones trained anew on marked training rows, as somebody would who was not authorised, and asked about clean
 *                and marked test rows; each a cell of its own, beside the network that was trained on clean rows
 *     cam        backbone whose Grad-CAM shows lesions where a mask does not and no lesion network is named (medlocker.wsm.model);
 *                the first that can, without the key; "none"
 *
 * A cell is a search against a target on a dataset with a seed, scored on the test rows. A network, a list of marks or a cell has
 * a key like any other (cell.h); equal ones are done once. */
#ifndef UM_GRID_LOCKER_H
#define UM_GRID_LOCKER_H

#include "grid/cell.h"
#include "io/config.h"
#include "medlocker/mark.h"
#include "train/cost.h"

struct um_sweep;

enum { UM_LOCKER_NETS = 16 }; /* the most backbones of a block */
#define UM_LOCKER_RANDOM "random" /* the target that is no network */

typedef struct um_locker_search {
    char *name;
    um_settings *settings; /* owned */
    um_settings *once;     /* of random searches: with a budget of one, for the target that is no network; else NULL */
} um_locker_search;

/* A classifier trained on clean rows. */
typedef struct um_locker_net {
    int data;
    const um_model_def *model;
    const um_settings *settings; /* borrowed from a search */
    int64_t seed;
    char key[UM_KEY_BYTES], group[UM_KEY_BYTES];
    um_cost cost;
    double predict; /* FLOPs of one image */
    int task;
} um_locker_net;

/* Marks of the rows of one split. */
typedef struct um_locker_mark {
    int data, search, split;
    char target[UM_OPT_TEXT];
    int net[UM_TARGETS_MAX], n_nets; /* targets */
    int cam;                         /* network whose Grad-CAM shows lesions; -1: none */
    const um_settings *settings;
    int64_t seed;
    char key[UM_KEY_BYTES], group[UM_KEY_BYTES];
    um_cost cost;
    int task;
} um_locker_mark;

typedef struct um_locker_cell {
    int mark;                     /* of the test rows */
    int train_mark;               /* of the training rows; -1: nothing is retrained */
    int net[UM_LOCKER_NETS], n_nets; /* asked about the marks; with train_mark: the one that is trained anew */
    int64_t seed;
    char key[UM_KEY_BYTES], group[UM_KEY_BYTES];
    um_cost cost;
} um_locker_cell;

typedef struct um_locker_plan {
    um_locker_search *searches;
    um_locker_net *nets;
    um_locker_mark *marks;
    um_locker_cell *cells;
    int n_searches, n_nets, n_marks, n_cells;
    int cap_nets, cap_marks, cap_cells;
} um_locker_plan;

/* bhe grad random centre grid */
bool um_locker_is_search(const char *name);
/* UM_E_CONFIG with the nearest match for what is neither a search nor a variant of one. */
um_status um_locker_check_search(const struct um_sweep *s, const char *name, const char *where);

#endif
