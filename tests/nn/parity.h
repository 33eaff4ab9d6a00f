/* Reading tests/ref/torch_parity.txt (its head describes the format) and rebuilding the inputs it was made from. */
#ifndef UM_TESTS_NN_PARITY_H
#define UM_TESTS_NN_PARITY_H

#include "nn/net_fixture.h"

enum { PARITY_WIDTH = 8, PARITY_SIDE = 32, PARITY_BATCH = 3, PARITY_STEPS = 10, PARITY_PIXELS = PARITY_SIDE * PARITY_SIDE };

typedef struct parity_record {
    char net[16], prec[8], kind[16], name[96];
    bool full;        /* v: every element; else L2, 12 projections, 16 samples */
    int64_t numel;
    double v[64];
    bool used;
} parity_record;

typedef struct parity_file {
    parity_record *list;
    int n;
} parity_file;

void parity_read(parity_file *f, const char *name); /* a file of tests/ref */
void parity_free(parity_file *f);
parity_record *parity_find(parity_file *f, const char *net, const char *prec, const char *kind, const char *name);

/* Relative L2 distance of t (numel elements in PyTorch order) from a record; for a sketch the largest of: the estimate from the
 * projections, the difference of the norms, and the worst sample against the root mean square. */
double parity_distance(const parity_record *r, const double *t, int64_t numel);

void parity_weights(um_params *params);
void parity_batch(double *x, double *y);

#endif
