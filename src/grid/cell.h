/* What one unit of a sweep is, and its key.
 *
 * A method is a protector, or a variant of one under changed settings. An item is a dataset protected by a method with a seed; a
 * cell is an exploiter trained on an item's result under a defense. The key of either is the first 16 hex digits of a SHA-256 over
 * what can change its result: schema version, kind, content hash of the dataset, protector, exploiter, defense, seed, and every
 * setting of the groups involved that differs from its default; of a file of pretrained weights its SHA-256. Names of datasets and variants, paths, the order of keys in a
 * file, and how a run is carried out (threads, backend, intervals) are not in it; run.precision, reduce, bn and lanes are. */
#ifndef UM_GRID_CELL_H
#define UM_GRID_CELL_H

#include "exploit/exploiter.h"
#include "protect/protector.h"

enum { UM_KEY_BYTES = 17, UM_BOUND_BYTES = 24, UM_CELL_SCHEMA = 1 };

typedef struct um_cell_id {
    const char *dataset_sha256;
    const um_protector_def *protector;
    const um_settings *settings;       /* of the method */
    const char *exploiter, *defense;   /* both NULL: an item */
    int64_t seed;
} um_cell_id;

/* with_seed false: the key of the group of cells that differ in their seed only. */
um_status um_cell_key(char out[UM_KEY_BYTES], const um_cell_id *id, bool with_seed);

typedef struct um_method {
    char *name;                  /* of the protector or the variant */
    const um_protector_def *def;
    um_settings *settings;       /* base settings with the variant's changes; owned */
    char bound[UM_BOUND_BYTES];  /* "4/255", "none" */
    char label[2];               /* case of the paper's Table 5 that it is: "A" to "G", or empty */
    bool plain;                  /* differs from the paper's method in the bound at most */
} um_method;

/* set: the variant's assignments ("umed.eps=8/255"), n = 0 for the protector itself. where: place for messages. */
um_status um_method_create(um_method *out, const char *name, const um_protector_def *def, const um_settings *base, char *const *set,
                           size_t n, const char *where);
void um_method_clear(um_method *m);

/* A protector without effect: nothing to fit, cells train on the clean images. */
bool um_method_is_none(const um_method *m);

#endif
