#include "train/pretrained.h"

#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/sha256.h"
#include "io/npz.h"

const char *um_pretrained_path(const um_model_def *model, const um_settings *settings)
{
    return model->weights ? model->weights(settings) : "";
}

um_status um_pretrained_describe(const um_model_def *model, const um_settings *settings, um_text *text)
{
    static struct {
        char path[UM_OPT_TEXT], sha256[UM_SHA256_HEX];
        struct stat info;
    } last;
    um_status rc = UM_OK;
    const char *path = um_pretrained_path(model, settings);
    struct stat info;
    if (!path[0])
        return UM_OK;
    bool known = stat(path, &info) == 0 && strcmp(path, last.path) == 0 && info.st_size == last.info.st_size && info.st_ino == last.info.st_ino &&
                 info.st_mtim.tv_sec == last.info.st_mtim.tv_sec && info.st_mtim.tv_nsec == last.info.st_mtim.tv_nsec;
    if (!known) {
        last.path[0] = 0;
        UM_TRY(um_sha256_of_file(path, last.sha256));
        snprintf(last.path, sizeof last.path, "%s", path);
        last.info = info;
    }
    UM_TRY(um_text_add(text, "pretrained=%s\n", last.sha256));
done:
    return rc;
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
