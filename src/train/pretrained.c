#include "train/pretrained.h"

#include "base/log.h"
#include "io/npz.h"

const char *um_pretrained_path(const um_model_def *model, const um_settings *settings)
{
    return model->weights ? model->weights(settings) : "";
}

void um_pretrained_label(const um_model_def *model, const um_settings *settings, char out[64])
{
    const char *how = !model->weights ? "" : um_pretrained_path(model, settings)[0] ? "-pretrained" : "-scratch";
    snprintf(out, 64, "%s%s", model->name, how);
}

static um_status read_array(void *self, const char *key, double **out, int *n_dims, int64_t dims[8])
{
    return um_npz_read(self, key, out, n_dims, dims);
}

um_status um_pretrained_load(um_params *params, const um_model_def *model, const char *path)
{
    um_status rc = UM_OK;
    um_npz *z = NULL;
    um_text table = {0};
    UM_REQUIRE(model->load);
    UM_TRY(um_npz_open(&z, path));
    um_weight_source from = {.self = z, .path = path, .read = read_array};
    UM_TRY(model->load(params, &from, &table));
    um_log(UM_LOG_INFO, "%s: weights from %s", model->name, path);
    um_log_lines(UM_LOG_INFO, um_text_get(&table));
done:
    um_text_free(&table);
    um_npz_free(z);
    return rc;
}
