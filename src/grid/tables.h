/* Every option table of the program: the one list behind configuration files, --set, --help, --print-config and cell keys. */
#ifndef UM_GRID_TABLES_H
#define UM_GRID_TABLES_H

#include "base/opt.h"

/* NULL-terminated, each table once (methods may share one), in the order of --print-config; lives as long as the program. */
const um_opt_table *const *um_option_tables(void);

#endif
