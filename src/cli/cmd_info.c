#include "cli/cli.h"

#include "base/mem.h"
#include "base/text.h"
#include "base/threads.h"
#include "grid/names.h"
#include "io/provenance.h"

#include <stdio.h>

static um_status run_info(um_cli *cli)
{
    um_status rc = UM_OK;
    um_backend *backend = NULL, *cuda = NULL;
    (void)cli;
    UM_TRY(um_backend_create(&backend, "cpu", UM_F32));
    printf("version       %s\n", um_version());
    printf("libraries     %s\n", UM_CLI_LIBRARIES);
    printf("mpi           %s\n", um_comm_library());
    printf("cores         %d in the affinity mask, %d threads\n", um_cores(), um_threads());
    printf("cpu           %s\n", um_backend_describe(backend));
    printf("cuda          %s\n", um_backend_create(&cuda, "cuda", UM_F32) == UM_OK ? um_backend_describe(cuda) : um_error_text());
    um_error_clear();
    printf("nccl          %s\n", um_nccl_about());
done:
    um_backend_free(cuda);
    um_backend_free(backend);
    return rc;
}

const um_command um_command_info = {
    .name = "info", .summary = "versions, libraries, processor and backends", .usage = "", .options = "", .groups = "",
        .max_args = 0,
    .run = run_info,
};

static um_status run_list(um_cli *cli)
{
    um_status rc = UM_OK;
    static const char *const heads[] = {"protectors", "exploiters", "defenses"};
    um_text text = {0};
    int n_models = 0;
    const um_model_def *const *models = um_model_all(&n_models);
    (void)cli;
    for (int kind = UM_NAME_PROTECTOR; kind <= UM_NAME_DEFENSE; kind++) {
        UM_TRY(um_text_add(&text, "%s%s\n", kind ? "\n" : "", heads[kind]));
        UM_TRY(um_name_list((um_name_kind)kind, &text));
    }
    UM_TRY(um_text_add(&text, "\nclassifiers\n"));
    for (int i = 0; i < n_models; i++)
        if (models[i]->classifier)
            UM_TRY(um_text_add(&text, "  %-16s %s\n", models[i]->name, models[i]->summary));
    fputs(um_text_get(&text), stdout);
done:
    um_text_free(&text);
    return rc;
}

const um_command um_command_list = {
    .name = "list", .summary = "protectors, exploiters, defenses and classifiers by name", .usage = "", .options = "", .groups = "",
        .max_args = 0,
    .run = run_list,
};
