/* From folders of pictures to a dataset: pairing, decoding, resizing, the train/test split. */
#ifndef UM_IO_IMPORT_H
#define UM_IO_IMPORT_H

#include <stdint.h>

#include "base/opt.h"
#include "base/status.h"
#include "io/dataset.h"

typedef enum um_import_layout {
    UM_LAYOUT_AUTO,
    UM_LAYOUT_PAIRS,
    UM_LAYOUT_BUSI,
    UM_LAYOUT_KVASIR,
    UM_LAYOUT_MONTGOMERY_SHENZHEN,
    UM_LAYOUT_CHEST_XRAY, /* the same as MONTGOMERY_SHENZHEN */
    UM_LAYOUT_GRADED,
} um_import_layout;
typedef enum um_busi_subset { UM_BUSI_LESION647, UM_BUSI_ALL780 } um_busi_subset;
typedef enum um_split_mode { UM_SPLIT_RANDOM, UM_SPLIT_STRATIFIED, UM_SPLIT_GROUPED } um_split_mode;
typedef enum um_import_channels { UM_CHANNELS_AUTO, UM_CHANNELS_1, UM_CHANNELS_3 } um_import_channels;

/* Group "data". */
typedef struct um_data_options {
    int64_t size;       /* pixels per side after import; 0 keeps the original size, which must then be the same everywhere */
    int resize;         /* um_resize_filter, images only; masks always use nearest */
    double split;       /* share of training rows */
    int64_t split_seed;
    int split_mode;     /* um_split_mode */
    int busi_subset;    /* um_busi_subset */
    int channels;       /* um_import_channels */
    int layout;         /* um_import_layout */
    int64_t limit;      /* rows used per split when training; 0 = all. Import ignores it. */
} um_data_options;
extern const um_opt_table um_data_table;

/* Reads a folder in one of these layouts (auto: the first that fits):
 *   pairs, kvasir        DIR/images/STEM.* with DIR/masks/STEM.*, STEM_mask.* or STEM_mask_N.*
 *   busi                 "benign (1).png" with "benign (1)_mask.png", "benign (1)_mask_1.png", ... in DIR or in DIR/benign,
 *                        DIR/malignant, DIR/normal. busi_subset lesion647 leaves out the class normal
 *   montgomery_shenzhen, chest_xray   as pairs, or as published: DIR/CXR_png with DIR/mask/STEM_mask.png (Shenzhen; images without
 *                        a mask are left out with a warning) or DIR/ManualMask/leftMask and rightMask (Montgomery; both needed)
 *   graded               DIR/images/STEM.* with DIR/labels.csv: lines STEM,CLASS[,train|test] (a first line "stem,..." is skipped),
 *                        classes 0 to 255; images that it does not name are left out. DIR/masks as in pairs, but an image may lack one
 *                        (lesions not known: an empty mask). With a third column for all, that is the split
 * Files: PNG or JPEG by extension (png, jpg, jpeg, any case); others are ignored. Several masks of one image are united at its
 * original size. A mask pixel is foreground where its grey level is above half of full scale.
 *
 * Ids are the stems, sorted bytewise. channels auto: 3 when any image is truly coloured (an RGB file with equal channels is grey),
 * else 1; the choice is logged. channels 1 turns colour into rounded BT.601 luma before resizing.
 *
 * out: owned by the caller. Errors, all naming the files: UM_E_DATA for an unknown layout, no images, an image without mask or the
 * reverse, equal ids, an id that is not UTF-8, a mask of another size than its image, 8 and 16 bit mixed, unequal sizes with
 * size = 0, or masks that are all empty (single empty masks are counted in a warning, and so are masks with many pixels between black
 * and white); those of um_raster_read. */
um_status um_import_run(um_dataset **out, const um_data_options *o, const char *path);

/* n synthetic images (image/phantom.h) with the ids phantom-00000, ... and the same split rule; sample i is phantom (seed, i).
 * o: only the split members are used; NULL: the table's defaults. Errors: UM_E_CONFIG for n, size or channels out of range. */
um_status um_import_phantoms(um_dataset **out, int64_t n, int64_t size, int64_t channels, uint64_t seed, const um_data_options *o);

/* n synthetic fundus photographs (image/retina.h) with labels i % classes, ids retina-00000, ... and the same split rule. Errors: UM_E_CONFIG. */
um_status um_import_retinas(um_dataset **out, int64_t n, int64_t size, int classes, uint64_t seed, const um_data_options *o);

/* Marks n_test = round((1 - split) * n) rows as test. Every id draws 64 random bits,
 *     words 0 and 1 of Philox(split_seed, UM_RNG_SPLIT, 0, FNV-1a(id), 0),
 * and the smallest are the test rows: the split depends on the set of ids, never on their order.
 *   random      over all rows
 *   stratified  within each class that the ids carry (benign, malignant, normal; MCUCXR or CHNCXR with the final _0 or _1); shares
 *               are rounded by largest remainder so that the total is n_test. Without classes: random, with a warning
 *   grouped     images whose 16x16 grey thumbnails correlate above 0.98 form groups (transitively); groups go to the test side in
 *               the order of their smallest draw while they fit, so the total may be a few rows below n_test. Compares all pairs */
um_status um_import_split(um_dataset *d, const um_data_options *o);

#endif
