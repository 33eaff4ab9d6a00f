#include "mpi/launcher.h"

#include "base/mem.h"
#include "base/text.h"

#include <stdlib.h>

bool um_launcher_present(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "PMI_ID", "MPI_LOCALRANKID"};
    for (size_t i = 0; i < UM_COUNT(names); i++)
        if (getenv(names[i]))
            return true;
    return false;
}

int um_launcher_size(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < UM_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        int64_t n = 0;
        if (value && um_text_parse_int(value, &n) && n > 0 && n < 1 << 30)
            return (int)n;
    }
    return 1;
}
