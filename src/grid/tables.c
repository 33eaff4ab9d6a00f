#include "grid/tables.h"

#include "archive/archive.h"
#include "base/mem.h"
#include "exploit/defense.h"
#include "exploit/exploiter.h"
#include "grid/plan.h"
#include "io/import.h"
#include "medlocker/search.h"
#include "models/model.h"
#include "protect/protector.h"
#include "train/classify.h"

enum { MAX_TABLES = 64 };

static void add_table(const um_opt_table **list, size_t *n, const um_opt_table *table)
{
    for (size_t i = 0; i < *n; i++)
        if (list[i] == table)
            return;
    if (table && *n < MAX_TABLES - 1)
        list[(*n)++] = table;
}

const um_opt_table *const *um_option_tables(void)
{
    static const um_opt_table *list[MAX_TABLES];
    const um_opt_table *const fixed[] = {&um_data_table, &um_model_table, &um_loss_table, &um_export_table, &um_exploiter_table,
                                         &um_metric_table, &um_run_table, &um_conv_table, &um_grid_table, &um_classify_table,
                                         &um_archive_table, &um_medlocker_table};
    size_t n = 0;
    int n_protectors = 0, n_defenses = 0, n_models = 0;
    const um_model_def *const *models = um_model_all(&n_models);
    const um_protector_def *const *protectors = um_protector_all(&n_protectors);
    const um_defense_def *const *defenses = um_defense_all(&n_defenses);
    for (size_t i = 0; i < UM_COUNT(fixed); i++)
        add_table(list, &n, fixed[i]);
    for (int i = 0; i < n_models; i++)
        add_table(list, &n, models[i]->table);
    for (int i = 0; i < n_protectors; i++)
        add_table(list, &n, protectors[i]->table);
    for (int i = 0; i < n_defenses; i++)
        add_table(list, &n, defenses[i]->table);
    list[n] = NULL;
    return list;
}
