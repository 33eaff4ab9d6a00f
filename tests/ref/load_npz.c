/* Loads pretrained weights for npz_check.py: load_npz WEIGHTS.npz WIDTH SIDE MODEL.h5 */
#include <stdio.h>
#include <stdlib.h>

#include "train/checkpoint.h"
#include "train/pretrained.h"

static um_status run(char **argv)
{
    um_status rc = UM_OK;
    um_backend *b = NULL;
    um_segmenter *s = NULL;
    int64_t width = atoll(argv[2]), side = atoll(argv[3]);
    um_segmenter_config config = {
        .net = {.width = width, .in_ch = 1, .out_ch = 1}, .h = side, .w = side, .max_batch = 1, .spread = {.lanes = 1}};
    UM_TRY(um_backend_create(&b, "cpu", UM_F32));
    UM_TRY(um_model_find(&config.model, "transunet"));
    UM_TRY(um_segmenter_create(&s, b, &config));
    UM_TRY(um_params_init(s->params, 1, UM_RNG_EXPLOITER_INIT));
    UM_TRY(um_pretrained_load(s->params, config.model, argv[1]));
    UM_TRY(um_model_save(s, argv[4], 0, 1));
done:
    um_segmenter_free(s);
    um_backend_free(b);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: load_npz WEIGHTS.npz WIDTH SIDE MODEL.h5\n");
        return um_status_exit(UM_E_USAGE);
    }
    um_status rc = run(argv);
    if (rc != UM_OK)
        fprintf(stderr, "load_npz: %s\n", um_error_text());
    return rc == UM_OK ? 0 : um_status_exit(rc);
}
