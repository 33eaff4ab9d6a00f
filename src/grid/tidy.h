/* What a run that was killed leaves beside finished work: checkpoints, claims, parts of files, reasons of earlier failures. */
#ifndef UM_GRID_TIDY_H
#define UM_GRID_TIDY_H

#include "grid/run_internal.h"

/* Removes those of a finished task; results, networks and utilities stay. names: the sorted content of paths->folder. Does nothing
 * while a living run holds the task: it is about to do the same. Errors: UM_E_IO. */
um_status um_task_tidy(const um_task_paths *paths, char *const *names, size_t n, double lease_s);

#endif
