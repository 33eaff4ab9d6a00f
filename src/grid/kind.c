#include "grid/kind.h"

const um_cell_kind *um_cell_kind_of(um_grid_kind kind)
{
    static const um_cell_kind *const kinds[UM_GRID_KINDS] = {
        [UM_GRID_EXPLOIT] = &um_cells_exploit,
        [UM_GRID_MEDLOCKER] = &um_cells_medlocker,
    };
    return kinds[kind];
}

um_status um_cost_or_nothing(um_status rc)
{
    if (rc != UM_E_DATA && rc != UM_E_UNSUPPORTED && rc != UM_E_CONFIG)
        return rc;
    um_error_clear();
    return UM_OK;
}
