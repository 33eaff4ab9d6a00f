/* Data that stays with the backend as it is stored, so that a batch is a list of row numbers: a kernel gathers and widens it (ops.h GATHER). On the CPU the
 * host's own memory is read; a device gets a copy. Same bits as um_row_image and um_row_mask. */
#ifndef UM_TRAIN_RESIDENT_H
#define UM_TRAIN_RESIDENT_H

#include "io/dataset.h"
#include "nn/exec.h"

/* Rows of equal size: u8 numbers of 8 or 16 bit, divided by `most`, or real ones as they are. */
typedef struct um_table {
    um_backend *backend; /* borrowed */
    um_view rows;
    double most;
    bool owned; /* a copy of its own */
} um_table;

/* host: [n][h][w][c] of `bytes` per number, 1 or 2; 0: real. Borrowed by a backend in host memory. Errors: UM_E_MEMORY. */
um_status um_table_create(um_table *out, um_backend *b, const void *host, int bytes, double most, int64_t n, int64_t h, int64_t w, int64_t c);
void um_table_free(um_table *t);

/* Row numbers in the backend's memory. */
typedef struct um_picks {
    um_backend *backend; /* borrowed */
    double *host;        /* [most] */
    um_view view;        /* f64 [n,1,1,1] */
} um_picks;
um_status um_picks_create(um_picks *out, um_backend *b, int64_t most);
um_status um_picks_set(um_picks *p, const int64_t *rows, int64_t n);
void um_picks_free(um_picks *p);

/* The rows that were picked, into the graph's input. */
um_status um_table_gather(const um_table *t, const um_picks *p, um_exec *e, um_tid input);

/* A dataset's images and masks. */
typedef struct um_resident {
    um_table images, masks;
    um_picks picks;
} um_resident;

/* out: NULL when the device has no room for them, with a line in the log; owned by the caller. max_batch: rows of the largest batch. */
um_status um_resident_create(um_resident **out, um_backend *b, const um_dataset *d, int64_t max_batch, const char *label);
void um_resident_free(um_resident *r); /* accepts NULL */
/* mask: UM_NONE when the graph has none. */
um_status um_resident_feed(um_resident *r, um_exec *e, um_tid image, um_tid mask, const int64_t *rows, int64_t n);

#endif
